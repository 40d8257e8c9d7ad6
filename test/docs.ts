/** The other pages: what they show is a configuration, a command line or an answer as the program has it. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { problemsOf } from './fixtures/config.ts'
import { createHome, startDaemonProcess } from './fixtures/daemon.ts'
import { send } from './fixtures/raw-client.ts'
import { root } from './fixtures/root.ts'

const docs = join(root, 'docs')
const pages = readdirSync(docs).filter((name) => name.endsWith('.md'))
const read = (name: string) => readFileSync(join(docs, name), 'utf8')

void t.test('what import is given is a file', (t) => {
  const commands = pages.flatMap((name) =>
    [...read(name).matchAll(/\bxoauthd import\b([^|`\n#]*)/g)].map(([, words = '']) =>
      words.trim(),
    ),
  )
  t.ok(commands.length >= 5, `${commands.length} commands`)
  for (const words of commands) t.notMatch(words, /^(?:USER|\S+@\S+)/, words)
  t.end()
})

void t.test('files that the pages show', async (t) => {
  const blocks = pages.flatMap((name) =>
    [...read(name).matchAll(/```toml\n([^]*?)```/g)].map(([, block = '']) => ({ name, block })),
  )
  t.ok(blocks.length > 0)
  for (const { name, block } of blocks) t.same(await problemsOf(block), [], `${name}: ${block}`)
})

void t.test('what README has a socket answer', async (t) => {
  const shown = /^\$ printf '(\S+ \S+)' \| socat .*\n(ERR .*)$/m
  const [, request = '', answer] = shown.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? []
  const home = createHome(
    '[[account]]\nuser = "me@gmail.com"\nprovider = "command"\ncommand = ["true"]\n',
  )
  const daemon = await startDaemonProcess(home)
  t.teardown(async () => {
    await daemon.stop()
    home.remove()
  })
  t.equal(await send(home.socket, request), `${answer ?? 'none is shown'}\n`)
})
