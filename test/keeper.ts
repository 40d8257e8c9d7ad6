/** What a client gets: tokens that are good enough for it, and no more requests than that takes. */
import t from 'tap'
import { Misconfigured, Unavailable, UnknownAccount } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  createPlaceOf,
  createProvider,
  failing,
  held,
  hourMs,
  startMs,
  tokenOf,
  until,
  user,
} from './fixtures/keeper-place.ts'

void t.test('a token is fetched once and handed out at once', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider)
  t.equal(provider.asked.length, 1, 'before anybody asks')
  t.equal(await place.ask(account), 't1', 'who asks meanwhile waits for the same one')
  const wanted = { minMs: undefined, untilMs: startMs, refused: false }
  const token = place.keeper.token(account, { service: 'smtp', mailbox: user }, wanted, startMs)
  t.match(token, { value: 't1' }, 'and not as a promise')
  t.equal(provider.asked.length, 1)
  t.throws(
    () =>
      place.keeper.token(
        accountOf('x@y', provider),
        { service: 'smtp', mailbox: 'x@y' },
        wanted,
        startMs,
      ),
    /was not adopted/,
  )
})

void t.test('one request serves all who wait', async (t) => {
  const later = held()
  const provider = createProvider({ answer: later.answer })
  const { place, account } = await createPlaceOf(t, provider, { user: '*@example.com' })
  const mailbox = 'a@example.com'
  const all = Array.from({ length: 20 }, () => place.ask(account, { mailbox }))
  place.tick(0)
  await until(() => provider.asked.length > 0)
  later.give(tokenOf('shared', startMs))
  t.same(new Set(await Promise.all(all)), new Set(['shared']))
  t.equal(provider.asked.length, 1)
})

void t.test('a token is refreshed with a quarter to a third of its life left', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  place.tick(42 * 60_000)
  await place.quiet()
  t.equal(provider.asked.length, 1, 'not yet')
  place.tick(60_000)
  t.equal(await place.ask(account), 't1', 'the old one serves meanwhile')
  await until(() => provider.asked.length > 1)
  t.equal(provider.asked.length, 2, '17.5 minutes before its end, at half the jitter')
  await place.quiet()
  t.equal(await place.ask(account), 't2')
})

void t.test('a tick looks again when there is something to do', async (t) => {
  const provider = createProvider({
    answer: ({ atMs }, count) => ({ token: tokenOf(`t${count}`, atMs, 40_000) }),
  })
  const { place } = await createPlaceOf(t, provider)
  await place.quiet()
  t.equal(place.wakes.at(-1), 30_000, 'a short life, the refresh and its slack fill a tick')
  place.tick(28_000)
  await place.quiet()
  t.equal(provider.asked.length, 1)
  t.equal(Math.round(place.wakes.at(-1) ?? 0), 2_333, 'when it is due, and its slack')
  place.tick(1_000)
  await place.quiet()
  t.equal(provider.asked.length, 2, 'refreshed as often as it needs')
})

void t.test('a token that is due as it comes does not make the keeper spin', async (t) => {
  const provider = createProvider({
    answer: ({ atMs }, count) => ({ token: tokenOf(`t${count}`, atMs, 1) }),
  })
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  t.ok((place.wakes.at(-1) ?? 0) >= 1_000)
  provider.answer = ({ atMs }) => ({ token: tokenOf('dead on arrival', atMs, 0) })
  place.tick(1_000)
  await place.quiet()
  t.ok((place.wakes.at(-1) ?? 0) >= 29_000)
  t.match(await place.refusal(account), { code: 'unavailable', trouble: 'clock' })
  t.match(place.lines.at(-1), /warn unavailable host.example sent a token that has expired/)
})

void t.test('an expired token is never handed out', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  provider.answer = failing(new Unavailable('down', { trouble: 'network' }))
  place.tick(hourMs - 61_000)
  await place.quiet()
  t.equal(await place.ask(account), 't1', 'it lives for more than a minute')
  place.nowMs += 1_000
  t.equal((await place.refusal(account)).message, 'down')
  t.equal(
    await place.ask(account, { minMs: 59_000 }),
    't1',
    'good enough for a client that says so',
  )
  t.equal(await place.ask(account, { minMs: 0 }), 't1')
  place.nowMs += 60_000
  t.match(await place.refusal(account, { minMs: 0 }), { code: 'unavailable' }, 'its last instant')
  place.nowMs = startMs - 60_000
  t.match(await place.refusal(account), { code: 'unavailable' }, 'the clock was set back')
})

void t.test('min', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  place.nowMs += 60_000
  t.equal(await place.ask(account, { minMs: hourMs - 61_000 }), 't1')
  t.equal(await place.ask(account, { minMs: hourMs - 60_000 }), 't2', 'not enough left')
  t.equal(provider.asked.length, 2)
  t.match(await place.refusal(account, { minMs: hourMs }), {
    message: 'min is 3600 s, and a fresh token lives 3600 s',
  })
  place.nowMs += 29_000
  t.match(await place.refusal(account, { minMs: hourMs - 1_000 }), { retryAfterMs: 1_000 })
  t.equal(provider.asked.length, 2, 'neither costs a request')
})

void t.test('min for a first token', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider, { user: '*@example.com' })
  const mailbox = 'a@example.com'
  const refusal = await place.refusal(account, { mailbox, minMs: 2 * hourMs })
  t.match(refusal, {
    code: 'unavailable',
    message: 'min is 7200 s, and a fresh token lives 3600 s',
  })
  t.equal(provider.asked.length, 1)
})

void t.test('refused', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  place.nowMs += 29_999
  t.equal(await place.ask(account, { refused: true }), 't1', 'the newest there can be')
  place.nowMs += 1
  t.equal(await place.ask(account, { refused: true }), 't2')
  t.equal(await place.ask(account), 't2')
  provider.answer = failing(new Unavailable('down', { trouble: 'network' }))
  place.nowMs += 30_000
  t.match(await place.refusal(account, { refused: true }), { code: 'unavailable' })
  t.match(await place.refusal(account), { code: 'unavailable' }, 'not for others either')
  t.match(await place.refusal(account, { minMs: 0 }), { code: 'unavailable' })
  provider.answer = ({ atMs }) => ({ token: tokenOf('t2', atMs) })
  place.tick(30_000)
  await place.quiet()
  t.match(await place.refusal(account), { message: /fetched only just now/ }, 'the same one again')
  provider.answer = ({ atMs }) => ({ token: tokenOf('t9', atMs) })
  place.nowMs += 30_000
  t.equal(await place.ask(account), 't9')
  provider.answer = ({ atMs }) => ({ token: tokenOf('t2', atMs) })
  place.tick(45 * 60_000)
  await place.quiet()
  t.match(await place.refusal(account), { code: 'unavailable' }, 'nor when it comes back later')
})

void t.test('clients force five refreshes in ten minutes at most', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  for (let times = 0; times < 20; times++) {
    place.nowMs += 30_000
    await place.ask(account, { refused: true }).catch(() => undefined)
    if (times === 5)
      t.match(await place.refusal(account, { refused: true }), {
        code: 'unavailable',
        message: /^clients had 5 new tokens/,
        retryAfterMs: 450_000,
      })
    t.equal(
      await place.ask(account),
      `t${Math.min(times + 2, 6)}`,
      'who does not complain is served',
    )
  }
  t.equal(provider.asked.length, 6)
  place.nowMs += 60_000
  t.equal(await place.ask(account, { refused: true }), 't7')
})

void t.test('a short-lived token that is due is not forced', async (t) => {
  const provider = createProvider({
    answer: ({ atMs }, count) => ({ token: tokenOf(`t${count}`, atMs, 20_000) }),
  })
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  place.nowMs += 16_000
  t.equal(await place.ask(account), 't2')
})

void t.test('a token without a known expiry is fetched when somebody asks', async (t) => {
  const provider = createProvider({
    answer: ({ atMs }, count) => ({
      token: { ...tokenOf(`t${count}`, atMs, 60_000), expiryKnown: false },
    }),
  })
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  place.tick(hourMs)
  await place.quiet()
  t.equal(provider.asked.length, 1)
  t.equal(await place.ask(account), 't2')
})

void t.test('an account that nobody asks for is kept signed in, by one token', async (t) => {
  const provider = createProvider({ tokenKey: ({ service }) => service })
  const { place } = await createPlaceOf(t, provider, { services: ['smtp', 'imap'] })
  await place.quiet()
  place.tick(6 * 86_400_000)
  await place.quiet()
  t.equal(provider.asked.length, 4)
  place.tick(2 * 86_400_000)
  await place.quiet()
  t.same(
    provider.asked.slice(4).map(({ request }) => request.service),
    ['smtp'],
  )
})

void t.test('a bug is logged and travels as unavailable', async (t) => {
  const provider = createProvider({ answer: failing(new TypeError('undefined is no function')) })
  const { place, account } = await createPlaceOf(t, provider)
  t.match(await place.refusal(account, { waitMs: 0 }), {
    code: 'unavailable',
    message: 'an internal error, see the log of xoauthd',
  })
  t.match(place.lines, ['error bug', /^warn unavailable/])
  provider.answer = failing('a string' as unknown as Error)
  place.tick(30_000)
  await place.quiet()
  t.match(place.lines.slice(2), ['error bug', /^debug unavailable/])
})

void t.test('what only the administrator can cure', async (t) => {
  const provider = createProvider({ answer: failing(new Misconfigured('no such client')) })
  const { place, account } = await createPlaceOf(t, provider, { fingerprint: () => '1' })
  await place.quiet()
  place.tick(15 * 60_000 - 1)
  t.match(await place.refusal(account), { code: 'misconfigured' })
  t.equal(provider.asked.length, 1, 'answered from memory')
  place.tick(1)
  await place.quiet()
  t.equal(provider.asked.length, 2, 'and tried again after a quarter of an hour')
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  t.equal(provider.asked.length, 3, 'or after a reload')
})

void t.test('refresh by hand', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider, { user: '*@example.com' })
  await place.ask(account, { mailbox: 'a@example.com' })
  await place.keeper.refresh(account, 'a@example.com')
  await place.keeper.refresh(account, '*@example.com')
  t.equal(provider.asked.length, 3)
  provider.answer = failing(new UnknownAccount('gone'))
  await t.rejects(place.keeper.refresh(account, 'a@example.com'), { code: 'unknown-account' })
  provider.answer = ({ atMs }) => ({ token: tokenOf('new', atMs) })
  await place.ask(account, { mailbox: 'b@example.com' })
  const asked = provider.asked.length
  await place.keeper.refresh(account, '*@example.com')
  t.equal(provider.asked.length, asked + 1, 'not the mailbox that the provider does not know')
})
