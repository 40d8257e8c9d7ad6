/** The status for people: on a narrow terminal, in colours, in a pipe, and again and again. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import type { AccountStatus, DaemonStatus } from '../src/status.ts'
import { statusTable } from '../src/status-table.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, run, shellLine, start, startDaemonProcess } from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'
import { until } from './fixtures/keeper-place.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const nowS = 1_800_000_000
const day = 86_400

function account(user: string, given: Partial<AccountStatus> = {}): AccountStatus {
  return {
    user,
    id: user,
    provider: 'oauth2',
    services: ['smtp'],
    mailboxes: [],
    state: 'fresh',
    expires_at: nowS + 3000,
    refreshed_at: nowS - 600,
    signed_in_at: nowS - 59 * day,
    next_refresh_at: null,
    ends_at: null,
    ends_because: '',
    ends_warning: '',
    scopes: {},
    tokens: 1,
    xoauth2_bytes: 100,
    too_long_for: [],
    message: '',
    hint: '',
    ...given,
  }
}

function statusOf(accounts: readonly AccountStatus[]): DaemonStatus {
  const store = {
    path: '/s',
    encrypted: true,
    plain_files: 0,
    locked: false,
    unsaved: [],
    message: '',
    hint: '',
  }
  return {
    version: 1,
    program: '1.0.0',
    pid: 1,
    started_at: nowS,
    configuration: '/etc/c',
    store,
    sockets: [],
    accounts,
  }
}

const ending = { ends_at: nowS + 29 * day, ends_because: 'sign-in-frequency' }
const long = 'a.person.with.a.long.name@department.corporation.example'
const widest = (table: string) => Math.max(...table.split('\n').map((line) => line.length))

void t.test('as wide as the terminal', (t) => {
  const short = statusOf([account('me@example.com', ending)])
  const whole = statusTable(short, nowS)
  t.match(whole, /^me@example\.com {2}fresh .* in 29 days \(sign-in-frequency\)$/m)
  t.equal(statusTable(short, nowS, { columns: widest(whole) }), whole, 'it fits')

  const narrower = statusTable(short, nowS, { columns: widest(whole) - 1 })
  t.match(narrower, /^me@example\.com {2}fresh .* in 29 days$/m, 'the reason is left out first')
  t.ok(widest(narrower) <= 80)

  const many = statusOf([account('me@example.com', ending), account(long, ending)])
  const two = statusTable(many, nowS, { columns: 80 })
  t.same(two.trimEnd().split('\n'), [
    'ACCOUNT',
    '  STATE  TOKEN        REFRESHED   SIGNED IN    ENDS',
    'me@example.com',
    '  fresh  50 min left  10 min ago  59 days ago  in 29 days (sign-in-frequency)',
    long,
    '  fresh  50 min left  10 min ago  59 days ago  in 29 days (sign-in-frequency)',
  ])
  const worst = account(long, { ...ending, state: 'sign-in-needed', message: 'dead' })
  const table = statusTable(statusOf([worst]), nowS, { columns: 80 })
  t.match(table, /\n {2}sign-in-needed {2}50 min left {2}10 min ago {2}59 days ago {2}in 29 days\n/)
  t.ok(widest(table) <= 80)
  const trouble = account('me@example.com', {
    state: 'sign-in-needed',
    message: 'nobody has signed in for me@example.com',
    hint: 'sign in again; a changed password, access taken back by the person, or an application in testing does this',
    xoauth2_bytes: 6036,
    too_long_for: [
      'exim 4.96',
      'msmtp 1.8.23',
      's-nail 14.9.24',
      'mpop 1.4.18',
      'neomutt 20220429',
    ],
  })
  const notes = statusTable(statusOf([trouble]), nowS, { columns: 80 })
    .trimEnd()
    .split('\n\n')
    .slice(1)
  t.same(notes, [
    `nobody has signed in for me@example.com
  hint: sign in again; a changed password, access taken back by the person,
      or an application in testing does this`,
    `me@example.com: its credential of 6036 bytes is too long for exim 4.96,
    msmtp 1.8.23, s-nail 14.9.24, mpop 1.4.18, neomutt 20220429`,
  ])
  t.match(statusTable(statusOf([trouble]), nowS), `hint: ${trouble.hint}\n`, 'a line in a file')
  t.match(statusTable(many, nowS), new RegExp(`^${long}  fresh`, 'm'), 'no terminal, no limit')
  t.end()
})

void t.test('colours', (t) => {
  const accounts = [
    account('a@x', { state: 'sign-in-needed', message: 'dead', hint: 'run: it' }),
    account('b@x', { state: 'store-locked' }),
    account('c@x', { state: 'misconfigured' }),
    account('d@x', { state: 'failing', message: 'down' }),
    account('e@x', { ends_warning: 'soon', too_long_for: ['exim 4'] }),
    account('f@x', { state: 'idle' }),
  ]
  const lines = statusTable(statusOf(accounts), nowS, { colours: true }).split('\n')
  const of = (text: string) => lines.filter((line) => line.includes(text))
  for (const user of ['a@x', 'b@x', 'c@x'])
    for (const line of of(user)) t.match(line, /^\x1b\[31m.*\x1b\[39m$/, user)
  for (const line of of('d@x')) t.match(line, /^\x1b\[33m.*\x1b\[39m$/)
  t.match(of('e@x'), [/^e@x/, /^\x1b\[33me@x: will end/, /^\x1b\[33me@x: its credential/])
  for (const text of ['f@x', 'ACCOUNT', 'hint: run: it']) t.notMatch(of(text)[0], '\x1b', text)
  t.notMatch(statusTable(statusOf(accounts), nowS), '\x1b')
  const plain = statusTable(statusOf(accounts), nowS)
  t.equal(lines.join('\n').replace(/\x1b\[\d+m/g, ''), plain, 'the same words')
  t.end()
})

const server = await startAuthorizationServer()
const home = createHome()
t.teardown(async () => {
  await server.close()
  home.remove()
})
const stranger = 'somebody.with.a.long.name@department.corporation.example'
home.configure(accountAt(server, 'me@issuer.example') + accountAt(server, stranger))
await leaveSignIn(home.configFile, home.env, 'me@issuer.example', server.grant('me@issuer.example'))

/** A command on a terminal of 80 columns. */
function onTerminal(args: string, rows = 24, more: NodeJS.ProcessEnv = {}) {
  const command = `stty cols 80 rows ${rows}; ${shellLine(home, args)}`
  const forColours = /^(?:NO_COLOR|NODE_DISABLE_COLORS|FORCE_COLOR|CI)$/
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !forColours.test(name)),
  )
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: 'pipe',
    env: { ...env, TERM: 'xterm', ...more },
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  return { child, ended: once(child, 'close'), output: () => output.replaceAll('\r', '') }
}

void t.test('on a terminal', needs('script', 'bsdutils'), async (t) => {
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())

  const once = onTerminal('status')
  await once.ended
  const [head, second, user, rest] = once.output().split('\n')
  t.same(head, 'ACCOUNT')
  t.match(second, /^ {2}STATE/)
  t.equal(user, `\x1b[31m${stranger}\x1b[39m`)
  t.match(rest, /^\x1b\[31m {2}sign-in-needed/)

  const sober = onTerminal('status', 24, { NO_COLOR: '1' })
  await sober.ended
  t.equal(sober.output().split('\n')[2], stranger)

  const watching = onTerminal('status --watch', 6)
  await until(() => watching.output().split('\x1b[H').length > 3)
  watching.child.stdin.write('\x03')
  await watching.ended
  const drawn = watching.output().split('\x1b[H')[1]
  t.match(drawn, /^ACCOUNT\x1b\[K\n/)
  t.match(drawn, /…\x1b\[K\n\x1b\[J$/, 'what does not fit is left out')
  t.equal(drawn?.split('\n').length, 6)
  const { stdout } = await run(home, ['status'])
  t.match(stdout, /^me@issuer\.example +fresh/m)
  t.notMatch(stdout, '\x1b')
})

void t.test('again and again, in lines', async (t) => {
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  const watching = start(home, ['status', '--watch', '--json'])
  const lines = () => watching.stdout().split('\n').slice(0, -1)
  await until(() => lines().length > 1)
  await daemon.stop()
  await watching.said(/^xoauthd: .+\n/m)
  const before = lines().length
  const next = await startDaemonProcess(home)
  t.teardown(() => next.stop())
  await until(() => lines().length > before)
  for (const line of lines()) t.match(JSON.parse(line), { version: 1 })
  t.match(JSON.parse(lines().at(-1) ?? ''), { pid: next.child.pid })
  await watching.stop('SIGINT')
  t.equal(watching.child.signalCode, 'SIGINT')

  const left = start(home, ['status', '--watch'])
  await until(() => left.stdout().includes('ACCOUNT'))
  left.child.stdout?.destroy()
  t.equal(await left.ended, 0, 'nobody reads any more')
  t.equal(left.stderr(), '')
})

void t.test('no daemon', async (t) => {
  t.match(await run(home, ['status', '--watch']), { code: 69, stdout: '' })
})
