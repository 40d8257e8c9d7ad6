/** A client that proves itself by its private key (RFC 7523 2.2): to the letter, and what is no such key. */
import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import t from 'tap'
import { createBrowser } from '../fixtures/browser.ts'
import { everythingOf, leaksIn } from '../fixtures/leaks.ts'
import { accountAt, serve, user } from '../fixtures/oauth2-account.ts'
import { failureOf, inline, problemsOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'

const pem = ({ publicKey, privateKey }: KeyPairKeyObjectResult) => ({
  publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
})
const rsa = (modulusLength: number) => pem(generateKeyPairSync('rsa', { modulusLength }))
const ec = (namedCurve: string) => pem(generateKeyPairSync('ec', { namedCurve }))

const kinds = {
  RS256: rsa(2048),
  ES256: ec('P-256'),
  ES384: ec('P-384'),
  ES512: ec('P-521'),
  EdDSA: pem(generateKeyPairSync('ed25519')),
}
const settingsOf = (key: string, more: Readonly<Record<string, unknown>> = {}) => ({
  client_secret: undefined,
  client_auth: 'private_key_jwt',
  key: inline(key),
  ...more,
})

for (const [algorithm, { publicKey, privateKey }] of Object.entries(kinds))
  void t.test(algorithm, async (t) => {
    const server = await serve(t, { clients: [{ id: 'mail-client', publicKey }] })
    const account = accountAt(server, settingsOf(privateKey, { key_id: 'the-key' }))
    const { provider, signal } = providerOf(t, 'oauth2', account)
    const signedIn = await provider.signIn?.(createBrowser(), signal)
    const { token } = await provider.refresh(signedIn?.grant, smtpOf(user), Date.now(), signal)
    t.ok(server.accept(token.value, user), 'a server checks the signature')
    const byDevice = await provider.signInByDevice?.(createBrowser(), signal)
    t.match(byDevice?.grant, /^refresh\./)
    await provider.revoke?.(signedIn?.grant ?? '', signal)

    const asked = [...server.to('token'), ...server.to('device'), ...server.to('revoke')]
    const assertions = asked.map(({ form }) => form.get('client_assertion') ?? '')
    t.equal(new Set(assertions.map((one) => decodeJwt(one).jti)).size, assertions.length)
    for (const assertion of assertions) {
      t.same(decodeProtectedHeader(assertion), { alg: algorithm, typ: 'JWT', kid: 'the-key' })
      const { iat = 0, exp = 0, jti, ...claims } = decodeJwt(assertion)
      t.ok(jti)
      t.ok(Math.abs(iat - Date.now() / 1000) < 60 && exp === iat + 120)
      t.same(claims, { iss: 'mail-client', sub: 'mail-client', aud: server.endpoints.token })
    }
    const { client_assertion, ...form } = Object.fromEntries(server.to('token')[1]!.form)
    t.ok(client_assertion)
    t.same(form, {
      grant_type: 'refresh_token',
      refresh_token: signedIn?.grant,
      scope: 'mail.send',
      client_id: 'mail-client',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    })
    t.equal(server.to('token')[1]?.headers.authorization, undefined)
  })

void t.test('the key of somebody else', async (t) => {
  const { publicKey } = kinds.ES256
  const server = await serve(t, { clients: [{ id: 'mail-client', publicKey }] })
  const { privateKey } = ec('P-256')
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server, settingsOf(privateKey)))
  const failure = await failureOf(
    provider.refresh(server.grant(user), smtpOf(user), Date.now(), signal),
  )
  t.equal(failure.code, 'misconfigured')
  t.match(failure.message, /invalid_client/)
})

void t.test('a server that quotes what it was sent', async (t) => {
  const { publicKey, privateKey } = kinds.ES256
  const server = await serve(t, { clients: [{ id: 'mail-client', publicKey }] })
  const { provider, signal } = providerOf(t, 'oauth2', accountAt(server, settingsOf(privateKey)))
  server.fault({
    endpoint: 'token',
    answer: ({ form }) => ({
      status: 401,
      body: { error: 'invalid_client', error_description: form.get('client_assertion') ?? '' },
    }),
  })
  const grant = server.grant(user)
  const failure = await failureOf(provider.refresh(grant, smtpOf(user), Date.now(), signal))
  t.same(leaksIn(everythingOf(failure), [...server.secrets, privateKey.slice(60, 120)]), [])
})

void t.test('keys that sign nothing', async (t) => {
  const server = await serve(t)
  const { publicKey } = kinds.RS256
  const cases: readonly (readonly [string, RegExp])[] = [
    ['none', /holds no private key that can be read/],
    [publicKey, /holds no private key that can be read/],
    [kinds.RS256.privateKey.slice(0, 500), /holds no private key that can be read/],
    [rsa(1024).privateKey, /of the kind rsa/],
    [ec('secp256k1').privateKey, /of the kind ec/],
    [pem(generateKeyPairSync('x25519')).privateKey, /of the kind x25519/],
  ]
  for (const [key, says] of cases) {
    const { provider } = providerOf(t, 'oauth2', accountAt(server, settingsOf(key)))
    const failure = await failureOf(provider.check())
    t.equal(failure.code, 'misconfigured')
    t.match(failure.message, says)
    t.ok(failure.hint)
    t.same(leaksIn(everythingOf(failure), [key.slice(30, 60)].filter(Boolean)), [])
  }
  t.equal(server.requests.length, 0)
})

void t.test('settings that cannot be', (t) => {
  const problems = (settings: Readonly<Record<string, unknown>>) =>
    problemsOf('oauth2', { user, settings: { issuer: 'https://issuer.example', ...settings } }).map(
      ({ key, message }) => `${key} ${message}`,
    )
  const client_auth = 'private_key_jwt'
  const key = inline('k')
  t.same(problems({ client_auth, key, key_id: 'x' }), [])
  t.match(problems({ client_auth }), [/^key is missing; client_auth = "private_key_jwt"/])
  t.match(problems({ client_auth, key, client_secret: inline('s') }), [
    /^client_secret is not used with client_auth = "private_key_jwt"/,
  ])
  t.match(problems({ key, key_id: 'x' }), [/^key is used with/, /^key_id is used with/])
  t.end()
})
