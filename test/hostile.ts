/**
 * Clients that do not behave, by the hundred, on the socket of a real daemon: others are served
 * meanwhile, its memory stays bounded, and it does not fall.
 *
 * That others are served is seen by order, not by a clock: they have their answer while the crowd is
 * still there. CROWD=10000 makes it larger, as `npm run test:long` does.
 */
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { drip, gather, residentMb } from './fixtures/crowd.ts'
import {
  createHome,
  startDaemonProcess,
  type ProcessOptions,
  type Running,
} from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'
import { until } from './fixtures/keeper-place.ts'
import { send } from './fixtures/raw-client.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const crowdSize = Number(process.env['CROWD'] ?? 1_000)
const me = 'me@issuer.example'
const good = xoauth2(me, 'kept')
/** What a connection costs at most, with all that Node keeps of it. */
const connectionMb = 0.03
/** Code that is compiled and a heap that grows before it is swept, whoever comes. */
const slackMb = 60

const two = 'two@issuer.example'

const server = await startAuthorizationServer()
const home = createHome(accountAt(server, me) + accountAt(server, two))
await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: 'kept' })
await leaveSignIn(home.configFile, home.env, two, server.grant(two), { value: 'kept too' })
t.teardown(async () => {
  await server.close()
  home.remove()
})
const { socket } = home

async function daemonOf(t: Test, options?: ProcessOptions): Promise<Running> {
  const daemon = await startDaemonProcess(home, options)
  t.teardown(() => daemon.stop())
  return daemon
}

async function servesOthers(t: Test, who: string, length = 20): Promise<void> {
  const answers = await Promise.all(Array.from({ length }, () => send(socket, `SMTP ${me}`)))
  t.same(new Set(answers), new Set([good]), `others are served beside ${who}`)
}

void t.test('crowds', async (t) => {
  const daemon = await daemonOf(t)
  const behaviours: Readonly<Record<string, (client: Socket, index: number) => unknown>> = {
    'clients that say nothing': () => undefined,
    'halves of requests': (client) => client.write(`SMTP ${me.slice(0, 5)}`),
    'requests without an end': (client) => drip(client, `SMTP,explain ${'x'.repeat(500)}`),
    'clients that go on and on': (client) => client.write(`SMTP ${me}\n${'x'.repeat(1 << 16)}`),
    'clients that do not read': (client) => client.pause().write(`SMTP,json ${me}\n`),
    'clients that go at once': (client, index) => {
      if (index % 2 === 0) client.destroy()
      else client.resetAndDestroy()
    },
  }
  const beforeMb = residentMb(daemon.child.pid)
  for (const [who, behave] of Object.entries(behaviours))
    await t.test(who, async (t) => {
      const size = who === 'clients that say nothing' ? crowdSize : Math.min(crowdSize, 300)
      // A socket that was reset is a TCP matter; on a UNIX socket Node says so.
      const crowd = await gather(socket, size, (client, index) => {
        try {
          behave(client, index)
        } catch {
          client.destroy()
        }
      })
      const gone = crowd.gone.length
      await servesOthers(t, who)
      if (behave.length === 0) t.equal(crowd.gone.length, gone, 'and all of them are still there')
      const grownMb = residentMb(daemon.child.pid) - beforeMb
      // What the first and largest crowd took is not given back at once.
      t.ok(
        grownMb < slackMb + crowdSize * connectionMb,
        `${size} of them take ${grownMb.toFixed(0)} MB`,
      )
      await crowd.disperse()
    })
  await t.test('nothing is left of them', async (t) => {
    const descriptors = () => readdirSync(`/proc/${daemon.child.pid ?? 0}/fd`).length
    await until(() => descriptors() < 100)
    await servesOthers(t, 'nobody')
    t.notMatch(daemon.stderr(), /^error /m)
    t.equal(await daemon.stop(), 0)
  })
})

void t.test('who is answered and does not go holds nothing up', async (t) => {
  const daemon = await daemonOf(t)
  const crowd = await gather(socket, 50, (client) => client.write(`SMTP ${me}\n`))
  await crowd.left(50)
  t.equal(daemon.child.exitCode, null)
})

void t.test('few descriptors', needs('prlimit', 'util-linux'), async (t) => {
  const daemon = await daemonOf(t, { via: ['prlimit', '--nofile=64:64'] })
  const size = 150
  const crowd = await gather(socket, size)
  await daemon.said(/^warn clients crowded out count=\d+ most=\d+$/m)
  // No more at once than there is always room for.
  await servesOthers(t, 'a crowd that is larger than the limit', 8)
  const most = Number(/ most=(\d+)$/m.exec(daemon.stderr())?.[1])
  t.ok(most >= 8 && most < 64, `${most} at once`)
  t.ok(crowd.gone.length >= size - most)
  const gone = [...crowd.gone].sort((a, b) => a - b)
  t.same(gone, [...gone.keys()], 'those that were silent for longest went first')

  // Half of what it may have is its own: it still asks the provider and writes what that answers.
  const fresh = await send(socket, `SMTP,min=3500,token ${me}`)
  t.ok(server.accept(fresh, me))
  t.notMatch(daemon.stderr(), /^(?:error|warn grant) /m)

  // Who waits for a token is not crowded out by who says nothing.
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const answer = send(socket, `SMTP,min=3500,token,wait=60 ${two}`)
  await asked
  const next = await gather(socket, size)
  resume()
  t.ok(server.accept(await answer, two))
  await Promise.all([crowd, next].map((one) => one.disperse()))
  t.equal(daemon.child.exitCode, null)
})

void t.test('they are cut, and the daemon ends although they are there', async (t) => {
  const daemon = await daemonOf(t)
  const crowd = await gather(socket, 100, (client, index) => {
    if (index % 2 === 0) client.write('SMTP m')
  })
  const ended = once(daemon.child, 'exit')
  t.equal(await daemon.stop(), 0)
  await ended
  await crowd.left(100)
  t.equal(crowd.gone.length, 100)
})
