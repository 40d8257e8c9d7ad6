/**
 * The first ten minutes of somebody who has never seen the program: a real shell in an empty home, where
 * README's own commands are typed, one after another and nothing else. Google is under its real names, on
 * its real ports; the person's browser is played.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { watch } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t from 'tap'
import { redirectedFrom } from './fixtures/browser.ts'
import { dovecotProgram } from './fixtures/dovecot.ts'
import { googleClient } from './fixtures/google-server.ts'
import { openHome, openWorld } from './fixtures/google-world.ts'
import { both, needs } from './fixtures/installed.ts'
import { visit } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'
import { root } from './fixtures/root.ts'
import { openTerminal, terminalProgram, type Step } from './fixtures/terminal.ts'

const me = 'me@gmail.com'

/** What README's first account is set up with, line by line, and what it shows of their output. */
function readmeCommands(): { readonly line: string; readonly shown: readonly string[] }[] {
  const text = readFileSync(join(root, 'README.md'), 'utf8')
  const [, section = ''] = /^## A first Gmail account$([^]*?)^## /m.exec(text) ?? []
  const blocks = [...section.matchAll(/^ *```console\n([^]*?)^ *```$/gm)].map(
    ([, block = '']) => block,
  )
  const commands: { line: string; shown: string[] }[] = []
  for (const line of blocks
    .join('')
    .split('\n')
    .map((each) => each.trim())) {
    if (line.startsWith('$ ')) commands.push({ line: line.slice(2), shown: [] })
    else if (line !== '') commands.at(-1)?.shown.push(line)
  }
  return commands
}

async function saysReady(folder: string, file: string): Promise<void> {
  const isReady = () => /^info ready /m.test(readFileSync(file, 'utf8'))
  for await (const { filename } of watch(folder))
    if (filename === basename(file) && isReady()) return
}

const needsRoot = { skip: process.getuid?.() !== 0 && 'needs root, for ports below 1024' }
const needsAll = [
  needs(...dovecotProgram),
  needs(...terminalProgram),
  needs('msmtp', 'msmtp'),
].reduce(both)

void t.test('what README says, and nothing else', both(needsAll, needsRoot), async (t) => {
  const { google, mailServer, via, caFile } = await openWorld(t)
  const { home, env, socket } = await openHome(t, caFile)
  const terminal = await openTerminal(env, via)
  t.teardown(async () => {
    try {
      const { pid } = JSON.parse(await send(socket, 'STATUS')) as { pid: number }
      process.kill(pid)
    } finally {
      await terminal.close()
    }
  })
  const commands = readmeCommands()
  const left = new Set(commands)
  t.same(readdirSync(home), [], 'the home is empty')

  /** Types the next command of README's, which has to be this one. */
  async function step(
    command: RegExp,
    judge: (step: Step, shown: readonly string[]) => void,
    meanwhile: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const [next] = left
    if (!next) throw new Error(`README has no ${String(command)}`)
    left.delete(next)
    t.match(next.line, command, next.line)
    const [done] = await Promise.all([terminal.run(next.line), meanwhile()])
    t.comment(`$ ${next.line}\n${done.output}`)
    t.equal(done.status, 0, 'it ends well')
    judge(done, next.shown)
  }

  await step(
    /^xoauthd add me@gmail\.com\b/,
    ({ output }) => {
      const file = join(home, '.config/xoauthd/config.toml')
      t.match(output, 'me@gmail.com is an account of google: of the domain gmail.com.\n')
      t.match(output, `Added ${me} to ${file}.\n`)
      t.match(
        output,
        `Next: xoauthd login ${me}, then xoauthd serve (or xoauthd install-service)\n`,
      )
      t.equal(statSync(file).mode & 0o777, 0o600)
    },
    async () => {
      await terminal.sees(/client_id: .*: $/)
      terminal.answer(googleClient.id)
      await terminal.sees(/client_secret: .*: $/)
      terminal.answer(googleClient.secret)
      await terminal.sees(/Sign in now\? \[Y\/n\]: $/)
      terminal.answer('n')
    },
  )

  await step(/^xoauthd serve --check\b/, ({ output }) => t.match(output, '1 account'))

  await step(
    /^xoauthd login me@gmail\.com\b/,
    ({ output }) => {
      t.match(output, `\nSigned in as ${me} for smtp, imap.\nNext: xoauthd serve `)
    },
    async () => {
      const [url] = await terminal.sees(/^https:\/\/accounts\.google\.com\/\S+\n(?=\n[^]*\n)/m)
      const back = await redirectedFrom(new URL(url.trim()))
      t.match(await visit(new URL(back)), {
        status: 200,
        page: `signed in as ${me} for smtp and imap`,
      })
    },
  )

  await step(
    /^xoauthd serve 2> xoauthd\.log &/,
    ({ output }) => t.match(output, /^\[1\] \d+\n$/),
    // Nobody types the next line within the moment that it takes.
    () => saysReady(home, join(home, 'xoauthd.log')),
  )

  await step(/^xoauthd token me@gmail\.com$/, ({ output }, shown) => {
    t.match(shown, [/^ya29\./])
    t.ok(google.accept(output.trim(), me), 'it is a token that Google takes')
  })

  await step(/^xoauthd status$/, ({ output }, [headings = '', row = '', ...notes]) => {
    const [first = '', second = '', ...others] = output.split('\n')
    t.equal(first.trimEnd().replace(/ +/g, ' '), headings.replace(/ +/g, ' '))
    t.match(second, /^me@gmail\.com {2}fresh {2}59 min left {2}/)
    t.match(
      second.replace(/\d+ \w+/g, 'N'),
      row
        .replace(/\d+ \w+/g, 'N')
        .split('  ')
        .at(-1),
    )
    // The terminal is narrower than the page, and its folders are others.
    const inWords = (lines: readonly string[]) =>
      lines
        .join(' ')
        .replace(/\/\S+\/(?=\S)/g, '/…/')
        .split(/\s+/)
        .filter(Boolean)
        .join(' ')
    t.equal(inWords(others), inWords(notes))
  })

  await step(/^xoauthd check\b/, ({ output }) => {
    const rows = output.split('\n').filter((line) => /^(?:ok|warning|problem|skipped)\b/.test(line))
    // Whether a crash or swap could write a token to disk is this machine's affair.
    const others = rows.filter((row) => !/^\w+ +(?:core files|swap) /.test(row))
    t.same(
      others.filter((row) => !row.startsWith('ok ')),
      [],
      'all is good',
    )
    for (const row of ['scopes', 'token smtp', 'token imap', 'imap', 'smtp', 'network', 'clock'])
      t.ok(
        others.some((line) => line.startsWith(`ok       ${row}`.padEnd(24))),
        row,
      )
    t.match(output, /\n\nno problems, /)
    for (const line of output.split('\n')) t.ok(line.length <= 80, line)
  })

  await step(/^xoauthd setup msmtp > ~\/\.msmtprc$/, ({ output }) => t.equal(output, ''))

  const arrival = mailServer.nextMail()
  await step(/\| msmtp friend@example\.org$/, ({ output }) => t.equal(output, ''))
  t.match(await arrival, { user: me, from: me, to: ['friend@example.org'], body: /It works/ })
  t.same(
    mailServer.attempts.filter(({ mechanism }) => mechanism !== 'XOAUTH2'),
    [],
  )

  t.same([...left], [], 'README has no more')
})
