/**
 * The presets: each asks its real hosts, for its own scopes, with its own way of authentication; and what is
 * particular to some of them. That each keeps the contract of a provider is in contract.ts.
 */
import t, { type Test } from 'tap'
import { providers } from '../../src/providers/index.ts'
import type { AuthorizationServer } from '../fixtures/authorization-server.ts'
import { createBrowser } from '../fixtures/browser.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { configOf, problemsOf as problemsOfFile } from '../fixtures/config.ts'
import { accountOf, accountsOf, createPlace, grantOf } from '../fixtures/keeper-place.ts'
import {
  hostsOf,
  presetClient,
  presetServers,
  startPresetServer,
  zohoScopes,
  type PresetServer,
} from '../fixtures/preset-subjects.ts'
import {
  failureOf,
  inline,
  problemsOf,
  providerOf,
  smtpOf,
  type TestAccount,
} from '../fixtures/provider-of.ts'
import { useRealNames } from '../fixtures/real-names.ts'

const authority = await createAuthority(t.testdir())

async function serve(t: Test, preset: PresetServer): Promise<AuthorizationServer> {
  const hosts = hostsOf(preset)
  const server = await startPresetServer(preset, await authority.issue(hosts))
  t.teardown(() => server.close())
  useRealNames(Object.fromEntries(hosts.map((host) => [host, server.port])), authority.caFile)
  return server
}

function accountAt(
  name: string,
  user: string,
  settings: Readonly<Record<string, unknown>> = {},
): TestAccount {
  const client = { client_id: presetClient.id, client_secret: inline(presetClient.secret) }
  const scopes = name === 'zoho' ? zohoScopes : {}
  return { user, scopes, settings: { ...client, ...settings } }
}

const sorted = (scope: string | null) => scope?.split(' ').sort().join(' ')

for (const [name, preset] of Object.entries(presetServers))
  void t.test(name, async (t) => {
    const server = await serve(t, preset)
    const { provider, signal } = providerOf(t, name, accountAt(name, preset.user))
    const browser = createBrowser()
    const { grant } = (await provider.signIn?.(browser, signal))!
    const opened = browser.opened[0]!
    t.equal(`${opened.origin}${opened.pathname}`, preset.authorize)
    t.equal(sorted(opened.searchParams.get('scope')), sorted(preset.scope))
    const { token } = await provider.refresh(grant, smtpOf(preset.user), Date.now(), signal)
    t.ok(server.accept(token.value, preset.user))
    for (const { url, form, headers } of server.to('token')) {
      t.equal(url.href, preset.token)
      t.equal(headers.authorization !== undefined, preset.authentication === 'basic')
      t.equal(form.has('client_secret'), preset.authentication !== 'basic')
    }
    t.equal(server.to('token')[1]?.form.has('scope'), false)
    const services = ['smtp', 'imap', 'pop']
    const keys = services.map((service) => provider.tokenKey({ service, mailbox: preset.user }))
    t.equal(new Set(keys).size, 1, 'one token for all')
    t.notOk('signInByDevice' in provider)
    const revoked = provider.revoke?.(grant, signal)
    if (preset.revoke === undefined)
      t.match(await failureOf(revoked), { message: /no revocation endpoint/ })
    else await revoked
  })

void t.test('an answer of another issuer', async (t) => {
  const [, preset] = Object.entries(presetServers)[0]!
  await serve(t, preset)
  const { provider, signal } = providerOf(t, 'fastmail', accountAt('fastmail', preset.user))
  const change = (answer: URLSearchParams) => answer.set('iss', 'https://evil.example')
  const failure = await failureOf(provider.signIn?.(createBrowser(41999, change), signal))
  t.match(failure.message, /evil\.example" and not from https:\/\/api\.fastmail\.com/)
})

void t.test('what the file says goes before the preset', async (t) => {
  const eu: PresetServer = {
    authorize: 'https://accounts.zoho.eu/oauth/v2/auth',
    token: 'https://accounts.zoho.eu/oauth/v2/token',
    scope: 'mail.all',
    user: 'me@zoho.eu',
  }
  const server = await serve(t, eu)
  const settings = {
    client_secret: undefined,
    authorization_endpoint: eu.authorize,
    token_endpoint: eu.token,
    device_authorization_endpoint: `${new URL(eu.token).origin}/device`,
    extra: { authorize: { prompt: 'login' }, token: { a: 'b' } },
  }
  const account = { ...accountAt('zoho', eu.user, settings), scopes: { smtp: ['mail.all'] } }
  t.same(problemsOf('zoho', account), [])
  const { provider } = providerOf(t, 'zoho', account)
  t.equal(provider.authority, 'accounts.zoho.eu')
  t.ok('signInByDevice' in provider)
  const browser = createBrowser()
  const life = AbortSignal.timeout(60_000)
  const failure = await failureOf(provider.signIn?.(browser, life))
  t.match(failure, { code: 'misconfigured', message: /invalid_client/ }, 'it wants its secret')
  const asked = browser.opened[0]!.searchParams
  t.equal(asked.get('prompt'), 'login')
  t.equal(asked.get('access_type'), 'offline', 'beside what the preset adds')
  t.equal(asked.get('scope'), 'mail.all')
  t.equal(server.to('token')[0]?.form.get('a'), 'b')
})

void t.test('in the file', async (t) => {
  const account = (name: string) => `[[account]]\nuser = "me@x.example"\nprovider = "${name}"\n`
  const servicesOf = async (name: string) =>
    (await configOf(`${account(name)}client_id = "x"\n`)).accounts[0]?.services
  t.same(await servicesOf('fastmail'), ['smtp', 'imap'])
  t.same(await servicesOf('zoho'), ['api'])
  t.same(providers['fastmail']?.services({}).known, ['smtp', 'imap', 'pop'])
  t.match(await problemsOfFile(account('yahoo')), [/^1: account\[1\]\.client_id is missing/])
  t.same(await problemsOfFile(`${account('yahoo')}client_id = "x"\nissuer = "https://x.example"`), [
    '5: account[1].issuer belongs to provider = "oauth2"; remove it',
  ])
  t.match(await problemsOfFile(`${account('yahoo').replace('me@', '*@')}client_id = "x"\n`), [
    /user must be one address/,
  ])
})

void t.test('zoho counts token requests', async (t) => {
  const preset = presetServers['zoho']!
  const server = await serve(t, preset)
  const { user } = preset
  const { provider } = providerOf(t, 'zoho', accountAt('zoho', user))
  const place = await createPlace(t)
  const grant = grantOf(server.grant(user, preset.scope), {}, provider.binding)
  await place.store.replace(user, grant)
  const account = accountOf(user, provider, { services: ['smtp', 'imap'] })
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()

  const everyTenSeconds = async (minutes: number) => {
    for (let count = 0; count < minutes * 6; count++) {
      place.tick(10_000)
      for (const service of ['smtp', 'imap'])
        await place.ask(account, { service, refused: true }).catch(() => undefined)
      await place.quiet()
    }
  }
  await everyTenSeconds(10)
  const { length } = server.to('token')
  t.ok(length > 2 && length <= 8, `${length} requests of the 10 that there may be in 10 minutes`)

  await t.test('and says "Access Denied" to one too many', async (t) => {
    const answer = { status: 200, body: { error: 'Access Denied', status: 'failure' } }
    server.fault({ endpoint: 'token', answer, times: Infinity })
    place.nowMs += 3_600_000
    t.equal((await place.refusal(account)).code, 'unavailable')
    const before = server.to('token').length
    await everyTenSeconds(9)
    t.equal(server.to('token').length, before, 'which is then left alone for as long as it counts')
    t.match(place.slots()[0]?.state, {
      failure: { message: /Access Denied/, hint: /counts token/ },
    })
    server.heal()
    await everyTenSeconds(2)
    t.equal(place.slots()[0]?.state.kind, 'live')
  })
})

void t.test('yandex renews a grant and leaves the token as it was', async (t) => {
  const preset = presetServers['yandex']!
  const server = await serve(t, preset)
  const { user } = preset
  const { provider } = providerOf(t, 'yandex', accountAt('yandex', user))
  const place = await createPlace(t)
  server.behaviour.rotates = true
  await place.store.replace(user, grantOf(server.grant(user, preset.scope), {}, provider.binding))
  const account = accountOf(user, provider)
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  let endsAtMs = place.nowMs + 3_600_000
  const value = await place.ask(account)
  const answer = () => {
    const expires_in = Math.max(1, Math.round((endsAtMs - place.nowMs) / 1000))
    server.fault({ endpoint: 'token', answer: { overlay: { access_token: value, expires_in } } })
  }
  for (let count = 0; count < 119; count++) {
    server.heal()
    answer()
    place.tick(30_000)
    await place.quiet()
  }
  const asked = server.to('token').length
  t.ok(asked > 1 && asked < 20, `${asked} requests in the hour that it lives`)
  t.equal(new Set(server.to('token').map(({ form }) => form.get('refresh_token'))).size, asked)

  endsAtMs += 3_600_000
  server.heal()
  answer()
  place.tick(30_000)
  await place.quiet()
  t.equal(await place.ask(account), value)
  place.nowMs += 60_000
  answer()
  const refused = await place.refusal(account, { refused: true })
  t.equal(refused.code, 'unavailable', 'one that was refused is not handed out again')
  t.ok(server.to('token').length <= asked + 3, 'and costs a request, or two')
})
