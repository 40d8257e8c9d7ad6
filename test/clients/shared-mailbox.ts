/**
 * A shared mailbox of Microsoft 365 with the token of one delegate, through the real exim, the real msmtp and
 * the scripts of examples/shared-mailbox: the envelope has the team's address, the credential the person's.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { createAuthority } from '../fixtures/certificates.ts'
import { createHome, shellLine, startDaemonProcess } from '../fixtures/daemon.ts'
import { startEwsServer } from '../fixtures/ews-server.ts'
import { debianPython, needs, needsPython } from '../fixtures/installed.ts'
import { startMailServer } from '../fixtures/mail-server.ts'
import {
  grantWith,
  microsoftNames,
  publicClient,
  startMicrosoftServer,
} from '../fixtures/microsoft-server.ts'
import { send } from '../fixtures/raw-client.ts'
import { withRealNames } from '../fixtures/real-names.ts'
import { leaveSignIn } from '../fixtures/signed-in.ts'
import { createSmarthost, temporaryFolder } from '../fixtures/smarthost.ts'

const me = 'me@uni.example'
const team = 'team@uni.example'
const someone = 'someone@example.net'
const examples = join(import.meta.dirname, '../../examples')

/** The person has signed in, and the daemon serves the team on `socket` as well. */
async function office(t: Test, socket?: string) {
  const authority = await createAuthority(await temporaryFolder(t))
  const microsoft = await startMicrosoftServer(await authority.issue(microsoftNames))
  t.teardown(() => microsoft.close())
  const home = createHome(`[[account]]
user = "${me}"
provider = "microsoft"
tenant = "uni.example"
client_id = "${publicClient.id}"
mailboxes = ["${team}"]
services = ["smtp", "ews"]
${socket === undefined ? '' : `\n[[socket]]\npath = "${socket}"\nmode = "0666"\naccounts = ["${team}"]\nservices = ["smtp"]\n`}`)
  t.teardown(() => home.remove())
  await leaveSignIn(home.configFile, home.env, me, grantWith(microsoft.grant(me)))
  const names = Object.fromEntries(microsoftNames.map((name) => [name, microsoft.port]))
  const daemon = await startDaemonProcess(home, withRealNames(names, authority.caFile))
  t.teardown(() => daemon.stop())
  // exim waits for a second here, and the first token takes the library to be loaded.
  t.match(await send(home.socket, `SMTP,explain,wait=60 ${team}`), /^user=me@uni\.example\x01/)
  /** What Exchange asks: is it this person's, and for sending mail? */
  const verify = (user: string, token: string) =>
    microsoft.accept(token, user) && microsoft.find(token)?.scope.includes('/SMTP.Send') === true
  return { home, microsoft, verify }
}

void t.test('exim', needs('exim4', 'exim4-daemon-light'), async (t) => {
  let verify: (user: string, token: string) => boolean = () => false
  const { exim, mailServer, socket } = await createSmarthost(t, {
    server: { verify: (user, token) => verify(user, token) },
    accounts: (host, port) => [`${team}: host=${host} port=${port}`],
  })
  verify = (await office(t, socket)).verify
  await exim.submit(team, someone)
  await exim.runQueue()
  t.match(mailServer.mails, [{ user: me, from: team, to: [someone] }])
  t.same(await exim.queue(), [])
})

async function mailServerFor(t: Test, verify: (user: string, token: string) => boolean) {
  const folder = await temporaryFolder(t)
  const authority = await createAuthority(folder)
  const certificate = await authority.issue(['localhost'])
  const mailServer = await startMailServer({ ...certificate, verify })
  t.teardown(() => mailServer.close())
  return { folder, caFile: authority.caFile, mailServer }
}

async function finish(program: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(program, args, { env, timeout: 60_000 })
  child.stdin.on('error', () => undefined)
  child.stdin.end('hello\n')
  const closed = once(child, 'close')
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [status] = (await closed) as [number]
  return { status, output, errors }
}

void t.test('msmtp', needs('msmtp', 'msmtp'), async (t) => {
  const { home, verify } = await office(t)
  const { folder, caFile, mailServer } = await mailServerFor(t, verify)
  const configuration = join(folder, 'msmtprc')
  const readme = readFileSync(join(examples, 'shared-mailbox/README.md'), 'utf8')
  const shipped = /```\n(account team\n[^]*?)```/.exec(readme)?.[1] ?? ''
  t.match(shipped, /^from team@uni\.example$/m)
  writeFileSync(
    configuration,
    `defaults\ntls on\ntls_starttls on\ntls_trust_file ${caFile}\nauth xoauth2\n\n${shipped}`
      .replace('host smtp.office365.com', 'host localhost')
      .replace('port 587', `port ${mailServer.port}`),
    { mode: 0o600 },
  )
  writeFileSync(join(folder, 'xoauthd'), `#!/bin/sh\n${shellLine(home, '"$@"')}\n`, { mode: 0o755 })
  const path = `${folder}:${process.env['PATH'] ?? ''}`
  const args = ['--file', configuration, '--account', 'team', someone]
  t.match(await finish('msmtp', args, { ...process.env, PATH: path }), { status: 0, errors: '' })
  t.match(mailServer.mails, [{ user: me, from: team, to: [someone], body: /hello/ }])
})

void t.test('a script', needs('python3', 'python3'), async (t) => {
  const { home, verify } = await office(t)
  const { caFile, mailServer } = await mailServerFor(t, verify)
  const env = {
    ...home.env,
    SMTP_HOST: 'localhost',
    SMTP_PORT: String(mailServer.port),
    SSL_CERT_FILE: caFile,
  }
  const script = join(examples, 'shared-mailbox/send.py')
  const sent = await finish('python3', [script, team, someone, 'A subject'], env)
  t.match(sent, { status: 0, errors: '' })
  t.match(mailServer.mails, [
    { user: me, from: team, to: [someone], body: /From: team@uni\.example\r?\n[^]*hello/ },
  ])
  const unknown = await finish('python3', [script, 'no@other.example', someone, 'x'], env)
  t.match(unknown, { status: 75, errors: /^send\.py: ERR unknown-account / })
})

void t.test(
  'a script with exchangelib',
  needsPython('exchangelib', 'python3-exchangelib'),
  async (t) => {
    const { home, microsoft } = await office(t)
    const authority = await createAuthority(await temporaryFolder(t))
    const certificate = await authority.issue(['localhost'])
    const accept = (token: string) =>
      microsoft.accept(token, me) &&
      microsoft.find(token)?.scope.includes('/EWS.AccessAsUser.All') === true
    const ews = await startEwsServer({ ...certificate, accept })
    t.teardown(() => ews.close())
    const env = {
      ...home.env,
      EWS_SERVER: ews.address,
      REQUESTS_CA_BUNDLE: authority.caFile,
      PYTHONDONTWRITEBYTECODE: '1',
    }
    const script = join(examples, 'shared-mailbox/send_ews.py')
    const run = () => finish(debianPython, [script, team, someone, 'A subject'], env)
    t.match(await run(), { status: 0, errors: '' })
    t.match(ews.sent, [
      {
        from: team,
        to: someone,
        subject: 'A subject',
        body: 'hello\n',
        savedIn: team,
      },
    ])
    microsoft.endAllOf(me)
    const refused = await run()
    t.not(refused.status, 0)
    t.match(refused.errors, /Unauthorized|token/i)
    t.equal(ews.sent.length, 1)
  },
)
