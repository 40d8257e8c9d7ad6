/**
 * Signing in by a code that is typed in on another device (RFC 8628), by the oauth2 provider: what it
 * sends, how often it asks, and how it ends. The server says how long to wait, so that nothing here takes long.
 */
import t from 'tap'
import { theClient, type AuthorizationServer } from '../fixtures/authorization-server.ts'
import { createBrowser } from '../fixtures/browser.ts'
import type { FaultAnswer } from '../fixtures/faults.ts'
import { everythingOf, leaksIn } from '../fixtures/leaks.ts'
import { accountAt, scopes, serve, user } from '../fixtures/oauth2-account.ts'
import { failureOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'

const grantType = 'urn:ietf:params:oauth:grant-type:device_code'
const error = (name: string, status = 400): FaultAnswer => ({ status, body: { error: name } })

function says(server: AuthorizationServer, ...answers: readonly FaultAnswer[]): void {
  for (const answer of answers) server.fault({ endpoint: 'token', answer })
}

void t.test('to the letter', async (t) => {
  const server = await serve(t)
  const extra = { authorize: { audience: 'mail' }, token: { resource: 'https://mail.example/' } }
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server, { extra }))
  // Some servers say 403 or 428 while they wait.
  says(server, error('authorization_pending'), error('authorization_pending', 428))
  const browser = createBrowser()
  const before = Date.now()
  const signedIn = await provider.signInByDevice?.(browser, signal)
  t.same(signedIn?.warnings, [])
  t.same(browser.opened, [], 'no browser of this machine')
  const { expiresAtMs = 0, ...code } = browser.codes[0] ?? {}
  t.same(code, {
    userCode: 'WDJB-MJHT',
    verificationUri: 'https://issuer.example/device',
    verificationUriComplete: 'https://issuer.example/device?user_code=WDJB-MJHT',
  })
  t.ok(expiresAtMs >= before + 1_800_000 && expiresAtMs <= Date.now() + 1_800_000)

  t.same(Object.fromEntries(server.to('device')[0]!.form), {
    audience: 'mail',
    scope: 'openid email offline_access mail.send mail.read',
    client_id: theClient.id,
    client_secret: theClient.secret,
  })
  const polls = server.to('token')
  t.equal(polls.length, 3)
  for (const { form } of polls)
    t.same(Object.fromEntries(form), {
      resource: 'https://mail.example/',
      grant_type: grantType,
      device_code: form.get('device_code'),
      client_id: theClient.id,
      client_secret: theClient.secret,
    })
  const { token } = await provider.refresh(signedIn?.grant, smtpOf(user), Date.now(), signal)
  t.ok(server.accept(token.value, user))
})

void t.test('slow_down', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  says(server, error('slow_down'), error('authorization_pending'))
  const life = new AbortController()
  const signedIn = provider.signInByDevice?.(
    createBrowser(),
    AbortSignal.any([signal, life.signal]),
  )
  const ended = failureOf(signedIn)
  await server.reached(2)
  const [first, second] = server.to('token')
  t.ok(second!.atMs - first!.atMs >= 4_990, 'adds five seconds')
  // The next one would be another five away: giving up does not wait for it.
  life.abort()
  const failure = await ended
  t.equal(failure.code, 'unavailable')
  t.match(failure.message, /was not finished/)
  t.equal(server.to('token').length, 2)
})

void t.test('an end without a sign-in', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  const failing = async (...answers: readonly FaultAnswer[]) => {
    says(server, ...answers)
    const failure = await failureOf(provider.signInByDevice?.(createBrowser(), signal))
    t.same(leaksIn(everythingOf(failure), [...server.secrets, theClient.secret]), [])
    return failure
  }
  const late = await failing(error('authorization_pending'), error('expired_token'))
  t.equal(late.code, 'sign-in-needed')
  t.match(late.message, /not typed in in time/)
  t.match(late.hint, /login --device/)
  t.equal((await failing(error('access_denied'))).code, 'sign-in-needed')
  t.equal((await failing(error('authorization_declined'))).code, 'sign-in-needed')
  t.equal((await failing(error('invalid_client', 401))).code, 'misconfigured')
  t.equal((await failing(error('unsupported_grant_type'))).code, 'misconfigured')

  server.fault({ endpoint: 'device', answer: { overlay: { expires_in: 0.05 } } })
  const over = await failing(...Array<FaultAnswer>(10).fill(error('authorization_pending')))
  t.match(over.message, /not typed in in time/, 'although the server never says so')
  server.heal()
})

void t.test('trouble on the way passes', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  says(server, { status: 503 }, 'reset', { status: 200, body: '<html>' }, { status: 429 })
  const signedIn = await provider.signInByDevice?.(createBrowser(), signal)
  t.match(signedIn?.grant, /^refresh\./)
  t.equal(server.to('token').length, 5)
})

void t.test('answers that no code comes with', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  const signIn = () => provider.signInByDevice?.(createBrowser(), signal)
  for (const overlay of [
    { device_code: undefined },
    { user_code: '' },
    { verification_uri: undefined },
    { verification_uri: 'javascript:alert(1)' },
  ]) {
    server.fault({ endpoint: 'device', answer: { overlay } })
    const failure = await failureOf(signIn())
    t.equal(failure.code, 'unavailable', JSON.stringify(overlay))
    t.match(failure.message, /without a usable device code/)
  }
  for (const [answer, code] of [
    [error('unauthorized_client'), 'misconfigured'],
    [error('invalid_scope'), 'misconfigured'],
    [{ status: 500 }, 'unavailable'],
    [{ status: 200, body: '<html>' }, 'unavailable'],
  ] as const) {
    server.fault({ endpoint: 'device', answer })
    t.equal((await failureOf(signIn())).code, code)
  }
  t.equal(server.to('token').length, 0, 'and nobody is asked for a token')

  // What is left out has its usual meaning; what a terminal would take for a command is left out.
  const overlay = {
    verification_uri: undefined,
    verification_url: 'https://old.example/device',
    verification_uri_complete: 'file:///etc/passwd',
    user_code: 'A\x1b[2JB',
    expires_in: undefined,
    interval: '0.01',
  }
  server.fault({ endpoint: 'device', answer: { overlay } })
  const browser = createBrowser()
  const before = Date.now()
  await provider.signInByDevice?.(browser, signal)
  t.match(browser.codes[0], {
    verificationUri: 'https://old.example/device',
    verificationUriComplete: undefined,
    userCode: 'A [2JB',
  })
  t.ok((browser.codes[0]?.expiresAtMs ?? 0) >= before + 15 * 60_000)
})

void t.test('a server that has it not', async (t) => {
  const metadata = { device_authorization_endpoint: undefined }
  const server = await serve(t, { behaviour: { metadata } })
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  const failure = await failureOf(provider.signInByDevice?.(createBrowser(), signal))
  t.equal(failure.code, 'misconfigured')
  t.match(
    `${failure.message} | ${failure.hint ?? ''}`,
    /has no device authorization endpoint \| set/,
  )

  const { authorize, token, device } = server.endpoints
  const endpoints = { issuer: undefined, token_endpoint: token }
  const without = accountAt(server, { ...endpoints, authorization_endpoint: authorize })
  t.notOk('signInByDevice' in providerOf(t, 'oauth2', without).provider)

  await t.test('but the file says where it is, and no page', async (t) => {
    const account = accountAt(server, { ...endpoints, device_authorization_endpoint: device })
    const { provider, signal } = providerOf(t, 'oauth2', account)
    t.ok(await provider.signInByDevice?.(createBrowser(), signal))
    const page = await failureOf(provider.signIn?.(createBrowser(), signal))
    t.match(page.message, /has no authorization endpoint/)
  })
})

void t.test('the checks of any sign-in', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', { ...accountAt(server), scopes })
  const failure = () => failureOf(provider.signInByDevice?.(createBrowser(), signal))
  server.behaviour.signsInAs = 'boss@issuer.example'
  t.match((await failure()).message, /boss@issuer.example signed in, but this account is/)
  server.behaviour.signsInAs = user
  server.behaviour.withholds = ['mail.read']
  t.match((await failure()).message, /consent was not given for mail.read/)
  server.behaviour.withholds = []
  server.behaviour.givesRefreshToken = () => false
  t.match((await failure()).message, /no refresh token/)
})

void t.test('giving up while the server is asked', async (t) => {
  const server = await serve(t)
  const { provider } = providerOf(t, 'oauth2', accountAt(server))
  says(server, 'hang')
  const life = new AbortController()
  const arrived = server.nextRequest('token')
  const failure = failureOf(provider.signInByDevice?.(createBrowser(), life.signal))
  await arrived
  life.abort()
  t.match((await failure).message, /was not finished/)
})
