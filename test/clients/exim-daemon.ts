/**
 * exim with examples/exim/ on the real daemon, which gets its tokens from an authorization server that
 * the mail server asks about every token: from a sign-in to a mail that has arrived, and what becomes
 * of a mail whose account has no sign-in, whose token is refused, or whose daemon is stopped.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAccounts } from '../../src/accounts.ts'
import { readConfig } from '../../src/config-file.ts'
import { startDaemon as startRealDaemon, type Daemon } from '../../src/daemon.ts'
import { createLog } from '../../src/log.ts'
import { createSecretReader } from '../../src/secret.ts'
import { openStore } from '../../src/store.ts'
import { createTransport } from '../../src/transport.ts'
import {
  startAuthorizationServer,
  theClient,
  type AuthorizationServer,
} from '../fixtures/authorization-server.ts'
import { needs } from '../fixtures/installed.ts'
import { createSmarthost, type Smarthost } from '../fixtures/smarthost.ts'

const alice = 'alice@example.org'
const bob = 'bob@example.org'
const someone = 'someone@example.net'
const exim4 = needs('exim4', 'exim4-daemon-light')
const minute = 60_000

interface Office extends Omit<Smarthost, 'startDaemon'> {
  readonly authorizationServer: AuthorizationServer
  /** Leaves in the store what `login` does, and a token beside it as an earlier daemon would. */
  readonly signIn: (user: string, token?: string) => Promise<void>
  readonly startDaemon: () => Promise<Daemon>
}

async function office(t: Test): Promise<Office> {
  const authorizationServer = await startAuthorizationServer()
  t.teardown(() => authorizationServer.close())
  const smarthost = await createSmarthost(t, {
    server: { verify: (user, token) => authorizationServer.accept(token, user) },
    accounts: (host, port) => [alice, bob].map((user) => `${user}: host=${host} port=${port}`),
  })
  const file = join(smarthost.folder, 'config.toml')
  const configuration = [alice, bob].map((user) => accountOf(user, authorizationServer.issuer))
  configuration.push(socketOf(smarthost), `[store]\npath = "${smarthost.folder}/store"\n`)
  await writeFile(file, configuration.join('\n'), { mode: 0o600 })

  return {
    ...smarthost,
    authorizationServer,
    async signIn(user, token) {
      await keep(file, user, authorizationServer.grant(user), token)
    },
    async startDaemon() {
      const daemon = await startRealDaemon(file, {}, createLog('error'))
      t.teardown(() => daemon.stop())
      return daemon
    },
  }
}

function accountOf(user: string, issuer: string): string {
  return `[[account]]
user = "${user}"
provider = "oauth2"
issuer = "${issuer}"
client_id = "${theClient.id}"
client_secret = "${theClient.secret}"
scopes = { smtp = ["mail.send"], login = ["openid", "offline_access"] }
`
}

/** As on a relay host: the group of exim may ask, for mail to be sent, and nothing else. */
function socketOf({ socket, folder }: Smarthost): string {
  const whose = process.getuid?.() === 0 ? 'mode = "0660"\ngroup = "Debian-exim"' : 'mode = "0600"'
  return `[[socket]]
path = "${socket}"
${whose}
accounts = ["*@example.org"]
services = ["smtp"]

[[socket]]
path = "${folder}/control"
control = true
`
}

async function keep(file: string, user: string, grant: string, token?: string): Promise<void> {
  const config = await readConfig(file, {})
  const transport = createTransport('test')
  const readSecret = createSecretReader(file, {})
  const found = createAccounts(config, { transport, readSecret }).find(user)
  if (!found) throw new Error(`${user} is not in ${file}`)
  const { provider } = found.account
  const agoMs = Date.now() - 10 * minute
  const kept = token && {
    [provider.tokenKey({ service: 'smtp', mailbox: user })]: {
      value: token,
      obtainedAtMs: agoMs,
      expiresAtMs: agoMs + 60 * minute,
      expiryKnown: true,
    },
  }
  const store = await openStore(config.storePath)
  await store.replace(user, {
    grant,
    binding: provider.binding,
    signedInAtMs: agoMs,
    refreshedAtMs: agoMs,
    tokens: kept || {},
  })
  await store.close()
  transport.close()
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
