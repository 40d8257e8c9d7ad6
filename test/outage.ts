/**
 * A provider that is away for an hour, with a thousand accounts: a real server on loopback, the real
 * keeper, store and transport, and a clock that the test moves.
 */
import { once } from 'node:events'
import http from 'node:http'
import t from 'tap'
import { oauth2 } from '../src/providers/oauth2.ts'
import { createCommandRunner } from '../src/run-command.ts'
import { createSecretReader } from '../src/secret.ts'
import { createTransport } from '../src/transport.ts'
import {
  accountOf,
  accountsOf,
  createPlace,
  grantOf,
  hourMs,
  tokenOf,
} from './fixtures/keeper-place.ts'
import { startAuthorizationServer, theClient } from './fixtures/authorization-server.ts'
import { inline } from './fixtures/provider-of.ts'

const count = 1_000
const minuteMs = 60_000
const tickMs = 30_000
/** What the first success after an outage spreads the accounts over. */
const spreadMs = 10_000

/** The same numbers in each run, 0 to 1. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

void t.test('an hour without the provider', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const settings = {
    token_endpoint: server.endpoints.token,
    authorization_endpoint: server.endpoints.authorize,
    client_id: theClient.id,
    client_secret: inline(theClient.secret),
  }
  const place = await createPlace(t, undefined, seeded(1))
  place.nowMs = Date.now()
  const transport = createTransport('0')
  t.teardown(() => transport.close())
  const surroundings = {
    transport,
    readSecret: createSecretReader('/', {}),
    runCommand: createCommandRunner('/', {}),
  }
  const users = Array.from({ length: count }, (_, n) => `u${n}@corp.example`)
  const accounts = users.map((user) =>
    accountOf(
      user,
      oauth2.create({ user, services: ['smtp'], scopes: {} }, settings, surroundings),
    ),
  )
  // As a daemon leaves them that has run for a while: tokens of every age, the next due in half a minute.
  for (const [n, { user, provider }] of accounts.entries()) {
    const agoMs = Math.floor((n / count) * 39 * minuteMs)
    const token = tokenOf(`before ${n}`, place.nowMs - agoMs)
    const stored = grantOf(server.grant(user), { '': token }, provider.binding)
    await place.store.replace(user, stored)
  }
  await place.keeper.adopt(accountsOf(accounts), place.nowMs)
  await place.quiet()
  t.equal(server.to('token').length, 0, 'nobody is asked at the start')

  /** When the token ends that each was given last, epoch ms. */
  const tokensOf = new Map<string, number>()
  let expired = 0
  let denied = 0
  /** Asks for every account; nothing expired may come, and all that lives must. */
  const askAll = async () => {
    let living = 0
    for (const account of accounts) {
      const request = { service: 'smtp', mailbox: account.user }
      const wanted = { minMs: undefined, untilMs: place.nowMs, refused: false }
      const held = tokensOf.get(account.user)
      const answer = (async () => place.keeper.token(account, request, wanted, place.nowMs))()
      const token = await answer.catch(() => undefined)
      if (token) {
        living++
        if (token.expiresAtMs <= place.nowMs) expired++
        tokensOf.set(account.user, token.expiresAtMs)
      } else if (held !== undefined && held - place.nowMs > minuteMs) denied++
    }
    return living
  }
  t.equal(await askAll(), count)

  server.fault({ endpoint: 'token', answer: { status: 503 }, times: Infinity })
  const startedMs = place.nowMs
  while (place.nowMs - startedMs < hourMs) {
    place.tick(tickMs)
    await place.quiet()
    if ((place.nowMs - startedMs) % (5 * minuteMs) === 0) await askAll()
  }
  const probes = server.to('token').length
  t.ok(probes <= 32 + hourMs / tickMs, `${probes} requests in the hour`)
  t.ok(probes >= hourMs / tickMs - 2, 'and it was asked in every tick')
  t.equal(await askAll(), 0, 'no token outlives the hour')

  server.heal()
  const healedMs = place.nowMs
  place.tick(tickMs)
  await place.quiet()
  const recovered = server.to('token').length
  t.ok(recovered - probes < count / 10, 'they do not all come in one instant')
  const release = server.hold('token')
  place.tick(1_000)
  await server.reached(recovered + 32)
  // A turn of the server for whatever would come beyond them.
  await once(http.get(`${server.issuer}/nothing`), 'response')
  t.equal(server.inFlight, 32, 'as many at once as may be')
  release()
  await place.quiet()
  while (place.nowMs - healedMs < tickMs + spreadMs) {
    place.tick(1_000)
    await place.quiet()
  }
  t.equal(await askAll(), count, 'all are fresh after one tick and the jitter')
  t.equal(server.to('token').length - probes, count, 'each was asked for once')
  t.ok(server.maxInFlight <= 32, `${server.maxInFlight} requests at once`)
  t.same([expired, denied], [0, 0], 'expired tokens served, living ones denied')
  t.ok(place.slots().every(({ state }) => state.kind === 'live'))
  const kept = await Promise.all(
    users.map(async (user) => (await place.store.read(user))?.stored.grant),
  )
  t.notOk(kept.includes(undefined), 'no grant was lost')
  t.comment(`${probes} requests during the outage, ${server.maxInFlight} at once at most after it`)
})
