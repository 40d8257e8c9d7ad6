/** What Microsoft does beyond the contract: challenges, clouds, resources, and answers the library dislikes. */
import { join } from 'node:path'
import t from 'tap'
import { SignInNeeded } from '../../src/errors.ts'
import { createBrowser, type Browser } from '../fixtures/browser.ts'
import { createClientCertificate } from '../fixtures/client-certificate.ts'
import { microsoftAccount, serveMicrosoft } from '../fixtures/microsoft.ts'
import { challenge, failure } from '../fixtures/microsoft-endpoints.ts'
import { grantWith, publicClient } from '../fixtures/microsoft-server.ts'
import { failureOf, inline, providerOf, smtpOf } from '../fixtures/provider-of.ts'

const me = 'me@uni.example'

function claimsOf({ opened }: Browser): object {
  return JSON.parse(opened[0]?.searchParams.get('claims') ?? '{}') as object
}

void t.test('what has to be proved at the next sign-in is asked for there, once', async (t) => {
  const server = await serveMicrosoft(t)
  const { provider, signal } = providerOf(t, 'microsoft', microsoftAccount())
  const before = grantWith(server.grant(me))
  const body = {
    ...failure(50076, 'interaction_required', 'Second factor needed.', 'basic_action'),
    claims: challenge,
  }
  server.fault({ endpoint: 'token', answer: { status: 400, body } })
  const refused = await failureOf(provider.refresh(before, smtpOf(me), Date.now(), signal))
  t.ok(refused instanceof SignInNeeded)
  const challenged = refused instanceof SignInNeeded ? refused.grant : undefined
  t.notMatch(JSON.stringify(refused), /refresh\./, 'the grant is not shown')

  const browser = createBrowser()
  const signedIn = await provider.signIn?.(browser, signal, challenged)
  // The library adds what it wants to know itself.
  t.match(claimsOf(browser), JSON.parse(challenge))
  const again = createBrowser()
  await provider.signIn?.(again, signal, signedIn?.grant)
  t.notOk('access_token' in claimsOf(again), 'the new grant has none')

  const refreshed = await provider.refresh(challenged, smtpOf(me), Date.now(), signal)
  t.notMatch(refreshed.grant, /Claims/, 'nor one that works again')
})

void t.test('a challenge of one resource outlives the refreshes of another', async (t) => {
  const server = await serveMicrosoft(t, { behaviour: { rotates: true } })
  const account = microsoftAccount({}, { services: ['smtp', 'graph'] })
  const { provider, signal } = providerOf(t, 'microsoft', account)
  const ask = (grant: string | undefined, service: string) =>
    provider.refresh(grant, { service, mailbox: me }, Date.now(), signal)
  const challengedBy = async (grant: string | undefined, service: string, claims: string) => {
    const body = { ...failure(50076, 'interaction_required', 'Second factor needed.'), claims }
    server.fault({ endpoint: 'token', answer: { status: 400, body } })
    const refused = await failureOf(ask(grant, service))
    return refused instanceof SignInNeeded ? refused.grant : undefined
  }
  const shownAfter = async (grant: string | undefined) => {
    const browser = createBrowser()
    await provider.signIn?.(browser, signal, grant)
    return claimsOf(browser)
  }
  const challenged = await challengedBy(grantWith(server.grant(me)), 'graph', challenge)
  const other = (await ask(challenged, 'smtp')).grant
  t.match(await shownAfter(other), JSON.parse(challenge))
  const both = await challengedBy(other, 'smtp', '{"access_token":{"nbf":{"essential":true}}}')
  t.match(await shownAfter(both), { access_token: { nbf: {} } }, 'the one that came last')
  const again = (await ask(both, 'smtp')).grant
  t.match(await shownAfter(again), JSON.parse(challenge))
  t.notMatch((await ask(again, 'graph')).grant, /Claims/, 'until that resource gives a token')
})

void t.test('a rotated refresh token outlives what the library dislikes', async (t) => {
  const server = await serveMicrosoft(t, { behaviour: { rotates: true } })
  const { provider, signal } = providerOf(t, 'microsoft', microsoftAccount())
  let grant: string | undefined = grantWith(server.grant(me))
  for (const overlay of [
    { id_token: 'no.token.at all' },
    { client_info: '???' },
    { id_token: undefined, client_info: undefined },
    { scope: undefined, ext_expires_in: 'x' },
    { foci: '1' },
    {},
  ]) {
    server.fault({ endpoint: 'token', answer: { overlay } })
    const issued = await provider.refresh(grant, smtpOf(me), Date.now(), signal)
    t.ok(server.accept(issued.token.value, me), JSON.stringify(overlay))
    t.not(issued.grant, grant)
    grant = issued.grant
  }
  const { RefreshToken } = JSON.parse(grant ?? '') as { RefreshToken: object }
  t.equal(Object.keys(RefreshToken).length, 1)
})

void t.test('a sign-in that cannot be read', async (t) => {
  const { provider, signal } = providerOf(t, 'microsoft', microsoftAccount())
  for (const grant of ['', 'x', '{}', '{"RefreshToken":{"a":{"secret":5}}}', undefined]) {
    const failed = await failureOf(provider.refresh(grant, smtpOf(me), Date.now(), signal))
    t.equal(failed.code, 'sign-in-needed')
  }
})

void t.test('another cloud is asked at its own host, and nobody else is', async (t) => {
  const host = 'login.microsoftonline.us'
  const server = await serveMicrosoft(t, { host })
  const account = microsoftAccount({ cloud: 'us-gov' }, { services: ['smtp', 'graph'] })
  const { provider, signal } = providerOf(t, 'microsoft', account)
  t.equal(provider.authority, host)
  const browser = createBrowser()
  const signedIn = await provider.signIn?.(browser, signal)
  t.equal(browser.opened[0]?.host, host)
  const { token } = await provider.refresh(signedIn?.grant, smtpOf(me), Date.now(), signal)
  t.equal(server.find(token.value)?.scope, 'https://outlook.office365.us/SMTP.Send')
  const request = { service: 'graph', mailbox: me }
  const graph = await provider.refresh(signedIn?.grant, request, Date.now(), signal)
  t.match(server.find(graph.token.value)?.scope, /^https:\/\/graph\.microsoft\.us\/Mail\.Send /)
  const paths = server.requests.map(({ url }) => url.pathname.split('/').at(-1))
  t.same(paths, ['authorize', 'token', 'token', 'token'], 'no discovery of any kind')
})

void t.test('a cloud that is not in the table', async (t) => {
  const host = 'login.cloud.example'
  const server = await serveMicrosoft(t, { host })
  const cloud_hosts = { login: host, mail: 'https://mail.cloud.example/' }
  const { provider, signal } = providerOf(t, 'microsoft', microsoftAccount({ cloud_hosts }))
  const grant = grantWith(server.grant(me))
  const { token } = await provider.refresh(grant, smtpOf(me), Date.now(), signal)
  t.match(server.find(token.value)?.scope, /^https:\/\/mail\.cloud\.example\/SMTP\.Send /)
})

void t.test('what was not granted', async (t) => {
  const server = await serveMicrosoft(t)
  const { provider, signal } = providerOf(t, 'microsoft', microsoftAccount())
  const grant = grantWith(server.grant(me))
  const { token } = await provider.refresh(grant, smtpOf(me), Date.now(), signal)
  t.same(provider.missingScopes?.('smtp', token.scopes ?? []), [])
  // Entra may leave out the resource, and does not mind case.
  t.same(provider.missingScopes?.('smtp', ['smtp.send', 'openid']), [])
  t.same(provider.missingScopes?.('imap', ['https://outlook.office.com/SMTP.Send']), [
    'https://outlook.office.com/IMAP.AccessAsUser.All',
  ])
  t.same(provider.missingScopes?.('unheard of', []), [])
})

void t.test('a service that came after the sign-in', async (t) => {
  const server = await serveMicrosoft(t, { behaviour: { rotates: true } })
  const before = providerOf(t, 'microsoft', microsoftAccount({}, { services: ['smtp'] }))
  const signedIn = await before.provider.signIn?.(createBrowser(), before.signal)
  const account = microsoftAccount({}, { services: ['imap', 'smtp', 'graph'] })
  const { provider, signal } = providerOf(t, 'microsoft', account)
  let grant = signedIn?.grant
  for (const service of ['smtp', 'imap']) {
    const issued = await provider.refresh(grant, { service, mailbox: me }, Date.now(), signal)
    const asked = server.to('token').at(-1)?.form.get('scope')
    t.notMatch(asked, /IMAP/, 'what nobody consented to would be refused with all the rest')
    t.notOk(provider.lacks?.('smtp', issued.token.scopes ?? []))
    t.ok(provider.lacks?.('imap', issued.token.scopes ?? []))
    grant = issued.grant
  }
  const graph = { service: 'graph', mailbox: me }
  const refused = await failureOf(provider.refresh(grant, graph, Date.now(), signal))
  t.match(refused, { code: 'sign-in-needed', message: /AADSTS65001/ }, 'nothing is known of that')

  const again = await provider.signIn?.(createBrowser(), signal, grant)
  const { token } = await provider.refresh(again?.grant, smtpOf(me), Date.now(), signal)
  t.notOk(provider.lacks?.('imap', token.scopes ?? []))
})

void t.test('a server that does not say what it granted', async (t) => {
  const server = await serveMicrosoft(t, { behaviour: { rotates: true } })
  const { provider, signal } = providerOf(t, 'microsoft', microsoftAccount())
  let grant: string | undefined = grantWith(server.grant(me))
  for (const overlay of [{ scope: undefined }, { scope: '' }]) {
    server.fault({ endpoint: 'token', answer: { overlay } })
    const issued = await provider.refresh(grant, smtpOf(me), Date.now(), signal)
    t.match(server.to('token').at(-1)?.form.get('scope'), /SMTP\.Send \S+IMAP/)
    t.notOk(provider.lacks?.('imap', issued.token.scopes ?? []))
    grant = issued.grant
  }
  // Of several scopes some may not be for this kind of account.
  t.notOk(provider.lacks?.('graph', ['Mail.ReadWrite']))
  t.notOk(provider.lacks?.('unheard of', ['Mail.ReadWrite']))
})

void t.test('scopes of the file', async (t) => {
  const server = await serveMicrosoft(t)
  const account = microsoftAccount(
    {},
    { scopes: { smtp: ['Mail.Send'], todo: ['Tasks.Read'] }, services: ['smtp', 'imap', 'todo'] },
  )
  const { provider, signal } = providerOf(t, 'microsoft', account)
  t.equal(provider.tokenKey(smtpOf(me)), 'https://graph.microsoft.com')
  t.equal(provider.tokenKey({ service: 'todo', mailbox: me }), 'https://graph.microsoft.com')
  t.equal(provider.tokenKey({ service: 'imap', mailbox: me }), 'https://outlook.office.com')
  await provider.refresh(grantWith(server.grant(me)), smtpOf(me), Date.now(), signal)
  t.match(server.to('token').at(-1)?.form.get('scope'), /^Mail\.Send Tasks\.Read openid /)
})

void t.test('an application', async (t) => {
  const folder = t.testdir()
  const good = createClientCertificate(folder)
  const other = createClientCertificate(folder, 400, ['rsa:2048'], 'other')
  const ec = createClientCertificate(
    folder,
    400,
    ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
    'ec',
  )
  const clientId = '33333333-3333-4333-8333-333333333333'
  const server = await serveMicrosoft(t, {
    clients: [publicClient, { id: clientId, certificate: good.certificate, secret: 'the secret' }],
  })
  const client = { client_id: clientId, tenant: 'corp.onmicrosoft.com', cloud: 'global' }
  const ask = async (proof: Readonly<Record<string, unknown>>) => {
    const account = { user: '*@corp.example', settings: { ...client, ...proof } }
    const { provider, signal } = providerOf(t, 'microsoft-app', account)
    return provider.refresh(undefined, smtpOf('a@corp.example'), Date.now(), signal)
  }
  // A variable that would send the library to another host.
  process.env['MSAL_FORCE_REGION'] = 'westeurope'
  t.teardown(() => delete process.env['MSAL_FORCE_REGION'])
  for (const proof of [
    { certificate: inline(good.pem) },
    { certificate: inline(good.privateKey + other.certificate + good.certificate) },
    { client_secret: inline('the secret') },
  ])
    t.ok(server.accept((await ask(proof)).token.value))
  t.equal(server.to('token').length, 3)

  const wrong = await failureOf(ask({ certificate: inline(other.pem) }))
  t.match(wrong, { code: 'misconfigured', message: /AADSTS700027/ })
  for (const [pem, says] of [
    [good.certificate, /has no private key/],
    [good.privateKey, /has no certificate/],
    [good.privateKey + other.certificate, /is of another certificate/],
    [ec.pem, /another kind than RSA/],
    [good.pem.replace('MII', '***'), /certificate that cannot be read/],
    [good.pem.replace(/PRIVATE KEY/g, 'ENCRYPTED PRIVATE KEY'), /passphrase/],
    [good.pem.replace(/(BEGIN PRIVATE KEY-+\n).*/, '$1x'), /private key that cannot be read/],
  ] as const) {
    const failed = await failureOf(ask({ certificate: inline(pem) }))
    t.match(failed, { code: 'misconfigured', message: says, hint: /\w/ })
  }
  t.equal(server.to('token').length, 4, 'nothing was asked with those')

  const account = {
    user: '*@corp.example',
    settings: { ...client, certificate: { kind: 'file', path: join(folder, 'client.pem') } },
  }
  const { provider } = providerOf(t, 'microsoft-app', account)
  const unread = await failureOf(provider.check())
  t.match(unread, { code: 'misconfigured' })
})
