/** Which account answers, what a listener hands out, and how long a client waits. */
import t, { type Test } from 'tap'
import type { Account } from '../src/accounts.ts'
import { createCredentials, createScope, type CredentialWish } from '../src/credentials.ts'
import { Failure } from '../src/errors.ts'
import {
  accountOf,
  accountsOf,
  createPlace,
  createProvider,
  held,
  hourMs,
  startMs,
  tokenOf,
} from './fixtures/keeper-place.ts'

const all = createScope({ accounts: undefined, services: undefined })
const wish: CredentialWish = {
  service: 'smtp',
  mailbox: 'me@example.com',
  minMs: undefined,
  waitMs: 4_000,
  refused: false,
}

async function serve(t: Test, account: Account) {
  const place = await createPlace(t)
  const accounts = accountsOf([account])
  await place.keeper.adopt(accounts, place.nowMs)
  const credentials = createCredentials(() => accounts, place.keeper)
  const get = async (given: Partial<CredentialWish>, scope = all) =>
    credentials.get({ ...wish, ...given }, scope, place.nowMs)
  return { place, credentials, get }
}

void t.test('a credential', async (t) => {
  const account = accountOf('me@example.com', createProvider(), { loginName: () => 'person' })
  const { place, credentials, get } = await serve(t, account)
  const credential = {
    mailbox: 'me@example.com',
    user: 'person',
    service: 'smtp',
    accessToken: 't1',
    expiresAtMs: startMs + hourMs,
  }
  t.same(await get({}), credential)
  t.same(credentials.get(wish, all, place.nowMs), credential, 'at once when it is there')
  place.nowMs += 30_000
  t.match(await get({ refused: true }), { accessToken: 't2' })
  t.match(await get({ minMs: 2 * hourMs }).catch((error: unknown) => error), {
    message: /^min is 7200 s/,
  })
})

void t.test('a name that came with the token goes before the rule of the account', async (t) => {
  const provider = createProvider({
    answer: ({ request, atMs }) => ({
      token: {
        ...tokenOf('t', atMs),
        login: request.service === 'smtp' ? 'relay@corp.example' : undefined,
      },
    }),
    tokenKey: ({ service }) => service,
  })
  const services = ['smtp', 'imap']
  const { get } = await serve(t, accountOf('me@example.com', provider, { services }))
  t.match(await get({}), { mailbox: 'me@example.com', user: 'relay@corp.example' })
  t.match(await get({ service: 'imap' }), { mailbox: 'me@example.com', user: 'me@example.com' })
})

void t.test('who is turned away', async (t) => {
  const { get } = await serve(t, accountOf('me@example.com', createProvider()))
  await t.rejects(get({ mailbox: 'you@example.com' }), {
    code: 'unknown-account',
    message: 'no account answers for you@example.com',
  })
  await t.rejects(get({ service: 'imap' }), {
    code: 'not-allowed',
    message: 'the account me@example.com has no service imap; it has smtp',
    hint: 'add it to its services, then run: xoauthd reload',
  })
  await t.rejects(get({ service: 'smpt' }), {
    code: 'not-allowed',
    message: 'the account me@example.com has no service smpt; it has smtp',
    hint: 'did you mean "smtp"?',
  })
  await t.rejects(get({ service: 'pop' }), {
    code: 'not-allowed',
    hint: 'add it to its scopes and, where the file lists them, to its services, then run: xoauthd reload',
  })
  await t.rejects(get({}, createScope({ accounts: undefined, services: ['imap'] })), {
    code: 'not-allowed',
    message: 'this socket does not serve smtp for me@example.com',
  })
  await t.rejects(get({}, createScope({ accounts: ['you@example.com'], services: undefined })), {
    code: 'not-allowed',
  })
})

void t.test('a client waits no longer than it said', async (t) => {
  const later = held()
  const { place, get } = await serve(
    t,
    accountOf('me@example.com', createProvider({ answer: later.answer })),
  )
  const failure = await get({ waitMs: 20 }).catch((error: unknown) => error)
  t.ok(failure instanceof Failure)
  t.match(failure, { code: 'unavailable', message: 'no token came within 0.02 s' })
  const next = get({})
  later.give(tokenOf('late', place.nowMs))
  t.match(await next, { accessToken: 'late' }, 'the refresh went on')
})

void t.test('what a listener serves', (t) => {
  const account = accountOf('Me@Example.com', createProvider())
  const allows = (accounts: string[] | undefined, mailbox: string) =>
    createScope({ accounts, services: undefined }).allowsMailbox(account, mailbox)
  t.ok(allows(undefined, 'x@y.example'))
  t.ok(allows(['me@example.com'], 'team@other.example'), 'all of an account')
  t.ok(allows(['Team@other.example'], 'team@other.example'), 'one mailbox of it')
  t.notOk(allows(['team@other.example'], 'me@example.com'))
  t.ok(allows(['*@OTHER.example'], 'team@other.example'), 'a domain')
  t.notOk(allows(['*@other.example'], 'team@sub.other.example'))
  t.notOk(allows([], 'me@example.com'), 'nothing')
  const domain = accountOf('*@corp.example', createProvider())
  const scope = createScope({ accounts: ['*@corp.example'], services: undefined })
  t.ok(scope.allowsMailbox(domain, 'jane@corp.example'))
  t.notOk(scope.allowsMailbox(domain, 'ceo@other.example'), 'a wildcard is its domain alone')
  t.ok(createScope({ accounts: undefined, services: ['smtp'] }).allowsService('smtp'))
  t.notOk(createScope({ accounts: undefined, services: ['smtp'] }).allowsService('imap'))
  t.end()
})
