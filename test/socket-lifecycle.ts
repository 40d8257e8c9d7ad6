/**
 * A socket's life: how it appears and goes, whom it displaces and whom it does not, and what becomes of
 * clients that stall and of requests that are open when the daemon is told to stop.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { createAudit } from '../src/audit.ts'
import { createConnections } from '../src/connections.ts'
import { createScope } from '../src/credentials.ts'
import { createLog } from '../src/log.ts'
import type { Credential } from '../src/protocol.ts'
import { openSocket } from '../src/socket.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import {
  createHome,
  run,
  start,
  startDaemonProcess,
  type Home,
  type Running,
} from './fixtures/daemon.ts'
import { ask } from './fixtures/http-client.ts'
import { makeTemporary, until } from './fixtures/keeper-place.ts'
import { converse, send } from './fixtures/raw-client.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer()
t.teardown(() => server.close())

/** A home with one account, signed in, with a token in its store. */
async function homeOf(t: Test, more = ''): Promise<Home> {
  const home = createHome(`${accountAt(server, me)}\n${more}`)
  t.teardown(() => home.remove())
  await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: 'kept' })
  return home
}

void t.test('a client that stalls is cut', async (t) => {
  const home = await homeOf(t)
  const path = join(home.path, 'here')
  const bugs: string[] = []
  const log = { ...createLog('error'), error: (event: string) => void bugs.push(event) }
  const everything = { accounts: undefined, services: undefined }
  const socket = { path, mode: 0o600, gid: undefined, uid: undefined, ...everything }
  const audit = createAudit(() => undefined, true)
  const credentials = {
    get: ({ mailbox, service }: { mailbox: string; service: string }) => {
      if (service === 'imap') throw new TypeError('a bug')
      const accessToken = 'x'.repeat(service === 'pop' ? 8_000_000 : 1)
      return { mailbox, user: mailbox, service, accessToken, expiresAtMs: 0 }
    },
  }
  const service = { credentials, audit, log, now: Date.now, scope: createScope(everything) }
  const opened = await openSocket(
    socket,
    { ...service, control: undefined },
    createConnections({ most: 10, log, stallMs: 50 }),
  )
  const beganAt = performance.now()
  t.equal(await converse(path, () => undefined).catch(() => ''), '', 'says nothing')
  t.equal(await converse(path, (client) => client.write('SMTP m')).catch(() => ''), '', 'stops')
  const unread = converse(path, async (client) => {
    client.pause()
    client.end(`POP ${me}`)
    await once(client, 'close')
  })
  await unread.catch(() => undefined)
  t.ok(performance.now() - beganAt < 5000)
  t.equal(await send(path, `SMTP ${me}`), xoauth2(me, 'x'))
  t.match(await send(path, `IMAP,explain ${me}`), /^ERR unavailable an internal error/)
  t.same(bugs, ['bug'])
  await opened.leave()
  await opened.drain()
  t.notOk(existsSync(path))
})

void t.test('a client that has gone leaves no timer', async (t) => {
  const path = join(makeTemporary(t), 'here')
  const everything = { accounts: undefined, services: undefined }
  let fetched: ((credential: Credential) => void) | undefined
  const service = {
    credentials: { get: () => new Promise<Credential>((resolve) => (fetched = resolve)) },
    audit: createAudit(() => undefined, false),
    log: createLog('error'),
    now: Date.now,
    scope: createScope(everything),
    control: undefined,
  }
  const nobody = { gid: undefined, uid: undefined }
  const config = { path, mode: 0o600, control: false, ...nobody, ...everything }
  const connections = createConnections({ most: 10, log: service.log, stallMs: 200 })
  const opened = await openSocket(config, service, connections)
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const client = createConnection(path)
  client.write(`SMTP ${me}\n`)
  await until(() => fetched !== undefined)
  client.destroy()
  fetched?.({ mailbox: me, user: me, service: 'smtp', accessToken: 'x', expiresAtMs: 0 })
  await until(() => timers() === before)
  await opened.leave()
  await opened.drain()
})

void t.test('a second daemon', async (t) => {
  const home = await homeOf(t, '[[socket]]\npath = "shared"\n')
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())

  const sameStore = await run(home, ['serve'])
  t.equal(sameStore.code, 75)
  t.match(
    sameStore.stderr,
    /^xoauthd: another xoauthd uses the store \S+: .*process \d+\nhint: stop it, or give this one/m,
  )

  const other = join(home.path, 'other.toml')
  const socket = `[[socket]]\npath = "shared"\n[[socket]]\npath = "mine"\ncontrol = true\n`
  writeFileSync(other, `${accountAt(server, me)}\n${socket}[store]\npath = "other-store"\n`, {
    mode: 0o600,
  })
  const sameSocket = await run(home, ['serve', '--config', other])
  t.equal(sameSocket.code, 75)
  t.match(
    sameSocket.stderr,
    /^xoauthd: another xoauthd listens on \S+\/shared\nhint: stop it, or give this one a socket/m,
  )
  t.notOk(existsSync(join(home.path, 'mine')), 'what it had opened is gone')
  t.equal(await send(join(home.path, 'shared'), `SMTP ${me}`), xoauth2(me, 'kept'))
})

void t.test('what is left of a killed one is replaced', async (t) => {
  const home = await homeOf(t)
  const first = await startDaemonProcess(home)
  await first.stop('SIGKILL')
  t.ok(statSync(home.socket).isSocket())
  const second = await startDaemonProcess(home)
  t.equal(await send(home.socket, `SMTP ${me}`), xoauth2(me, 'kept'))
  t.equal(await second.stop('SIGINT'), 0)
  t.notOk(existsSync(home.socket))
})

void t.test('a socket that cannot be opened', async (t) => {
  const home = await homeOf(t, '[[socket]]\npath = "no/such/folder/socket"\n')
  const missing = await run(home, ['serve'])
  t.equal(missing.code, 78)
  t.match(
    missing.stderr,
    /^xoauthd: the socket \S+ cannot be opened \(ENOENT\)\nhint: make the folder first: mkdir -p \S+\/no\/such\/folder$/m,
  )
  t.notOk(existsSync(home.socket))
})

void t.test('what is no socket is never replaced', async (t) => {
  const home = await homeOf(t, '[[socket]]\npath = "mine"\n')
  const mine = join(home.path, 'mine')
  const target = join(home.path, 'target')
  const refused = {
    code: 78,
    stderr: /^xoauthd: \S+\/mine is not a socket\nhint: move it away, or write another path: /m,
  }
  writeFileSync(mine, 'precious')
  t.match(await run(home, ['serve']), refused)
  t.equal(readFileSync(mine, 'utf8'), 'precious')
  renameSync(mine, target)
  symlinkSync(target, mine)
  t.match(await run(home, ['serve']), refused)
  t.equal(readFileSync(mine, 'utf8'), 'precious')
})

void t.test('a socket whose name somebody removed is opened again by a reload', async (t) => {
  const home = await homeOf(
    t,
    '[[socket]]\npath = "mine"\n[http]\nlisten = "./web"\nmode = "0600"\nservices = ["smtp"]\n',
  )
  const [mine, web] = [join(home.path, 'mine'), join(home.path, 'web')]
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop('SIGKILL'))
  for (const path of [mine, web]) rmSync(path)
  t.equal((await run(home, ['reload'])).code, 0)
  t.equal(await send(mine, `SMTP ${me}`), xoauth2(me, 'kept'))
  t.match(await ask(web, '/healthz'), { status: 200 })

  const { ino } = statSync(mine)
  t.equal((await run(home, ['reload'])).code, 0)
  t.equal(statSync(mine).ino, ino, 'one that is there stays')

  rmSync(dirname(home.socket), { recursive: true })
  daemon.child.kill('SIGHUP')
  await until(() => daemon.stderr().match(/^info reloaded/gm)?.length === 3)
  t.equal(await send(home.socket, `SMTP ${me}`), xoauth2(me, 'kept'), 'by a signal as well')
  t.equal(statSync(home.socket).mode & 0o777, 0o600)

  rmSync(mine)
  writeFileSync(mine, 'precious')
  t.match(await run(home, ['reload']), { code: 78, stderr: /\/mine is not a socket$/m })
  t.equal(readFileSync(mine, 'utf8'), 'precious')
  rmSync(mine)
  t.equal((await run(home, ['reload'])).code, 0)
  t.equal(await send(mine, `SMTP ${me}`), xoauth2(me, 'kept'))
})

void t.test('a stop lets an open request end', async (t) => {
  const home = await homeOf(t)
  const daemon = await startDaemonProcess(home)
  const idle = converse(home.socket, () => undefined).catch(() => undefined)
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const answer = send(home.socket, `SMTP,min=3500,token ${me}`)
  await asked
  daemon.child.kill('SIGTERM')
  await daemon.said(/^info stopping signal=SIGTERM$/m)
  await idle
  t.notOk(existsSync(home.socket), 'nobody comes in any more')
  resume()
  t.ok(server.accept(await answer, me))
  t.equal(await daemon.ended, 0)
})

void t.test('a second signal ends it at once', async (t) => {
  const home = await homeOf(t)
  const daemon = await startDaemonProcess(home)
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const answer = send(home.socket, `SMTP,min=3500,wait=60 ${me}`).catch(() => '')
  await asked
  daemon.child.kill('SIGTERM')
  await daemon.said(/^info stopping/m)
  daemon.child.kill('SIGTERM')
  t.equal(await daemon.ended, 1)
  t.match(daemon.stderr(), /^warn stopping at once signal=SIGTERM$/m, 'the log is written out')
  t.equal(await answer, '')
  resume()
})

void t.test('a stop that takes too long is cut', async (t) => {
  const home = await homeOf(t)
  const hurry = `const late = globalThis.setTimeout
globalThis.setTimeout = (call, ms, ...more) => late(call, ms === 60_000 ? 50 : ms, ...more)`
  const execArgv = [`--import=data:text/javascript,${encodeURIComponent(hurry)}`]
  const daemon = await startDaemonProcess(home, { execArgv })
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const answer = send(home.socket, `SMTP,min=3500,wait=30 ${me}`).catch(() => '')
  await asked
  t.equal(await daemon.stop(), 1)
  t.match(daemon.stderr(), /^error stop took too long seconds=60$/m)
  t.equal(await answer, '')
  resume()
})

void t.test('signals while it starts', async (t) => {
  // A pipe in place of the file holds the start up until somebody writes to it.
  const starting = (home: Home) => {
    const text = readFileSync(home.configFile)
    rmSync(home.configFile)
    execFileSync('mkfifo', ['-m', '0600', home.configFile])
    const daemon = start(home, ['serve'])
    t.teardown(() => daemon.stop('SIGKILL'))
    const reader = () => open(home.configFile, 'w')
    const give = async (pipe: FileHandle) => {
      await pipe.write(text)
      await pipe.close()
    }
    return { daemon, reader, give }
  }
  const signal = (daemon: Running, ...names: NodeJS.Signals[]) =>
    names.forEach((name) => daemon.child.kill(name))

  await t.test('a reload comes after it', async (t) => {
    const { daemon, reader, give } = starting(await homeOf(t))
    const first = await reader()
    signal(daemon, 'SIGHUP', 'SIGUSR1', 'SIGHUP')
    await give(first)
    await daemon.said(/^info ready /m)
    await give(await reader())
    await daemon.said(/^info reloaded /m)
    t.equal(await daemon.stop(), 0)
    t.equal(daemon.stderr().match(/^info reloaded/gm)?.length, 1)
  })
  await t.test('a stop comes right after it', async (t) => {
    const home = await homeOf(t)
    const { daemon, reader, give } = starting(home)
    const first = await reader()
    signal(daemon, 'SIGHUP', 'SIGTERM')
    await give(first)
    t.equal(await daemon.ended, 0)
    t.match(daemon.stderr(), /^info stopping signal=SIGTERM$/m)
    t.notMatch(daemon.stderr(), /^info reloaded/m)
    t.notOk(existsSync(home.socket))
  })
})
