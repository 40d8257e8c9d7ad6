/** Where an issuer's metadata is found, when it is read again, and when it is not believed. */
import t from 'tap'
import { createBrowser } from '../fixtures/browser.ts'
import { accountAt, serve, user } from '../fixtures/oauth2-account.ts'
import { failureOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'

const dayMs = 86_400_000

void t.test('the metadata', async (t) => {
  const server = await serve(t)
  const refreshed = async (account = accountAt(server)) => {
    const { provider, signal } = providerOf(t, 'oauth2', account)
    return provider.refresh(server.grant(user), smtpOf(user), Date.now(), signal)
  }

  await t.test('where OpenID Connect has it, else where RFC 8414 has it', async (t) => {
    server.fault({ endpoint: 'discovery', answer: { status: 404 } })
    t.ok(await refreshed())
    t.equal(server.to('metadata').length, 1)
    for (const status of [400, 403, 405]) {
      server.fault({ endpoint: 'discovery', answer: { status } })
      t.ok(await refreshed(), `HTTP ${status}`)
    }

    const issuer = 'http://127.0.0.1'
    const nowhere = {
      ...accountAt(server),
      settings: { issuer: `${server.issuer}/no`, client_id: 'x' },
    }
    const { provider, signal } = providerOf(t, 'oauth2', nowhere)
    const first = await failureOf(provider.signIn?.(createBrowser(), signal))
    t.match([first.code, first.message], ['misconfigured', /publishes no metadata$/])
    for (const path of ['/realms/mail', '/realms/mail/']) {
      const realm = await serve(t)
      const at = (name: string) => `${issuer}:${realm.port}${name}`
      const failure = await failureOf(
        refreshed({ ...accountAt(realm), settings: { issuer: at(path), client_id: 'x' } }),
      )
      t.match(failure.message, /publishes no metadata any more/)
      t.equal(failure.code, 'unavailable', 'there is a grant of it, so it was there once')
      t.same(
        realm.requests.map(({ url }) => url.pathname),
        [
          '/realms/mail/.well-known/openid-configuration',
          '/.well-known/oauth-authorization-server/realms/mail',
        ],
      )
    }
  })

  await t.test('of another issuer', async (t) => {
    server.fault({
      endpoint: 'discovery',
      answer: { overlay: { issuer: `${server.issuer}/` } },
    })
    const failure = await failureOf(refreshed())
    t.equal(failure.code, 'misconfigured')
    t.match(failure.message, /metadata of http:\S+ is of the issuer "http:\S+\/"/)
    t.match(failure.hint, /slash/)
    const overlay = { issuer: `https://${'x'.repeat(5000)}.example` }
    server.fault({ endpoint: 'discovery', answer: { overlay } })
    t.ok((await failureOf(refreshed())).message.length < 500, 'a short line')
  })

  await t.test('with an endpoint that may not be sent a secret', async (t) => {
    for (const token_endpoint of ['http://issuer.example/token', 'token', 7, 'https://a:b@c/']) {
      server.fault({ endpoint: 'discovery', answer: { overlay: { token_endpoint } } })
      const failure = await failureOf(refreshed())
      t.equal(failure.code, 'misconfigured')
      t.match(failure.message, /unusable token_endpoint/)
    }
  })

  await t.test('without an endpoint', async (t) => {
    server.fault({ endpoint: 'discovery', answer: { overlay: { token_endpoint: undefined } } })
    t.match((await failureOf(refreshed())).code, 'unavailable')
    const overlay = { authorization_endpoint: undefined, revocation_endpoint: undefined }
    server.fault({ endpoint: 'discovery', answer: { overlay } })
    const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
    const signIn = await failureOf(provider.signIn?.(createBrowser(), signal))
    t.match(signIn.message, /has no authorization endpoint/)
    const revoke = await failureOf(provider.revoke?.('grant', signal))
    t.match(revoke.message, /has no revocation endpoint/)
  })

  await t.test('that cannot be had', async (t) => {
    const before = server.to('token').length
    for (const answer of [
      { status: 200, body: '<html>' },
      { status: 200, body: { status: 'ok' } },
      { status: 503 },
      { status: 400, body: { error: 'invalid_grant' } },
      'reset',
    ] as const) {
      server.fault({ endpoint: 'discovery', answer })
      server.fault({ endpoint: 'metadata', answer })
      t.equal((await failureOf(refreshed())).code, 'unavailable', JSON.stringify(answer))
    }
    t.equal(server.to('token').length, before, 'no grant was sent anywhere')
  })

  await t.test('is read again after a day, and kept where that fails', async (t) => {
    const { provider, signal } = providerOf(t, 'oauth2', accountAt(server))
    const before = server.to('discovery').length
    const nowMs = Date.now()
    const refreshAt = async (atMs: number) => {
      await provider.refresh(server.grant(user), smtpOf(user), atMs, signal)
      return server.to('discovery').length - before
    }
    t.equal(await refreshAt(nowMs), 1)
    t.equal(await refreshAt(nowMs + dayMs - 1), 1)
    server.fault({ endpoint: 'discovery', answer: { status: 503 } })
    t.equal(await refreshAt(nowMs + dayMs), 2)
    t.equal(await refreshAt(nowMs + dayMs), 3)
    t.equal(await refreshAt(nowMs + dayMs), 3)
    t.equal(await refreshAt(nowMs - dayMs), 4, 'also when the clock was put back')
    server.fault({ endpoint: 'discovery', answer: { overlay: { issuer: 'https://evil.example' } } })
    const evil = await refreshAt(nowMs + dayMs)
    t.equal(evil, 5, 'a document that cannot be believed leaves the old one')
    server.fault({ endpoint: 'discovery', answer: { status: 404, body: '<html>' } })
    server.fault({ endpoint: 'metadata', answer: { status: 404, body: '<html>' } })
    t.equal(await refreshAt(nowMs + dayMs), 6, 'nor does a proxy that knows of nothing')
  })
})
