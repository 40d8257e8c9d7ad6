/** Every explanation, provoked by an answer of the server; and none changes what is done about it. */
import t, { type Test } from 'tap'
import type { FailureCode } from '../../src/errors.ts'
import { explain } from '../../src/providers/explain.ts'
import { explanations } from '../../src/providers/explanations.ts'
import { judge } from '../../src/providers/failure-classes.ts'
import { createBrowser } from '../fixtures/browser.ts'
import { startAuthorizationServer, theClient } from '../fixtures/authorization-server.ts'
import { googleAccount, serveGoogle } from '../fixtures/google.ts'
import { failureOf, inline, providerOf, smtpOf } from '../fixtures/provider-of.ts'

interface Case {
  /** The row that it is meant for. */
  readonly because: string
  readonly body: Readonly<Record<string, unknown>>
  readonly status?: number
  readonly code: FailureCode
  /** What the person reads: what is wrong, and what to do. */
  readonly says: RegExp
}

const microsoft = (error: string, number: number, rest: string, more = {}) => ({
  error,
  error_description: `AADSTS${number}: ${rest} Trace ID: 1 Correlation ID: 2`,
  error_codes: [number],
  ...more,
})

/** What Microsoft answers, at an account that could be one of its. */
const microsoftCases: readonly Case[] = [
  {
    because: 'redirect-uri',
    body: microsoft('invalid_client', 50011, 'The redirect URI specified does not match.'),
    code: 'misconfigured',
    says: /does not have the redirect URI.*set redirect_uri/,
  },
  {
    because: 'sign-in-frequency',
    body: microsoft('invalid_grant', 70043, 'The refresh token has expired or is invalid.', {
      suberror: 'token_expired',
    }),
    code: 'sign-in-needed',
    says: /repeated every so often.*Conditional Access, Session/,
  },
  {
    because: 'admin-consent',
    body: microsoft('invalid_grant', 65001, 'The user or administrator has not consented.', {
      suberror: 'consent_required',
    }),
    code: 'sign-in-needed',
    says: /only an administrator.*\/adminconsent\?client_id=mail-client/,
  },
  {
    because: 'conditional-access',
    body: microsoft('invalid_grant', 53003, 'Access has been blocked by policies.', {
      suberror: 'message_only',
    }),
    code: 'sign-in-needed',
    says: /access policy of the organization.*Sign-in logs/,
  },
  {
    because: 'inactivity',
    body: microsoft('invalid_grant', 700082, 'The refresh token has expired due to inactivity.'),
    code: 'sign-in-needed',
    says: /not used for so long.*every 14 days/,
  },
  {
    because: 'single-page-application',
    body: microsoft('invalid_grant', 700084, 'The token was issued to a single page app.'),
    code: 'sign-in-needed',
    says: /24 hours.*Mobile and desktop/,
  },
  {
    because: 'password',
    body: microsoft('invalid_grant', 50173, 'The provided grant has expired.'),
    code: 'sign-in-needed',
    says: /password was changed.*new password/,
  },
  {
    because: 'user-disabled',
    body: microsoft('invalid_grant', 50057, 'The user account is disabled.'),
    code: 'sign-in-needed',
    says: /locked or disabled.*unlock/,
  },
  {
    because: 'user-not-in-tenant',
    body: microsoft('invalid_grant', 50020, 'User account from identity provider is unknown.'),
    code: 'sign-in-needed',
    says: /does not belong to the tenant.*consumers/,
  },
  {
    because: 'second-factor',
    body: microsoft('interaction_required', 50076, 'You must use multi-factor authentication.'),
    code: 'sign-in-needed',
    says: /second factor.*sign in again/,
  },
  {
    because: 'secret-expired',
    body: microsoft('invalid_client', 7000222, 'The provided client secret keys are expired.'),
    status: 401,
    code: 'misconfigured',
    says: /secret has expired.*make a new one for the client mail-client/,
  },
  {
    because: 'secret-wrong',
    body: microsoft('invalid_client', 7000215, 'Invalid client secret provided.'),
    status: 401,
    code: 'misconfigured',
    says: /secret is wrong.*not its id/,
  },
  {
    because: 'certificate-wrong',
    body: microsoft('invalid_client', 700027, 'The certificate is not registered.'),
    status: 401,
    code: 'misconfigured',
    says: /key or certificate.*register/,
  },
  {
    because: 'public-client',
    body: microsoft('invalid_client', 700025, 'Client is public.'),
    status: 401,
    code: 'misconfigured',
    says: /public client.*remove client_secret/,
  },
  {
    because: 'confidential-client',
    body: microsoft('invalid_client', 7000218, 'The request body must contain a parameter.'),
    status: 401,
    code: 'misconfigured',
    says: /confidential client.*Allow public client flows/,
  },
  {
    because: 'application-disabled',
    body: microsoft('unauthorized_client', 7000112, 'Application is disabled.'),
    code: 'misconfigured',
    says: /is disabled.*register a client of your own/,
  },
  {
    because: 'resource-not-in-tenant',
    body: microsoft('invalid_resource', 500011, 'The resource principal was not found.'),
    code: 'misconfigured',
    says: /no mail service.*Exchange Online/,
  },
  {
    because: 'tenant',
    body: microsoft('invalid_request', 90002, "Tenant 'nobody.example' not found."),
    code: 'misconfigured',
    says: /tenant .* is not one.*directory \(tenant\) id/,
  },
  {
    because: 'client-unknown',
    body: microsoft('unauthorized_client', 700016, 'Application was not found.'),
    code: 'misconfigured',
    says: /knows no client mail-client.*copy client_id/,
  },
  {
    because: 'consent-refused',
    body: microsoft('access_denied', 65004, 'User declined to consent.'),
    code: 'sign-in-needed',
    says: /consent was refused.*agree to what/,
  },
  {
    because: 'scope',
    body: microsoft('invalid_scope', 70011, 'The provided scope is not valid.'),
    code: 'misconfigured',
    says: /does not grant these scopes.*check the scopes/,
  },
  {
    because: 'service-trouble',
    body: microsoft('temporarily_unavailable', 90033, 'A transient error has occurred.'),
    code: 'unavailable',
    says: /is in trouble/,
  },
  {
    because: 'client',
    body: { error: 'invalid_client' },
    status: 401,
    code: 'misconfigured',
    says: /does not accept the client mail-client.*client_secret/,
  },
  {
    because: 'client-type',
    body: { error: 'unauthorized_client' },
    code: 'misconfigured',
    says: /does not allow this way of asking.*type, grants/,
  },
]

const googleCases: readonly Case[] = [
  {
    because: 'session-policy',
    body: { error: 'invalid_grant', error_description: 'reauth', error_subtype: 'invalid_rapt' },
    code: 'sign-in-needed',
    says: /session control.*trust the client 1234567890-mail/,
  },
  {
    because: 'admin-policy',
    body: { error: 'admin_policy_enforced' },
    code: 'misconfigured',
    says: /administrator does not allow.*App access control/,
  },
  {
    because: 'internal-application',
    body: { error: 'org_internal' },
    code: 'misconfigured',
    says: /own organization only.*External/,
  },
  {
    because: 'ended',
    body: { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' },
    code: 'sign-in-needed',
    says: /has ended the sign-in.*in testing/,
  },
  {
    because: 'client-unknown',
    body: { error: 'invalid_client', error_description: 'The OAuth client was not found.' },
    status: 401,
    code: 'misconfigured',
    says: /knows no client 1234567890-mail/,
  },
  {
    because: 'application-disabled',
    body: { error: 'disabled_client', error_description: 'The OAuth client was disabled.' },
    status: 401,
    code: 'misconfigured',
    says: /is disabled at the provider/,
  },
  {
    because: 'delegation',
    body: {
      error: 'unauthorized_client',
      error_description: 'Client is unauthorized to retrieve access tokens using this method.',
    },
    status: 401,
    code: 'misconfigured',
    says: /delegation is not granted.*Domain-wide delegation/,
  },
]

const user = 'me@issuer.example'

void t.test('what Microsoft answers', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const settings = {
    issuer: server.issuer,
    client_id: theClient.id,
    client_secret: inline(theClient.secret),
  }
  const { provider, signal } = providerOf(t, 'oauth2', { user, settings })
  for (const one of microsoftCases) {
    server.fault({ endpoint: 'token', answer: { status: one.status ?? 400, body: one.body } })
    const refresh = provider.refresh(server.grant(user), smtpOf(user), Date.now(), signal)
    expectCase(t, one, await failureOf(refresh))
  }

  const redirect = { error: 'invalid_client', error_description: 'AADSTS50011: no match' }
  server.fault({ endpoint: 'token', answer: { status: 400, body: redirect } })
  const failure = await failureOf(provider.signIn?.(createBrowser(41_234), signal))
  t.match(failure.hint, 'register exactly http://127.0.0.1:41234/ for the client mail-client')
})

void t.test('what Google answers', async (t) => {
  const server = await serveGoogle(t)
  const account = googleAccount()
  const { provider, signal } = providerOf(t, 'google', account)
  for (const one of googleCases) {
    server.fault({ endpoint: 'token', answer: { status: one.status ?? 400, body: one.body } })
    const refresh = provider.refresh('a-grant', smtpOf(account.user), Date.now(), signal)
    expectCase(t, one, await failureOf(refresh))
  }

  server.fault({
    endpoint: 'authorize',
    answer: { overlay: { code: undefined, error: 'admin_policy_enforced' } },
  })
  const failure = await failureOf(provider.signIn?.(createBrowser(), signal))
  t.equal(failure.code, 'misconfigured', 'what the browser brings is explained alike')
  t.match(failure.hint, /App access control: trust the client 1234567890-mail/)
})

void t.test('every row was provoked', (t) => {
  const provoked = new Set([...microsoftCases, ...googleCases].map(({ because }) => because))
  t.same(
    explanations.map(({ because }) => because).filter((because) => !provoked.has(because)),
    [],
  )
  t.end()
})

void t.test('a number never changes the class', (t) => {
  const asked = { host: 'h.example', nowMs: Date.now(), secrets: [] }
  const classOf = (body: object, status: number) =>
    judge({ kind: 'answer', status, headers: {}, body: JSON.stringify(body) }, asked)?.class
  const numbers = explanations.flatMap(({ numbers: all = [] }) => all)
  t.ok(numbers.length > 50)
  for (const error of ['invalid_grant', 'invalid_client', 'interaction_required', 'server_error'])
    for (const number of numbers)
      for (const status of [400, 401, 403]) {
        const body = { error, error_codes: [number], error_description: `AADSTS${number}: x` }
        if (classOf(body, status) !== classOf({ error }, status))
          t.fail(`AADSTS${number} changes ${error}`)
      }
  t.end()
})

void t.test('what was sent stands in the text', (t) => {
  const found = explain(
    { error: 'consent_required' },
    { host: 'login.example', tenant: 'corp.example', client: 'a-client' },
  )
  t.match(
    found?.next,
    'https://login.example/corp.example/adminconsent?client_id=a-client, then sign in',
  )
  t.equal(explain({ error: 'nobody knows' }, {}), undefined)
  for (const { error = '' } of [{ error: 'invalid_scope' }, { error: 'redirect_uri_mismatch' }])
    t.notMatch(JSON.stringify(explain({ error }, {})), /[{}]\w+[{}]/, 'no gap is left open')
  t.end()
})

function expectCase(t: Test, one: Case, failure: Awaited<ReturnType<typeof failureOf>>): void {
  t.equal(failure.code, one.code, one.because)
  t.match(`${failure.message} ${failure.hint ?? ''}`, one.says, one.because)
}
