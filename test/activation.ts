/** systemd listens for the daemon: its sockets are told apart by path, and outlive it. */
import { chmodSync, existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { inheritedSockets } from '../src/activation.ts'
import { createAudit } from '../src/audit.ts'
import { listen } from '../src/claim.ts'
import { createConnections } from '../src/connections.ts'
import { createScope } from '../src/credentials.ts'
import { createLog } from '../src/log.ts'
import { openSocket } from '../src/socket.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, start } from './fixtures/daemon.ts'
import { locate, needs } from './fixtures/installed.ts'
import { makeTemporary } from './fixtures/keeper-place.ts'
import { send } from './fixtures/raw-client.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const activate = 'systemd-socket-activate'

void t.test('sockets of systemd', needs(activate, 'systemd'), async (t) => {
  const server = await startAuthorizationServer()
  const home = createHome()
  t.teardown(async () => {
    await server.close()
    home.remove()
  })
  const [mail, odd] = [join(home.path, 'mail'), join(home.path, 'odd')]
  home.configure(`${accountAt(server, me)}\n[[socket]]\npath = "${mail}"\nmode = "0640"
accounts = ["${me}"]\nservices = ["smtp"]\n`)
  await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: 'kept' })
  // It keeps little of the environment, and we need all of it.
  const env = Object.entries(home.env).map(([name, value]) => `${name}=${value ?? ''}`)
  const via = [locate(activate) ?? '', '-l', odd, '-l', mail, 'env', ...env]
  const daemon = start(home, ['serve'], { via })
  t.teardown(() => daemon.stop())
  await daemon.said(/Listening on \S+mail/)
  // As SocketMode=0600 does; the daemon starts when the first client comes.
  chmodSync(mail, 0o600)
  t.equal(await send(mail, `SMTP ${me}`), xoauth2(me, 'kept'), 'who comes first is not lost')
  await daemon.said(/^warn socket not configured socket=\S+\/odd hint=/m)
  t.equal(await send(home.socket, `SMTP ${me}`), xoauth2(me, 'kept'), 'the rest it opens itself')

  // The mode is systemd's affair, and so is the name.
  home.configure(`${accountAt(server, me)}\n[[socket]]\npath = "${mail}"\n`)
  t.match(await send(home.socket, 'RELOAD'), /^\{"reloaded":/)
  t.equal(await send(mail, `SMTP ${me}`), xoauth2(me, 'kept'))
  chmodSync(mail, 0o660)
  t.match(await send(home.socket, 'RELOAD'), /^\{"error":"misconfigured".* has the mode 0660, /)
  t.equal(await daemon.stop(), 0)
  t.ok(existsSync(mail))
})

void t.test('an inherited socket that cannot be used', async (t) => {
  const path = join(makeTemporary(t), 'here')
  const everything = { accounts: undefined, services: undefined }
  const config = { path, mode: 0o600, gid: undefined, uid: undefined, control: true, ...everything }
  const service = {
    credentials: { get: () => Promise.reject(new Error('not asked')) },
    scope: createScope(everything),
    audit: createAudit(() => undefined, false),
    log: createLog('error'),
    now: Date.now,
    control: undefined,
  }
  const connections = createConnections({ most: 10, log: service.log })
  await t.rejects(openSocket(config, service, connections, 999), {
    code: 'misconfigured',
    message: /ENOENT/,
  })
  const server = createServer()
  await listen(server, path)
  t.teardown(() => server.close())
  await t.rejects(openSocket(config, service, connections, 999), {
    code: 'misconfigured',
    message: /^the socket \S+ cannot be opened \(E\w+\)$/,
  })
  chmodSync(path, 0o666)
  await t.rejects(openSocket(config, service, connections, 999), {
    code: 'misconfigured',
    message: `the socket ${path} of systemd has the mode 0666, and its [[socket]] says 0600`,
    hint: 'write SocketMode=0600 in the .socket unit',
  })
  chmodSync(path, 0o600)
  const gid = (process.getgid?.() ?? 0) + 1
  await t.rejects(openSocket({ ...config, gid }, service, connections, 999), {
    code: 'misconfigured',
    message: `the socket ${path} of systemd has the group ${gid - 1}, and its [[socket]] says ${gid}`,
    hint: `write SocketGroup=${gid} in the .socket unit`,
  })
  const uid = (process.getuid?.() ?? 0) + 1
  await t.rejects(openSocket({ ...config, uid }, service, connections, 999), {
    code: 'misconfigured',
    message: `the socket ${path} of systemd has the owner ${uid - 1}, and its [[socket]] says ${uid}`,
    hint: `write SocketUser=${uid} in the .socket unit`,
  })
})

void t.test('descriptors that are not for us', (t) => {
  t.equal(inheritedSockets({}).size, 0)
  t.equal(inheritedSockets({ LISTEN_PID: '1', LISTEN_FDS: '1' }).size, 0)
  t.equal(inheritedSockets({ LISTEN_PID: String(process.pid) }).size, 0)
  t.end()
})
