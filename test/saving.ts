/** A disk that fails: a grant that it does not take is served, kept and written later. */
import t from 'tap'
import type { Account } from '../src/accounts.ts'
import { Unavailable } from '../src/errors.ts'
import type { Store } from '../src/store.ts'
import {
  accountOf,
  accountsOf,
  createPlace,
  createSignedIn,
  grantOf,
  held,
  rotating,
  tokenOf,
  until,
  user,
} from './fixtures/keeper-place.ts'

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
  const changed = accountOf(user, provider, { fingerprint: () => '2' })
  await place.keeper.adopt(accountsOf([changed]), place.nowMs)
  await place.quiet()
  t.equal(await place.ask(changed), 't2', 'a reload keeps the newest token')
  place.nowMs += 30_000
  t.equal(await place.ask(changed, { refused: true }), 't3')
  t.equal(provider.asked[2]?.grant, 'g2', 'and the newest grant')
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

for (const [how, between] of [
  ['removed and added again', []],
  ['spelled with another case', undefined],
  ['given to another client and back', [{ binding: 'another client' }]],
] as const)
  void t.test(`an account whose grant is not on disk, ${how}`, async (t) => {
    const disk = fragile()
    const place = await createPlace(t, disk.wrap)
    await place.store.replace(user, grantOf('g0'))
    const provider = createSignedIn({ answer: rotating })
    const adopt = async (...accounts: Account[]) => {
      await place.keeper.adopt(accountsOf(accounts), place.nowMs)
      await place.quiet()
    }
    disk.broken = true
    await adopt(accountOf(user, provider))
    for (const given of between ?? [])
      await adopt(accountOf(user, createSignedIn(given), { fingerprint: () => given.binding }))
    if (between?.length === 0) await adopt()
    const account = accountOf(between ? user : 'Me@Example.com', provider)
    await adopt(account)
    t.same(place.keeper.unsaved(), [account.user])
    t.equal(await place.ask(account), 't1', 'is served its newest token')
    t.equal(provider.asked.length, 1)
    place.nowMs += 30_000
    t.equal(await place.ask(account, { refused: true }), 't2')
    t.equal(provider.asked[1]?.grant, 'g1', 'and asks with its newest grant')
    disk.broken = false
    place.tick(30_000)
    await until(() => place.keeper.unsaved().length === 0)
    t.match(await place.store.read(user), { stored: { grant: 'g2' } })
  })

void t.test('an account that a reload removes while its refresh runs', async (t) => {
  const disk = fragile()
  const place = await createPlace(t, disk.wrap)
  await place.store.replace(user, grantOf('g0'))
  const later = held()
  const provider = createSignedIn({ answer: later.answer })
  disk.broken = true
  await place.keeper.adopt(accountsOf([accountOf(user, provider)]), place.nowMs)
  await until(() => provider.asked.length === 1)
  await place.keeper.adopt(accountsOf([]), place.nowMs)
  place.tick(30_000)
  later.give(tokenOf('t1', place.nowMs), 'g1')
  await until(() => place.lines.includes('error grant not written the disk is full'))
  t.same(place.keeper.unsaved(), [user])
  disk.broken = false
  place.tick(30_000)
  await until(() => place.keeper.unsaved().length === 0)
  t.match(await place.store.read(user), { stored: { grant: 'g1' } })
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
