/** The auth-server provider: what it asks another server for, and what it makes of each answer. */
import t, { type Test } from 'tap'
import { Unavailable, type FailureCode } from '../../src/errors.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import type { Answer } from '../fixtures/faults.ts'
import { accountOf, accountsOf, createPlace } from '../fixtures/keeper-place.ts'
import { everythingOf, leaksIn } from '../fixtures/leaks.ts'
import { failureOf, inline, problemsOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'
import { useRealNames } from '../fixtures/real-names.ts'
import { relay, startTokenServer, type TokenServer } from '../fixtures/token-server.ts'

const jane = 'jane@fleet.example'
const expires = Math.floor(Date.now() / 1000) + 3000
const accessToken = 'token-of-the-other-server'
const good = { user: jane, accessToken, expires }

async function serve(t: Test, answer: Record<string, unknown> = good): Promise<TokenServer> {
  const server = await startTokenServer({
    knows: (account, proto) =>
      account === jane ? { ...answer, accessToken: `${accessToken}-${proto}` } : undefined,
  })
  t.teardown(() => server.close())
  return server
}

function asking(t: Test, url: string, settings: Readonly<Record<string, unknown>> = {}) {
  const own = { url, username: relay.username, password: inline(relay.password), ...settings }
  const account = { user: '*@fleet.example', settings: own }
  const { provider, signal } = providerOf(t, 'auth-server', account)
  const refresh = (service = 'smtp', mailbox = jane, nowMs = Date.now()) =>
    provider.refresh(undefined, { service, mailbox }, nowMs, signal)
  return { provider, signal, refresh }
}

void t.test('a request, to the letter', async (t) => {
  const server = await serve(t)
  const { provider, refresh } = asking(t, `${server.url}?site=a%20b`)
  await provider.check()
  t.equal(server.requests.length, 0, 'a check asks nobody')
  t.equal(provider.authority, `127.0.0.1:${server.port}`)
  t.notOk('signIn' in provider)
  const nowMs = Date.now()
  const { token, grant } = await refresh('smtp', jane, nowMs)
  t.equal(grant, undefined)
  t.same(token, {
    value: `${accessToken}-smtp`,
    obtainedAtMs: nowMs,
    expiresAtMs: expires * 1000,
    expiryKnown: true,
    login: jane,
  })
  t.match(server.requests, [
    { method: 'GET', url: { search: '?site=a+b&account=jane%40fleet.example&proto=smtp' } },
  ])
})

void t.test('protocols', async (t) => {
  const server = await serve(t)
  const { provider, refresh } = asking(t, server.url)
  for (const [service, proto] of [
    ['imap', 'imap'],
    ['pop', 'imap'],
    ['graph', 'api'],
    ['gmail', 'api'],
  ] as const) {
    await refresh(service)
    t.equal(server.requests.at(-1)?.url.searchParams.get('proto'), proto)
  }
  const keyOf = (service: string, mailbox = jane) => provider.tokenKey({ service, mailbox })
  t.equal(keyOf('imap'), keyOf('pop'), 'what is asked in the same way is kept once')
  t.not(keyOf('imap'), keyOf('smtp'), 'the user may be another for each')
  t.not(keyOf('imap'), keyOf('imap', 'joe@fleet.example'))
})

void t.test('what it says of a token', async (t) => {
  const server = await serve(t)
  const { refresh } = asking(t, server.url)
  const nowMs = Date.now()
  const tokenOf = async (body: Record<string, unknown>) => {
    server.says({ status: 200, body })
    return (await refresh('smtp', jane, nowMs)).token
  }
  for (const missing of [undefined, null])
    t.match(await tokenOf({ user: jane, accessToken, expires: missing }), {
      expiresAtMs: nowMs + 60_000,
      expiryKnown: false,
    })
  t.equal((await tokenOf({ ...good, expires: String(expires) })).expiresAtMs, expires * 1000)
  t.equal((await tokenOf({ ...good, user: 'CORP\\jane' })).login, 'CORP\\jane')
  t.equal((await tokenOf({ accessToken })).login, undefined, 'then the mailbox it is')
  t.equal((await tokenOf({ ...good, pass: false })).value, accessToken, 'as EmailEngine allows')
  const far = await tokenOf({ ...good, expires: 1e300 })
  t.ok(Number.isFinite(new Date(far.expiresAtMs).getTime()))
})

interface Row {
  readonly answer: Answer | 'reset' | 'truncate'
  readonly code: FailureCode
  readonly trouble?: string
  readonly retryAfterMs?: number
  readonly says?: RegExp
}

const ok = (body: Answer['body']): Answer => ({ status: 200, ...(body ? { body } : {}) })
const rows: Readonly<Record<string, Row>> = {
  'an unknown account': { answer: { status: 404 }, code: 'unknown-account', says: /jane@fleet/ },
  'wrong credentials': { answer: { status: 401 }, code: 'misconfigured', says: /username/ },
  'not allowed': {
    answer: { status: 403, body: { code: 'sign-in-needed', message: 'nobody\nsigned in' } },
    code: 'misconfigured',
    says: /HTTP 403, "sign-in-needed: nobody signed in"/,
  },
  'no account asked for': { answer: { status: 400 }, code: 'misconfigured' },
  'not now': {
    answer: { status: 429, headers: { 'retry-after': '17' }, body: { error: 'unavailable' } },
    code: 'unavailable',
    trouble: 'waiting',
    retryAfterMs: 17_000,
  },
  'not now, without an end': {
    answer: { status: 429 },
    code: 'unavailable',
    trouble: 'waiting',
  },
  'a server in trouble': {
    answer: { status: 503, headers: { 'retry-after': '9' } },
    code: 'unavailable',
    trouble: 'provider',
    retryAfterMs: 9_000,
  },
  'a redirect': {
    answer: { status: 302, headers: { location: '/login' } },
    code: 'unavailable',
    trouble: 'network',
  },
  'a page of HTML': { answer: ok('<html>'), code: 'unavailable', trouble: 'network' },
  'an empty answer': { answer: ok(''), code: 'unavailable', trouble: 'network' },
  'a password': {
    answer: ok({ user: jane, pass: 'the password of jane' }),
    code: 'misconfigured',
    says: /a password and no token/,
  },
  both: {
    answer: ok({ ...good, pass: 'the password of jane' }),
    code: 'misconfigured',
    says: /password/,
  },
  'no token': { answer: ok({ user: jane }), code: 'unavailable', says: /no token/ },
  'a token of two words': { answer: ok({ ...good, accessToken: 'a b' }), code: 'unavailable' },
  'a token that ends the string': {
    answer: ok({ ...good, accessToken: 'a\x01b' }),
    code: 'unavailable',
  },
  'a token that is expired': {
    answer: ok({ ...good, expires: expires - 9000 }),
    code: 'unavailable',
    says: /expired already/,
  },
  'an expiry that is no time': { answer: ok({ ...good, expires: 'soon' }), code: 'unavailable' },
  'a user that ends the string': {
    answer: ok({ ...good, user: `${jane}\x01auth=Bearer x` }),
    code: 'unavailable',
    says: /no login name/,
  },
  'a user that is no text': { answer: ok({ ...good, user: 7 }), code: 'unavailable' },
  'a user that is too long': {
    answer: ok({ ...good, user: 'x'.repeat(257) }),
    code: 'unavailable',
  },
  'a connection that breaks': { answer: 'reset', code: 'unavailable', trouble: 'network' },
  'half an answer': { answer: 'truncate', code: 'unavailable', trouble: 'network' },
}

void t.test('trouble', async (t) => {
  const server = await serve(t)
  const { refresh } = asking(t, server.url)
  for (const [name, row] of Object.entries(rows)) {
    server.says(row.answer)
    const before = server.requests.length
    const failure = await failureOf(refresh())
    t.equal(server.requests.length, before + 1, `${name}: one request`)
    t.equal(failure.code, row.code, `${name}: ${failure.message}`)
    t.match(`${failure.message} | ${failure.hint ?? ''}`, row.says ?? /127\.0\.0\.1/)
    if (failure instanceof Unavailable) {
      if (row.trouble !== undefined) t.equal(failure.trouble, row.trouble, name)
      t.equal(failure.retryAfterMs, row.retryAfterMs, name)
    }
    const secrets = [...server.secrets, relay.password, 'the password of jane', accessToken]
    t.same(leaksIn(everythingOf(failure), secrets), [], name)
  }
  const failure = await failureOf(refresh('smtp', 'nobody@fleet.example'))
  t.equal(failure.code, 'unknown-account')
})

void t.test('a server that repeats what it was told', async (t) => {
  const server = await serve(t)
  const { refresh } = asking(t, server.url)
  const basic = Buffer.from(`${relay.username}:${relay.password}`).toString('base64')
  for (const told of [basic, relay.password])
    for (const status of [401, 403, 500]) {
      server.says({ status, body: { error: told, message: `you said ${told}` } })
      const failure = await failureOf(refresh())
      t.same(leaksIn(everythingOf(failure), [basic, relay.password]), [])
    }
})

void t.test('what is wrong with one mailbox holds up no other', async (t) => {
  const server = await startTokenServer({
    knows: (account) => ({ user: account, accessToken: `${accessToken}-${account}`, expires: 9e9 }),
  })
  t.teardown(() => server.close())
  const { provider } = asking(t, server.url)
  const place = await createPlace(t)
  const account = accountOf('*@fleet.example', provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  server.says({ status: 429, headers: { 'retry-after': '300' }, body: { error: 'unavailable' } })
  const failure = await place.refusal(account, { mailbox: jane })
  t.match(failure, { code: 'unavailable', retryAfterMs: 300_000 })
  const joe = 'joe@fleet.example'
  t.equal(await place.ask(account, { mailbox: joe }), `${accessToken}-${joe}`)

  const asked = server.requests.length
  for (let count = 0; count < 9; count++) {
    place.tick(30_000)
    await place.quiet()
    await place.refusal(account, { mailbox: jane })
  }
  t.equal(server.requests.length, asked, 'and is asked for again when the server said, not before')
  place.tick(31_000)
  await place.quiet()
  t.equal(await place.ask(account, { mailbox: jane }), `${accessToken}-${jane}`)

  await t.test('a server that is down is left alone by all', async (t) => {
    server.says({ status: 503 })
    await place.refusal(account, { mailbox: 'ann@fleet.example' })
    const before = server.requests.length
    await place.refusal(account, { mailbox: 'bob@fleet.example', waitMs: 0 })
    t.equal(server.requests.length, before)
  })
})

void t.test('giving up', async (t) => {
  const server = await serve(t)
  const { provider } = asking(t, server.url)
  server.says('hang')
  const life = new AbortController()
  const asked = server.asked()
  const failure = failureOf(provider.refresh(undefined, smtpOf(jane), Date.now(), life.signal))
  await asked
  life.abort()
  t.match(await failure, { code: 'unavailable', trouble: 'network' })
})

void t.test('under TLS, and only with a certificate for its name', async (t) => {
  const authority = await createAuthority(t.testdir())
  const name = 'tokens.corp.example'
  for (const [certificateName, trusted] of [
    [name, true],
    ['portal.example', false],
  ] as const) {
    const server = await startTokenServer({
      ...(await authority.issue([certificateName])),
      knows: () => good,
    })
    t.teardown(() => server.close())
    useRealNames({ [name]: server.port }, authority.caFile)
    const { provider, refresh } = asking(t, `https://${name}/authentication`)
    t.equal(provider.authority, name)
    if (trusted) t.equal((await refresh()).token.value, accessToken)
    else {
      t.match(await failureOf(refresh()), { code: 'unavailable', message: /certificate/ })
      t.equal(server.requests.length, 0, 'nothing was sent to it')
    }
  }
})

void t.test('credentials', async (t) => {
  const server = await serve(t)
  const without = asking(t, server.url, { username: undefined, password: undefined })
  t.match(await failureOf(without.refresh()), { code: 'misconfigured', message: /HTTP 401/ })
  const missing = { kind: 'file', path: '/no/such/file' }
  const failure = await failureOf(asking(t, server.url, { password: missing }).provider.check())
  t.match(failure, { code: 'misconfigured', message: /\/no\/such\/file does not exist/ })
})

void t.test('settings that cannot be', (t) => {
  const problems = (settings: Readonly<Record<string, unknown>>) =>
    problemsOf('auth-server', {
      user: '*@fleet.example',
      settings: { url: 'https://tokens.example/', ...settings },
    }).map(({ key, message }) => `${key} ${message}`)
  const both = { username: 'a', password: inline('b') }
  t.same(problems({}), [])
  t.same(problems(both), [])
  t.match(problems({ ...both, username: undefined }), [/^username is missing/])
  t.match(problems({ ...both, password: undefined }), [/^password is missing/])
  t.match(problems({ ...both, username: 'a:b' }), [/^username cannot have a colon/])
  t.match(problems({ url: 'https://tokens.example/?account=x&proto=y' }), [
    /^url may not set "account"/,
    /^url may not set "proto"/,
  ])
  t.end()
})
