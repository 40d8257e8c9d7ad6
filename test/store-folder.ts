/**
 * A store whose folder goes away or is replaced under a running daemon: nothing in it counts as signed out, and
 * no grant is refreshed under locks that another process does not see.
 */
import { cpSync, mkdirSync, renameSync, rmSync, rmdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Unavailable } from '../src/errors.ts'
import type { DaemonStatus } from '../src/status.ts'
import { openStore } from '../src/store.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, run, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { grantOf, makeTemporary } from './fixtures/keeper-place.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer({ behaviour: { rotates: true } })
t.teardown(() => server.close())

/** A daemon that has fetched a token, and its store. */
async function served(t: Test) {
  // One service, so that there is one token to fetch.
  const home = createHome(accountAt(server, me, 'services = ["smtp"]'))
  t.teardown(() => home.remove())
  await leaveSignIn(home.configFile, home.env, me, server.grant(me))
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop('SIGKILL'))
  const token = await run(home, ['token', me, '--wait', '60'])
  t.equal(token.code, 0)
  return { home, daemon, token: token.stdout, store: join(home.path, 'state', 'xoauthd') }
}

/** Starts a refresh; something happens to the store while the answer with the new grant is on its way. */
async function refreshAround(home: Home, happens: () => void) {
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const refresh = run(home, ['refresh', me])
  await asked
  happens()
  resume()
  return refresh
}

async function storeOf(home: Home) {
  const { stdout } = await run(home, ['status', '--json'])
  return (JSON.parse(stdout) as DaemonStatus).store
}

void t.test('a grant in a folder that is gone is not one that nobody has', async (t) => {
  const path = join(makeTemporary(t), 'store')
  const store = await openStore(path)
  t.teardown(() => store.close())
  const version = await store.write(me, grantOf('g1'), undefined)
  renameSync(path, `${path}.away`)
  const gone = { name: 'Unavailable', message: `the store ${path} is gone (ENOENT)` }
  await t.rejects(store.read(me), gone)
  await t.rejects(store.write(me, grantOf('g2'), version), gone)
  await t.rejects(store.replace(me, grantOf('g2')), gone)
  await t.rejects(
    store.locked(me, () => Promise.resolve()),
    gone,
  )
  await t.rejects(store.forget(me), Unavailable)
  renameSync(`${path}.away`, path)
  t.ok(await store.write(me, grantOf('g2'), version))
  t.equal(await store.read('nobody@issuer.example'), undefined)
})

void t.test('a folder that goes while a new grant is on its way', async (t) => {
  const { home, daemon, store } = await served(t)
  const refresh = await refreshAround(home, () => renameSync(store, `${store}.away`))
  t.match(refresh, { code: 0 }, 'served all the same')
  t.match(await storeOf(home), { unsaved: [me], message: /is gone \(ENOENT\)$/, hint: /mount/ })
  const requests = server.to('token').length
  t.match(await run(home, ['refresh', me]), { code: 75, stderr: /is gone/ })
  t.equal(server.to('token').length, requests, 'nothing more is put at risk')
  t.match(await storeOf(home), { unsaved: [me] })
  renameSync(`${store}.away`, store)
  t.match(await run(home, ['refresh', me]), { code: 0 }, 'the grant that is asked with lives')
  t.match(await storeOf(home), { unsaved: [], message: '' })
  t.equal(await daemon.stop(), 0)
})

void t.test('a token outlives the folder', async (t) => {
  const { home, daemon, store, token } = await served(t)
  renameSync(store, `${store}.away`)
  t.match(await run(home, ['refresh', me]), { code: 75, stderr: /is gone \(ENOENT\)\nhint: put / })
  t.match(await run(home, ['token', me]), { code: 0, stdout: token })
  t.match(await run(home, ['status']), { stdout: /the store \S+ is gone/ })
  renameSync(`${store}.away`, store)
  t.match(await run(home, ['refresh', me]), { code: 0 })
  t.equal(await daemon.stop(), 0)
})

void t.test('the same folder by another way, and another one by the same name', async (t) => {
  const path = join(makeTemporary(t), 'store')
  const store = await openStore(path)
  t.teardown(() => store.close())
  const version = await store.write(me, grantOf('g1'), undefined)
  const aside = `${path}.aside`
  renameSync(path, aside)
  symlinkSync(aside, path)
  t.match(await store.read(me), { version })
  rmSync(path)
  copyOf(aside, path)
  const another = {
    name: 'Unavailable',
    message: `the store ${path} is not the folder any more that xoauthd has opened`,
    hint: 'put that folder back, or restart xoauthd to take this one',
  }
  let worked = false
  const work = () => Promise.resolve((worked = true))
  await t.rejects(store.read(me), another)
  await t.rejects(store.write(me, grantOf('g2'), version), another)
  await t.rejects(store.replace(me, grantOf('g2')), another)
  await t.rejects(store.locked(me, work), another)
  t.equal(worked, false)
  rmSync(path, { recursive: true })
  renameSync(aside, path)
  t.match(await store.read(me), { version })
  t.equal(await store.locked(me, work), true)
})

void t.test('a folder that is replaced while a lock is waited for', async (t) => {
  const path = join(makeTemporary(t), 'store')
  const store = await openStore(path)
  t.teardown(() => store.close())
  let waiting: Promise<unknown> = Promise.resolve()
  await store.locked(me, async () => {
    waiting = store.locked(me, () => Promise.reject(new Error('worked under the old lock')))
    waiting.catch(() => undefined)
    // What it looks at before it waits is the old folder still.
    await store.read(me)
    renameSync(path, `${path}.aside`)
    mkdirSync(path, { mode: 0o700 })
  })
  await t.rejects(waiting, { name: 'Unavailable' })
})

/** What a backup has of a store. */
function copyOf(store: string, to: string): void {
  cpSync(store, to, {
    recursive: true,
    mode: 0,
    filter: (path) => !/\.lock$|\/\.[0-9a-f]{12}$/.test(path),
  })
}

void t.test('a folder that is replaced by a copy', async (t) => {
  const { home, daemon, store, token } = await served(t)
  copyOf(store, `${store}.copy`)
  renameSync(store, `${store}.aside`)
  renameSync(`${store}.copy`, store)
  const requests = server.to('token').length
  for (let times = 0; times < 2; times++) {
    t.match(await run(home, ['refresh', me]), { code: 75, stderr: /\nhint: .*restart xoauthd/ })
    t.equal((await run(home, ['reload'])).code, 0)
  }
  t.match(await run(home, ['token', me]), { code: 0, stdout: token }, 'what lives is served')
  t.match(await storeOf(home), { message: /is not the folder any more/ })
  t.match(await run(home, ['check', me]), { stdout: /^problem +store +the store \S+ is not the/m })
  t.equal(server.to('token').length, requests, 'no grant is used here')

  const other = await startDaemonProcess(another(home))
  t.teardown(() => other.stop('SIGKILL'))
  t.match(await run(another(home), ['refresh', me]), { code: 0 })
  t.match(await run(home, ['refresh', me]), { code: 75 }, 'nor beside another one')
  t.match(await run(another(home), ['refresh', me]), { code: 0 })
  t.equal(await other.stop(), 0)

  t.equal(await daemon.stop(), 0)
  const next = await startDaemonProcess(home)
  t.teardown(() => next.stop())
  t.match(await run(home, ['refresh', me]), { code: 0 })
})

/** The same configuration and store, and a socket of its own. */
function another(home: Home): Home {
  const runtime = join(home.path, 'run2')
  mkdirSync(runtime, { recursive: true, mode: 0o700 })
  return { ...home, env: { ...home.env, XDG_RUNTIME_DIR: runtime } }
}

void t.test('a folder whose disk goes while a new grant is on its way', async (t) => {
  const { home, daemon, store } = await served(t)
  const refresh = await refreshAround(home, () => {
    renameSync(store, `${store}.away`)
    // The empty folder that a disk was mounted on.
    mkdirSync(store, { mode: 0o700 })
  })
  t.match(refresh, { code: 0 })
  t.match(await run(home, ['refresh', me]), { code: 75 })
  t.match(await storeOf(home), { unsaved: [me] }, 'no sign-out was seen')
  rmdirSync(store)
  renameSync(`${store}.away`, store)
  t.match(await run(home, ['refresh', me]), { code: 0 })
  t.match(await storeOf(home), { unsaved: [] })
  t.equal(await daemon.stop(), 0)
})
