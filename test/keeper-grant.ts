/** What happens to a grant in a refresh: it rotates, dies, or is replaced. */
import t from 'tap'
import { SignInNeeded, Unavailable } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  counting,
  createPlace,
  createPlaceOf,
  createSignedIn,
  failing,
  grantOf,
  held,
  hourMs,
  rotating,
  startMs,
  tokenOf,
  until,
  user,
} from './fixtures/keeper-place.ts'

const dead = failing(new SignInNeeded('the grant is dead'))

void t.test('a rotated grant is on disk before its token is served', async (t) => {
  const provider = createSignedIn({ answer: rotating })
  const { place, account } = await createPlaceOf(t, provider)
  t.equal(await place.ask(account), 't1')
  const found = await place.store.read(user)
  t.match(found?.stored, { grant: 'g1', tokens: { '': { value: 't1' } } })
  t.equal(provider.asked[0]?.grant, 'g0')
  place.nowMs += 60_000
  t.equal(await place.ask(account, { refused: true }), 't2')
  t.equal(provider.asked[1]?.grant, 'g1')
})

void t.test(
  'a rotated grant whose token is of no use is on disk before that is told',
  async (t) => {
    let full = false
    const place = await createPlace(t, (store) => ({
      ...store,
      write: (...given) =>
        full ? Promise.reject(new Unavailable('the disk is full')) : store.write(...given),
    }))
    await place.store.replace(user, grantOf('g0', { '': tokenOf('t0', startMs) }))
    const provider = createSignedIn({
      answer: (_question, count) => {
        throw new Unavailable('no use', { trouble: 'provider', grant: `g${count}` })
      },
    })
    const account = accountOf(user, provider)
    await place.keeper.adopt(accountsOf([account]), place.nowMs)
    await t.rejects(place.keeper.refresh(account, user), { code: 'unavailable', message: 'no use' })
    t.match(await place.store.read(user), {
      stored: { grant: 'g1', refreshedAtMs: startMs, tokens: { '': { value: 't0' } } },
    })
    t.equal(await place.ask(account), 't0')
    full = true
    place.tick(60_000)
    await place.quiet()
    t.same(place.keeper.unsaved(), [user])
    full = false
    provider.answer = counting
    place.tick(60_000)
    await place.quiet()
    t.same(
      provider.asked.map(({ grant }) => grant),
      ['g0', 'g1', 'g2'],
      'each with what the one before brought',
    )
  },
)

void t.test('a dead grant is confirmed before anybody believes it', async (t) => {
  const provider = createSignedIn({ answer: dead })
  const { place, account } = await createPlaceOf(t, provider)
  t.match(await place.refusal(account), {
    code: 'unavailable',
    message: 'the grant is dead; asking once more to be sure',
    hint: `run: xoauthd login ${user}`,
  })
  await t.rejects(place.keeper.refresh(account, user), { code: 'unavailable' }, 'too early')
  provider.asked.length = 0
  place.tick(29_999)
  t.match(await place.refusal(account, { waitMs: 0 }), { code: 'unavailable' })
  t.equal(provider.asked.length, 0)
  place.tick(1)
  await place.quiet()
  t.match(await place.refusal(account), { code: 'sign-in-needed', message: 'the grant is dead' })
  for (let ticks = 0; ticks < 20; ticks++) place.tick(30_000)
  await place.quiet()
  t.match(await place.refusal(account, { waitMs: 60_000 }), { code: 'sign-in-needed' })
  t.equal(provider.asked.length, 1, 'answered from memory')
  t.match(await place.store.read(user), { stored: { grant: 'g0' } }, 'and never deleted')
})

void t.test('a grant that was only called dead', async (t) => {
  const provider = createSignedIn({ answer: dead })
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  provider.answer = counting
  const answer = place.ask(account, { waitMs: 60_000 })
  place.tick(30_000)
  t.equal(await answer, 't2')
  t.match(place.lines.at(-1), 'info recovered')
})

void t.test('what lives is served while the grant is dead', async (t) => {
  const provider = createSignedIn()
  const { place, account } = await createPlaceOf(t, provider)
  await place.quiet()
  provider.answer = dead
  for (const laterMs of [45 * 60_000, 30_000]) {
    place.tick(laterMs)
    await place.quiet()
  }
  t.match(place.slots(), [{ state: { kind: 'stopped' } }])
  t.equal(await place.ask(account), 't1')
})

void t.test('a sign-in that comes while a refresh runs wins', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({
    answer: async ({ grant, atMs }, count) => {
      if (grant === 'g0') await place.store.replace(user, grantOf('signed in again'))
      return { token: tokenOf(`t${count}`, atMs), grant: `${grant ?? ''}, rotated` }
    },
  })
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.equal(await place.ask(account), 't2', "not the old sign-in's token")
  t.match(await place.store.read(user), { stored: { grant: 'signed in again, rotated' } })
})

void t.test('a sign-in that is replaced all the time', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({
    answer: async ({ atMs }, count) => {
      await place.store.replace(user, grantOf(`g${count}`))
      return { token: tokenOf(`t${count}`, atMs) }
    },
  })
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.match(await place.refusal(account), { code: 'unavailable', message: /again and again/ })
})

void t.test('a grant of another client is not sent', async (t) => {
  const provider = createSignedIn()
  const { place, account } = await createPlaceOf(t, provider, {
    stored: grantOf('g0', { '': tokenOf('x', startMs) }, 'another client'),
  })
  t.match(await place.refusal(account), {
    code: 'sign-in-needed',
    message: /was signed in for another client/,
  })
  t.equal(provider.asked.length, 0)
})

void t.test('refreshes of one grant follow each other', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  let inFlight = 0
  const provider = createSignedIn({
    tokenKey: ({ service }) => service,
    answer: async ({ atMs, request }, count) => {
      t.equal(++inFlight, 1)
      await until(() => true)
      inFlight--
      return { token: tokenOf(request.service, atMs), grant: `g${count}` }
    },
  })
  const account = accountOf(user, provider, { services: ['smtp', 'imap', 'pop'] })
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  t.same(
    provider.asked.map(({ grant }) => grant),
    ['g0', 'g1', 'g2'],
  )
  const found = await place.store.read(user)
  t.same(Object.keys(found?.stored.tokens ?? {}), ['smtp', 'imap', 'pop'])
  place.tick(2 * hourMs)
  await place.quiet()
  t.match(await place.store.read(user), { stored: { grant: 'g6' } })
})

void t.test('close', async (t) => {
  const place = await createPlace(t)
  const later = held()
  const provider = createSignedIn({
    tokenKey: ({ service }) => service,
    answer: later.answer,
  })
  await place.store.replace(user, grantOf('g0'))
  const account = accountOf(user, provider, { services: ['smtp', 'imap'] })
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await until(() => provider.asked.length === 1)
  const closed = place.keeper.close()
  const waiting = place.ask(account)
  later.give(tokenOf('t1', startMs), 'g1')
  await closed
  t.match(await place.store.read(user), { stored: { grant: 'g1' } }, 'what was asked is written')
  t.equal(provider.asked.length, 1, 'what had not been asked is not')
  t.equal(await waiting, 't1')
  t.match(await place.refusal(account, { service: 'imap' }), { message: 'xoauthd is stopping' })
  place.tick(hourMs)
  t.equal(provider.asked.length, 1)
})
