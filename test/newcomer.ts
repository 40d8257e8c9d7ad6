/**
 * The first ten minutes of somebody who has never seen the program: a real shell in an empty home, where
 * README's own commands are typed, one after another and nothing else. Google is under its real names, on
 * its real ports; the person's browser is played.
 */
import { mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { watch } from 'node:fs/promises'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { redirectedFrom } from './fixtures/browser.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { dovecotProgram, startDovecot } from './fixtures/dovecot.ts'
import { googleClient, googleNames, startGoogleServer } from './fixtures/google-server.ts'
import { both, needs } from './fixtures/installed.ts'
import { startMailServer } from './fixtures/mail-server.ts'
import { visit } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'
import { useRealNames } from './fixtures/real-names.ts'
import { root } from './fixtures/root.ts'
import { temporaryFolder } from './fixtures/smarthost.ts'
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

/** An address of this machine's own that nobody else is likely to have, for ports that are not ours to choose. */
const address = `127.86.${process.pid % 256}.${Math.floor(process.pid / 256) % 256}`

async function forward(t: Test, port: number, to: number): Promise<void> {
  const server = createServer((client) => {
    const onward = connect(to, '127.0.0.1')
    client.on('error', () => onward.destroy())
    onward.on('error', () => client.destroy())
    client.pipe(onward).pipe(client)
  })
  server.listen(port, address)
  await once(server, 'listening')
  t.teardown(() => server.close())
}

/** Google and its mail servers, and what makes a shell meet them under their names. */
async function openWorld(t: Test) {
  const folder = await temporaryFolder(t)
  const authority = await createAuthority(folder)
  const mailNames = ['smtp.gmail.com', 'imap.gmail.com']
  const certificate = await authority.issue([...googleNames, ...mailNames] as [string, ...string[]])
  const google = await startGoogleServer(certificate)
  const dovecot = await startDovecot({
    folder: join(folder, 'd'),
    ...certificate,
    find: (token) => google.find(token),
    scope: 'https://mail.google.com/',
  })
  const mailServer = await startMailServer({
    ...certificate,
    secure: true,
    mechanisms: ['LOGIN', 'PLAIN', 'XOAUTH2'],
    verify: (user, token) => google.accept(token, user),
  })
  t.teardown(() => Promise.all([dovecot.close(), mailServer.close(), google.close()]))
  await forward(t, 443, google.port)
  await forward(t, 993, dovecot.imapPort)
  await forward(t, 465, mailServer.port)
  useRealNames(Object.fromEntries(googleNames.map((name) => [name, google.port])), authority.caFile)
  const hosts = join(folder, 'hosts')
  const names = [...googleNames, ...mailNames].map((name) => `${address} ${name}\n`)
  writeFileSync(hosts, `127.0.0.1 localhost\n${names.join('')}`)
  const noDns = join(folder, 'resolv.conf')
  writeFileSync(noDns, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n')
  // In a mount namespace of its own: this machine's names and authorities stay as they are.
  const mounts = [
    `mount --bind '${hosts}' /etc/hosts`,
    `mount --bind '${noDns}' /etc/resolv.conf`,
    `mount --bind '${authority.caFile}' /etc/ssl/certs/ca-certificates.crt`,
  ].join(' && ')
  const via = ['unshare', '--mount', 'sh', '-c', `${mounts} && exec "$@"`, 'sh']
  return { google, mailServer, via, caFile: authority.caFile }
}

/** An empty home, and a PATH with the program as it is installed. */
async function openHome(t: Test, caFile: string) {
  const folder = await temporaryFolder(t)
  const [home, runtime, bin] = ['home', 'run', 'bin'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  for (const path of [home, runtime, bin]) mkdirSync(path, { mode: 0o700 })
  symlinkSync(join(root, 'bin/xoauthd.js'), join(bin, 'xoauthd'))
  symlinkSync(join(root, 'bin/xoauthd-token'), join(bin, 'xoauthd-token'))
  const env = {
    HOME: home,
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    XDG_RUNTIME_DIR: runtime,
    LANG: 'C.UTF-8',
    NODE_EXTRA_CA_CERTS: caFile,
  }
  return { home, env, socket: join(runtime, 'xoauthd/socket') }
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
    const { pid } = JSON.parse(await send(socket, 'STATUS')) as { pid: number }
    process.kill(pid)
    await terminal.close()
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

  await step(/^xoauthd status$/, ({ output }, [headings = '', row = '']) => {
    const [first = '', second = ''] = output.split('\n')
    t.equal(first.trimEnd().replace(/ +/g, ' '), headings.replace(/ +/g, ' '))
    t.match(second, /^me@gmail\.com {2}fresh {2}59 min left {2}/)
    t.match(
      second.replace(/\d+ \w+/g, 'N'),
      row
        .replace(/\d+ \w+/g, 'N')
        .split('  ')
        .at(-1),
    )
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
