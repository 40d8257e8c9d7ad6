/** What the store has, taken up: at start, after a reload, and when another process changed it. */
import { chmodSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { SignInNeeded, StoreLocked, Unavailable } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  counting,
  createPlace,
  createPlaceOf,
  createSignedIn,
  failing,
  grantOf,
  hourMs,
  rotating,
  startMs,
  tokenOf,
  until,
  user,
} from './fixtures/keeper-place.ts'

const dead = failing(new SignInNeeded('the grant is dead'))

void t.test('a restart serves what the store remembers and asks nobody', async (t) => {
  const provider = createSignedIn()
  const { place, account } = await createPlaceOf(t, provider, {
    stored: grantOf('g0', { '': tokenOf('kept', startMs - 60_000) }),
  })
  t.equal(await place.ask(account), 'kept')
  t.equal(provider.asked.length, 0)
  const [kept] = place.keeper.kept()
  t.equal(kept?.grant.signedInAtMs, startMs)
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
  const provider = createSignedIn({
    answer: failing(new Unavailable('down', { trouble: 'network' })),
  })
  const { place, account } = await createPlaceOf(t, provider)
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
  const provider = createSignedIn({ tokenKey: ({ service }) => service })
  const { place, account } = await createPlaceOf(t, provider, { services: ['smtp', 'imap'] })
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
  const provider = createSignedIn({ tokenKey: ({ service }) => service })
  const { place, account } = await createPlaceOf(t, provider, { services: ['smtp', 'imap'] })
  await place.quiet()
  await place.store.forget(user)
  place.nowMs += 60_000
  t.match(await place.refusal(account, { refused: true }), { code: 'sign-in-needed' })
  t.match(await place.refusal(account, { service: 'imap' }), { code: 'sign-in-needed' })
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

void t.test('a file that is repaired is read within a tick', async (t) => {
  const { place, account } = await createPlaceOf(t, createSignedIn())
  await place.quiet()
  const [name = ''] = readdirSync(place.store.path).filter((entry) => entry.endsWith('.json'))
  const file = join(place.store.path, name)
  chmodSync(file, 0o640)
  place.tick(hourMs)
  await place.quiet()
  const refused = { code: 'misconfigured', message: /is open to others \(mode 640\)$/ }
  t.match(await place.refusal(account), refused)
  place.tick(30_000)
  t.match(await place.refusal(account), refused)
  chmodSync(file, 0o600)
  place.tick(30_000)
  await until(() => place.wakes.at(-1) === 0)
  place.tick(0)
  await place.quiet()
  t.equal(await place.ask(account), 't2')
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

void t.test('a disk that takes its time is no clock that was set back', async (t) => {
  const place = await createPlace(t, (store) => ({
    ...store,
    read(account) {
      place.tick(10_000)
      return store.read(account)
    },
  }))
  const provider = createSignedIn()
  await place.store.replace(user, grantOf('g'))
  await place.keeper.adopt(accountsOf([accountOf(user, provider)]), place.nowMs)
  await place.quiet()
  t.same(
    place.lines.filter((line) => line.includes('clock')),
    [],
  )
})

void t.test('many that wait for a sign-in are looked for a few at a time', async (t) => {
  let [reading, most, total] = [0, 0, 0]
  let held = Promise.resolve()
  const place = await createPlace(t, (store) => ({
    ...store,
    async read(account) {
      most = Math.max(most, ++reading)
      total++
      await held
      const found = await store.read(account)
      reading--
      return found
    },
  }))
  const users = Array.from({ length: 100 }, (_, index) => `user${index}@example.com`)
  const provider = createSignedIn()
  const list = users.map((name) => accountOf(name, provider))
  await place.keeper.adopt(accountsOf(list), place.nowMs)
  await until(() => place.slots().every(({ state }) => state.kind === 'stopped'))
  await until(() => reading === 0)
  let release = () => {}
  held = new Promise((resolve) => (release = resolve))
  most = total = 0
  for (let ticks = 0; ticks < 3; ticks++) {
    place.tick(30_000)
    await turn()
  }
  await until(() => most > 0)
  t.equal(most, 16, 'a disk that hangs is asked no more')
  release()
  await until(() => total >= 200 && reading === 0)
  t.equal(total, 200, 'each in the look that hung, and in one more')
  t.equal(most, 16)
})
