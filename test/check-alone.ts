/** `xoauthd check` with no mail server: a file, daemons and servers that do not do their part, and the rows. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { limited } from '../src/check-account.ts'
import type { TokenReply } from '../src/client.ts'
import { exitStatus, finding, findingsText } from '../src/findings.ts'
import { tryLoginToSmtp } from '../src/smtp.ts'
import type { AccountStatus, DaemonStatus } from '../src/status.ts'
import { version } from '../src/version.ts'
import { me, of, type Row } from './fixtures/check-office.ts'
import { createHome, run } from './fixtures/daemon.ts'
import { startScriptedSocket } from './fixtures/scripted-socket.ts'

void t.test('a file that is wrong: a row for each problem', async (t) => {
  const home = createHome(`[[account]]
user = "me@example.org"
provider = "oauth3"
[log]
level = "loud"
`)
  t.teardown(() => home.remove())
  const { code, stdout, stderr } = await run(home, ['check', '--json'])
  const { findings } = JSON.parse(stdout) as { findings: Row[] }
  t.match(findings, [
    {
      verdict: 'problem',
      check: 'configuration',
      saw: new RegExp(`^${home.configFile}:3: account\\[1\\]\\.provider "oauth3" is no provider`),
      code: 'misconfigured',
    },
    { verdict: 'problem', saw: new RegExp(`^${home.configFile}:5: log\\.level must be one of`) },
  ])
  t.equal(findings.length, 2)
  t.equal(stderr, '')
  t.equal(code, 78)
  const missing = join(home.path, 'missing.toml')
  const gone = await run(home, ['check'], { env: { XOAUTHD_CONFIG: missing } })
  t.match(gone.stdout, `problem  configuration   ${missing}: does not exist`)
  t.equal(gone.code, 78)
})

void t.test('a daemon that is another one than it seems', async (t) => {
  const home = createHome(`[[account]]
user = "robot@example.org"
provider = "command"
command = ["false"]
[[account]]
user = "${me}"
provider = "oauth2"
issuer = "http://127.0.0.1:9"
client_id = "x"
`)
  t.teardown(() => home.remove())
  const path = join(home.path, 'scripted')
  const status: DaemonStatus = {
    version: 1,
    program: version,
    pid: process.pid,
    started_at: 0,
    configuration: home.configFile,
    store: {
      ...{ path: '/s', encrypted: false, plain_files: 0, locked: false, unsaved: [] },
      ...{ message: '', hint: '' },
    },
    sockets: [],
    accounts: [],
  }
  let reply = ''
  const daemon = await startScriptedSocket(path, (request) => (request === 'STATUS' ? reply : ''))
  t.teardown(() => daemon.close())
  const check = async (answer: string) => {
    reply = answer
    const { code, stdout } = await run(home, ['check', '--json', '--socket', path])
    const { findings } = JSON.parse(stdout) as { findings: Row[] }
    return { code, findings, daemon: of(findings, 'daemon') }
  }
  t.match((await check(`${JSON.stringify({ ...status, program: '0.0.9' })}\n`)).daemon, [
    { verdict: 'warning', saw: `runs version 0.0.9, and this is ${version}`, hint: 'restart it' },
  ])
  t.match((await check(`${JSON.stringify({ ...status, configuration: '/etc/x' })}\n`)).daemon, [
    { verdict: 'warning', saw: 'it reads /etc/x, not this file', hint: /check --config \/etc\/x$/ },
  ])
  const unsaved = { ...status, store: { ...status.store, unsaved: [me] } }
  t.match(of((await check(`${JSON.stringify(unsaved)}\n`)).findings, 'store'), [
    {
      verdict: 'problem',
      saw: `the store /s did not take the new sign-in of ${me}: it is in memory alone`,
      hint: /make room on the disk/,
    },
  ])
  const silent = await check('')
  t.match(silent.daemon, [
    {
      verdict: 'problem',
      saw: 'this socket gives out tokens and does not control the daemon',
      hint: 'name the control socket with --socket',
      code: 'not-allowed',
    },
  ])
  t.match(of(silent.findings, 'token smtp'), [
    { verdict: 'problem', saw: 'the daemon closed the connection without an answer' },
  ])
  t.equal(silent.code, 77)

  const known: AccountStatus = {
    ...{ user: me, id: me, provider: 'oauth2', services: [], mailboxes: [], state: 'fresh' },
    ...{ expires_at: null, refreshed_at: null, signed_in_at: 1_700_000_000, tokens: 0 },
    ...{ next_refresh_at: null, ends_at: null, ends_because: '', ends_warning: '' },
    ...{ scopes: {}, xoauth2_bytes: null, too_long_for: [] },
    ...{ message: 'what happened', hint: 'what to do' },
  }
  const signIn = async (more: Partial<AccountStatus>) => {
    const accounts = [{ ...known, ...more }]
    const { findings } = await check(`${JSON.stringify({ ...status, accounts })}\n`)
    return of(
      findings.filter(({ account }) => account === me),
      'sign-in',
      'mail servers',
    )
  }
  t.match(await signIn({ state: 'store-locked' }), [
    { verdict: 'problem', saw: 'what happened', hint: 'what to do', code: 'unavailable' },
    { verdict: 'skipped' },
  ])
  t.match(await signIn({ state: 'misconfigured' }), [
    { verdict: 'warning', saw: 'what happened', hint: 'what to do', code: null },
  ])
  t.match(await signIn({ ends_warning: 'seven days; sign in again' }), [
    { verdict: 'ok', saw: 'of 2023-11-14', hint: '' },
    { verdict: 'warning', saw: 'will end soon: seven days; sign in again' },
  ])
})

void t.test('a login by SMTP that is ended', async (t) => {
  const end = new AbortController()
  const server = createServer((client) => {
    client.on('error', () => undefined)
    client.write('220 ready\r\n')
    client.once('data', () => end.abort())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const token: TokenReply = {
    ...{ mailbox: me, user: me, service: 'smtp', access_token: 'x', xoauth2: 'x' },
    ...{ expires_at: 0, expires_in: 0 },
  }
  await t.rejects(
    tryLoginToSmtp({ host: '127.0.0.1', port }, () => Promise.resolve(token), end.signal),
    { name: 'Unavailable', message: `127.0.0.1:${port} does not answer` },
  )
})

void t.test('what takes too long is a row, too', async (t) => {
  let ended = false
  const row = await limited(
    'imap',
    me,
    (signal) =>
      new Promise(() => {
        signal.addEventListener('abort', () => (ended = true))
      }),
    10,
  )
  t.match(row, {
    verdict: 'problem',
    account: me,
    saw: 'no answer within 0.01 s',
    code: 'unavailable',
  })
  t.ok(ended, 'and it was told to end')
})

void t.test('rows', (t) => {
  const rows = [
    finding('ok', 'store', 'is there'),
    finding('warning', 'clock', 'is 2 min ahead', { hint: 'set it' }),
    finding('problem', 'imap', 'a word '.repeat(20), { account: me, hint: 'do this '.repeat(12) }),
  ]
  t.equal(
    findingsText(rows, { columns: 80, coloured: true }).split('\n')[0],
    '\x1b[32mok      \x1b[0m store           is there',
  )
  for (const columns of [60, 80, 132])
    for (const line of findingsText(rows, { columns, coloured: false }).split('\n'))
      t.ok(line.length <= columns, line)
  t.equal(exitStatus(rows), 78)
  t.equal(exitStatus(rows.slice(0, 2)), 0)
  t.equal(exitStatus([finding('problem', 'x', 'x', { code: 'no-daemon' }), ...rows]), 69)
  t.end()
})
