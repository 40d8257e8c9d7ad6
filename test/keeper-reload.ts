/** What a reload keeps of an account that it changes, and what it has tried at once. */
import t from 'tap'
import type { Account } from '../src/accounts.ts'
import { Misconfigured, Unavailable } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  counting,
  createPlace,
  createPlaceOf,
  createProvider,
  createSignedIn,
  failing,
  grantOf,
  rotating,
  tokenOf,
  user,
} from './fixtures/keeper-place.ts'

const down = failing(new Unavailable('down', { trouble: 'network' }))
const wrong = failing(new Misconfigured('the secret is wrong'))

/** The same account with something added that matters to no token. */
function changed(account: Account, given: Partial<Account> = {}): Account {
  return { ...account, fingerprint: () => 'changed', ...given }
}

void t.test('a token that was refused stays so', async (t) => {
  const provider = createSignedIn()
  const { place, account } = await createPlaceOf(t, provider)
  t.equal(await place.ask(account), 't1')
  place.nowMs += 31_000
  provider.answer = down
  t.match(await place.refusal(account, { refused: true }), { code: 'unavailable' })
  const next = changed(account, { mailboxes: ['team@example.com'] })
  await place.keeper.adopt(accountsOf([next]), place.nowMs)
  t.match(await place.refusal(next), { code: 'unavailable' })
})

void t.test('a living token is served while its file cannot be read', async (t) => {
  let broken = false
  const place = await createPlace(t, (store) => ({
    ...store,
    read: async (name) => {
      if (broken) throw new Misconfigured('the file is open to others')
      return store.read(name)
    },
  }))
  await place.store.replace(user, grantOf('g0'))
  const account = accountOf(user, createSignedIn())
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.equal(await place.ask(account), 't1')
  broken = true
  await t.rejects(place.keeper.refresh(account, user), { code: 'misconfigured' })
  const next = changed(account)
  await place.keeper.adopt(accountsOf([next]), place.nowMs)
  t.equal(await place.ask(next), 't1')
})

void t.test('the newest token is kept, with the one on disk older', async (t) => {
  let full = false
  const place = await createPlace(t, (store) => ({
    ...store,
    write: async (...given) => {
      if (full) throw new Unavailable('the disk is full')
      return store.write(...given)
    },
  }))
  await place.store.replace(user, grantOf('g0'))
  const account = accountOf(user, createSignedIn({ answer: rotating }))
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  t.equal(await place.ask(account), 't1')
  full = true
  await place.keeper.refresh(account, user)
  const next = changed(account)
  await place.keeper.adopt(accountsOf([next]), place.nowMs)
  t.equal(await place.ask(next), 't2')
})

void t.test('who changes a secret has it tried, and what lives is served meanwhile', async (t) => {
  const provider = createSignedIn()
  const { place, account } = await createPlaceOf(t, provider)
  t.equal(await place.ask(account), 't1')
  const mistaken = changed(account, {
    provider: createSignedIn({ answer: wrong }),
    settingsFingerprint: () => 'wrong',
  })
  await place.keeper.adopt(accountsOf([mistaken]), place.nowMs)
  await place.quiet()
  t.match(place.slots(), [{ state: { kind: 'stopped', failure: { code: 'misconfigured' } } }])
  t.equal(await place.ask(mistaken), 't1')
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  t.equal(await place.ask(account), 't2')
})

void t.test('a sign-in that nobody told of counts for more than what was kept', async (t) => {
  const { place, account } = await createPlaceOf(t, createSignedIn())
  t.equal(await place.ask(account), 't1')
  await place.store.replace(user, grantOf('g1', { '': tokenOf('brought along', place.nowMs) }))
  const next = changed(account)
  await place.keeper.adopt(accountsOf([next]), place.nowMs)
  t.equal(await place.ask(next), 'brought along')
})

void t.test('what a change does not touch is not fetched again', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider, { user: '*@example.com' })
  const mailboxes = ['a@example.com', 'b@example.com']
  for (const mailbox of mailboxes) await place.ask(account, { mailbox })
  const next = changed(account, { services: ['smtp', 'imap'] })
  const list = [next, accountOf('b@example.com', createProvider())]
  await place.keeper.adopt(accountsOf(list), place.nowMs)
  t.equal(await place.ask(next, { mailbox: 'a@example.com' }), 't1')
  t.equal(provider.asked.length, 2)
  t.same(
    place.slots().map(({ request }) => request.mailbox),
    ['a@example.com', 'b@example.com'],
    'and what another account answers for now is kept no more',
  )
})

for (const [what, given] of [
  ['binding', { provider: createProvider({ binding: 'another client' }) }],
  [
    'key of its tokens',
    { provider: createProvider({ tokenKey: ({ mailbox }) => `2 ${mailbox}` }) },
  ],
  ['list of services', { services: ['imap'] }],
] as const)
  void t.test(`another ${what} keeps no token`, async (t) => {
    const { place, account } = await createPlaceOf(t, createProvider(), { user: '*@example.com' })
    await place.ask(account, { mailbox: 'a@example.com' })
    await place.keeper.adopt(accountsOf([changed(account, given)]), place.nowMs)
    t.same(place.slots(), [])
  })

void t.test("a wildcard's mailboxes that failed are tried after a reload", async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider, { user: '*@example.com' })
  const ask = (name: string) => ({ mailbox: `${name}@example.com` })
  for (const name of ['asked for', 'left alone']) await place.ask(account, ask(name))
  provider.answer = wrong
  await t.rejects(place.keeper.refresh(account, account.user), { code: 'misconfigured' })
  t.match(await place.refusal(account, ask('new')), { code: 'misconfigured' })
  place.nowMs += 1
  t.equal(await place.ask(account, ask('asked for')), 't1', 'what lives is served')
  provider.answer = counting
  const asked = provider.asked.length
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  t.same(
    provider.asked.slice(asked).map(({ request }) => request.mailbox),
    ['asked for@example.com'],
    'at once, where somebody asked for it',
  )
  t.ok(place.slots().every(({ state }) => state.kind === 'live'))
  t.equal(await place.ask(account, ask('left alone')), 't2')
  t.equal(await place.ask(account, ask('new')), `t${asked + 2}`, 'and else by who asks')
})
