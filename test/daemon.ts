/**
 * The daemon's life: it takes up a changed file without losing a token, keeps what it has when the file
 * is broken, sees sign-ins of other processes, and starts again from whatever a kill has left.
 */
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  startAuthorizationServer,
  type AuthorizationServer,
} from './fixtures/authorization-server.ts'
import { createHome, run, startDaemonProcess, type Home, type Running } from './fixtures/daemon.ts'
import { send } from './fixtures/raw-client.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const you = 'you@issuer.example'

interface World {
  readonly server: AuthorizationServer
  readonly home: Home
}

async function createWorld(t: Test): Promise<World> {
  const server = await startAuthorizationServer()
  const home = createHome(accountAt(server, me))
  t.teardown(async () => {
    await server.close()
    home.remove()
  })
  return { server, home }
}

async function started(t: Test, home: Home): Promise<Running> {
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  return daemon
}

const signIn = ({ server, home }: World, user: string, value: string, leftMs?: number) =>
  leaveSignIn(home.configFile, home.env, user, server.grant(user), {
    value,
    ...(leftMs === undefined ? {} : { leftMs }),
  })

/** Sends SIGHUP and waits until the daemon has said how it went. */
async function reload(daemon: Running, outcome: RegExp): Promise<void> {
  const before = daemon.stderr().length
  const said = daemon.said(new RegExp(`^[^]{${before}}[^]*${outcome.source}`))
  daemon.child.kill('SIGHUP')
  await said
}

void t.test('a reload', async (t) => {
  const world = await createWorld(t)
  const { server, home } = world
  const both = `${accountAt(server, me)}\n${accountAt(server, you)}`
  home.configure(both)
  await signIn(world, me, 'token-of-me')
  await signIn(world, you, 'token-of-you')
  const daemon = await started(t, home)
  t.equal(await send(home.socket, `SMTP,token ${you}`), 'token-of-you')
  await server.reached(2)

  // Another client is another grant, and what it had is not handed out any more.
  const socket = (name: string, more = '') => `[[socket]]\npath = "${name}"\n${more}\n`
  const extra = join(home.path, 'extra')
  const changed = accountAt(server, you).replace(/client_id = .*/, 'client_id = "another"')
  home.configure(`${accountAt(server, me)}\n${changed}\n${socket('extra')}`)
  const asked = server.to('token').length
  await reload(daemon, /info reloaded file=\S+ accounts=2/)
  t.equal(await send(home.socket, `SMTP ${me}`), xoauth2(me, 'token-of-me'))
  t.equal(await send(extra, `SMTP ${me}`), xoauth2(me, 'token-of-me'))
  t.match(await send(home.socket, `SMTP,explain ${you}`), /^ERR sign-in-needed .*another client/)
  t.equal(server.to('token').length, asked)

  // What is broken changes nothing, and the log says where.
  home.configure(`${accountAt(server, me)}\nnonsense = 1\n`)
  await reload(
    daemon,
    /error reload failed reason="\S+config\.toml:\d+: \S*nonsense .*"\nwarn configuration kept/,
  )
  t.equal(await send(extra, `SMTP ${me}`), xoauth2(me, 'token-of-me'))
  home.configure(`${accountAt(server, me)}\n${socket('another')}${socket('no/such/folder')}`)
  await reload(
    daemon,
    /error reload failed reason="the socket \S+ cannot be opened \(ENOENT\)"\nwarn configuration kept/,
  )
  t.ok(existsSync(extra))
  t.notOk(existsSync(join(home.path, 'another')), 'half of it is none of it')

  // Rights, modes and the list of sockets.
  const limited = `mode = "0666"\naccounts = ["${me}"]\nservices = ["imap"]`
  home.configure(`${accountAt(server, me)}\n${socket('extra', limited)}[log]\nlevel = "debug"\n`)
  await reload(daemon, /info reloaded file=\S+ accounts=1/)
  t.equal(statSync(extra).mode & 0o777, 0o666)
  t.match(await send(extra, `SMTP,explain ${me}`), /^ERR not-allowed /)
  t.match(await send(home.socket, `SMTP,explain ${you}`), /^ERR unknown-account /)
  // A new mode comes to nothing when another socket of the file cannot be opened.
  home.configure(`${accountAt(server, me)}\n${socket('extra')}${socket('no/such/folder')}`)
  await reload(daemon, /error reload failed [^]*warn configuration kept/)
  t.equal(statSync(extra).mode & 0o777, 0o666)
  home.configure(accountAt(server, me))
  t.match(await run(home, ['reload']), { code: 0, stdout: '', stderr: '' })
  t.notOk(existsSync(extra))
})

void t.test('a reload that names another store changes nothing', async (t) => {
  const world = await createWorld(t)
  const { server, home } = world
  await signIn(world, me, 'kept')
  const daemon = await started(t, home)
  const key = 'key = { file = "no-key" }'
  home.configure(
    `${accountAt(server, you)}\n[[socket]]\npath = "extra"\n[store]\npath = "elsewhere"\n${key}\n`,
  )
  const path = join(home.path, 'state', 'xoauthd')
  for (let times = 0; times < 2; times++)
    t.match(await run(home, ['reload']), {
      code: 78,
      stderr: new RegExp(
        `^xoauthd: ${home.configFile} names the store ${home.path}/elsewhere instead of ${path}, and it cannot be moved while xoauthd runs: restart xoauthd\nhint: `,
      ),
    })
  t.match(
    daemon.stderr(),
    /^error reload failed reason=".* cannot be moved while xoauthd runs: restart xoauthd"\nwarn configuration kept/m,
  )
  t.equal(await send(home.socket, `SMTP,token ${me}`), 'kept')
  t.match(await send(home.socket, `SMTP,explain ${you}`), /^ERR unknown-account /)
  t.notOk(existsSync(join(home.path, 'extra')))
  t.match(JSON.parse(await send(home.socket, 'STATUS')), { store: { path, locked: false } })
  t.match(await run(home, ['refresh', me]), { code: 0 })
})

void t.test('a control socket that a reload takes away answers the request for it', async (t) => {
  const { server, home } = await createWorld(t)
  const control = (name: string) =>
    home.configure(`${accountAt(server, me)}\n[[socket]]\npath = "${name}"\ncontrol = true\n`)
  control('one')
  const daemon = await started(t, home)
  control('two')
  const answer = JSON.parse(await send(join(home.path, 'one'), 'RELOAD')) as object
  t.same(answer, { reloaded: home.configFile })
  t.match(JSON.parse(await send(join(home.path, 'two'), 'STATUS')), {
    sockets: [join(home.path, 'two')],
  })
  t.notOk(existsSync(join(home.path, 'one')))
  daemon.child.kill('SIGUSR1')
  t.equal(await daemon.stop(), 0)
  t.notMatch(daemon.stderr(), /Debugger/)
})

void t.test('a reload waits for no open request', async (t) => {
  const world = await createWorld(t)
  const { server, home } = world
  const path = join(home.path, 'one')
  const control = (more = '') =>
    home.configure(`${accountAt(server, me)}\n[[socket]]\npath = "one"\n${more}\ncontrol = true\n`)
  control()
  await signIn(world, me, 'kept')
  const daemon = await started(t, home)
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const answer = send(path, `SMTP,token,min=3500,wait=60 ${me}`)
  await asked
  // The same for everybody, but not the same words.
  control(`owner = "${userInfo().username}"`)
  const { ino } = statSync(path)
  const beganAt = performance.now()
  t.same(JSON.parse(await send(path, 'RELOAD')), { reloaded: home.configFile })
  t.not(statSync(path).ino, ino, 'there is another')
  t.match(JSON.parse(await send(path, 'STATUS')), { sockets: [path] })
  t.ok(performance.now() - beganAt < 3000, 'neither for that one nor for itself')
  resume()
  t.ok(server.accept(await answer, me), 'and what was open is answered')
  t.equal(await daemon.stop(), 0)
})

void t.test('a reload is undone as far as it can be', async (t) => {
  const { server, home } = await createWorld(t)
  const folder = join(home.path, 'folder')
  mkdirSync(folder)
  const sockets = (mode: string) =>
    home.configure(
      ['good', 'folder/bad'].reduce(
        (text, path) => `${text}\n[[socket]]\npath = "${path}"\nmode = "${mode}"\n`,
        accountAt(server, me, ''),
      ),
    )
  sockets('0600')
  const daemon = await started(t, home)
  sockets('0400')
  rmSync(folder, { recursive: true })
  await reload(
    daemon,
    /error socket not restored [^]*error reload failed reason="the socket \S+bad cannot be opened \(ENOENT\)"\nwarn configuration kept/,
  )
  t.equal(statSync(join(home.path, 'good')).mode & 0o777, 0o600)
})

void t.test('sign-ins of other processes', async (t) => {
  const world = await createWorld(t)
  const { home } = world
  const daemon = await started(t, home)
  await daemon.said(/^warn sign-in-needed /m)
  await signIn(world, me, 'brought-along')
  t.same(JSON.parse(await send(home.socket, `REFRESH ${me}`)), { refreshed: me })
  t.equal(await send(home.socket, `SMTP,token ${me}`), 'brought-along')
  t.match(await run(home, ['logout', me]), { code: 0 })
  t.equal(await send(home.socket, `SMTP ${me}`), '')
})

void t.test('a restart serves what the store has and asks nobody', async (t) => {
  const world = await createWorld(t)
  const { server, home } = world
  const smtpOnly = accountAt(server, me, 'services = ["smtp"]')
  home.configure(smtpOnly)
  await signIn(world, me, 'kept')
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const daemon = await startDaemonProcess(home)
    t.equal(await send(home.socket, `SMTP ${me}`), xoauth2(me, 'kept'))
    await daemon.stop(signal)
  }
  const last = await started(t, home)
  t.equal(await send(home.socket, `SMTP ${me}`), xoauth2(me, 'kept'))
  t.same(server.requests, [])
  t.match(last.stderr(), /^info ready version=\d+\.\S+ accounts=1 sockets=1$/m)
})

void t.test('a token is replaced before it expires', async (t) => {
  const world = await createWorld(t)
  const { server, home } = world
  server.behaviour.lifetimeS = 4
  await signIn(world, me, 'soon-gone', 1500)
  await started(t, home)
  await server.reached(2)
  const first = await send(home.socket, `SMTP,token ${me}`)
  t.ok(server.accept(first, me))
  const mine = () => server.to('token').filter(({ form }) => form.get('scope') === 'mail.send')
  const seen = mine().length
  const renewed = async (): Promise<void> => {
    if (mine().length > seen) return
    await server.nextRequest()
    await renewed()
  }
  await renewed()
  t.ok(server.accept(first, me), 'the old one was still good')
})
