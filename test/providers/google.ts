/**
 * The google provider: what exactly Google's own host names are asked, and which sign-ins are not kept.
 * What it makes of a failing token endpoint is in contract.ts.
 */
import { createHash } from 'node:crypto'
import t from 'tap'
import { createBrowser } from '../fixtures/browser.ts'
import { googleClient } from '../fixtures/google-server.ts'
import { googleAccount, serveGoogle } from '../fixtures/google.ts'
import { failureOf, inline, problemsOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'

const user = 'me@gmail.com'
const mailScope = 'https://mail.google.com/'
const emailScope = 'https://www.googleapis.com/auth/userinfo.email'

const server = await serveGoogle(t)
t.afterEach(() => {
  Object.assign(server.behaviour, { withholds: [], signsInAs: undefined })
})

void t.test('a sign-in, to the letter', async (t) => {
  const { provider, signal } = providerOf(t, 'google', googleAccount())
  const browser = createBrowser(41235)
  const { grant, warnings } = (await provider.signIn?.(browser, signal))!
  t.same(warnings, [])

  const request = server.to('token').at(-1)!
  const form = Object.fromEntries(request.form)
  const verifier = String(form['code_verifier'])
  t.match(verifier, /^[\w-]{43,128}$/)
  const opened = browser.opened[0]!
  t.equal(opened.href.split('?')[0], 'https://accounts.google.com/o/oauth2/v2/auth')
  t.same(Object.fromEntries(opened.searchParams), {
    response_type: 'code',
    client_id: googleClient.id,
    redirect_uri: 'http://127.0.0.1:41235/',
    scope: `${mailScope} openid ${emailScope}`,
    state: 'the-state',
    access_type: 'offline',
    prompt: 'consent',
    login_hint: user,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  })
  t.equal(request.url.href, 'https://oauth2.googleapis.com/token')
  t.equal(request.headers['content-type'], 'application/x-www-form-urlencoded')
  t.same(form, {
    grant_type: 'authorization_code',
    code: form['code'],
    redirect_uri: 'http://127.0.0.1:41235/',
    code_verifier: verifier,
    client_id: googleClient.id,
    client_secret: googleClient.secret,
  })

  const { token } = await provider.refresh(grant, smtpOf(user), Date.now(), signal)
  t.ok(server.accept(token.value, user))
  const refresh = server.to('token').at(-1)!
  t.equal(refresh.url.href, 'https://oauth2.googleapis.com/token')
  t.same(Object.fromEntries(refresh.form), {
    grant_type: 'refresh_token',
    refresh_token: grant,
    client_id: googleClient.id,
    client_secret: googleClient.secret,
  })
})

void t.test('what the file says of scopes and the way back', async (t) => {
  const { provider, signal } = providerOf(t, 'google', {
    ...googleAccount({ redirect_uri: 'http://127.0.0.1:8401/back' }),
    services: ['smtp', 'calendar'],
    scopes: { calendar: ['https://www.googleapis.com/auth/calendar'], login: ['profile'] },
  })
  const browser = createBrowser()
  await provider.signIn?.(browser, signal)
  const asked = browser.opened[0]!.searchParams
  t.equal(asked.get('redirect_uri'), 'http://127.0.0.1:8401/back')
  t.equal(
    asked.get('scope'),
    `${mailScope} https://www.googleapis.com/auth/calendar openid ${emailScope} profile`,
  )
  t.equal(
    provider.tokenKey(smtpOf(user)),
    provider.tokenKey({ service: 'calendar', mailbox: user }),
    'one token serves every service',
  )
  t.same(provider.missingScopes?.('calendar', [mailScope]), [
    'https://www.googleapis.com/auth/calendar',
  ])
  t.same(provider.missingScopes?.('smtp', [mailScope, 'openid']), [])
})

void t.test('sign-ins that are not kept', async (t) => {
  const { provider, signal } = providerOf(t, 'google', googleAccount())
  const failure = (browser = createBrowser()) => failureOf(provider.signIn?.(browser, signal))

  server.behaviour.withholds = [mailScope]
  const unticked = await failure()
  t.equal(unticked.code, 'misconfigured')
  t.match(unticked.message, /consent was not given for https:\/\/mail.google.com\//)
  t.match(unticked.hint, /every box ticked/)
  server.behaviour.withholds = []

  server.behaviour.signsInAs = 'boss@gmail.com'
  const other = await failure()
  t.equal(other.code, 'sign-in-needed')
  t.match(other.message, /boss@gmail.com signed in, but this account is me@gmail.com/)
  server.behaviour.signsInAs = undefined

  server.fault({ endpoint: 'token', answer: { overlay: { refresh_token: undefined } } })
  const brief = await failure()
  t.equal(brief.code, 'misconfigured')
  t.match(brief.message, /no refresh token/)
  t.match(brief.hint, /myaccount.google.com/)

  const before = server.to('token').length
  const mixedUp = await failure(
    createBrowser(41999, (answer) => answer.set('iss', 'https://evil.example')),
  )
  t.equal(mixedUp.code, 'misconfigured')
  const refused = await failure(
    createBrowser(41999, (answer) => {
      answer.delete('code')
      answer.set('error', 'access_denied')
    }),
  )
  t.equal(refused.code, 'sign-in-needed')
  t.equal(server.to('token').length, before, 'no code was redeemed')
})

void t.test('a sign-in whose answer does not say who, or from where', async (t) => {
  const { provider, signal } = providerOf(t, 'google', googleAccount())
  server.fault({ endpoint: 'authorize', answer: { overlay: { iss: undefined } } })
  server.fault({ endpoint: 'token', answer: { overlay: { id_token: undefined } } })
  const signedIn = await provider.signIn?.(createBrowser(), signal)
  t.match(signedIn?.warnings, [/me@gmail.com is assumed/])
})

void t.test('a redirect URI that is not registered', async (t) => {
  const { provider, signal } = providerOf(t, 'google', googleAccount())
  server.fault({
    endpoint: 'token',
    answer: { status: 400, body: { error: 'redirect_uri_mismatch' } },
  })
  const failure = await failureOf(provider.signIn?.(createBrowser(), signal))
  t.equal(failure.code, 'misconfigured')
  t.match(failure.hint, /register exactly http:\/\/127\.0\.0\.1:41999\/ for the client /)
})

void t.test('a refresh that is answered for somebody else', async (t) => {
  const { provider, signal } = providerOf(t, 'google', googleAccount())
  const claim = (claims: object) =>
    `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`
  const refreshed = (id_token: unknown, further: object = {}) => {
    server.fault({ endpoint: 'token', answer: { overlay: { id_token, ...further } } })
    return provider.refresh(server.grant(user), smtpOf(user), Date.now(), signal)
  }
  for (const further of [{}, { refresh_token: "mallory's", expires_in: 0 }]) {
    const failure = await failureOf(refreshed(claim({ email: 'mallory@gmail.com' }), further))
    t.match(failure, { trouble: 'account', message: /answered for mallory@gmail\.com/ })
    t.equal(failure.grant, undefined, 'nothing of it is kept')
  }
  for (const same of [claim({ email: 'Me@Gmail.com' }), claim({}), 'no token', undefined])
    t.ok(await refreshed(same))
})

void t.test('a revocation', async (t) => {
  const { provider, signal } = providerOf(t, 'google', googleAccount())
  const grant = server.grant(user, mailScope, googleClient.id)
  await provider.revoke?.(grant, signal)
  const request = server.to('revoke').at(-1)!
  t.equal(request.url.href, 'https://oauth2.googleapis.com/revoke')
  t.equal(request.form.get('token'), grant)
  const failure = await failureOf(provider.refresh(grant, smtpOf(user), Date.now(), signal))
  t.equal(failure.code, 'sign-in-needed')
})

void t.test('without a grant there is nothing to ask, and asking is a bug', async (t) => {
  const { provider, signal } = providerOf(t, 'google', googleAccount())
  const before = server.requests.length
  await t.rejects(provider.refresh(undefined, smtpOf(user), Date.now(), signal), /refresh token/)
  t.equal(server.requests.length, before)
})

void t.test('a client secret that cannot be read', async (t) => {
  const settings = { client_secret: { kind: 'env', variable: 'NOT_SET' } }
  const { provider, signal } = providerOf(t, 'google', googleAccount(settings))
  const before = server.requests.length
  for (const outcome of [
    provider.check(),
    provider.refresh('grant', smtpOf(user), Date.now(), signal),
  ])
    t.match((await failureOf(outcome)).message, /variable NOT_SET is empty or not set/)
  t.equal(server.requests.length, before)
})

void t.test('settings that cannot be', (t) => {
  t.match(problemsOf('google', { ...googleAccount(), user: '*@corp.example' }), [
    { key: 'user', message: /google-service-account/ },
  ])
  const settings = { client_id: 'mail-client', client_secret: inline('s') }
  t.match(problemsOf('google', googleAccount(settings)), [
    { key: 'client_id', message: /\.apps\.googleusercontent\.com/ },
  ])
  t.end()
})
