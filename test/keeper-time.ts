/** Suspend, clocks that jump, and a start without one: no expired token, no storm, well within one tick. */
import t, { type Test } from 'tap'
import type { Account } from '../src/accounts.ts'
import { Unavailable } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  counting,
  createPlace,
  createProvider,
  createSignedIn,
  failing,
  grantOf,
  hourMs,
  startMs,
  tokenOf,
  type MemoryProvider,
  type Place,
} from './fixtures/keeper-place.ts'

const dayMs = 24 * hourMs
const tickMs = 30_000
const count = 20

async function freshAccounts(t: Test) {
  const place = await createPlace(t)
  const provider = createProvider()
  const accounts = Array.from({ length: count }, (_, n) => accountOf(`u${n}@e.example`, provider))
  await place.keeper.adopt(accountsOf(accounts), place.nowMs)
  await place.quiet()
  provider.asked.length = 0
  return { place, provider, accounts }
}

/** Asks for all of them; what was served was alive, by the clock that the provider has. */
async function askAll({ place, accounts }: { place: Place; accounts: readonly Account[] }) {
  const wanted = { minMs: undefined, untilMs: place.nowMs, refused: false }
  let served = 0
  for (const account of accounts) {
    const request = { service: 'smtp', mailbox: account.user }
    const answer = (async () => place.keeper.token(account, request, wanted, place.nowMs))()
    const token = await answer.catch(() => undefined)
    if (!token) continue
    served++
    if (token.expiresAtMs <= place.nowMs) throw new Error('an expired token was served')
    if (token.obtainedAtMs > place.nowMs) throw new Error('a token of another time was served')
  }
  return served
}

void t.test('a suspend of hours', async (t) => {
  const held = await freshAccounts(t)
  const { place, provider } = held
  place.nowMs += 5 * hourMs
  provider.answer = failing(new Unavailable('no network yet', { trouble: 'network' }))
  t.equal(await askAll(held), 0, 'all had expired, and none is served')
  place.tick(0)
  await place.quiet()
  const asked = provider.asked.length
  t.ok(asked <= 32, 'those that were due together')
  provider.answer = counting
  place.tick(tickMs)
  await place.quiet()
  place.tick(10_000)
  await place.quiet()
  t.equal(await askAll(held), count, 'fresh after a tick and the jitter')
  t.equal(provider.asked.length - asked, count, 'each once')
})

void t.test('a clock that is set forward, and back again', async (t) => {
  const held = await freshAccounts(t)
  const { place, provider } = held
  place.tick(30 * dayMs)
  await place.quiet()
  t.equal(await askAll(held), count)
  t.equal(provider.asked.length, count)
  place.tick(-30 * dayMs)
  t.equal(await askAll(held), count, 'who asks gets another one')
  place.tick(tickMs)
  await place.quiet()
  t.equal(await askAll(held), count)
  t.equal(provider.asked.length, 2 * count, 'each once more')
  for (let ticks = 0; ticks < 20; ticks++) {
    place.tick(tickMs)
    await place.quiet()
  }
  t.equal(provider.asked.length, 2 * count, 'and then there is peace')
})

void t.test('no clock at boot', async (t) => {
  const place = await createPlace(t)
  const provider = createSignedIn()
  const account = accountOf('me@example.com', provider)
  const left = { ...grantOf('grant', { '': tokenOf('of a real day', startMs) }) }
  await place.store.replace(account.user, left)
  place.nowMs = 12_000
  provider.answer = failing(
    new Unavailable('the certificate is of the future', { trouble: 'network' }),
  )
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  t.equal(
    (await place.refusal(account, { waitMs: 0 })).code,
    'unavailable',
    'nobody knows the time',
  )
  t.equal(provider.asked.length, 1)
  place.tick(tickMs)
  await place.quiet()
  t.equal(provider.asked.length, 2)

  provider.answer = counting
  place.nowMs = startMs + 60_000
  place.tick(0)
  await place.quiet()
  t.equal(await place.ask(account), 't3', 'as soon as there is one')
  t.equal((await place.store.read(account.user))?.stored.grant, 'grant')
  t.equal(provider.asked.length, 3)
})

void t.test('a clock that wanders does not make a storm', async (t) => {
  const held = await freshAccounts(t)
  const { place, provider } = held
  for (const laterMs of [hourMs, -hourMs, dayMs, -dayMs, 2 * hourMs, -2 * hourMs]) {
    place.tick(laterMs)
    await place.quiet()
    for (let ticks = 0; ticks < 4; ticks++) {
      place.tick(tickMs / 2)
      await place.quiet()
      await askAll(held)
    }
    t.equal(await askAll(held), count)
  }
  t.ok(provider.asked.length <= 6 * count, `${provider.asked.length} requests for six jumps`)
})

void t.test('tokens that die early', async (t) => {
  const { place, provider, accounts } = await freshAccounts(t)
  const [account] = accounts
  if (!account) throw new Error('there is none')
  let refused = 0
  // A client that complains every second for an hour, whatever it is given.
  for (let second = 0; second < 3600; second++) {
    place.nowMs += 1_000
    await place.ask(account, { refused: true, waitMs: 0 }).catch(() => refused++)
    await place.quiet()
  }
  t.ok(provider.asked.length <= 30, `five in ten minutes: ${provider.asked.length} in an hour`)
  t.ok(provider.asked.length >= 25)
  t.ok(refused < 3600)
})

void t.test('a minimum that no token reaches', async (t) => {
  const { place, provider, accounts } = await freshAccounts(t)
  const [account] = accounts
  if (!account) throw new Error('there is none')
  const wild = accountOf('*@wild.example', provider)
  await place.keeper.adopt(accountsOf([...accounts, wild]), place.nowMs)
  for (const minMs of [hourMs, 2 * hourMs, 365 * dayMs])
    for (let times = 0; times < 50; times++) {
      const failure = await place.refusal(account, { minMs })
      t.match([failure.code, failure.message], ['unavailable', /a fresh token lives 3600 s/])
      place.nowMs += 1_000
    }
  t.equal(provider.asked.length, 0, 'nobody is asked for what there cannot be')
  for (let times = 0; times < 50; times++) {
    const failure = await place.refusal(wild, { minMs: hourMs, mailbox: 'new@wild.example' })
    t.match([failure.code, failure.message], ['unavailable', /a fresh token lives 3600 s/])
    place.nowMs += 1_000
  }
  t.equal(provider.asked.length, 1, 'once, to know how long one lives')
  // By a second less than a life: each answer would be out of date as it comes.
  let asked = 0
  for (let times = 0; times < 600; times++) {
    await place.ask(account, { minMs: hourMs - 1, waitMs: 0 }).catch(() => asked++)
    place.nowMs += 1_000
    await place.quiet()
  }
  t.ok(provider.asked.length <= 7, `${provider.asked.length} requests in ten minutes`)
})

void t.test('a grant that nobody uses', async (t) => {
  const place = await createPlace(t)
  const yearMs = 365 * dayMs
  const long = (given: Partial<MemoryProvider> = {}): MemoryProvider =>
    createSignedIn({
      answer: ({ atMs }, times) => ({ token: tokenOf(`t${times}`, atMs, yearMs) }),
      ...given,
    })
  const quietOne = long()
  const halfBroken = long({ tokenKey: ({ service }) => service })
  const { answer } = halfBroken
  halfBroken.answer = (question, times) => {
    if (question.request.service === 'smtp') throw new Unavailable('not for smtp')
    return answer(question, times)
  }
  const accounts = [
    accountOf('quiet@e.example', quietOne),
    accountOf('half@e.example', halfBroken, { services: ['smtp', 'imap'] }),
  ]
  for (const { user } of accounts) await place.store.replace(user, grantOf('grant'))
  await place.keeper.adopt(accountsOf(accounts), place.nowMs)
  await place.quiet()
  const usedAt = (user: string) => async () =>
    (await place.store.read(user))?.stored.refreshedAtMs ?? 0
  const ofQuiet = usedAt('quiet@e.example')
  const ofHalf = usedAt('half@e.example')
  for (let days = 0; days < 100; days++) {
    place.tick(dayMs)
    await place.quiet()
    for (const used of [ofQuiet, ofHalf])
      if (place.nowMs - (await used()) > 15 * dayMs) t.fail(`unused on day ${days}`)
  }
  t.ok(quietOne.asked.length < 10, 'and no more often than that')
})
