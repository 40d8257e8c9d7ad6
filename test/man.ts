/** The manual: current, complete, and taken by man without a warning. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { manPages } from '../build/man.ts'
import { createCommandLine } from '../src/command-line.ts'
import { defineCommands } from '../src/commands/index.ts'
import { providers } from '../src/providers/index.ts'
import { needs } from './fixtures/installed.ts'

const root = join(import.meta.dirname, '..')
const pages = await manPages()

void t.test('it is current', async (t) => {
  for (const [name, text] of pages)
    t.equal(await readFile(join(root, 'man', name), 'utf8'), text, `${name}: npm run man`)
})

void t.test('man shows it', needs('man', 'man-db groff-base'), async (t) => {
  for (const name of pages.keys()) {
    const { stdout, stderr } = await promisify(execFile)(
      'man',
      ['--warnings=all', '--local-file', join(root, 'man', name)],
      { env: { ...process.env, MANWIDTH: '80', LC_ALL: 'C.UTF-8' } },
    )
    t.equal(stderr, '', name)
    t.match(stdout, /^NAME\n {7}xoauthd/m, name)
  }
})

void t.test('every command, option and kind of account is in it', (t) => {
  const commandLine = createCommandLine()
  defineCommands(commandLine)
  const spelled = (text: string) => text.replaceAll('-', '\\-')
  const commands = pages.get('xoauthd.1') ?? ''
  for (const { name, options } of commandLine.words()) {
    t.ok(commands.includes(`xoauthd ${name}`), name)
    for (const { long } of options)
      t.ok(commands.includes(long) || commands.includes(spelled(long)), `${name} ${long}`)
  }
  for (const name of Object.keys(providers))
    t.match(
      pages.get('xoauthd.toml.5'),
      new RegExp(`^\\.SS "provider = .*\\b${name}\\b`, 'm'),
      name,
    )
  t.end()
})
