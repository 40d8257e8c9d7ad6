/** While a host is down it is asked once a tick and no more, whatever is due and whoever asks. */
import t, { type Test } from 'tap'
import type { Account } from '../src/accounts.ts'
import { Misconfigured, SignInNeeded, Unavailable } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  counting,
  createPlace,
  createProvider,
  failing,
  held,
  hourMs,
  tokenOf,
  until,
  type MemoryProvider,
  type Place,
} from './fixtures/keeper-place.ts'

const down = failing(new Unavailable('the host is down', { trouble: 'network', hint: 'wait' }))

/** Accounts of one host, each with a token that is due. */
async function dueAccounts(
  t: Test,
  count: number,
): Promise<{ place: Place; provider: MemoryProvider; accounts: Account[] }> {
  const place = await createPlace(t)
  const provider = createProvider()
  const accounts = Array.from({ length: count }, (_, n) => accountOf(`u${n}@example.com`, provider))
  await place.keeper.adopt(accountsOf(accounts), place.nowMs)
  await place.quiet()
  provider.asked.length = 0
  place.nowMs += 43 * 60_000
  return { place, provider, accounts }
}

void t.test('one probe a tick, each time another account', async (t) => {
  const { place, provider } = await dueAccounts(t, 50)
  provider.answer = down
  place.tick(0)
  await place.quiet()
  t.equal(provider.asked.length, 32, 'those that were under way together')
  const firstRetryMs = 7_500
  t.equal(place.wakes.at(-1), firstRetryMs, 'a first failure is often a blip')
  place.tick(firstRetryMs)
  await place.quiet()
  t.equal(provider.asked.length, 33)
  for (let ticks = 0; ticks < 10; ticks++) {
    place.tick(30_000)
    place.tick(0)
    await place.quiet()
  }
  t.equal(provider.asked.length, 43)
  const probed = new Set(provider.asked.slice(32).map(({ request }) => request.mailbox))
  t.equal(probed.size, 11, 'a failing account does not stand in the way of the others')
})

void t.test('the keeper does not spin while a probe is under way', async (t) => {
  const { place, provider } = await dueAccounts(t, 3)
  provider.answer = down
  place.tick(0)
  await place.quiet()
  const later = held()
  provider.answer = later.answer
  place.tick(8_000)
  t.equal(place.wakes.at(-1), 30_000)
  place.tick(30_000)
  t.equal(place.wakes.at(-1), 30_000)
  await until(() => provider.asked.length === 4)
  later.give(tokenOf('probe', place.nowMs))
  provider.answer = counting
  await place.quiet()
})

void t.test('the first success makes all due, spread by jitter', async (t) => {
  const { place, provider, accounts } = await dueAccounts(t, 40)
  provider.answer = down
  place.tick(0)
  await place.quiet()
  provider.answer = counting
  provider.asked.length = 0
  place.tick(8_000)
  await place.quiet()
  t.equal(provider.asked.length, 1, 'the probe')
  t.match(place.lines.at(-1), /info re/)
  t.equal(place.wakes.at(-2), 5_000, 'half of the spread, at half the jitter')
  const held = place.slots().filter(({ state }) => state.kind === 'failing')
  t.ok(held.length >= 31)
  place.tick(5_000)
  place.tick(10_000)
  await place.quiet()
  t.equal(provider.asked.length, accounts.length, 'each once')
})

void t.test('clients cost nothing while a host is down', async (t) => {
  const { place, provider, accounts } = await dueAccounts(t, 1)
  const [account] = accounts
  if (!account) return
  const other = accountOf('*@wild.example', provider)
  await place.keeper.adopt(accountsOf([...accounts, other]), place.nowMs)
  await place.quiet()
  provider.answer = down
  place.tick(45 * 60_000)
  await place.quiet()
  const asked = provider.asked.length
  t.equal(await place.ask(account), 't1', 'what lives is served')
  const outcomes = [
    await place.refusal(account, { refused: true }),
    await place.refusal(account, { minMs: hourMs - 1_000 }),
    await place.refusal(other, { mailbox: 'new@wild.example' }),
  ]
  for (const failure of outcomes)
    t.match(failure, {
      code: 'unavailable',
      message: 'the host is down',
      trouble: 'network',
      hint: 'wait',
      retryAfterMs: 7_500,
    })
  t.equal(provider.asked.length, asked)
})

void t.test('a client that can wait gets the answer of the next probe', async (t) => {
  const { place, provider, accounts } = await dueAccounts(t, 2)
  const [, account] = accounts
  if (!account) return
  provider.answer = down
  place.tick(0)
  await place.quiet()
  const answer = place.ask(account, { refused: true, waitMs: 60_000 })
  const sooner = place.ask(account, { refused: true, waitMs: 20_000 })
  t.equal(place.wakes.at(-1), 7_500)
  provider.answer = counting
  place.tick(7_500)
  t.match(await answer, /^t/)
  t.match(await sooner, /^t/)
})

void t.test('a client that waits for a new token while the old one is good', async (t) => {
  const { place, provider, accounts } = await dueAccounts(t, 2)
  const [first, second] = accounts
  if (!first || !second) return
  await place.keeper.refresh(second, second.user)
  place.nowMs += 60_000
  provider.answer = down
  await t.rejects(place.keeper.refresh(first, first.user))
  provider.answer = counting
  const asked = provider.asked.length
  const answer = place.ask(second, { refused: true, waitMs: 20_000 })
  place.tick(7_500)
  t.match(await answer, /^t/, 'due although its token is fresh')
  await place.quiet()
  t.ok(provider.asked.length - asked <= 2)
})

void t.test('who comes while the probe is under way waits', async (t) => {
  const { place, provider, accounts } = await dueAccounts(t, 2)
  const [first, second] = accounts
  if (!first || !second) return
  provider.answer = down
  place.tick(0)
  await place.quiet()
  const later = held()
  provider.answer = later.answer
  place.tick(8_000)
  await until(() => provider.asked.length === 3)
  const waiting = [first, second].map((one) => place.refusal(one, { refused: true }))
  provider.answer = counting
  later.fail(new Unavailable('still down', { trouble: 'network' }))
  await place.quiet()
  t.equal(provider.asked.length, 3)
  t.match(place.wakes.at(-1), 29_500)
  place.tick(29_500)
  const outcomes = await Promise.all(waiting.map((one) => one.catch(() => 'served')))
  t.match(outcomes, [{ message: 'still down' }, 'served'], 'nobody waits for ever')
})

void t.test('what never reached the host says nothing of it', async (t) => {
  const { place, provider, accounts } = await dueAccounts(t, 3)
  provider.answer = down
  place.tick(0)
  await place.quiet()
  provider.asked.length = 0
  provider.answer = failing(new Misconfigured('the secret cannot be read'))
  place.tick(8_000)
  await place.quiet()
  t.equal(provider.asked.length, 1)
  t.equal(place.wakes.at(-1), 0, 'the next one may probe at once')
  provider.answer = down
  place.tick(0)
  await place.quiet()
  t.equal(provider.asked.length, 2)
  t.ok((place.wakes.at(-1) ?? 0) > 29_000, 'and the host is still down')
  t.equal(accounts.length, 3)
})

void t.test('an answer about one account is the answer of a host that is well', async (t) => {
  const answers = {
    confirming: new SignInNeeded('dead'),
    failing: new Unavailable('answered for somebody else', { trouble: 'account' }),
  }
  for (const [kind, failure] of Object.entries(answers)) {
    const { place, provider } = await dueAccounts(t, 3)
    provider.answer = down
    place.tick(0)
    await place.quiet()
    provider.answer = failing(failure)
    place.tick(8_000)
    await place.quiet()
    provider.answer = counting
    place.tick(10_000)
    await place.quiet()
    t.same(
      place.slots().map(({ state }) => state.kind),
      [kind, 'live', 'live'],
    )
  }
})

void t.test('a Retry-After is kept to', async (t) => {
  const { place, provider } = await dueAccounts(t, 1)
  provider.answer = failing(
    new Unavailable('too many', { trouble: 'provider', retryAfterMs: 600_000 }),
  )
  place.tick(0)
  await place.quiet()
  for (let ticks = 0; ticks < 19; ticks++) place.tick(30_000)
  await place.quiet()
  t.equal(provider.asked.length, 1)
  provider.answer = counting
  place.tick(30_000)
  await place.quiet()
  t.equal(provider.asked.length, 2)
})

void t.test('a clock that is set back', async (t) => {
  const { place, provider } = await dueAccounts(t, 3)
  provider.answer = down
  place.tick(0)
  await place.quiet()
  provider.asked.length = 0
  provider.answer = counting
  place.tick(-86_400_000)
  t.match(place.lines.at(-1), 'warn clock set back')
  place.tick(10_000)
  await place.quiet()
  place.tick(10_000)
  await place.quiet()
  t.same(
    place.slots().map(({ state }) => state.kind),
    ['live', 'live', 'live'],
    'well within a tick, not a day',
  )
  t.equal(provider.asked.length, 3)
})

void t.test('many at once', async (t) => {
  const place = await createPlace(t)
  let inFlight = 0
  let most = 0
  const provider = createProvider({
    answer: async ({ atMs, request }) => {
      most = Math.max(most, ++inFlight)
      await until(() => true)
      await Promise.resolve()
      inFlight--
      return { token: tokenOf(request.mailbox, atMs) }
    },
  })
  const accounts = Array.from({ length: 1000 }, (_, n) => accountOf(`u${n}@e.example`, provider))
  await place.keeper.adopt(accountsOf(accounts), place.nowMs)
  await place.quiet()
  t.equal(most, 32)
  t.equal(provider.asked.length, 1000)
  t.equal(new Set(provider.asked.map(({ request }) => request.mailbox)).size, 1000)
})
