/** `xoauthd check`: each thing that can be wrong, provoked, and the words that tell of it. */
import { once } from 'node:events'
import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { limited } from '../src/check-account.ts'
import type { TokenReply } from '../src/client.ts'
import { exitStatus, finding, findingsText } from '../src/findings.ts'
import { tryLoginToSmtp } from '../src/smtp.ts'
import type { AccountStatus, DaemonStatus } from '../src/status.ts'
import { version } from '../src/version.ts'
import { me, openCheckOffice, type CheckOffice, type Row } from './fixtures/check-office.ts'
import { createHome, run } from './fixtures/daemon.ts'
import { dovecotProgram } from './fixtures/dovecot.ts'
import { needs } from './fixtures/installed.ts'
import { startScriptedSocket } from './fixtures/scripted-socket.ts'

/** The rows of one check, in their order. */
const of = (rows: readonly Row[], ...checks: string[]) =>
  rows.filter(({ check }) => checks.includes(check))
const verdicts = (rows: readonly Row[]) => rows.map(({ verdict, check }) => `${check} ${verdict}`)

void t.test('with a daemon', needs(...dovecotProgram), async (t) => {
  const office = await openCheckOffice(t)
  const { home } = office
  const check = (name: string, ...args: string[]) => office.check([`${name}@example.org`, ...args])

  await t.test('all is well', async (t) => {
    const { code, rows, stdout, stderr } = await office.check([me])
    t.equal(code, 0)
    t.equal(stderr, '')
    t.same(JSON.parse(stdout), { version: 1, program: version, findings: rows })
    const about = (account: string | null) =>
      verdicts(rows.filter((row) => row.account === account))
    t.same(
      about(null).filter((each) => !/^(?:core files|swap) /.test(each)),
      ['configuration', 'store', 'daemon', 'socket', 'network', 'clock'].map(
        (each) => `${each} ok`,
      ),
    )
    t.same(
      about(me),
      [
        'registration',
        'sign-in',
        'scopes',
        'token smtp',
        'token imap',
        'length',
        'imap',
        'smtp',
      ].map((each) => `${each} ok`),
    )
    t.same(of(rows, 'imap'), [
      {
        verdict: 'ok',
        account: me,
        check: 'imap',
        saw: `imap.example:993 opens INBOX of ${me}`,
        hint: '',
        code: null,
      },
    ])
    t.match(of(rows, 'smtp')[0], { saw: `smtp.example:465 lets ${me} in` })
    t.equal(office.mailServer.attempts.length, 1, 'it signed in')
    t.same([office.mailServer.mails, office.mailServer.errors], [[], []], 'and sent nothing')
    t.match(of(rows, 'configuration')[0]?.saw, new RegExp(`^${home.configFile}, 14 accounts$`))
    t.match(of(rows, 'clock')[0]?.saw, 'agrees with issuer.example')
  })

  await t.test('for people, in 80 columns and without colours', async (t) => {
    const { code, stdout } = await office.text(['smtp-off@example.org'])
    t.equal(code, 77)
    for (const line of stdout.split('\n')) t.ok(line.length <= 80, line)
    t.notMatch(stdout, /\x1b/)
    t.match(stdout, '\n\nsmtp-off@example.org\nok       registration    what it needs')
    t.match(stdout, `\n${' '.repeat(25)}→ Set-CASMailbox -Identity smtp-off@example.org\n`)
    for (const secret of office.server.secrets) t.notOk(stdout.includes(secret))
  })

  await t.test('mail servers that refuse', async (t) => {
    const cases = [
      [
        'owner',
        'imap',
        /^team@example\.org: the mail server does not take the token \(imap/,
        /primary/,
      ],
      [
        'imap-off',
        'imap',
        /IMAP is switched off.*\[ALERT\] IMAP access is disabled/,
        /Set-CASMailbox/,
      ],
      ['no-licence', 'imap', /opens no such mailbox.*but not connected/, /Add-MailboxPermission/],
      [
        'smtp-off',
        'smtp',
        /^smtp-off@example\.org: SMTP AUTH is switched off for this mailbox.*535 5\.7\.139/,
        /Set-CASMailbox -Identity smtp-off@example\.org -SmtpClientAuthenticationDisabled \$false/,
      ],
    ] as const
    for (const [name, service, saw, hint] of cases) {
      const { code, rows } = await check(name)
      const problems = rows.filter(({ verdict }) => verdict === 'problem')
      t.match(problems, [{ check: service, saw, hint, code: 'not-allowed' }], name)
      t.equal(problems.length, 1)
      t.equal(code, 77)
    }
    const { code, rows } = await check('deaf')
    t.match(of(rows, 'smtp'), [
      {
        verdict: 'problem',
        saw: 'deaf@example.org at nobody.example:465: no connection to nobody.example: ENOTFOUND',
        hint: 'is it the right server (hosts in the account), and may port 465 be used from here?',
      },
    ])
    t.match(of(rows, 'imap'), [
      { verdict: 'skipped', saw: /not known/, hint: /imap = "host:port"/ },
    ])
    t.equal(code, 75)
  })

  await t.test('no sign-in, no key of the client', async (t) => {
    const { code, rows } = await check('lost')
    t.match(of(rows, 'sign-in', 'mail servers'), [
      {
        verdict: 'problem',
        saw: 'nobody has signed in for lost@example.org',
        hint: 'run: xoauthd login lost@example.org',
        code: 'sign-in-needed',
      },
      { verdict: 'skipped', saw: 'not tried before the above is put right' },
    ])
    t.equal(code, 77)
    const keyless = await check('keyless')
    t.match(of(keyless.rows, 'registration'), [
      { verdict: 'problem', saw: /missing does not exist/, code: 'misconfigured' },
    ])
    t.equal(keyless.code, 78)
  })

  await t.test('hosts of providers', async (t) => {
    const gone = await check('gone')
    t.match(of(gone.rows, 'network', 'sign-in', 'token smtp', 'imap'), [
      {
        verdict: 'problem',
        saw: 'gone.example: its name is not known here (ENOTFOUND)',
        hint: /DNS and HTTPS_PROXY/,
      },
      { verdict: 'warning', saw: /gone\.example cannot be reached/ },
      { verdict: 'problem', saw: /gone\.example cannot be reached/, code: 'unavailable' },
    ])
    t.equal(of(gone.rows, 'imap').length, 0, 'without a token there is nothing to try')
    t.equal(gone.code, 75)
    t.match(of((await check('other')).rows, 'network'), [
      {
        verdict: 'problem',
        saw: 'other.example: its certificate is not to be trusted (ERR_TLS_CERT_ALTNAME_INVALID)',
        hint: /captive portal.*NODE_EXTRA_CA_CERTS/,
      },
    ])
    t.match(of((await check('early')).rows, 'clock'), [
      {
        verdict: 'problem',
        saw: 'is 10 min ahead of early.example',
        hint: 'set it: timedatectl set-ntp true',
        code: 'unavailable',
      },
    ])
    t.match(of((await check('late')).rows, 'clock'), [
      { verdict: 'warning', saw: 'is 3 min behind late.example' },
    ])
  })

  await t.test('a whole domain, and one mailbox of it', async (t) => {
    const whole = await office.check(['*@corp.example'])
    t.match(of(whole.rows, 'mail servers'), [
      {
        verdict: 'skipped',
        saw: 'not tried: it stands for a whole domain',
        hint: 'name one mailbox of it: xoauthd check NAME@corp.example',
      },
    ])
    t.equal(of(whole.rows, 'network').length, 0, 'its authority is a program')
    const jane = await office.check(['jane@corp.example'])
    t.match(of(jane.rows, 'imap', 'smtp'), [{ verdict: 'ok' }, { verdict: 'ok' }])
    t.match(of(jane.rows, 'token smtp')[0]?.saw, /^as jane@corp\.example, for \d+ s more$/)
    t.equal(jane.code, 0)
    const john = await office.check(['john@corp.example'])
    t.match(of(john.rows, 'imap'), [{ verdict: 'problem', saw: /does not take the token/ }])
  })

  await t.test('a credential that is too long', async (t) => {
    const { code, rows } = await check('long')
    t.match(of(rows, 'length'), [{ verdict: 'warning', saw: /^6036 bytes, too long for exim 4/ }])
    t.equal(code, 0, 'a warning is no problem')
  })

  await t.test('the way of a mail agent to the socket', async (t) => {
    const asRoot = await check('long', '--as', 'root')
    t.match(of(asRoot.rows, 'mail agent'), [{ verdict: 'ok', saw: `root may open ${home.socket}` }])
    const nobody = await check('long', '--as', 'nobody')
    t.match(of(nobody.rows, 'mail agent'), [
      {
        verdict: 'problem',
        saw: `${home.socket}: nobody cannot pass through ${home.path}`,
        hint: new RegExp(`chmod o\\+x ${home.path}`),
        code: 'not-allowed',
      },
    ])
    t.equal(nobody.code, 77)
    const stranger = await check('long', '--as', 'no-such-user')
    t.match(of(stranger.rows, 'mail agent'), [
      { verdict: 'problem', saw: 'this machine has no user no-such-user', code: 'misconfigured' },
    ])
    t.equal(stranger.code, 78)
  })

  await t.test('modes that are not as they should be', async (t) => {
    chmodSync(home.socket, 0o640)
    chmodSync(join(home.path, 'state', 'xoauthd'), 0o750)
    const { code, rows } = await check('long')
    chmodSync(home.socket, 0o600)
    chmodSync(join(home.path, 'state', 'xoauthd'), 0o700)
    t.match(of(rows, 'store', 'socket'), [
      { verdict: 'problem', saw: /xoauthd is open to others$/, hint: /^chmod 0700 / },
      {
        verdict: 'problem',
        saw: `${home.socket} has mode 0640 instead of 0600`,
        hint: 'run: xoauthd reload, or correct SocketMode= in its unit',
        code: 'misconfigured',
      },
    ])
    t.equal(code, 78)
  })

  await t.test('a file that the daemon has not read yet', async (t) => {
    const before = readFileSync(home.configFile, 'utf8')
    const path = join(home.path, 'run', 'control')
    home.configure(`${before.replaceAll('long@', 'new@')}
[[socket]]
path = "${home.socket}"
mode = "0660"
group = "daemon"
accounts = ["new@example.org"]
services = ["smtp"]
[[socket]]
path = "${path}"
control = true
`)
    chmodSync(home.socket, 0o660)
    const { code, rows } = await check('new')
    chmodSync(home.socket, 0o600)
    t.match(of(rows, 'account', 'mail servers'), [
      {
        verdict: 'problem',
        saw: 'the daemon does not know it yet',
        hint: 'run: xoauthd reload',
        code: 'unknown-account',
      },
      { verdict: 'skipped' },
    ])
    t.match(of(rows, 'socket'), [
      {
        verdict: 'problem',
        saw: `${home.socket} has another owner or group than the file says`,
        hint: 'run: xoauthd reload, or correct SocketUser= and SocketGroup= in its unit',
      },
      { verdict: 'problem', saw: `${path} is not there`, hint: 'run: xoauthd reload' },
    ])
    t.equal(code, 78)
    home.configure(before)
  })

  await t.test('all accounts at once, in the order of the file', async (t) => {
    const { rows } = await office.check()
    const accounts = rows.flatMap(({ account }) => account ?? [])
    const file = readFileSync(home.configFile, 'utf8').matchAll(/^user = "(.*)"$/gm)
    t.same(
      [...new Set(accounts)],
      [...file].map(([, user]) => user),
    )
    const seen = new Map<string | null, number>()
    rows.forEach(({ account }, at) => seen.set(account, at))
    t.same(rows.filter(({ account }, at) => rows[at - 1]?.account !== account).length, seen.size)
    t.same(
      of(rows, 'network').map(({ saw }) => saw.split(/[: ]/)[0]),
      ['issuer', 'gone', 'other', 'early', 'late'].map((name) => `${name}.example`),
      'each host once',
    )
  })

  await t.test('nobody by that name', async (t) => {
    const { code, stderr } = await office.check(['nobody@example.net'])
    t.match(stderr, /^xoauthd: no account answers for nobody@example\.net\nhint: .* has me@example/)
    t.equal(code, 67)
  })

  await t.test('no daemon', (t) => withoutDaemon(t, office))
})

async function withoutDaemon(t: Test, office: CheckOffice): Promise<void> {
  const { home } = office
  await office.daemon.stop()
  const { code, rows } = await office.check([me])
  t.match(of(rows, 'daemon', 'socket', 'sign-in', 'mail servers'), [
    { verdict: 'problem', saw: /no xoauthd answers/, hint: /^start it: /, code: 'no-daemon' },
    { verdict: 'skipped', saw: `${home.socket} is there when the daemon runs` },
    { verdict: 'ok', saw: /^of 20.*the daemon finds out$/ },
    { verdict: 'skipped', saw: 'not tried: tokens come from the daemon' },
  ])
  t.equal(code, 69)
  const agent = await office.check([me, '--as', 'root'])
  t.match(of(agent.rows, 'mail agent'), [
    { saw: `${home.socket}: it is not there`, hint: 'start the daemon', code: 'not-allowed' },
  ])
  const nobody = await office.check(['lost@example.org'])
  t.match(of(nobody.rows, 'sign-in'), [
    { saw: 'nobody has signed in yet', hint: 'run: xoauthd login lost@example.org' },
  ])
  const before = readFileSync(home.configFile, 'utf8')
  home.configure(before.replaceAll('"mail-client"', '"another-client"'))
  const moved = await office.check([me])
  t.match(of(moved.rows, 'sign-in'), [
    { saw: 'it was made with another client or server', code: 'sign-in-needed' },
  ])
  rmSync(join(home.path, 'state'), { recursive: true })
  const empty = await office.check([me])
  t.match(of(empty.rows, 'store', 'sign-in'), [
    { verdict: 'warning', saw: /is not there yet$/, hint: 'the first login makes it' },
    { verdict: 'problem', saw: 'nobody has signed in yet' },
  ])
}

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
    store: { path: '', encrypted: false, plain_files: 0, locked: false, message: '', hint: '' },
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
    ...{
      scopes: {},
      xoauth2_bytes: null,
      too_long_for: [],
      message: 'what happened',
      hint: 'what to do',
    },
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
    { name: 'Unavailable', message: '127.0.0.1 does not answer' },
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
