/**
 * One xoauthd behind another, as two processes: the first signs in at the provider and serves its tokens
 * by HTTP, the second has nothing but the first's address and hands on what it gets.
 */
import t from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, run, startDaemonProcess, type Finished } from './fixtures/daemon.ts'
import { addressOf } from './fixtures/http-client.ts'
import { leaksIn } from './fixtures/leaks.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const team = 'team@issuer.example'
const password = 'the word between the two'

const server = await startAuthorizationServer()
const first = createHome()
const second = createHome()
t.teardown(async () => {
  await server.close()
  first.remove()
  second.remove()
})

function configureFirst(listen: string): void {
  first.configure(`${accountAt(server, me, `mailboxes = ["${team}"]\nlogin_as = { smtp = "person" }`)}
[http]
listen = "${listen}"
user = "relay"
password = "${password}"
`)
}

function configureSecond(base: string, more = ''): void {
  second.configure(`[[account]]
user = "*@issuer.example"
provider = "auth-server"
url = "${base}/authentication"
username = "relay"
password = "${password}"
${more}
`)
}

async function startFirst(listen: string) {
  configureFirst(listen)
  const daemon = await startDaemonProcess(first)
  return { daemon, base: await addressOf(daemon) }
}

const token = (mailbox: string, ...more: string[]) => run(second, ['token', mailbox, ...more])
const parsed = ({ stdout }: Finished) => JSON.parse(stdout) as Record<string, unknown>

void t.test('tokens, names, and each way in which the first one can fail', async (t) => {
  configureFirst('127.0.0.1:0')
  await leaveSignIn(first.configFile, first.env, me, server.grant(me))
  const { daemon, base } = await startFirst('127.0.0.1:0')
  let before = daemon
  t.teardown(() => before.stop())
  configureSecond(base)
  const behind = await startDaemonProcess(second)
  t.teardown(() => behind.stop())

  await t.test('what the first one has', async (t) => {
    const own = await token(me)
    t.same([own.code, own.stderr], [0, ''])
    t.match(server.find(own.stdout.trim()), { scope: 'mail.send', user: me })
    const imap = await token(me, '--service=imap')
    t.match(server.find(imap.stdout.trim()), { scope: 'mail.read', user: me })

    // Whose name goes with it is a rule of the first one's file, and differs by service.
    const sending = parsed(await token(team, '--format=json'))
    t.match(sending, { mailbox: team, user: me, access_token: own.stdout.trim() })
    t.match(String(sending['xoauth2']), `user=${me}\x01auth=Bearer `)
    t.match(parsed(await token(team, '--service=imap', '--format=json')), { user: team })
    const asked = server.to('token').length
    await token(me)
    t.equal(server.to('token').length, asked, 'handed out from memory')
  })

  await t.test('a mailbox that the first one does not know', async (t) => {
    const { code, stdout, stderr } = await token('nobody@issuer.example')
    t.equal(code, 67)
    t.equal(stdout, '')
    t.match(stderr, /^xoauthd: .* knows no account nobody@issuer\.example\n/)
    t.equal((await token(me)).code, 0, 'which says nothing of the others')
  })

  await t.test('a service that the first one does not serve', async (t) => {
    configureSecond(base, 'services = ["smtp", "imap", "graph"]')
    t.equal((await run(second, ['reload'])).code, 0)
    const { code, stderr } = await token(me, '--service=graph')
    t.equal(code, 78)
    t.match(stderr, /answered HTTP 403, .*has no service graph/)
    configureSecond(base)
    t.equal((await run(second, ['reload'])).code, 0)
  })

  await t.test('a person signs out at the first one', async (t) => {
    t.equal((await run(first, ['logout', me])).code, 0)
    // The first one sees it at its next look at the store, which this is.
    t.not((await run(first, ['refresh', me])).code, 0)
    const refreshed = await run(second, ['refresh', me])
    t.equal(refreshed.code, 78)
    t.match(
      refreshed.stderr,
      /answered HTTP 403, "sign-in-needed: .*\n.*that server does not hand this out/,
    )
    const { stdout } = await run(second, ['status'])
    t.match(stdout, /\*@issuer\.example: .*sign-in-needed/)

    await leaveSignIn(first.configFile, first.env, me, server.grant(me))
    t.equal((await run(first, ['refresh', me])).code, 0)
    t.equal((await run(second, ['refresh', me])).code, 0)
    const { stdout: fresh } = await token(me)
    t.ok(server.accept(fresh.trim(), me), 'another sign-in')
  })

  await t.test('the first one is down, and comes back', async (t) => {
    const living = await token(me)
    t.equal(await before.stop(), 0)
    t.equal((await token(me)).stdout, living.stdout, 'what is there is handed out')
    const other = await token('other@issuer.example', '--wait=1')
    t.equal(other.code, 75)
    t.match(other.stderr, /^xoauthd: .*127\.0\.0\.1/)
    before = (await startFirst(new URL(base).host)).daemon
    const healed = await token('other@issuer.example', '--wait=60')
    t.equal(healed.code, 67, 'it has asked again, by itself')
    t.equal((await run(second, ['refresh', me])).code, 0)
    t.ok(server.accept((await token(me)).stdout.trim(), me))
  })

  const secrets = [...server.secrets, password]
  t.same(leaksIn(before.stderr() + behind.stderr(), secrets), [])
})
