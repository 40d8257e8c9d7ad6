/**
 * A service account for tens of thousands of users: what is kept of them is bounded by the file, and
 * nothing grows beside. Sizes of tables are measured, not memory, which no two runs have alike.
 */
import t from 'tap'
import { UnknownAccount } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  createPlace,
  createProvider,
  tokenOf,
} from './fixtures/keeper-place.ts'
import { serveGoogle } from './fixtures/google.ts'
import { inline, providerOf } from './fixtures/provider-of.ts'
import { createServiceAccount } from './fixtures/service-account.ts'

const mailboxOf = (number: number) => `user${number}@corp.example`

void t.test('20,000 mailboxes where 1,000 are kept', async (t) => {
  const most = 1_000
  const users = 20_000
  const provider = createProvider({
    answer: ({ request: { mailbox }, atMs }) => {
      if (mailbox.startsWith('nobody')) throw new UnknownAccount(`no ${mailbox}`)
      return { token: tokenOf(`token of ${mailbox}`, atMs) }
    },
  })
  const place = await createPlace(t)
  const account = accountOf('*@corp.example', provider, { maxMailboxes: most })
  await place.keeper.adopt(accountsOf([account]), place.nowMs)

  let largest = 0
  for (let first = 0; first < users; first += 500) {
    const some = Array.from({ length: 500 }, (_, index) => mailboxOf(first + index))
    const tokens = await Promise.all(some.map((mailbox) => place.ask(account, { mailbox })))
    t.same(
      tokens,
      some.map((mailbox) => `token of ${mailbox}`),
      `from ${first}`,
    )
    largest = Math.max(largest, place.slots().length)
  }
  t.equal(provider.asked.length, users)
  t.equal(largest, most)
  t.same(
    new Set(place.slots().map(({ key }) => key)),
    new Set(Array.from({ length: most }, (_, index) => mailboxOf(users - most + index))),
    'those that were asked for last',
  )

  await t.test('who asks again and again is kept', async (t) => {
    const faithful = mailboxOf(users - most)
    for (let first = 0; first < 3_000; first += 100) {
      await place.ask(account, { mailbox: faithful })
      for (let index = first; index < first + 100; index++)
        await place.ask(account, { mailbox: mailboxOf(index) })
    }
    const asked = provider.asked.filter(({ request }) => request.mailbox === faithful)
    t.equal(asked.length, 1)
    t.equal(place.slots().length, most)
  })

  await t.test('names that somebody makes up take the place of no more', async (t) => {
    for (let index = 0; index < 2_000; index++) {
      const failure = await place.refusal(account, { mailbox: `nobody${index}@corp.example` })
      if (failure.code !== 'unknown-account') t.fail(failure.message)
    }
    t.equal(place.slots().length, most)
    t.equal([...place.keeper.kept()].length, 1)
  })

  await t.test('a tick renews no more than there are', async (t) => {
    const before = provider.asked.length
    place.tick(3_000_000)
    await place.quiet()
    t.ok(provider.asked.length - before <= most)
    t.equal(place.slots().length, most)
    const [kept] = place.keeper.kept()
    t.same(kept?.grant.forcedAtMs, [])
    t.ok(
      place.slots().every(({ waiting, attempt }) => !waiting && !attempt),
      'nothing waits',
    )
  })
})

void t.test('the same with a key, signatures and a server', async (t) => {
  const sendScope = 'https://www.googleapis.com/auth/gmail.send'
  const mailScope = 'https://mail.google.com/'
  const corp = createServiceAccount('corp.example', { scopes: [mailScope, sendScope] })
  const server = await serveGoogle(t, { serviceAccounts: [corp.account] })
  const { provider } = providerOf(t, 'google-service-account', {
    user: '*@corp.example',
    scopes: { gmail: [sendScope] },
    settings: { key: inline(corp.keyFile) },
  })
  const place = await createPlace(t)
  const account = accountOf('*@corp.example', provider, {
    maxMailboxes: 10,
    services: ['smtp', 'imap', 'gmail'],
  })
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  place.nowMs = Date.now()
  const mailboxes = Array.from({ length: 30 }, (_, index) => mailboxOf(index))
  for (const mailbox of mailboxes) {
    const [smtp = '', imap, gmail = ''] = await Promise.all(
      account.services.map((service) => place.ask(account, { mailbox, service })),
    )
    t.equal(imap, smtp, 'the same scope is the same token')
    t.match(
      [server.find(smtp), server.find(gmail)],
      [
        { user: mailbox, scope: mailScope },
        { user: mailbox, scope: sendScope },
      ],
    )
  }
  t.equal(server.to('token').length, 60, 'a request for each mailbox and scope')
  t.ok(server.maxInFlight <= 32)
  t.equal(place.slots().length, 10)
})
