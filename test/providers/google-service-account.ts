/**
 * The google-service-account provider: what it signs and for whom, which keys it does not use, and what
 * it says of a delegation that is missing. What else can fail is in contract.ts.
 */
import { decodeJwt, decodeProtectedHeader } from 'jose'
import t from 'tap'
import { googleNames } from '../fixtures/google-server.ts'
import { serveGoogle } from '../fixtures/google.ts'
import { failureOf, inline, providerOf, smtpOf, type TestAccount } from '../fixtures/provider-of.ts'
import { createServiceAccount } from '../fixtures/service-account.ts'

const mailScope = 'https://mail.google.com/'
const { account, keyFile, privateKey } = createServiceAccount('corp.example', {
  absent: ['nobody@corp.example'],
})
const server = await serveGoogle(t, { serviceAccounts: [account] })

function holding(key: string, scopes: TestAccount['scopes'] = {}): TestAccount {
  return { user: '*@corp.example', scopes, settings: { key: inline(key) } }
}

void t.test('an assertion, to the letter', async (t) => {
  const { provider, signal } = providerOf(t, 'google-service-account', holding(keyFile))
  const { token, grant } = await provider.refresh(
    undefined,
    smtpOf('jane@corp.example'),
    Date.now(),
    signal,
  )
  t.equal(grant, undefined)
  t.ok(server.accept(token.value, 'jane@corp.example'))

  const request = server.to('token').at(-1)!
  t.equal(request.url.href, 'https://oauth2.googleapis.com/token')
  const { grant_type, assertion = '', ...rest } = Object.fromEntries(request.form)
  t.equal(grant_type, 'urn:ietf:params:oauth:grant-type:jwt-bearer')
  t.same(rest, {})
  t.equal(decodeProtectedHeader(assertion).alg, 'RS256')
  const { iat = 0, exp = 0, ...claims } = decodeJwt(assertion)
  t.same(claims, {
    iss: account.email,
    sub: 'jane@corp.example',
    aud: 'https://oauth2.googleapis.com/token',
    scope: mailScope,
  })
  t.ok(Math.abs(iat - Date.now() / 1000) < 60)
  t.ok(exp > iat && exp - iat <= 3600)
})

void t.test('one for each mailbox', async (t) => {
  const { provider, signal } = providerOf(t, 'google-service-account', holding(keyFile))
  const mailboxes = ['jane@corp.example', 'joe@corp.example']
  const keys = mailboxes.map((mailbox) => provider.tokenKey(smtpOf(mailbox)))
  t.equal(new Set(keys).size, 2)
  for (const mailbox of mailboxes) {
    const { token } = await provider.refresh(undefined, smtpOf(mailbox), Date.now(), signal)
    t.equal(server.find(token.value)?.user, mailbox)
  }
  const [jane = ''] = mailboxes
  t.equal(
    provider.tokenKey(smtpOf(jane)),
    provider.tokenKey({ service: 'imap', mailbox: jane }),
    'and for each set of scopes',
  )
})

void t.test('scopes of the file', async (t) => {
  const scopes = { imap: ['https://www.googleapis.com/auth/gmail.imap_admin'] }
  const { provider, signal } = providerOf(t, 'google-service-account', holding(keyFile, scopes))
  const request = { service: 'imap', mailbox: 'jane@corp.example' }
  t.not(provider.tokenKey(request), provider.tokenKey(smtpOf(request.mailbox)))
  const failure = await failureOf(provider.refresh(undefined, request, Date.now(), signal))
  t.equal(failure.code, 'misconfigured')
  t.match(failure.message, /unauthorized_client/)
  t.match(failure.hint, /Domain-wide delegation: allow client 104000000000000000001 the scope /)
  t.match(failure.hint, /gmail\.imap_admin/)
})

void t.test('a delegation that does not cover the client', async (t) => {
  const key = JSON.parse(keyFile) as Record<string, unknown>
  const anonymous = JSON.stringify({ ...key, client_id: undefined })
  for (const [text, client] of [
    [keyFile, /allow client 104000000000000000001/],
    [anonymous, /allow client of the service account/],
  ] as const) {
    const body = { error: 'access_denied', error_description: 'Requested client not authorized.' }
    server.fault({ endpoint: 'token', answer: { status: 403, body } })
    const { provider, signal } = providerOf(t, 'google-service-account', holding(text))
    const request = smtpOf('jane@corp.example')
    const failure = await failureOf(provider.refresh(undefined, request, Date.now(), signal))
    t.equal(failure.code, 'misconfigured')
    t.match(failure.hint, client)
  }
})

void t.test('mailboxes that Google does not know', async (t) => {
  const { provider, signal } = providerOf(t, 'google-service-account', holding(keyFile))
  for (const mailbox of ['nobody@corp.example', 'jane@elsewhere.example']) {
    const request = smtpOf(mailbox)
    const failure = await failureOf(provider.refresh(undefined, request, Date.now(), signal))
    t.equal(failure.code, 'unknown-account')
    t.equal(failure.message, `Google knows no user ${mailbox}`)
  }
})

void t.test('a key that was deleted, or is of another account', async (t) => {
  const stranger = createServiceAccount('corp.example')
  const unknown = createServiceAccount('unknown.example')
  for (const key of [stranger.keyFile, unknown.keyFile]) {
    const { provider, signal } = providerOf(t, 'google-service-account', holding(key))
    await provider.check()
    const request = smtpOf('jane@corp.example')
    const failure = await failureOf(provider.refresh(undefined, request, Date.now(), signal))
    t.equal(failure.code, 'misconfigured')
    t.match(failure.hint, /check that the key of mailer@\S+ still exists/)
  }
})

void t.test('keys that are not used', async (t) => {
  const before = server.requests.length
  const key = JSON.parse(keyFile) as Record<string, unknown>
  const changed = (changes: Record<string, unknown>) => JSON.stringify({ ...key, ...changes })
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /is not JSON/],
    [privateKey, /is not JSON/],
    ['null', /has no type, so it is no key of a service account/],
    ['{}', /has no type, so it is no key of a service account/],
    ['{"type":"authorized_user"}', /is of the type "authorized_user", not "service_account"/],
    ['{"installed":{"client_id":"1"}}', /is an OAuth client, and no key of a service account/],
    ['7', /has no type/],
    ['[]', /has no type/],
    [changed({ type: 'authorized_user' }), /type "authorized_user"/],
    [
      changed({ token_uri: 'https://evil.example/token' }),
      /https:\/\/evil.example\/token as token_uri/,
    ],
    [changed({ token_uri: undefined }), /has no token_uri/],
    [changed({ private_key: undefined }), /has no private_key/],
    [changed({ private_key: privateKey.slice(0, 700) }), /private_key that cannot be read/],
    [changed({ private_key: 'x' }), /private_key that cannot be read/],
    [changed({ client_email: '' }), /has no client_email/],
  ]
  for (const [text, says] of cases) {
    const { provider, signal } = providerOf(t, 'google-service-account', holding(text))
    for (const outcome of [
      provider.check(),
      provider.refresh(undefined, smtpOf('jane@corp.example'), Date.now(), signal),
    ]) {
      const failure = await failureOf(outcome)
      t.equal(failure.code, 'misconfigured')
      t.match(failure.message, says)
      t.notMatch(failure.message, privateKey.slice(100, 140))
      t.ok(failure.hint)
    }
  }
  t.equal(server.requests.length, before, `nothing was sent to ${googleNames.join(' or ')}`)
})

void t.test('keys of other times', async (t) => {
  const key = JSON.parse(keyFile) as Record<string, unknown>
  const old = { token_uri: 'https://accounts.google.com/o/oauth2/token' }
  const text = JSON.stringify({ ...key, ...old })
  const { provider, signal } = providerOf(t, 'google-service-account', holding(text))
  const request = smtpOf('jane@corp.example')
  const { token } = await provider.refresh(undefined, request, Date.now(), signal)
  t.ok(server.accept(token.value, 'jane@corp.example'))
})
