/** A store whose folder goes away under a running daemon: nothing in it counts as signed out. */
import { renameSync } from 'node:fs'
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
