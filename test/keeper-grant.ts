/** What happens to a grant: it dies, is replaced, is forgotten, or cannot be written. */
import t from 'tap'
import { SignInNeeded, StoreLocked, Unavailable } from '../src/errors.ts'
import type { Store } from '../src/store.ts'
import {
  accountOf,
  accountsOf,
  counting,
  createPlace,
  createSignedIn,
  failing,
  grantOf,
  held,
  hourMs,
  startMs,
  tokenOf,
  until,
  type Answer,
} from './fixtures/keeper-place.ts'

const user = 'me@example.com'

/** Each answer is a new grant, and the one before is dead. */
const rotating: Answer = ({ atMs }, count) => ({
  token: tokenOf(`t${count}`, atMs),
  grant: `g${count}`,
})
const dead = failing(new SignInNeeded('the grant is dead'))

/** A store whose disk fails when it is told to. */
function fragile(): { wrap: (store: Store) => Store; broken: boolean } {
  const disk = {
    broken: false,
    wrap: (store: Store): Store => ({
      ...store,
      write: async (...given) => {
        if (disk.broken) throw new Unavailable('the disk is full')
        return store.write(...given)
      },
    }),
  }
  return disk
}

void t.test('a rotated grant is on disk before its token is served', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ answer: rotating })
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.equal(await place.ask(account), 't1')
  const found = await place.store.read(user)
  t.match(found?.stored, { grant: 'g1', tokens: { '': { value: 't1' } } })
  t.equal(provider.asked[0]?.grant, 'g0')
  place.nowMs += 60_000
  t.equal(await place.ask(account, { refused: true }), 't2')
  t.equal(provider.asked[1]?.grant, 'g1')
})

void t.test('a restart serves what the store remembers and asks nobody', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0', { '': tokenOf('kept', startMs - 60_000) }))
  const provider = createSignedIn()
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.equal(await place.ask(account), 'kept')
  t.equal(provider.asked.length, 0)
  const [kept] = place.keeper.kept()
  t.equal(kept?.grant.signedInAtMs, startMs)
})

void t.test('a dead grant is confirmed before anybody believes it', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ answer: dead })
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
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
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ answer: dead })
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  provider.answer = counting
  const answer = place.ask(account, { waitMs: 60_000 })
  place.tick(30_000)
  t.equal(await answer, 't2')
  t.match(place.lines.at(-1), 'info recovered')
})

void t.test('what lives is served while the grant is dead', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn()
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  provider.answer = dead
  for (const laterMs of [45 * 60_000, 30_000]) {
    place.tick(laterMs)
    await place.quiet()
  }
  t.match(place.slots(), [{ state: { kind: 'stopped' } }])
  t.equal(await place.ask(account), 't1')
})

void t.test('a sign-in is found without being told', async (t) => {
  const place = await createPlace(t)
  const provider = createSignedIn({ tokenKey: ({ service }) => service })
  const account = accountOf(user, provider, { services: ['smtp', 'imap'] })
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.match(await place.refusal(account), {
    code: 'sign-in-needed',
    message: `nobody has signed in for ${user}`,
  })
  t.equal(provider.asked.length, 0)
  place.tick(30_000)
  await place.store.replace(user, grantOf('g0', { smtp: tokenOf('brought along', place.nowMs) }))
  place.tick(30_000)
  await until(() => place.slots()[0]?.state.kind === 'live')
  t.equal(await place.ask(account), 'brought along')
  t.equal(provider.asked.length, 0)
  place.tick(0)
  t.equal(await place.ask(account, { service: 'imap' }), 't1')
})

void t.test('who waits is served what a sign-in brought along', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({
    answer: failing(new Unavailable('down', { trouble: 'network' })),
  })
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  const answer = place.ask(account, { waitMs: 60_000 })
  await place.store.replace(user, grantOf('g1', { '': tokenOf('brought along', place.nowMs) }))
  await place.keeper.refresh(account, user)
  t.equal(await answer, 'brought along')
  place.tick(30_000)
  await place.quiet()
  t.equal(provider.asked.length, 1, 'and nothing is fetched for who waits no more')
})

void t.test('a read that began before a write is not believed after it', async (t) => {
  const hold: { reads: boolean; go: () => void } = { reads: false, go: () => {} }
  const place = await createPlace(t, (store) => ({
    ...store,
    read: async (name) => {
      const found = await store.read(name)
      if (hold.reads) {
        hold.reads = false
        await new Promise<void>((resolve) => (hold.go = resolve))
      }
      return found
    },
  }))
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ answer: rotating })
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  place.nowMs += 60_000
  hold.reads = true
  const refreshed = place.keeper.refresh(account, user)
  await until(() => !hold.reads)
  t.equal(await place.ask(account, { refused: true }), 't2')
  await place.quiet()
  hold.go()
  await refreshed
  const [kept] = place.keeper.kept()
  t.equal(kept?.grant.version, (await place.store.read(user))?.version)
  t.equal(await place.ask(account), 't3')
})

void t.test('a sign-out is seen, with the provider out of reach', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ tokenKey: ({ service }) => service })
  const account = accountOf(user, provider, { services: ['smtp', 'imap'] })
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  provider.answer = failing(new Unavailable('down', { trouble: 'network' }))
  await t.rejects(place.keeper.refresh(account, user), { message: 'down' })
  await place.store.forget(user)
  await t.rejects(place.keeper.refresh(account, user), { code: 'sign-in-needed' })
  for (const service of ['smtp', 'imap'])
    t.match(await place.refusal(account, { service }), { code: 'sign-in-needed' })
  await place.store.replace(user, grantOf('g1', { smtp: tokenOf('new', place.nowMs) }))
  provider.answer = counting
  place.nowMs += 60_000
  const asked = provider.asked.length
  await place.keeper.refresh(account, user)
  t.equal(await place.ask(account), 'new')
  t.equal(provider.asked.length, asked + 1, 'what the sign-in brought is not fetched again')
})

void t.test('a sign-out that nobody told of is seen by the next refresh', async (t) => {
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ tokenKey: ({ service }) => service })
  const account = accountOf(user, provider, { services: ['smtp', 'imap'] })
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  await place.store.forget(user)
  place.nowMs += 60_000
  t.match(await place.refusal(account, { refused: true }), { code: 'sign-in-needed' })
  t.match(await place.refusal(account, { service: 'imap' }), { code: 'sign-in-needed' })
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
  const place = await createPlace(t)
  await place.store.replace(user, grantOf('g0', { '': tokenOf('x', startMs) }, 'another client'))
  const provider = createSignedIn()
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.match(await place.refusal(account), {
    code: 'sign-in-needed',
    message: /was signed in for another client/,
  })
  t.equal(provider.asked.length, 0)
})

void t.test('a rotated grant that the disk does not take', async (t) => {
  const disk = fragile()
  const place = await createPlace(t, disk.wrap)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ answer: rotating })
  const account = accountOf(user, provider, { fingerprint: () => '1' })
  disk.broken = true
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.equal(await place.ask(account), 't1', 'is served')
  place.nowMs += 30_000
  t.equal(await place.ask(account, { refused: true }), 't2')
  t.equal(provider.asked[1]?.grant, 'g1', 'and asked with')
  place.tick(30_000)
  place.tick(0)
  await place.keeper.adopt(
    accountsOf([accountOf(user, provider, { fingerprint: () => '2' })]),
    place.nowMs,
  )
  await place.quiet()
  t.equal(provider.asked[2]?.grant, 'g2', 'also after a reload')
  t.match(await place.store.read(user), { stored: { grant: 'g0' } })
  t.same(
    place.lines.filter((line) => line.startsWith('error')),
    ['error grant not written the disk is full'],
    'said once',
  )
  disk.broken = false
  place.tick(30_000)
  await until(async () => (await place.store.read(user))?.stored.grant === 'g3')
  await until(() => place.lines.includes('info grant written'))
})

void t.test('a grant that is unsaved gives way to a sign-in', async (t) => {
  const disk = fragile()
  const place = await createPlace(t, disk.wrap)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ answer: rotating })
  const account = accountOf(user, provider)
  disk.broken = true
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  disk.broken = false
  await place.store.replace(user, grantOf('a new sign-in'))
  place.tick(30_000)
  const [kept] = place.keeper.kept()
  await until(() => kept?.grant.unsaved === undefined)
  t.match(await place.store.read(user), { stored: { grant: 'a new sign-in' } })
})

void t.test('the end writes what could not be written', async (t) => {
  const disk = fragile()
  const place = await createPlace(t, disk.wrap)
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ answer: rotating })
  disk.broken = true
  await place.keeper.adopt(accountsOf([accountOf(user, provider)]), place.nowMs)
  await place.quiet()
  disk.broken = false
  await place.keeper.close()
  t.match(await place.store.read(user), { stored: { grant: 'g1' } })
})

void t.test('a reload removes an account whose grant is not on disk', async (t) => {
  const disk = fragile()
  const place = await createPlace(t, disk.wrap)
  await place.store.replace(user, grantOf('g0'))
  disk.broken = true
  await place.keeper.adopt(
    accountsOf([accountOf(user, createSignedIn({ answer: rotating }))]),
    place.nowMs,
  )
  await place.quiet()
  await place.keeper.adopt(accountsOf([]), place.nowMs)
  t.same(place.keeper.unsaved(), [user])
  disk.broken = false
  place.tick(30_000)
  await until(() => place.keeper.unsaved().length === 0)
  t.match(await place.store.read(user), { stored: { grant: 'g1' } })
})

void t.test('a locked store heals with its key, and keeps what lives', async (t) => {
  let locked = false
  const place = await createPlace(t, (store) => ({
    ...store,
    read: async (name) => {
      if (locked) throw new StoreLocked('the store is locked')
      return store.read(name)
    },
  }))
  await place.store.replace(user, grantOf('g0', { '': tokenOf('kept', startMs) }))
  const provider = createSignedIn()
  const account = accountOf(user, provider)
  locked = true
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  t.match(await place.refusal(account, { waitMs: 60_000 }), { message: 'the store is locked' })
  place.tick(30_000)
  t.same(
    place.lines.filter((line) => line.startsWith('warn')),
    [],
    'which is for the daemon to say',
  )
  locked = false
  place.tick(30_000)
  await until(() => place.slots()[0]?.state.kind === 'live')
  t.equal(await place.ask(account), 'kept')
  t.equal(provider.asked.length, 0)
  locked = true
  place.nowMs += 45 * 60_000
  place.tick(0)
  await place.quiet()
  t.match(place.slots(), [{ state: { kind: 'stopped' } }])
  t.equal(await place.ask(account), 'kept')
})

void t.test('a store that fails while it is locked', async (t) => {
  const disk = fragile()
  let locks = true
  const place = await createPlace(t, (store) => ({
    ...disk.wrap(store),
    locked: async (...given) => {
      if (!locks) throw new Unavailable('no lock')
      return store.locked(...given)
    },
  }))
  await place.store.replace(user, grantOf('g0'))
  const provider = createSignedIn({ answer: rotating })
  disk.broken = true
  await place.keeper.adopt(accountsOf([accountOf(user, provider)]), place.nowMs)
  await place.quiet()
  locks = false
  place.tick(0)
  await until(() => place.lines.includes('debug grant not written no lock'))
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

void t.test('a reload keeps the tokens of what did not change', async (t) => {
  const place = await createPlace(t)
  const provider = createSignedIn({ answer: rotating })
  for (const name of ['a@x.example', 'b@x.example']) await place.store.replace(name, grantOf('g'))
  const list = (fingerprint: string) => [
    accountOf('a@x.example', provider),
    accountOf('b@x.example', provider, { fingerprint: () => fingerprint }),
  ]
  const before = list('1')
  await place.keeper.adopt(accountsOf(before), place.nowMs)
  await place.quiet()
  const after = list('2')
  await place.keeper.adopt(accountsOf(after), place.nowMs)
  t.equal(provider.asked.length, 2, 'what changed finds its token in the store')
  for (const account of after) t.match(await place.ask(account), /^t[12]$/)
  await place.keeper.adopt(accountsOf(after.slice(1)), place.nowMs)
  t.same([...place.keeper.kept()].length, 1)
})

void t.test('who waits for an account that a reload removes', async (t) => {
  const place = await createPlace(t)
  const provider = createSignedIn({ answer: dead })
  await place.store.replace(user, grantOf('g'))
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  const waiting = place.refusal(account, { waitMs: 60_000 })
  await place.keeper.adopt(accountsOf([]), place.nowMs)
  t.match(await waiting, { code: 'unavailable' })
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
