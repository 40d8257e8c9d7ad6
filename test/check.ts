/** `xoauthd check`: each thing that can be wrong, provoked, and the words that tell of it. */
import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { version } from '../src/version.ts'
import { me, of, openCheckOffice, type CheckOffice, type Row } from './fixtures/check-office.ts'
import { dovecotProgram } from './fixtures/dovecot.ts'
import { needs } from './fixtures/installed.ts'

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
        /^team@example\.org: the mail server does not take the token of owner@example\.org for this mailbox \(imap\.example says to the token for team@example\.org: \S/,
        /^see .* owner@example\.org may open it; .*-Identity team@example\.org -User owner@/,
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
        saw: 'deaf@example.org: no connection to nobody.example:465: ENOTFOUND',
        hint: 'is it the right server (hosts in the account, unless --host names it), and may port 465 be used from here?',
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
