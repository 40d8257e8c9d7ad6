/**
 * `xoauthd sendmail` as programs call it, by SMTP, the Gmail API and Microsoft Graph: what arrives, to
 * whom, byte for byte, and how each failure ends.
 */
import t from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { createHome, start, startDaemonProcess } from './fixtures/daemon.ts'
import { apiNames, startMailApis } from './fixtures/mail-api-server.ts'
import { startMailServer } from './fixtures/mail-server.ts'
import { withRealNames } from './fixtures/real-names.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const [me, gmail, graph] = ['me@example.org', 'g@example.org', 'graph@example.org'] as const
const shared = 'team@example.org'
const stranger = 'stranger@example.org'
const unwelcome = 'unwelcome@example.org'

const server = await startAuthorizationServer()
const authority = await createAuthority(t.testdir())
const certificate = await authority.issue(['smtp.example.org', ...apiNames])
const verify = (user: string, token: string) => user !== unwelcome && server.accept(token)
const refuseRecipient = (address: string) =>
  address.startsWith('nobody') ? 550 : address.startsWith('later') ? 451 : undefined
// As Gmail offers them: to the first two a token would go as a password.
const mechanisms = ['LOGIN', 'PLAIN', 'XOAUTH2']
const secure = await startMailServer({
  ...{ ...certificate, verify, mechanisms, refuseRecipient },
  secure: true,
})
const starttls = await startMailServer({ ...certificate, verify, mechanisms })
const api = await startMailApis({ ...certificate, verify: (token) => server.accept(token) })

const account = (user: string, send: string, more: string) =>
  accountAt(server, user, more).replace(
    /^scopes = \{/m,
    `send = "${send}"\nscopes = { ${send === 'smtp' ? '' : `${send} = ["mail.send"], `}`,
  )
const smtpAt = (port: number) => `hosts = { smtp = "smtp.example.org:${port}" }`
const home = createHome(
  [
    account(me, 'smtp', smtpAt(465)),
    account('start@example.org', 'smtp', smtpAt(587)),
    account(gmail, 'gmail', ''),
    account(graph, 'graph', `mailboxes = ["${shared}"]`),
    account(unwelcome, 'smtp', smtpAt(465)),
    account(stranger, 'smtp', smtpAt(465)),
    account('lost@example.org', 'smtp', ''),
  ].join('\n'),
)
for (const user of [me, unwelcome, 'start@example.org', gmail, graph, 'lost@example.org'])
  await leaveSignIn(home.configFile, home.env, user, server.grant(user))
const daemon = await startDaemonProcess(home)
const { execArgv, env } = withRealNames(
  {
    'smtp.example.org:465': secure.port,
    'smtp.example.org:587': starttls.port,
    ...Object.fromEntries(apiNames.map((name) => [name, api.port])),
  },
  authority.caFile,
)
t.teardown(async () => {
  await daemon.stop()
  await Promise.all([server.close(), secure.close(), starttls.close(), api.close()])
  home.remove()
})

async function sendmail(args: readonly string[], message: string | Buffer) {
  const command = start(home, ['sendmail', ...args], { execArgv, env })
  command.child.stdin?.end(message)
  const code = await command.ended
  return { code, stdout: command.stdout(), stderr: command.stderr() }
}

const well = { code: 0, stdout: '', stderr: '' }
/** 8-bit bytes that are no UTF-8, lines beyond any limit, dots at their start, empty lines at the end. */
const body = Buffer.concat([
  Buffer.from('caf\xe9 \xff\x80\n.\n..\n.dot\n', 'latin1'),
  Buffer.from(`${'long '.repeat(2000)}\nFrom here\nBcc: of the body\n\ttab \n\n\n`),
])
const crlf = Buffer.from(body.toString('latin1').replaceAll('\n', '\r\n'), 'latin1')
const header = (from: string) =>
  `From: Me <${from}>\nTo: "A, B" <a@example.net>\nCc: c@example.net\nBcc: hidden@example.net\nSubject: caf\u00e9\n folded\n\n`
const letter = (from: string) => Buffer.concat([Buffer.from(header(from)), body])
const bodyOf = (message: Buffer) => message.subarray(message.indexOf('\r\n\r\n') + 4)
const headerOf = (message: Buffer) => message.subarray(0, message.indexOf('\r\n\r\n')).toString()
const everybody = ['a@example.net', 'c@example.net', 'hidden@example.net', 'x@example.net']

void t.test('by SMTP, on both ports', async (t) => {
  for (const [from, mails] of [
    [me, secure.mails],
    ['start@example.org', starttls.mails],
  ] as const) {
    t.same(await sendmail(['-t', '-i', '--', 'x@example.net'], letter(from)), well)
    const mail = mails.at(-1)!
    t.match(mail, { user: from, from })
    const { attempts } = from === me ? secure : starttls
    t.equal(attempts.at(-1)?.mechanism, 'XOAUTH2', 'the token is no password')
    t.same([...mail.to].sort(), everybody)
    t.ok(bodyOf(mail.bytes).equals(crlf), 'the body is the same')
    t.match(headerOf(mail.bytes), `Subject: caf\u00e9\r\n folded`)
    t.match(headerOf(mail.bytes), /^Date: .*\r\nMessage-ID: <[^>]+@example\.org>\r\nFrom: Me </)
    t.notMatch(mail.body, /hidden@/i)
  }
})

void t.test('by the Gmail API and by Graph', async (t) => {
  for (const from of [gmail, graph, shared]) {
    t.same(await sendmail(['-t', '-i', '-f', from, 'x@example.net'], letter(from)), well)
    const { message, url } = api.sent.at(-1)!
    t.ok(bodyOf(message).equals(crlf), 'the body is the same')
    t.match(headerOf(message), /^Bcc: x@example\.net,\r\n hidden@example\.net\r\n/)
    t.equal(headerOf(message).match(/^Bcc:/gim)?.length, 1)
    if (from !== gmail)
      t.match(url, `/v1.0/${from === shared ? 'users/team%40example.org' : 'me'}/sendMail`)
  }
  const count = api.sent.length
  t.match(await sendmail(['-i', '-f', gmail, 'x@example.net'], letter(gmail)), {
    code: 77,
    stdout: '',
    stderr: /^xoauthd: the header names a@example\.net, who is no recipient, .*\nhint: .*"smtp"/,
  })
  t.equal(api.sent.length, count, 'nobody gets what was not meant for them')
})

void t.test('what programs give it', async (t) => {
  const simple = 'Subject: x\n\nhello\n.\nnot this\n'
  t.same(
    await sendmail(
      ['-oi', `-f${me}`, '-F', 'My "Name"', '-oem', '-odi', 'x@example.net,y@example.net'],
      simple,
    ),
    well,
  )
  t.match(secure.mails.at(-1), {
    from: me,
    to: ['x@example.net', 'y@example.net'],
    body: /From: "My \\"Name\\"" <me@example\.org>\r\n[^]*not this/,
  })

  t.same(await sendmail(['-r', me, 'x@example.net'], simple), well)
  t.match(bodyOf(secure.mails.at(-1)!.bytes).toString(), /^hello\r\n$/, 'a dot ends it')

  // What Debian's cron says and writes.
  const cron =
    'From: root (Cron Daemon)\nTo: x@example.net\nSubject: Cron <root@host> true\n\nout\n'
  const args = ['--account', me, '-i', '-FCronDaemon', '-B8BITMIME', '-oem', 'x@example.net']
  t.same(await sendmail(args, cron), well)
  t.match(secure.mails.at(-1), {
    user: me,
    from: me,
    body: /From: "CronDaemon" <me@example\.org>\r\n/,
  })

  t.same(await sendmail(['-f', '<>', '-it'], `From: ${me}\nTo: x@example.net\n\nbounce\n`), well)
  t.match(secure.mails.at(-1), { user: me, from: '' })

  const resent = `Resent-To: new@example.net\nFrom: ${me}\nTo: old@example.net\n\nx\n`
  t.same(await sendmail(['-ti'], resent), well)
  t.same(secure.mails.at(-1)?.to, ['new@example.net'])

  const host = ['--socket', home.socket, '--host', 'smtp.example.org:465', '--config', '/nowhere']
  t.same(await sendmail([...host, '-i', 'x@example.net'], `From: ${me}\n\nx\n`), well)
})

void t.test('what it cannot do', async (t) => {
  const text = `From: ${me}\nTo: x@example.net\n\nx\n`
  const before = secure.mails.length
  const cases: [readonly string[], string, number, RegExp][] = [
    [['-bs'], '', 64, /sendmail: -bs cannot be done: SMTP on standard input is not spoken/],
    [['-bp'], '', 64, /xoauthd has no queue/],
    [['-q'], '', 64, /-q cannot be done: xoauthd has no queue/],
    [['-C', 'file'], '', 64, /write --config before/],
    [['-t', '--host', 'x:1'], text, 64, /own options go before/],
    [['-f'], '', 64, /-f needs a value/],
    [[], text, 64, /has no recipients\nhint: name them as arguments, or give -t/],
    [['-t'], 'Subject: x\n\nx\n', 64, /nothing says whom the message is from/],
    [['root'], text, 67, /root is no mail address, [^\n]*\nhint: .*MAILTO=/],
    [['-t'], text.replace(me, 'who@example.org'), 67, /no account answers for who@example\.org/],
    [
      ['-t'],
      text.replace(me, 'lost@example.org'),
      78,
      /smtp server of lost@\S+ is, is not known\nhint: write hosts = /,
    ],
    [
      ['-t'],
      text.replace(me, stranger),
      75,
      /nobody has signed in [^\n]*\nhint: run: xoauthd login stranger/,
    ],
    [['--socket', '/nowhere/socket', '-t'], text, 75, /no xoauthd answers on/],
    [['nobody@example.net'], text, 67, /550[^\n]* no thanks, nobody@example\.net/],
    [['later@example.net'], text, 75, /451[^\n]* no thanks/],
    [
      ['--host', '127.0.0.1', '-t'],
      text,
      64,
      /'127\.0\.0\.1' is invalid\. It must be host:port, e\.g\. /,
    ],
    [
      ['--host', 'localhost:1', '-t'],
      text,
      75,
      /^xoauthd: no connection to localhost:1: ECONNREFUSED\nhint: is it the right server .* may port 1 be used/,
    ],
    [
      ['--host', 'gmail.googleapis.com:465', '-t'],
      text,
      75,
      /no connection to gmail\.googleapis\.com/,
    ],
  ]
  await Promise.all(
    cases.map(async ([args, message, code, stderr]) => {
      t.match(await sendmail(args, message), { code, stdout: '', stderr }, args.join(' '))
    }),
  )
  t.equal(secure.mails.length, before)
  t.match(await sendmail(['x@example.net', 'nobody@example.net'], text), {
    code: 67,
    stderr: /not sent to nobody@example\.net: .*\nhint: it was sent to x@example\.net; do not/,
  })
})

void t.test('a token that the server refuses', async (t) => {
  const token = async () => {
    const command = start(home, ['token', me, '--no-newline'])
    command.child.stdin?.end()
    await command.ended
    return command.stdout()
  }
  const stale = await token()
  server.end(stale)
  const text = `From: ${me}\nTo: x@example.net\n\nx\n`
  const seen = secure.attempts.length
  t.same(await sendmail(['-t'], text), well)
  const attempts = secure.attempts.slice(seen).map((attempt) => attempt.token)
  t.equal(attempts.length, 2)
  t.equal(attempts[0], stale)

  const first = api.tokens.length
  server.end(api.tokens.at(-1) ?? '')
  t.same(await sendmail(['-ti'], text.replace(me, shared)), well)
  t.equal(api.tokens.length, first + 2)
})

void t.test('a fresh token that the server refuses too', async (t) => {
  const text = `From: ${unwelcome}\nTo: x@example.net\n\nx\n`
  t.match(await sendmail(['-t'], text), {
    code: 77,
    stdout: '',
    stderr: /^xoauthd: smtp\.example\.org says: 535 .*\nhint: check that the account may send/,
  })
})

void t.test('a connection that breaks', async (t) => {
  const text = `From: ${me}\nTo: x@example.net\n\n`
  t.teardown(() => (secure.breaks = undefined))
  secure.breaks = 'after the message'
  const count = secure.mails.length
  t.match(await sendmail(['-t'], `${text}short\n`), {
    code: 75,
    stdout: '',
    stderr:
      /^xoauthd: the connection to smtp\.example\.org broke before [^\n]* may have been sent\nhint: look into the folder of sent mail before/,
  })
  t.equal(secure.mails.length, count + 1, 'it was')

  secure.breaks = 'within the message'
  // More than the buffers of any system between the two hold.
  const long = `${'x'.repeat(998)}\n`.repeat(32_000)
  const broken = await sendmail(['-t'], `${text}${long}`)
  t.match(broken, { code: 75, stderr: /^xoauthd: no connection to smtp\.example\.org:\d+: / })
  t.notMatch(broken.stderr, /may have been sent/, 'what never had an end was not')
})

void t.test('an API that does not take it', async (t) => {
  const text = `From: ${gmail}\nTo: x@example.net\n\nx\n`
  const answers: [number, object, number, RegExp][] = [
    [
      403,
      { error: { message: 'Request had insufficient scopes' } },
      77,
      /insufficient scopes \(HTTP 403\)\nhint: /,
    ],
    [403, { error: { message: 'slow', errors: [{ reason: 'rateLimitExceeded' }] } }, 75, /slow/],
    [429, { error: { message: 'busy' } }, 75, /busy/],
    [503, {}, 75, /nothing that could be understood \(HTTP 503\)/],
    [400, { error: { message: 'Recipient address required' } }, 77, /Recipient address/],
  ]
  for (const [status, answer, code, stderr] of answers) {
    api.answerWith(status, answer)
    t.match(await sendmail(['-t'], text), { code, stdout: '', stderr })
  }
})

void t.test('no token shows', async (t) => {
  const text = `From: ${me}\nTo: x@example.net\n\nx\n`
  const said = await sendmail(['-t', '--', 'nobody@example.net'], text)
  for (const secret of server.secrets) t.notOk(`${said.stderr}${daemon.stderr()}`.includes(secret))
})

void t.test('no token went anywhere as a password', (t) => {
  const attempts = [...secure.attempts, ...starttls.attempts]
  t.ok(attempts.length > 0)
  t.same([...new Set(attempts.map(({ mechanism }) => mechanism))], ['XOAUTH2'])
  t.end()
})
