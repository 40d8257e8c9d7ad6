/**
 * Several processes, one grant, and a server that ends a grant whose old refresh token comes back: of all
 * that want to refresh it at once one does, and a new sign-in wins over a refresh that hangs.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import {
  startAuthorizationServer,
  type AuthorizationServer,
} from './fixtures/authorization-server.ts'
import { createHome, run, start, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const program = join(import.meta.dirname, 'fixtures', 'refresh-account.js')

interface Place {
  readonly server: AuthorizationServer
  readonly home: Home
  /** The refresh token on disk. */
  stored(): string
  /** The refresh tokens that the server was asked with, oldest first. */
  asked(): (string | null)[]
}

/** Somebody has signed in, and there is no token yet: whoever starts has to refresh. */
async function openPlace(
  t: Test,
  rotates: AuthorizationServer['behaviour']['rotates'] = true,
): Promise<Place> {
  const server = await startAuthorizationServer({ behaviour: { rotates } })
  // One service, so that there is one token to fetch.
  const home = createHome(accountAt(server, me, 'services = ["smtp"]'))
  t.teardown(async () => {
    await server.close()
    home.remove()
  })
  await leaveSignIn(home.configFile, home.env, me, server.grant(me))
  const folder = join(home.path, 'state', 'xoauthd')
  return {
    server,
    home,
    stored() {
      const name = readdirSync(folder).find((one) => one.endsWith('.json')) ?? 'none'
      return (JSON.parse(readFileSync(join(folder, name), 'utf8')) as { grant: string }).grant
    },
    asked: () => server.to('token').map(({ form }) => form.get('refresh_token')),
  }
}

/** Resolves when the process has read the grant. */
async function startAnother(t: Test, { home }: Place) {
  const child = spawn(process.execPath, [program, home.configFile, me], {
    env: home.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async () => String((await lines.next()).value)
  t.equal(await line(), 'ready')
  return { child, token: line() }
}

void t.test('a daemon and three others that want the same token', async (t) => {
  const place = await openPlace(t)
  const { server, home } = place
  const resume = server.hold('token')
  const asking = server.nextRequest('token')
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  await asking
  const others = [
    await startAnother(t, place),
    await startAnother(t, place),
    await startAnother(t, place),
  ]
  const client = run(home, ['token', me, '--wait', '60'])
  t.equal(server.to('token').length, 1, 'they wait')
  resume()

  const value = (await client).stdout.trim()
  for (const other of others) t.equal(await other.token, value)
  t.ok(server.accept(value, me), 'no refresh token came back, which would have ended it')
  t.equal(server.to('token').length, 1, 'one refresh for all')
  t.not(place.stored(), place.asked()[0], 'and what it brought is on disk')
})

void t.test('who waits goes on when the one who refreshes dies', async (t) => {
  const place = await openPlace(t, 'when the next is used')
  const { server } = place
  const resume = server.hold('token')
  const asking = server.nextRequest('token')
  const first = await startAnother(t, place)
  await asking
  const second = await startAnother(t, place)
  first.child.kill('SIGKILL')
  await once(first.child, 'close')
  await server.reached(2)
  resume()
  const value = await second.token
  t.ok(server.accept(value, me))
  const [lost, taken] = place.asked()
  t.equal(taken, lost, 'its answer was lost, so it is asked for once more')
  t.equal(server.to('token').length, 2)
})

void t.test('a sign-in while a refresh hangs', async (t) => {
  const place = await openPlace(t)
  const { server, home } = place
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.equal((await run(home, ['token', me, '--wait', '60'])).code, 0)
  const old = place.stored()

  server.fault({ endpoint: 'token', answer: 'hang' })
  const asking = server.nextRequest('token')
  const refresh = start(home, ['refresh', me])
  await asking
  const { login, consent } = await startLogin(home, me)
  const page = visit(await consent())
  // The code, and the first refresh of what it brought.
  await server.reached(server.to('token').length + 2)
  t.equal(place.stored(), old, 'it waits for its turn')
  t.match(await page, { status: 200, page: /<h1>Signed in<\/h1>/ })
  t.equal(await login.ended, 0)
  await refresh.ended
  const signedIn = place.stored()
  t.not(signedIn, old)
  const token = await run(home, ['token', me])
  server.end(old)
  t.ok(server.accept(token.stdout.trim(), me), 'what is handed out is of the new sign-in')

  // A host that hung is left alone for a while by the daemon that saw it.
  await daemon.stop()
  const next = await startDaemonProcess(home)
  t.teardown(() => next.stop())
  t.match(await run(home, ['refresh', me]), { code: 0 })
  t.equal(place.asked().at(-1), signedIn)
  t.equal(place.asked().filter((grant) => grant === old).length, 1, 'nobody asked with it again')
})
