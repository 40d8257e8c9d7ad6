/** The pages about providers: each file that they show is a configuration, and each command of openssl works. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readAssertionKey } from '../src/providers/client-assertion.ts'
import { providers } from '../src/providers/index.ts'
import { problemsOf } from './fixtures/config.ts'
import { presetServers } from './fixtures/preset-subjects.ts'

const read = (name: string) =>
  readFileSync(new URL(`../docs/providers/${name}.md`, import.meta.url), 'utf8')
const blocksOf = (text: string, language: string) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(
    ([, block = '']) => block,
  )

for (const [name, least] of [
  ['google', 3],
  ['others', 5],
] as const)
  void t.test(`${name}.md`, async (t) => {
    const blocks = blocksOf(read(name), 'toml')
    t.ok(blocks.length >= least, `${blocks.length} examples`)
    for (const block of blocks) t.same(await problemsOf(block), [], block)
  })

void t.test('microsoft.md', async (t) => {
  const blocks = blocksOf(read('microsoft'), 'toml')
  const [account = ''] = blocks
  t.ok(blocks.length >= 5, `${blocks.length} examples`)
  for (const block of blocks) {
    const isWhole = block.startsWith('[[account]]')
    t.same(await problemsOf(isWhole ? block : account + block), [], block)
    // Appended to the file's end it may come to stand in another table.
    if (!isWhole) t.match(block, /^# .*\[\[account\]\]/, 'it says where it goes')
  }
})

void t.test('every preset has its row, and its services are those it has', (t) => {
  const rows = new Map(
    [...read('others').matchAll(/^\| `(\w+)` +\| ([^|]+?) +\|/gm)].map(([, name, services]) => [
      name,
      services,
    ]),
  )
  t.same([...rows.keys()].sort(), Object.keys(presetServers).sort())
  for (const [name = '', services = ''] of rows)
    t.same(services.match(/\b(?:smtp|imap|pop|api)\b/g), providers[name]?.services({}).known, name)
  t.end()
})

void t.test('a key for private_key_jwt, as the page makes it', (t) => {
  const cwd = t.testdir()
  const lines =
    blocksOf(read('others'), 'console')
      .join('')
      .match(/(?<=^\$ )openssl .*/gm) ?? []
  t.equal(lines.length, 2)
  const [, printed = ''] = lines.map((line) =>
    execFileSync('sh', ['-c', line], { cwd, encoding: 'utf8' }),
  )
  t.match(printed, /^-----BEGIN PUBLIC KEY-----/)
  const key = readAssertionKey(readFileSync(join(cwd, 'client.pem'), 'utf8'), 'it', undefined)
  t.equal(key.algorithm, 'ES256')
  t.end()
})
