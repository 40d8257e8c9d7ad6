/** How a client proves itself at the token endpoint, and how it ends a grant. */
import t from 'tap'
import { Unavailable } from '../../src/errors.ts'
import { theClient } from '../fixtures/authorization-server.ts'
import { accountAt, serve, user } from '../fixtures/oauth2-account.ts'
import { failureOf, inline, problemsOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'

void t.test('how the client proves itself', async (t) => {
  const odd = { id: 'mail client', secret: 'p:ss+w%rd é/=' }
  const server = await serve(t, {
    clients: [
      { id: 'public' },
      { ...odd, authentication: 'basic' },
      { id: 'poster', secret: 's', authentication: 'post' },
    ],
  })
  const ask = async (client_id: string, settings: Readonly<Record<string, unknown>>) => {
    const account = accountAt(server, { client_id, client_secret: undefined, ...settings })
    t.same(problemsOf('oauth2', account), [])
    const { provider, signal } = providerOf(t, 'oauth2', account)
    await provider.check()
    const grant = server.grant(user, '', client_id)
    await provider.refresh(grant, smtpOf(user), Date.now(), signal)
    const { headers, form } = server.to('token').at(-1)!
    return [headers.authorization?.split(' ')[0], form.get('client_id'), form.get('client_secret')]
  }
  t.same(await ask('public', {}), [undefined, 'public', null])
  t.same(await ask('public', { client_auth: 'none' }), [undefined, 'public', null])
  t.same(await ask('poster', { client_secret: inline('s') }), [undefined, 'poster', 's'])
  t.same(
    await ask(odd.id, { client_auth: 'basic', client_secret: inline(odd.secret) }),
    ['Basic', null, null],
    'both parts are encoded',
  )

  const missing = { kind: 'env', variable: 'NOT_SET' }
  const { provider, signal } = providerOf(
    t,
    'oauth2',
    accountAt(server, { client_secret: missing }),
  )
  for (const outcome of [
    provider.check(),
    provider.refresh('grant', smtpOf(user), Date.now(), signal),
  ])
    t.match((await failureOf(outcome)).message, /variable NOT_SET is empty or not set/)
})

void t.test('a revocation', async (t) => {
  const server = await serve(t)
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
  const grant = server.grant(user)
  await provider.revoke?.(grant, signal)
  t.same(Object.fromEntries(server.to('revoke')[0]!.form), {
    token: grant,
    token_type_hint: 'refresh_token',
    client_id: theClient.id,
    client_secret: theClient.secret,
  })
  const dead = await failureOf(provider.refresh(grant, smtpOf(user), Date.now(), signal))
  t.equal(dead.code, 'sign-in-needed')

  server.fault({ endpoint: 'revoke', answer: { status: 503, headers: { 'retry-after': '5' } } })
  const later = await failureOf(provider.revoke?.(grant, signal))
  t.ok(later instanceof Unavailable && later.retryAfterMs === 5000)
  const body = { error: 'unsupported_token_type' }
  server.fault({ endpoint: 'revoke', answer: { status: 400, body } })
  t.equal((await failureOf(provider.revoke?.(grant, signal))).code, 'misconfigured')
})

void t.test('a server that repeats what it was told, in any form', async (t) => {
  const secret = 's3cr&t/+ x'
  const server = await serve(t, { clients: [{ id: 'it', secret, authentication: 'basic' }] })
  const settings = {
    client_id: 'it',
    client_secret: inline(secret),
    client_auth: 'basic',
    extra: { token: { api_key: 'k&y/1' } },
  }
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server, settings))
  const encoded = new URLSearchParams({ s: secret }).toString().slice(2)
  for (const quoted of [
    secret,
    encoded,
    encodeURIComponent(secret),
    // RFC 3986 2.1: the case of the digits does not matter, and more may be encoded than has to be.
    encoded.replace(/%../g, (digits) => digits.toLowerCase()),
    '%733cr%26%74%2f%2B%20x',
    Buffer.from(`it:${encoded}`).toString('base64'),
    'k&y/1',
    'k%26y%2F1',
  ]) {
    const body = { error: 'invalid_request', error_description: `bad: <${quoted}>` }
    server.fault({ endpoint: 'token', answer: { status: 400, body } })
    const refresh = provider.refresh('grant', smtpOf(user), Date.now(), signal)
    t.match((await failureOf(refresh)).message, /"invalid_request": bad: <\*\*\*>$/, quoted)
  }
})
