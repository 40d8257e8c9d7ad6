/** The mailboxes of a wildcard: who makes up names costs nobody anything, and no memory. */
import t from 'tap'
import { Misconfigured, Unavailable, UnknownAccount } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  counting,
  createPlace,
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

void t.test('a mailbox that the provider does not know', async (t) => {
  const provider = createProvider({
    answer: (question, count) => {
      if (question.request.mailbox === 'nobody@example.com')
        throw new UnknownAccount('no such user')
      return { token: tokenOf(`t${count}`, question.atMs) }
    },
  })
  const { place, account } = await createPlaceOf(t, provider, { user: '*@example.com' })
  const mailbox = 'nobody@example.com'
  t.match(await place.refusal(account, { mailbox }), { code: 'unknown-account' })
  place.tick(10 * 60_000 - 1)
  t.match(await place.refusal(account, { mailbox }), { code: 'unknown-account' })
  t.equal(provider.asked.length, 1, 'remembered')
  t.equal(await place.ask(account, { mailbox: 'a@example.com' }), 't2', 'nobody else suffers')
  place.tick(1)
  await place.quiet()
  t.equal(provider.asked.length, 2, 'and asked about only when somebody wants it')
  t.match(await place.refusal(account, { mailbox }), { code: 'unknown-account' })
  t.equal(provider.asked.length, 3)
})

void t.test('the table of mailboxes is bounded, and stays fresh for who asks', async (t) => {
  const provider = createProvider()
  const { place, account } = await createPlaceOf(t, provider, {
    user: '*@example.com',
    maxMailboxes: 2,
  })
  for (const name of ['a', 'b']) await place.ask(account, { mailbox: `${name}@example.com` })
  place.nowMs += 1
  await place.ask(account, { mailbox: 'a@example.com' })
  await place.ask(account, { mailbox: 'c@example.com' })
  t.same(
    place.slots().map(({ key }) => key),
    ['a@example.com', 'c@example.com'],
    'the one that was asked for longest ago is gone',
  )
  place.tick(50 * 60_000)
  await place.quiet()
  t.same(
    provider.asked.slice(3).map(({ request }) => request.mailbox),
    ['a@example.com'],
    'asked for since it was fetched',
  )
})

void t.test(
  'a living token that was asked for is refreshed ahead, also after a failure',
  async (t) => {
    const failures = {
      'only a person can cure': new Misconfigured('the secret has expired'),
      'passes by itself': new Unavailable('down', { trouble: 'waiting' }),
    }
    for (const [what, failure] of Object.entries(failures)) {
      const provider = createProvider({
        answer: ({ atMs }, count) => ({ token: tokenOf(`t${count}`, atMs, 10 * hourMs) }),
      })
      const { place, account } = await createPlaceOf(t, provider, { user: '*@example.com' })
      const mailbox = 'a@example.com'
      await place.ask(account, { mailbox })
      place.nowMs += 1
      await place.ask(account, { mailbox })
      provider.answer = failing(failure)
      place.tick(8 * hourMs)
      await place.quiet()
      t.equal(provider.asked.length, 2)
      provider.answer = counting
      place.tick(15 * 60_000)
      await place.quiet()
      t.equal(provider.asked.length, 3, what)
      t.equal(await place.ask(account, { mailbox }), 't3')
    }
  },
)

void t.test('a table of which every slot is waited for grows', async (t) => {
  const later = held()
  const provider = createProvider({ answer: later.answer })
  const { place, account } = await createPlaceOf(t, provider, {
    user: '*@example.com',
    maxMailboxes: 1,
  })
  const answers = ['a', 'b'].map((name) => place.ask(account, { mailbox: `${name}@example.com` }))
  await until(() => provider.asked.length === 2)
  t.equal(place.slots().length, 2)
  for (const value of ['ta', 'tb']) later.give(tokenOf(value, startMs))
  t.same(await Promise.all(answers), ['ta', 'tb'])
})

for (const [maxMailboxes, most] of [
  [10, 1_010],
  [5_000, 1_033],
] as const)
  void t.test(`names that somebody makes up, where ${maxMailboxes} are kept`, async (t) => {
    const place = await createPlace(t)
    let open = () => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    const provider = createProvider({
      answer: async ({ atMs, request }) => {
        await gate
        return { token: tokenOf(request.mailbox, atMs) }
      },
    })
    const account = accountOf('*@example.com', provider, { maxMailboxes })
    const other = accountOf(user, provider)
    await place.keeper.adopt(accountsOf([account]), place.nowMs)
    const answers = Promise.allSettled(
      Array.from({ length: 3_000 }, (_, n) => place.ask(account, { mailbox: `${n}@example.com` })),
    )
    t.equal(place.slots().length, most)
    t.match(await place.refusal(account, { mailbox: 'new@example.com' }), {
      code: 'unavailable',
      message: 'too many tokens are being fetched from host.example',
      retryAfterMs: 5_000,
    })
    const own = place.keeper.adopt(accountsOf([account, other]), place.nowMs)
    open()
    await own
    t.equal(await place.ask(other), user, 'who is in the file is served')
    t.equal((await answers).filter(({ status }) => status === 'fulfilled').length, most)
    await place.ask(account, { mailbox: 'new@example.com' })
    t.equal(place.slots().length, Math.min(most + 1, maxMailboxes) + 1, 'and room is made again')
  })

void t.test('a token that one mailbox has refused serves the others', async (t) => {
  const provider = createProvider({ tokenKey: () => '' })
  const { place, account } = await createPlaceOf(t, provider, { user: '*@example.com' })
  const ask = (name: string, given = {}) =>
    place.ask(account, { mailbox: `${name}@example.com`, ...given })
  const refusal = (name: string, given = {}) =>
    place.refusal(account, { mailbox: `${name}@example.com`, ...given })
  t.equal(await ask('ann'), 't1')
  place.nowMs += 30_000
  provider.answer = failing(new Unavailable('down', { trouble: 'network' }))
  t.match(await refusal('leaver', { refused: true }), { message: 'down' })
  t.match(await refusal('leaver'), { message: 'down' }, 'never again for who complained')
  t.equal(await ask('ann'), 't1', 'although no other may be fetched')
  t.match(await refusal('bob', { refused: true }), { message: 'down' })
  t.match(await refusal('leaver'), { message: 'down' })
  t.equal(await ask('ann'), 't1')
  for (let n = 0; n < 1_000; n++) await refusal(`made-up-${n}`, { refused: true })
  t.equal(await ask('leaver'), 't1', 'who complains is bounded')
  t.match(await refusal('made-up-0'), { message: 'down' })
  provider.answer = counting
  place.tick(30_000)
  await place.quiet()
  for (const name of ['leaver', 'bob', 'ann']) t.equal(await ask(name), 't3')
})
