/**
 * A soak in real time: the built daemon, an authorization server on this machine whose answers go wrong
 * at random, tokens that live for less than a minute, and clients that never stop asking.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ask } from '../../src/client.ts'
import { openStore } from '../../src/store.ts'
import { startAuthorizationServer } from '../../test/fixtures/authorization-server.ts'
import { residentMb } from '../../test/fixtures/crowd.ts'
import { createHome } from '../../test/fixtures/daemon.ts'
import type { FaultAnswer } from '../../test/fixtures/faults.ts'
import { send } from '../../test/fixtures/raw-client.ts'
import { accountAt } from '../../test/fixtures/signed-in.ts'
import { createRandom } from './faulty-host.ts'
import { slopeOf, type Figures } from './simulated.ts'

const program = fileURLToPath(new URL('../../bin/xoauthd.js', import.meta.url))
const lifetimeS = 40
const clients = 8
const pauseMs = 20
/** Within a while of each of these the next requests go wrong. Were it always, no probe would find the host well. */
const faultEveryMs = 15_000
const faultMs = 1_500
const sampleEveryMs = 2_000
const dayMs = 86_400_000
/** The heap grows for some minutes, and is swept seldom: a shorter run tells nothing of a leak. */
const tellingMinutes = 30
/** A host that was in trouble when the faults ended is asked again within a tick. */
const healMs = 90_000

const faults: readonly FaultAnswer[] = [
  { status: 503, body: 'down' },
  { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>guest network</html>' },
  { status: 429, headers: { 'retry-after': '2' }, body: { error: 'slow_down' } },
  { status: 500, body: '' },
  'reset',
  'lose',
  'truncate',
  'garbage',
  'slow',
]

/** @param options.minutes how long it lasts */
export async function soak(options: {
  readonly minutes: number
  readonly accounts: number
  readonly seed: number
}): Promise<Figures> {
  const { minutes, accounts, seed } = options
  const random = createRandom(seed)
  const behaviour = { lifetimeS, rotates: 'when the next is used' } as const
  const server = await startAuthorizationServer({ behaviour })
  const users = Array.from({ length: accounts }, (_, n) => `user${n}@issuer.example`)
  const home = createHome(users.map((user) => accountAt(server, user)).join('\n'))
  const store = await openStore(join(home.path, 'state', 'xoauthd'))
  const nowMs = Date.now()
  for (const user of users)
    await store.replace(user, {
      grant: server.grant(user),
      binding: `oauth2 mail-client at ${server.issuer}`,
      signedInAtMs: nowMs,
      refreshedAtMs: nowMs,
      tokens: {},
    })
  await store.close()
  const daemon = spawn(process.execPath, [program, 'serve'], {
    env: home.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(daemon, 'exit')
  await new Promise<void>((resolve) => {
    daemon.stderr.on('data', (text: Buffer) => {
      if (text.includes('info ready')) resolve()
    })
  })

  const tally = { requests: 0, answered: 0, refused: 0, expired: 0, faults: 0 }
  const memory: { day: number; mb: number }[] = []
  const endsAtMs = performance.now() + minutes * 60_000
  const goesOn = () => performance.now() < endsAtMs && daemon.exitCode === null
  await Promise.all([
    ...Array.from({ length: clients }, client),
    every(faultEveryMs, () => {
      tally.faults++
      const answer = faults[Math.floor(random() * faults.length)] ?? 'reset'
      server.fault({ endpoint: 'token', answer, times: 1 + Math.floor(random() * 3) })
      // What nobody has met by then is over: faults that pile up are an outage.
      setTimeout(() => server.heal(), faultMs)
    }),
    every(sampleEveryMs, () =>
      memory.push({ day: performance.now() / dayMs, mb: residentMb(daemon.pid) }),
    ),
  ])
  server.heal()
  const grantsLost = await countLost()
  daemon.kill()
  await ended
  const refreshes = server.to('token').length
  await server.close()
  home.remove()
  return {
    requests: tally.requests,
    answered: tally.answered,
    refused: tally.refused,
    expiredServed: tally.expired,
    grants: accounts,
    grantsLost,
    refreshes,
    refreshesAGrant: refreshes / accounts,
    failures: tally.faults,
    suspends: 0,
    memoryMbADay: minutes < tellingMinutes ? NaN : slopeOf(memory.slice(memory.length >> 1)),
  }

  async function client(): Promise<void> {
    while (goesOn()) {
      const user = users[Math.floor(random() * users.length)] ?? ''
      const token = await send(home.socket, `SMTP,token ${user}`).catch(() => '')
      tally.requests++
      if (token === '') tally.refused++
      else if (server.accept(token, user)) tally.answered++
      else tally.expired++
      await sleep(pauseMs)
    }
  }

  async function every(ms: number, work: () => unknown): Promise<void> {
    while (goesOn()) {
      await sleep(ms)
      work()
    }
  }

  async function countLost(): Promise<number> {
    const deadlineMs = performance.now() + healMs
    let lost = users
    while (lost.length > 0 && performance.now() < deadlineMs) {
      const after: string[] = []
      for (const user of lost) {
        const said = await ask([home.socket], `REFRESH ${user}`).catch(() => '')
        if (!said.includes('"refreshed"')) after.push(user)
      }
      lost = after
      if (lost.length > 0) await sleep(1_000)
    }
    return lost.length
  }
}
