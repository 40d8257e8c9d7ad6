/**
 * exim with examples/exim/ on the real daemon, which gets its tokens from an authorization server that
 * the mail server asks about every token: from a sign-in to a mail that has arrived, and what becomes
 * of a mail whose account has no sign-in, whose token is refused, or whose daemon is stopped.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  startAuthorizationServer,
  type AuthorizationServer,
} from '../fixtures/authorization-server.ts'
import { createHome, startDaemonProcess, type Running } from '../fixtures/daemon.ts'
import { needs } from '../fixtures/installed.ts'
import { accountAt, leaveSignIn } from '../fixtures/signed-in.ts'
import { createSmarthost, type Smarthost } from '../fixtures/smarthost.ts'

const alice = 'alice@example.org'
const bob = 'bob@example.org'
const someone = 'someone@example.net'
const exim4 = needs('exim4', 'exim4-daemon-light')

interface Office extends Omit<Smarthost, 'startDaemon'> {
  readonly authorizationServer: AuthorizationServer
  /** Leaves in the store what `login` does, and a token beside it as an earlier daemon would. */
  readonly signIn: (user: string, token?: string) => Promise<void>
  readonly startDaemon: () => Promise<Running>
}

async function office(t: Test): Promise<Office> {
  const authorizationServer = await startAuthorizationServer()
  t.teardown(() => authorizationServer.close())
  const smarthost = await createSmarthost(t, {
    server: { verify: (user, token) => authorizationServer.accept(token, user) },
    accounts: (host, port) => [alice, bob].map((user) => `${user}: host=${host} port=${port}`),
  })
  const accounts = [alice, bob].map((user) => accountAt(authorizationServer, user))
  const home = createHome([...accounts, socketsOf(smarthost)].join('\n'))
  t.teardown(() => home.remove())

  return {
    ...smarthost,
    authorizationServer,
    async signIn(user, token) {
      const grant = authorizationServer.grant(user)
      const earlier = token === undefined ? undefined : { value: token }
      await leaveSignIn(home.configFile, home.env, user, grant, earlier)
    },
    async startDaemon() {
      const daemon = await startDaemonProcess(home)
      t.teardown(() => daemon.stop())
      return daemon
    },
  }
}

/** As on a relay host: the group of exim may ask, for mail to be sent, and nothing else. */
function socketsOf({ socket, folder }: Smarthost): string {
  const whose = process.getuid?.() === 0 ? 'mode = "0660"\ngroup = "Debian-exim"' : 'mode = "0600"'
  return `[[socket]]
path = "${socket}"
${whose}
accounts = ["*@example.org"]
services = ["smtp"]

[[socket]]
path = "${join(folder, 'control')}"
control = true
`
}

void t.test('a mail is sent with a token that the daemon fetched', exim4, async (t) => {
  const { exim, mailServer, signIn, startDaemon, authorizationServer } = await office(t)
  await signIn(alice)
  await startDaemon()
  await exim.submit(alice, someone)
  await exim.runQueue()
  t.same(await exim.queue(), [])
  t.match(mailServer.mails, [{ user: alice, from: alice, to: [someone], body: /hello/ }])
  t.ok(authorizationServer.accept(mailServer.attempts[0]?.token ?? '', alice))
})

void t.test('a mail waits for its account to be signed in', exim4, async (t) => {
  const { exim, mailServer, signIn, startDaemon } = await office(t)
  await signIn(alice)
  const daemon = await startDaemon()
  for (const sender of [alice, bob]) await exim.submit(sender, someone)
  await exim.age(1000)
  await exim.runQueue()
  t.same(await exim.queue(), [{ sender: bob, frozen: false }])
  t.match(
    await exim.mainlog(),
    /xoauthd: ERR sign-in-needed [^\n]* \| run: xoauthd login bob@example/,
  )
  t.same(
    mailServer.attempts.map(({ user }) => user),
    [alice],
    'nothing was offered for bob',
  )

  await daemon.stop()
  await signIn(bob)
  await startDaemon()
  await exim.runQueue()
  t.same(await exim.queue(), [])
  t.match(mailServer.mails, [{ user: alice }, { user: bob, from: bob }])
})

void t.test('a refused token is replaced by the next try', exim4, async (t) => {
  const { exim, mailServer, signIn, startDaemon } = await office(t)
  await signIn(alice, 'revoked-token')
  await startDaemon()
  await exim.submit(alice, someone)
  await exim.age(1000)
  await exim.runQueue()
  t.same(await exim.queue(), [{ sender: alice, frozen: false }])
  t.match(
    await exim.mainlog(),
    /the server refused the token: \{"status":"400",[^\n]*\} \(xoauthd was told\)/,
  )
  await exim.runQueue()
  t.same(await exim.queue(), [])
  t.match(mailServer.attempts, [{ token: 'revoked-token' }, { user: alice }])
  t.match(mailServer.mails, [{ user: alice }])
})

void t.test('a mail waits for the daemon', exim4, async (t) => {
  const { exim, mailServer, signIn, startDaemon } = await office(t)
  await signIn(alice)
  const daemon = await startDaemon()
  await daemon.stop()
  await exim.submit(alice, someone)
  await exim.age(1000)
  await exim.runQueue()
  t.same(await exim.queue(), [{ sender: alice, frozen: false }])
  t.same(mailServer.attempts, [])

  await startDaemon()
  await exim.runQueue()
  t.match(mailServer.mails, [{ user: alice }])
  t.same(mailServer.anonymous, [])
})
