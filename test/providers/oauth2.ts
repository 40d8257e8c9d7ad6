/**
 * The oauth2 provider: what exactly it sends at a sign-in and a refresh, and whom it does not believe.
 * What it makes of a failing token endpoint is in contract.ts.
 */
import { createHash } from 'node:crypto'
import t from 'tap'
import { theClient } from '../fixtures/authorization-server.ts'
import { createBrowser } from '../fixtures/browser.ts'
import { accountAt, scopes, serve, user } from '../fixtures/oauth2-account.ts'
import { failureOf, inline, problemsOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'

void t.test('a sign-in, to the letter', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  const browser = createBrowser(41234)
  const signedIn = await provider.signIn?.(browser, signal)
  t.same(signedIn?.warnings, [])

  const form = Object.fromEntries(server.to('token')[0]!.form)
  const verifier = String(form['code_verifier'])
  t.match(verifier, /^[\w-]{43,128}$/)
  t.equal(browser.opened[0]?.href.split('?')[0], server.endpoints.authorize)
  t.same(Object.fromEntries(browser.opened[0]!.searchParams), {
    response_type: 'code',
    client_id: theClient.id,
    redirect_uri: 'http://127.0.0.1:41234/',
    scope: 'openid email offline_access mail.send mail.read',
    state: 'the-state',
    login_hint: user,
    prompt: 'consent',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  })
  t.same(form, {
    grant_type: 'authorization_code',
    code: form['code'],
    redirect_uri: 'http://127.0.0.1:41234/',
    code_verifier: verifier,
    client_id: theClient.id,
    client_secret: theClient.secret,
  })

  await provider.signIn?.(browser, signal)
  t.not(server.to('token')[1]?.form.get('code_verifier'), verifier, 'a verifier serves once')
})

void t.test('a sign-in without scopes, with a redirect URI of its own', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', {
    ...accountAt(server, { redirect_uri: 'https://corp.example/back', listen: '127.0.0.1:8400' }),
    scopes: {},
  })
  let listen
  const browser = createBrowser()
  const watching = {
    ...browser,
    browse: ((trip, tripSignal) => {
      listen = trip.listen
      return browser.browse(trip, tripSignal)
    }) as typeof browser.browse,
  }
  const signedIn = await provider.signIn?.(watching, signal)
  t.equal(listen, '127.0.0.1:8400')
  const asked = browser.opened[0]!.searchParams
  t.equal(asked.get('redirect_uri'), 'https://corp.example/back')
  t.equal(asked.has('scope'), false)
  t.equal(asked.has('prompt'), false)
  t.match(signedIn?.warnings, [/did not say who signed in; me@issuer.example is assumed/])
})

void t.test('endpoints instead of an issuer', async (t) => {
  const server = await serve(t)
  const { authorize, token, revoke } = server.endpoints
  const settings = {
    issuer: undefined,
    authorization_endpoint: `${authorize}?tenant=corp`,
    token_endpoint: token,
    revocation_endpoint: revoke,
  }
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server, settings))
  t.equal(provider.authority, `127.0.0.1:${server.port}`)
  t.equal(provider.binding, `oauth2 mail-client at ${token}`)
  const browser = createBrowser()
  const { grant } = (await provider.signIn?.(browser, signal))!
  t.equal(browser.opened[0]?.searchParams.get('tenant'), 'corp', 'a query of the endpoint stays')
  await provider.refresh(grant, smtpOf(user), Date.now(), signal)
  await provider.revoke?.(grant, signal)
  t.same(
    server.requests.map(({ endpoint }) => endpoint),
    ['authorize', 'token', 'token', 'revoke'],
    'nobody was asked for metadata',
  )
})

void t.test('who answers the browser', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  const answerWith = (change: (answer: URLSearchParams) => void) =>
    failureOf(provider.signIn?.(createBrowser(41999, change), signal))
  const cases: readonly (readonly [Record<string, string | undefined>, string, RegExp])[] = [
    [{ iss: 'https://evil.example' }, 'misconfigured', /from "https:\/\/evil.example" and not/],
    [{ iss: undefined }, 'misconfigured', /from an unnamed issuer/],
    [
      { code: undefined, error: 'access_denied', error_description: 'no,\nthanks' },
      'sign-in-needed',
      /"access_denied": no, thanks/,
    ],
    [{ code: undefined, error: 'server_error' }, 'unavailable', /"server_error"/],
    [{ code: undefined, error: 'temporarily_unavailable' }, 'unavailable', /temporarily/],
    [{ code: undefined, error: 'invalid_scope' }, 'misconfigured', /"invalid_scope"/],
    [{ code: undefined }, 'sign-in-needed', /neither a code nor an error/],
    [{ code: '' }, 'sign-in-needed', /neither a code nor an error/],
  ]
  for (const [changes, code, says] of cases) {
    const failure = await answerWith((answer) => {
      for (const [name, value] of Object.entries(changes))
        if (value === undefined) answer.delete(name)
        else answer.set(name, value)
    })
    t.equal(failure.code, code, JSON.stringify(changes))
    t.match(failure.message, says)
    t.ok(failure.hint ?? code === 'sign-in-needed', 'a hint')
  }
  t.equal(server.to('token').length, 0, 'no code was redeemed')

  const stolen = await answerWith((answer) => answer.set('code', 'code.of-another-client'))
  t.equal(stolen.code, 'sign-in-needed')
})

void t.test('a server that does not announce iss may leave it out', async (t) => {
  const metadata = { authorization_response_iss_parameter_supported: undefined }
  const server = await serve(t, { behaviour: { metadata } })
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  server.fault({ endpoint: 'authorize', answer: { overlay: { iss: undefined } } })
  t.ok(await provider.signIn?.(createBrowser(), signal))
  server.fault({ endpoint: 'authorize', answer: { overlay: { iss: `${server.issuer}/` } } })
  const failure = await failureOf(provider.signIn?.(createBrowser(), signal))
  t.equal(failure.code, 'misconfigured', 'but not name another')
})

void t.test('who signed in', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  const signIn = () => provider.signIn?.(createBrowser(), signal)

  server.behaviour.signsInAs = 'boss@issuer.example'
  const failure = await failureOf(signIn())
  t.equal(failure.code, 'sign-in-needed')
  t.match(failure.message, /boss@issuer.example signed in, but this account is me@issuer.example/)
  server.behaviour.signsInAs = 'Me@Issuer.Example'
  t.same((await signIn())?.warnings, [], 'the case does not matter')

  await t.test('as the userinfo endpoint says', async (t) => {
    const account = { ...accountAt(server), scopes: { ...scopes, login: ['openid'] } }
    const { provider, signal } = providerOf(t, 'oauth2', account)
    server.behaviour.signsInAs = user
    t.same((await provider.signIn?.(createBrowser(), signal))?.warnings, [])
    t.equal(server.to('userinfo').length, 1)
    server.fault({ endpoint: 'userinfo', answer: { overlay: { email: 'boss@issuer.example' } } })
    const other = await failureOf(provider.signIn?.(createBrowser(), signal))
    t.equal(other.code, 'sign-in-needed')
    server.fault({ endpoint: 'userinfo', answer: { overlay: { email: [user] } } })
    const list = await failureOf(provider.signIn?.(createBrowser(), signal))
    t.equal(list.code, 'sign-in-needed', 'an email that is no text is nobody we know')
    server.fault({ endpoint: 'userinfo', answer: { overlay: { email: undefined } } })
    const silent = await provider.signIn?.(createBrowser(), signal)
    t.match(silent?.warnings, [/did not say/])
    server.fault({ endpoint: 'userinfo', answer: { status: 503 } })
    const down = await failureOf(provider.signIn?.(createBrowser(), signal))
    t.equal(down.code, 'unavailable')
  })

  await t.test('as an ID token says that cannot be read', async (t) => {
    for (const id_token of ['none', 'a.!!!.c', 'a.W10.c']) {
      server.fault({ endpoint: 'token', answer: { overlay: { id_token } } })
      server.fault({ endpoint: 'userinfo', answer: { overlay: { email: user } } })
      t.same((await signIn())?.warnings, [], id_token)
    }
  })
})

void t.test('a sign-in that would not last', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  server.behaviour.withholds = ['mail.read']
  const narrower = await failureOf(provider.signIn?.(createBrowser(), signal))
  t.equal(narrower.code, 'misconfigured')
  t.match(narrower.message, /consent was not given for mail.read/)
  server.behaviour.withholds = []

  server.fault({ endpoint: 'token', answer: { overlay: { refresh_token: undefined } } })
  const brief = await failureOf(provider.signIn?.(createBrowser(), signal))
  t.equal(brief.code, 'misconfigured')
  t.match(brief.message, /no refresh token/)
  t.match(brief.hint, /offline_access/)

  server.fault({ endpoint: 'token', answer: { overlay: { scope: undefined } } })
  t.ok(await provider.signIn?.(createBrowser(), signal), 'a server need not repeat the scopes')
})

void t.test('one token for each set of scopes', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  const { grant } = (await provider.signIn?.(createBrowser(), signal))!
  const smtp = await provider.refresh(grant, smtpOf(user), Date.now(), signal)
  t.equal(server.find(smtp.token.value)?.scope, 'mail.send', 'SMTP cannot read mail')
  t.same(Object.fromEntries(server.to('token').at(-1)!.form), {
    grant_type: 'refresh_token',
    refresh_token: grant,
    scope: 'mail.send',
    client_id: theClient.id,
    client_secret: theClient.secret,
  })
  t.not(
    provider.tokenKey(smtpOf(user)),
    provider.tokenKey({ service: 'imap', mailbox: user }),
    'and is not served with the token of another service',
  )

  await t.test('unless they are the same', async (t) => {
    const account = { ...accountAt(server), scopes: { smtp: ['mail'], imap: ['mail'] } }
    const { provider, signal } = providerOf(t, 'oauth2', account)
    await provider.refresh(server.grant(user), smtpOf(user), Date.now(), signal)
    t.equal(server.to('token').at(-1)?.form.has('scope'), false)
    t.equal(provider.tokenKey(smtpOf(user)), '')
  })
})

void t.test('extra parameters', async (t) => {
  const server = await serve(t)
  const extra = {
    authorize: { prompt: 'login', audience: 'mail', login_hint: 'me' },
    token: { resource: 'https://mail.example/' },
  }
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server, { extra }))
  server.behaviour.signsInAs = user
  const browser = createBrowser()
  const { grant } = (await provider.signIn?.(browser, signal))!
  await provider.refresh(grant, smtpOf(user), Date.now(), signal)
  t.match(Object.fromEntries(browser.opened[0]!.searchParams), extra.authorize)
  for (const { form } of server.to('token')) t.match(Object.fromEntries(form), extra.token)
})

void t.test('settings that cannot be', (t) => {
  const problems = (settings: Readonly<Record<string, unknown>>, name = user) =>
    problemsOf('oauth2', { user: name, settings }).map(({ key, message }) => `${key} ${message}`)
  const issuer = 'https://issuer.example'
  const token_endpoint = `${issuer}/token`
  t.match(problems({}), [/^issuer is missing; write issuer/])
  t.match(problems({ token_endpoint }), [
    /^authorization_endpoint is missing beside token_endpoint/,
  ])
  t.same(problems({ token_endpoint, authorization_endpoint: `${issuer}/auth` }), [])
  t.match(problems({ issuer, client_auth: 'basic' }), [/^client_secret is missing; .*"basic"/])
  t.match(problems({ issuer, client_auth: 'none', client_secret: inline('s') }), [
    /^client_secret is not used/,
  ])
  t.match(problems({ issuer, extra: { authorize: { state: 'x' }, token: { scope: 'y' } } }), [
    /^extra may not set "state" in authorize/,
    /^extra may not set "scope" in token/,
  ])
  t.match(problems({ issuer }, '*@issuer.example'), [/^user must be one address/])
  t.end()
})
