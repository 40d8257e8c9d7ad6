/**
 * The real postfix on what `xoauthd setup` writes, with the real daemon: each sender has a token of its
 * own, and whatever is wrong defers the mail. Never is it sent without a login, never bounced.
 *
 * As its table xoauthd is asked for PLAIN instead of XOAUTH2: the table is the same, and no plugin of SASL's
 * is needed. Through `xoauthd sendmail` it is XOAUTH2.
 */
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startAuthorizationServer } from '../fixtures/authorization-server.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { createHome, run, shellLine, startDaemonProcess, type Running } from '../fixtures/daemon.ts'
import { both, needsSaslPlugin, saslFolderOf } from '../fixtures/installed.ts'
import { startMailServer } from '../fixtures/mail-server.ts'
import { needsPostfix, pipeUser, postfixGroup, startPostfix } from '../fixtures/postfix.ts'
import { accountAt, leaveSignIn } from '../fixtures/signed-in.ts'

const me = 'me@issuer.example'
const other = 'other@issuer.example'
const stranger = 'stranger@issuer.example'
const slow = 'slow@issuer.example'
const to = 'someone@example.net'
const needed = needsPostfix()
const deferred = /postfix\/(?:smtp|pipe)\[\d+\]: .*status=(?:deferred|SOFTBOUNCE)/

interface Options {
  readonly agent?: 'postfix' | 'postfix-pipe'
  readonly mechanism?: 'plain' | 'xoauth2'
  readonly saslPath?: string
}

async function office(t: Test, options: Options = {}) {
  const { agent = 'postfix', mechanism = 'plain', saslPath } = options
  const server = await startAuthorizationServer()
  const stalled = await startAuthorizationServer()
  const home = createHome()
  const authority = await createAuthority(home.path)
  const mailServer = await startMailServer({
    ...(await authority.issue(['localhost'])),
    mechanisms: agent === 'postfix' ? [mechanism.toUpperCase()] : ['LOGIN', 'PLAIN', 'XOAUTH2'],
    verify: (user, token) => server.accept(token, user),
    refusal: 'direct',
  })
  const socket = join(home.path, 'postfix.sock')
  const pipe = agent === 'postfix-pipe'
  const hosts = `hosts = { smtp = "localhost:${mailServer.port}" }`
  home.configure(`${[me, other, stranger].map((user) => accountAt(server, user, hosts)).join('\n')}
${accountAt(stalled, slow, hosts)}
[[socket]]
path = "${socket}"
mode = "0660"
group = "${pipe ? pipeUser : postfixGroup}"
accounts = ["*@issuer.example"]
services = ["smtp"]
${pipe ? '' : `protocol = "socketmap"\nmap = { "localhost" = "${other}" }`}
`)
  await chmod(home.path, 0o755)
  const program = join(home.path, 'xoauthd')
  const trusting = `NODE_EXTRA_CA_CERTS='${authority.caFile}'`
  const line = shellLine(home, '"$@"').replace('exec env ', `exec env ${trusting} `)
  await writeFile(program, `#!/bin/sh\n${line}\n`, { mode: 0o755 })
  const letGo = stalled.hold('token')
  t.teardown(async () => {
    letGo()
    await Promise.all([mailServer.close(), server.close(), stalled.close()])
    home.remove()
  })
  for (const user of [me, other])
    await leaveSignIn(home.configFile, home.env, user, server.grant(user))
  await leaveSignIn(home.configFile, home.env, slow, stalled.grant(slow))

  const folder = join(home.path, 'setup')
  const env = { PATH: `${home.path}:${process.env['PATH'] ?? ''}` }
  const setup = await run(home, ['setup', agent, me, '--folder', folder], { env })
  t.equal(setup.code, 0, setup.stderr)
  t.notMatch(setup.stderr, /\[\[socket\]\]/)
  const written = (name: string) => readFile(join(folder, name), 'utf8')
  const table = { smtp_sasl_mechanism_filter: mechanism, smtp_tls_CAfile: authority.caFile }
  const postfix = await startPostfix(t, home.path, {
    mainCf: await written('main.cf'),
    ...(pipe ? { masterCf: await written('master.cf') } : {}),
    ...(saslPath === undefined ? {} : { saslPath }),
    settings: pipe ? {} : table,
  })
  return { server, home, mailServer, postfix, letGo, map: `socketmap:unix:${socket}:sasl` }
}

/** A daemon waits for a refresh that is under way. */
function stopping(daemon: Running, letGo: () => void): Promise<number | null> {
  letGo()
  return daemon.stop()
}

void t.test('each sender signs in as himself', needed, async (t) => {
  const { server, home, mailServer, postfix, map, letGo } = await office(t)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => stopping(daemon, letGo))
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

for (const agent of ['postfix', 'postfix-pipe'] as const)
  void t.test(`whatever is wrong defers the mail: ${agent}`, needed, async (t) => {
    const { server, home, mailServer, postfix, letGo } = await office(t, { agent })

    await postfix.submit(me, to)
    t.match(await postfix.logged(deferred), /status=deferred/, 'nobody has started the daemon')
    const daemon = await startDaemonProcess(home)
    const arrived = mailServer.nextMail()
    await postfix.flush()
    const mechanism = agent === 'postfix' ? 'PLAIN' : 'XOAUTH2'
    t.match(await arrived, { user: me }, 'it is sent as soon as somebody has')
    t.match(mailServer.attempts.at(-1), { user: me, mechanism })

    for (const [sender, reason] of [
      [stranger, 'sign-in needed'],
      [slow, 'the daemon is slow'],
    ] as const) {
      await postfix.submit(sender, to)
      t.match(await postfix.logged(deferred), /status=deferred/, reason)
    }

    // A token that the mail server refuses is offered again at the next attempt, when it is another.
    const asked = mailServer.attempts.length
    server.endAllOf(me)
    server.end(mailServer.attempts.at(-1)?.token ?? '')
    await postfix.submit(me, to)
    t.match(await postfix.logged(deferred), /status=/, 'refused')
    t.ok(mailServer.attempts.length > asked)
    await stopping(daemon, letGo)

    t.same(mailServer.anonymous, [], 'nothing was tried without a login')
    t.equal(mailServer.mails.length, 1)
    t.ok(mailServer.attempts.every(({ user }) => user === me))
  })

// The README says so. When it works, this fails.
const kdexoauth2 = needsSaslPlugin('libkdexoauth2.so', 'libsasl2-modules-kdexoauth2')
void t.test('the SASL plugin that Debian has', both(needed, kdexoauth2), async (t) => {
  const { home, mailServer, postfix, letGo } = await office(t, {
    mechanism: 'xoauth2',
    saslPath: saslFolderOf('libkdexoauth2.so') ?? '',
  })
  const daemon = await startDaemonProcess(home)
  t.teardown(() => stopping(daemon, letGo))
  await postfix.submit(me, to)
  t.match(await postfix.logged(deferred), /SASL authentication failed.*invalid parameter supplied/)
  t.same([mailServer.attempts, mailServer.anonymous, mailServer.mails], [[], [], []])
})
