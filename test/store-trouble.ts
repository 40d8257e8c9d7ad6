/**
 * The store under a real daemon when the disk fails: a rotated grant that cannot be written is kept and
 * served, the daemon does not end with it, and what comes between two processes is never lost.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, lstatSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { DaemonStatus } from '../src/status.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import {
  createHome,
  run,
  start,
  startDaemonProcess,
  type Home,
  type Running,
} from './fixtures/daemon.ts'
import { root } from './fixtures/root.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'
import { mountSmallDisk, type SmallDisk } from './fixtures/small-disk.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer({ behaviour: { rotates: true } })
t.teardown(() => server.close())

async function signedIn(t: Test, more = ''): Promise<Home> {
  const home = createHome(accountAt(server, me, more))
  t.teardown(() => home.remove())
  await leaveSignIn(home.configFile, home.env, me, server.grant(me))
  return home
}

/** The same, with the store on a disk that is a few blocks large. */
async function onSmallDisk(t: Test): Promise<{ home: Home; disk: SmallDisk }> {
  const home = await signedIn(t)
  const store = join(home.path, 'small')
  const disk = await mountSmallDisk(t, store)
  cpSync(join(home.path, 'state', 'xoauthd'), disk.path, { recursive: true })
  home.configure(`${accountAt(server, me)}\n[store]\npath = "${store}"\n`)
  return { home, disk }
}

function grantIn(store: string): string {
  const name = readdirSync(store).find((one) => one.endsWith('.json')) ?? 'none'
  return (JSON.parse(readFileSync(join(store, name), 'utf8')) as { grant: string }).grant
}

/** What the last refresh handed out, which alone is good for another one. */
const lastGrant = () =>
  server
    .to('token')
    .map(({ form }) => form.get('refresh_token'))
    .at(-1)

void t.test('a full disk', async (t) => {
  const { home, disk } = await onSmallDisk(t)
  const daemon = await startDaemonProcess(home, { via: disk.via })
  t.teardown(() => daemon.stop('SIGKILL'))
  t.equal((await run(home, ['token', me, '--wait', '60'])).code, 0)
  const written = grantIn(disk.path)
  disk.fill()
  t.match(await run(home, ['refresh', me]), { code: 0 }, 'served all the same')
  t.match(
    daemon.stderr(),
    /^error grant not written account=me@issuer\.example reason="\S+ could not .*the disk is full/m,
  )
  t.equal((await run(home, ['refresh', me])).code, 0, 'and asked with')
  t.not(lastGrant(), written)
  t.equal(grantIn(disk.path), written, 'what is there is whole')

  daemon.child.kill('SIGTERM')
  await daemon.said(/^error stop waits accounts=me@issuer\.example reason=/m)
  t.equal(daemon.child.exitCode, null, 'it does not end with what is not safe')
  disk.empty()
  t.equal(await daemon.ended, 0, 'and does when it is')
  t.not(grantIn(disk.path), written)
  const next = await startDaemonProcess(home, { via: disk.via })
  t.teardown(() => next.stop())
  t.equal((await run(home, ['refresh', me])).code, 0, 'the grant on disk is the living one')
})

void t.test('a disk that became read-only', async (t) => {
  const { home, disk } = await onSmallDisk(t)
  const daemon = await startDaemonProcess(home, { via: disk.via })
  t.teardown(() => daemon.stop())
  const token = await run(home, ['token', me, '--wait', '60'])
  t.equal(token.code, 0)
  disk.setReadOnly(true)
  const asked = server.to('token').length
  t.match(await run(home, ['refresh', me]), { code: 75, stderr: /\(EROFS\)\nhint: check the disk/ })
  t.equal(server.to('token').length, asked, 'a grant that could not be kept is not rotated')
  t.equal((await run(home, ['token', me])).stdout, token.stdout, 'what lives is served')
  disk.setReadOnly(false)
  t.equal((await run(home, ['refresh', me])).code, 0)
})

/** Modes stop everybody but root. */
const nobody = { uid: 65_534, gid: 65_534 }
const onlyRoot = whyNot()

/** @returns why nobody else can be had here, false when somebody can */
function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'only root may give a folder away'
  const { status } = spawnSync(process.execPath, ['--version'], { ...nobody, cwd: root })
  const { status: found } = spawnSync('test', ['-r', join(root, 'package.json')], nobody)
  return status === 0 && found === 0 ? false : 'nobody else may read the program'
}

/** A daemon of somebody else, whose store can be taken away. */
async function ofNobody(t: Test): Promise<{ home: Home; daemon: Running; store: string }> {
  // One service, so that there is one token to fetch.
  const home = await signedIn(t, 'services = ["smtp"]')
  const below = readdirSync(home.path, { recursive: true }) as string[]
  for (const name of ['', ...below]) chownSync(join(home.path, name), nobody.uid, nobody.gid)
  const daemon = await startDaemonProcess(home, nobody)
  t.teardown(() => daemon.stop('SIGKILL'))
  t.equal((await run(home, ['token', me, '--wait', '60'])).code, 0)
  return { home, daemon, store: join(home.path, 'state', 'xoauthd') }
}

const ways: readonly (readonly [string, (store: string) => void, (store: string) => void])[] = [
  ['by its mode', (store) => chmodSync(store, 0), (store) => chmodSync(store, 0o700)],
  ['by its owner', (store) => chownSync(store, 0, 0), (store) => chownSync(store, 65_534, 65_534)],
]
for (const [how, take, giveBack] of ways)
  void t.test(`a store that is taken away ${how}`, { skip: onlyRoot }, async (t) => {
    const { home, daemon, store } = await ofNobody(t)
    const written = grantIn(store)
    // It goes while the answer with the new grant is on its way.
    const resume = server.hold('token')
    const asked = server.nextRequest('token')
    const refresh = run(home, ['refresh', me])
    await asked
    take(store)
    resume()
    t.match(await refresh, { code: 0 }, 'served all the same')
    t.match(
      daemon.stderr(),
      /^error grant not written account=me@issuer\.example reason="\S+ could not .*\(EACCES\)" hint="check the disk and the permissions/m,
    )
    const living = (await run(home, ['token', me])).stdout.trim()
    t.ok(server.accept(living, me))

    const status = JSON.parse((await run(home, ['status', '--json'])).stdout) as DaemonStatus
    t.match(status.store, { unsaved: [me], message: /\(EACCES\)/ })
    const table = await run(home, ['status'])
    t.match(
      table.stdout,
      /\nthe store \S+ did not take the new sign-in of me@issuer\.example: .*\n {2}hint: .*permissions of the store/,
    )
    const requests = server.to('token').length
    t.match(await run(home, ['refresh', me]), { code: 75, stderr: /\(EACCES\)\nhint: check the/ })
    t.equal(server.to('token').length, requests, 'nothing more is put at risk')
    t.equal((await run(home, ['token', me])).stdout.trim(), living, 'what lives is served')
    t.equal(grantIn(store), written, 'what is there is whole')

    daemon.child.kill('SIGTERM')
    await daemon.said(/^error stop waits accounts=me@issuer\.example reason=/m)
    t.equal(daemon.child.exitCode, null, 'it does not end with what is not safe')
    giveBack(store)
    t.equal(await daemon.ended, 0, 'and does when it is')
    t.not(grantIn(store), written)
    const next = await startDaemonProcess(home, nobody)
    t.teardown(() => next.stop())
    t.equal((await run(home, ['refresh', me])).code, 0, 'the grant on disk is the living one')
  })

void t.test('a store that comes back', { skip: onlyRoot }, async (t) => {
  const { home, daemon, store } = await ofNobody(t)
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const refresh = run(home, ['refresh', me])
  await asked
  chmodSync(store, 0)
  resume()
  t.equal((await refresh).code, 0)
  chmodSync(store, 0o700)
  // A tick, which is at most 30 s away, would do it as well.
  t.equal((await run(home, ['reload'])).code, 0)
  await daemon.said(/^info grant written account=me@issuer\.example$/m)
  t.not(grantIn(store), lastGrant())
  const status = JSON.parse((await run(home, ['status', '--json'])).stdout) as DaemonStatus
  t.match(status.store, { unsaved: [], message: '' })
  t.equal((await run(home, ['refresh', me])).code, 0)
  const files = readdirSync(store).filter((name) => name.endsWith('.json'))
  t.same(
    files.map((name) => lstatSync(join(store, name)).mode & 0o777),
    [0o600],
  )
  t.equal(await daemon.stop(), 0)
})

void t.test('a second signal gives the grant up', async (t) => {
  const { home, disk } = await onSmallDisk(t)
  const daemon = await startDaemonProcess(home, { via: disk.via })
  t.teardown(() => daemon.stop('SIGKILL'))
  t.equal((await run(home, ['token', me, '--wait', '60'])).code, 0)
  disk.fill()
  t.equal((await run(home, ['refresh', me])).code, 0)
  daemon.child.kill('SIGTERM')
  await daemon.said(/^error stop waits /m)
  daemon.child.kill('SIGTERM')
  t.equal(await daemon.ended, 1)
  t.match(daemon.stderr(), /^error grants given up accounts=me@issuer\.example$/m)
})

void t.test('a sign-in that comes while the daemon refreshes wins', async (t) => {
  const home = await signedIn(t)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.equal((await run(home, ['token', me, '--wait', '60'])).code, 0)
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const refreshed = run(home, ['refresh', me])
  await asked
  const arriving = server.nextRequest('token')
  const brought = server.grant(me)
  const imported = start(home, ['import', '--user', me])
  imported.child.stdin?.end(brought)
  await arriving
  resume()
  t.equal(await imported.ended, 0)
  await refreshed
  t.equal((await run(home, ['refresh', me])).code, 0)
  server.end(brought)
  t.equal((await run(home, ['refresh', me])).code, 75, 'what is asked with is the new sign-in')
})
