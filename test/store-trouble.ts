/**
 * The store under a real daemon when the disk fails: a rotated grant that cannot be written is kept and
 * served, the daemon does not end with it, and what comes between two processes is never lost.
 */
import { cpSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, run, start, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'
import { mountSmallDisk, type SmallDisk } from './fixtures/small-disk.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer({ behaviour: { rotates: true } })
t.teardown(() => server.close())

async function signedIn(t: Test): Promise<Home> {
  const home = createHome(accountAt(server, me))
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
