/** The commands against a running daemon, and without one: what they print, where, and how they end. */
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { getToken } from '../src/client.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import {
  createHome,
  run,
  startDaemonFor,
  startDaemonProcess,
  type Finished,
} from './fixtures/daemon.ts'
import { send } from './fixtures/raw-client.ts'
import { startScriptedSocket } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const stranger = 'stranger@issuer.example'
const broken = 'broken@issuer.example'
const root = process.getuid?.() === 0

const server = await startAuthorizationServer()
const home = createHome()
const credentials = join(home.path, 'credentials')
const secretFile = join(home.path, 'secret')
const configuration = `${accountAt(server, me, 'id = "myself"')}
${accountAt(server, stranger)}
${accountAt(server, broken).replace(/client_secret = .*/, `client_secret = { command = ["false"] }`)}
[[socket]]
path = "${credentials}"
`
home.configure(configuration)
const signIn = (user: string) =>
  leaveSignIn(home.configFile, home.env, user, server.grant(user), { value: 'kept' })
await signIn(me)
await leaveSignIn(home.configFile, home.env, broken, server.grant(broken))
const daemon = await startDaemonFor(t, home, [server])

/** What every failure looks like; nothing of it goes to stdout. */
function failure(code: number, what: RegExp, hint?: RegExp) {
  const lines = `^xoauthd: ${what.source}\n`
  return { code, stdout: '', stderr: new RegExp(hint ? `${lines}hint: ${hint.source}\n$` : lines) }
}

/** Runs commands side by side, for each takes time to start. */
async function compare(
  t: { match(found: unknown, wanted: unknown, name: string): void },
  cases: Readonly<Record<string, object>>,
  options: Parameters<typeof run>[2] = {},
): Promise<void> {
  const command = (line: string) => run(home, line.split(' ').filter(Boolean), options)
  await Promise.all(
    Object.entries(cases).map(async ([line, wanted]) => t.match(await command(line), wanted, line)),
  )
}

const said = (stdout: string | RegExp): Partial<Record<keyof Finished, unknown>> => ({
  code: 0,
  stdout,
  stderr: '',
})

void t.test('help and version', async (t) => {
  const commands = 'serve|login|logout|status|token|refresh|reload'.split('|').join('[^]*\n  ')
  await compare(t, {
    '--help': said(new RegExp(`^Usage: xoauthd [^]*\n  ${commands}`)),
    'token --help': said(/--service[^]*--format[^]*--no-newline[^]*--refused[^]*--min[^]*--wait/),
    '--version': said(/^\d+\.\d+\.\d+\n$/),
    '': { code: 64, stdout: '', stderr: /^Usage: xoauthd/ },
    statsu: failure(64, /unknown command 'statsu'/, /Did you mean status\?/),
    token: failure(64, /missing required argument 'user'/),
    'token x@y.example --format pdf': failure(64, /option '--format <format>' argument 'pdf' .*/),
    'token x@y.example --min soon': failure(64, /option .* It must be a number of seconds\./),
  })
})

void t.test('token prints what the socket answers', async (t) => {
  const plain = await send(home.socket, `SMTP,xoauth2 ${me}`)
  const cases: Record<string, object> = {
    [`token ${me}`]: said('kept\n'),
    [`token ${me} --no-newline --min 60 --wait 3`]: said('kept'),
    [`token ${me} --socket ${credentials}`]: said('kept\n'),
  }
  for (const format of ['xoauth2', 'base64', 'oauthbearer'])
    cases[`token ${me} --no-newline --format ${format}`] = said(
      await send(home.socket, `SMTP,${format} ${me}`),
    )
  t.match(plain, 'kept')
  await compare(t, cases)
  const json = await run(home, ['token', me, '--format', 'json'])
  t.match(JSON.parse(json.stdout), { mailbox: me, access_token: 'kept', xoauth2: plain })
  t.match(json.stdout, /^[^\n]+\n$/)
  const imap = await run(home, ['token', me, '--service', 'imap'])
  t.match(server.find(imap.stdout.trim()), { scope: 'mail.read' })
})

void t.test('each failure has a code and a hint', async (t) => {
  await compare(t, {
    'token nobody@example.net': failure(67, /no account answers for nobody@example\.net/),
    [`token ${me} --service pop`]: failure(
      77,
      /the account .* has no service pop; it has smtp, imap/,
      /add it to its scopes and, .*, then run: xoauthd login me@issuer\.example/,
    ),
    [`token ${stranger}`]: failure(77, /nobody has signed in .*/, /run: xoauthd login stranger@.*/),
    [`token ${me} --min 9999`]: failure(75, /min is 9999 s, .*/),
    [`token ${broken}`]: failure(78, /the command "false" failed \(1\)/, /run it by hand .*/),
    'token nonsense': failure(64, /the mailbox is no address/, /write name@domain; .*/),
    'refresh nonsense': failure(64, /.*/),
    [`refresh ${stranger}`]: failure(77, /nobody has signed in .*/, /run: xoauthd login .*/),
    [`refresh ${me} --socket ${credentials}`]: failure(77, /this socket gives .*/, /name .*/),
    [`status --json --socket ${credentials}`]: failure(77, /this socket gives .*/, /name .*/),
    'status --socket /nowhere/socket': failure(
      69,
      /no xoauthd answers on \/nowhere\/socket/,
      /start it: .*, or: xoauthd serve; if it listens elsewhere, name its socket with --socket or \$XOAUTHD_SOCKET/,
    ),
    'status --config /nowhere/config.toml': failure(
      78,
      /\/nowhere\/config\.toml: does not exist.*/,
    ),
  })
})

void t.test('status', async (t) => {
  const [table, json] = await Promise.all([run(home, ['status']), run(home, ['status', '--json'])])
  t.match(table, { code: 0, stderr: '' })
  const lines = table.stdout.split('\n')
  t.match(lines[0], /^ACCOUNT +STATE +TOKEN +REFRESHED +SIGNED IN +ENDS$/)
  t.match(
    lines[1],
    /^stranger@issuer\.example +sign-in-needed +- +- +- +-$/,
    'the worst comes first',
  )
  t.match(lines[2], /^broken@issuer\.example +misconfigured +- +- +1\d min ago +-$/)
  t.match(lines[3], /^me@issuer\.example +fresh +\d+ min left +\d+ (?:s|min) ago +1\d min ago +-$/)
  t.match(table.stdout, `\n\nnobody has signed in for ${stranger}\n  hint: run: xoauthd`)

  const status = JSON.parse(json.stdout) as { accounts: { user: string }[] }
  t.match(status, {
    version: 1,
    program: /^\d+\./,
    pid: daemon.child.pid,
    started_at: Number,
    configuration: home.configFile,
    store: {
      path: join(home.path, 'state/xoauthd'),
      encrypted: false,
      plain_files: 2,
      locked: false,
      unsaved: [],
      message: '',
      hint: '',
    },
    sockets: [credentials, home.socket],
  })
  t.same(Object.keys(status.accounts[0]!).sort(), [
    ...[
      'ends_at',
      'ends_because',
      'ends_warning',
      'expires_at',
      'hint',
      'id',
      'mailboxes',
      'message',
      'next_refresh_at',
      'provider',
    ],
    ...['refreshed_at', 'scopes', 'services', 'signed_in_at', 'state', 'tokens'],
    ...['too_long_for', 'user', 'xoauth2_bytes'],
  ])
  t.match(status.accounts[0], {
    user: me,
    id: 'myself',
    state: 'fresh',
    services: ['smtp', 'imap'],
  })
})

void t.test('refresh and reload', async (t) => {
  t.match(await run(home, ['refresh', me]), said(''))
  const fresh = await send(home.socket, `SMTP,token ${me}`)
  t.ok(server.accept(fresh, me))
  t.match(await run(home, ['reload']), said(''))
  t.equal(await send(home.socket, `SMTP,token ${me}`), fresh)

  home.configure(`${configuration}\n[log]\nlevl = "info"\nmore = 1\n`)
  t.match(
    await run(home, ['reload', '--socket', home.socket]),
    failure(78, /\S+config\.toml:\d+: log\.levl .*; \S+config\.toml:\d+: log\.more .*/),
  )
  const bad = await run(home, ['login', me])
  t.match(bad, { code: 78, stdout: '', stderr: /^(?:xoauthd: \S+config\.toml:\d+: log\..*\n){2}$/ })
  t.match(await run(home, ['token', me]), said(`${fresh}\n`), 'a token needs no configuration')
  home.configure(configuration)
})

void t.test('an empty XOAUTHD_SOCKET counts as none', async (t) => {
  const own = createHome(`${accountAt(server, me)}\n[[socket]]\npath = "own"\ncontrol = true\n`)
  const theirs = await startDaemonProcess(own)
  t.teardown(async () => {
    await theirs.stop()
    own.remove()
  })
  t.match(await run(own, ['status'], { env: { XOAUTHD_SOCKET: '' } }), { code: 0, stderr: '' })
})

void t.test('a daemon that does not do its part', async (t) => {
  const path = join(home.path, 'odd')
  const answers = ['{"version":', '', 'ERR unavailable only a reason\n']
  answers.push('ERR unavail', '{"mailbox":"m', 'ERR unavail')
  const odd = await startScriptedSocket(path, () => answers.shift())
  t.teardown(() => odd.close())
  const asked = (...args: string[]) => run(home, args, { env: { XOAUTHD_SOCKET: path } })
  t.match(await asked('status'), failure(75, /the daemon broke off in its answer/, /ask again/))
  t.match(await asked('token', me), failure(75, /the daemon closed the connection .*/))
  t.match(await asked('token', me), failure(75, /only a reason/))
  t.match(await asked('token', me), failure(75, /the daemon broke off its answer/, /ask again/))
  const halves = { socket: path }
  const broken = { code: 'unavailable', message: 'the daemon broke off its answer' }
  await t.rejects(getToken(me, halves), broken)
  await t.rejects(getToken(me, halves), broken)
})

void t.test('what answers is not xoauthd', async (t) => {
  const path = join(home.path, 'other')
  const whole = {
    mailbox: me,
    user: me,
    service: 'smtp',
    access_token: 'secret-token',
    expires_at: 2_000_000_000,
    expires_in: 3600,
    xoauth2: `user=${me}\x01auth=Bearer secret-token\x01\x01`,
  }
  let answer = ''
  const other = await startScriptedSocket(path, () => answer)
  t.teardown(() => other.close())
  const asked = async (reply: unknown) => {
    answer = `${JSON.stringify(reply)}\n`
    return getToken(me, { socket: path })
  }
  t.same(await asked({ ...whole, more: 1 }), { ...whole, more: 1 }, 'a newer one may say more')
  const strange = {
    code: 'unavailable',
    message: 'what answers is not xoauthd, or another version of it',
    hint: /^name its socket with --socket or XOAUTHD_SOCKET; /,
  }
  for (const odd of [null, [whole], 'a text', {}, { ok: true }])
    await t.rejects(asked(odd), strange, JSON.stringify(odd))
  for (const key of Object.keys(whole))
    for (const value of [undefined, null, true, ''])
      await t.rejects(asked({ ...whole, [key]: value }), strange, `${key} is ${String(value)}`)
  answer = 'secret-token\n'
  await t.rejects(getToken(me, { socket: path }), strange)
  for (answer of ['secret-token\n', '{}\n', '{"version":2,"store":{},"accounts":[]}\n']) {
    const shown = await run(home, ['status', '--socket', path])
    t.match(shown, failure(75, /what answers is not xoauthd.*/, /name its socket .*/), answer)
    t.notMatch(shown.stderr, /secret/)
  }
})

void t.test('serve is not told where to listen', async (t) => {
  await compare(t, {
    'serve --socket /tmp/x.sock': failure(
      64,
      /serve takes no --socket: it listens .*/,
      /write \[\[socket\]\] and below it path = "\/tmp\/x\.sock" into \S+config\.toml/,
    ),
    'serve --check --socket /tmp/x.sock': failure(64, /serve takes no --socket: .*/),
  })
  t.notMatch((await run(home, ['help', 'serve'])).stdout, '--socket')
})

void t.test('serve --check', async (t) => {
  const check = () => run(home, ['serve', '--check'])
  const withFile = configuration.replace('{ command = ["false"] }', `{ file = "secret" }`)
  home.configure(withFile)
  t.match(await check(), failure(78, /broken@\S+: \S+\/secret does not exist/, /correct the .*/))
  writeFileSync(secretFile, 'hush', { mode: 0o644 })
  t.match(
    await check(),
    failure(78, /broken@\S+: \S+ is open to others .*/, /chmod o= \S+\/secret/),
  )
  home.configure(configuration.replace('["false"]', '["cat", "secret"]'))
  t.match(await check(), said(/^\S+config\.toml: 3 account\(s\), all well\n$/))
  home.configure(
    configuration.replace('["false"]', '["cat", "secret"]').replace(credentials, '/nowhere/sock'),
  )
  t.match(
    await check(),
    failure(
      78,
      /\/nowhere, where the socket \/nowhere\/sock is to appear, is no folder/,
      /mkdir -p \/nowhere, unless a unit of systemd makes it .*/,
    ),
  )
  home.configure(
    configuration
      .replace('["false"]', '["cat", "secret"]')
      .replace(credentials, '/run/xo-nowhere/sock'),
  )
  t.match(await check(), {
    code: 0,
    stdout: /3 account\(s\), well but for the above\n$/,
    stderr: /^xoauthd: warning: \/run\/xo-nowhere, where .* is no folder\nhint: mkdir -p .*\n$/,
  })
  home.configure('')
  t.match(await check(), failure(78, /\S+config\.toml:1: account is missing; .*/))
  home.configure(configuration)
})

void t.test(
  'the store of somebody else',
  { skip: !root && 'only root can give it away' },
  async (t) => {
    const other = createHome(configuration)
    t.teardown(() => other.remove())
    const store = join(other.path, 'state', 'xoauthd')
    mkdirSync(store, { recursive: true, mode: 0o700 })
    chownSync(store, 1, 1)
    const hint = (line: string) => new RegExp(`run: runuser -u daemon -- xoauthd ${line}`)
    for (const command of ['login', 'logout'])
      t.match(
        await run(other, [command, me]),
        failure(77, /the store \S+ belongs to daemon/, hint(`${command} ${me}`)),
      )
  },
)
