/**
 * The real postfix on examples/postfix/main.cf with the real daemon as its table: each sender has a token
 * of its own, and whatever is wrong defers the mail. Never is it sent without a login, never bounced.
 *
 * PLAIN instead of XOAUTH2: the table is the same, and no plugin of SASL's is needed.
 */
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startAuthorizationServer } from '../fixtures/authorization-server.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { createHome, startDaemonProcess } from '../fixtures/daemon.ts'
import { startMailServer } from '../fixtures/mail-server.ts'
import { needsPostfix, postfixGroup, startPostfix } from '../fixtures/postfix.ts'
import { accountAt, leaveSignIn } from '../fixtures/signed-in.ts'

const me = 'me@issuer.example'
const other = 'other@issuer.example'
const stranger = 'stranger@issuer.example'
const to = 'someone@example.net'
const needed = needsPostfix()

async function office(t: Test, settings: Readonly<Record<string, string>> = {}) {
  const server = await startAuthorizationServer()
  const home = createHome()
  const socket = join(home.path, 'postfix.sock')
  const table = `proxy:socketmap:unix:${socket}:sasl`
  home.configure(`${[me, other, stranger].map((user) => accountAt(server, user)).join('\n')}
[[socket]]
path = "${socket}"
mode = "0660"
group = "${postfixGroup}"
protocol = "socketmap"
accounts = ["*@issuer.example"]
services = ["smtp"]
map = { "localhost" = "${other}" }
`)
  await chmod(home.path, 0o755)
  const authority = await createAuthority(home.path)
  const mailServer = await startMailServer({
    ...(await authority.issue(['localhost'])),
    mechanisms: ['PLAIN'],
    verify: (user, token) => server.accept(token, user),
    refusal: 'direct',
  })
  t.teardown(async () => {
    await mailServer.close()
    await server.close()
    home.remove()
  })
  for (const user of [me, other])
    await leaveSignIn(home.configFile, home.env, user, server.grant(user))
  const postfix = await startPostfix(t, home.path, {
    settings: {
      relayhost: `[localhost]:${mailServer.port}`,
      smtp_tls_CAfile: authority.caFile,
      smtp_sasl_mechanism_filter: 'plain',
      smtp_sasl_password_maps: table,
      ...settings,
    },
  })
  return { server, home, socket, mailServer, postfix, map: table.replace('proxy:', '') }
}

void t.test('each sender signs in as himself', needed, async (t) => {
  const { server, home, mailServer, postfix, map } = await office(t)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  for (const user of [me, other]) {
    const arrived = mailServer.nextMail()
    await postfix.submit(user, to)
    t.match(await arrived, { user, from: user, to: [to], body: /hello/ })
  }
  // Of this sender nothing is known here, but of the host that his mail goes to.
  const arrived = mailServer.nextMail()
  await postfix.submit('unknown@example.net', to)
  t.match(await arrived, { user: other, from: 'unknown@example.net' })
  t.same(mailServer.anonymous, [])

  // What a person types to see whether it works.
  const [user, token = ''] = (await postfix.look(me, map))?.split(':') ?? []
  t.equal(user, me)
  t.ok(server.accept(token, me))
  t.match(await postfix.look('[localhost]:587', map), new RegExp(`^${other}:`))
  t.equal(await postfix.look('nobody@example.net', map), undefined)
  await t.rejects(postfix.look(stranger, map), /nobody has signed in/)
  t.notMatch(daemon.stderr(), token)
})

void t.test('whatever is wrong defers the mail', needed, async (t) => {
  const { server, home, mailServer, postfix } = await office(t)
  const deferred = /postfix\/smtp\[\d+\]: .*status=deferred/

  await postfix.submit(me, to)
  t.match(await postfix.logged(deferred), /status=deferred/, 'nobody has started the daemon')
  const daemon = await startDaemonProcess(home)
  const arrived = mailServer.nextMail()
  await postfix.flush()
  t.match(await arrived, { user: me }, 'it is sent as soon as somebody has')

  await postfix.submit(stranger, to)
  t.match(await postfix.logged(deferred), /status=deferred/, 'sign-in needed')

  // A token that the mail server refuses is offered again at the next attempt, when it is another.
  const asked = mailServer.attempts.length
  server.end(mailServer.attempts.at(-1)?.token ?? '')
  await postfix.submit(me, to)
  t.match(await postfix.logged(deferred), /SASL authentication failed/)
  t.equal(mailServer.attempts.length, asked + 1)
  await daemon.stop()

  t.same(mailServer.anonymous, [], 'nothing was tried without a login')
  t.equal(mailServer.mails.length, 1)
  t.ok(mailServer.attempts.every(({ user }) => user === me))
})
