/**
 * Microsoft under its own host name, with TLS and its checks as they are, through the program as a process:
 * every way to sign in, a token of the right resource for each service, and an application that serves a
 * whole tenant.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from './fixtures/certificates.ts'
import { createClientCertificate } from './fixtures/client-certificate.ts'
import { createHome, run, start, startDaemonProcess } from './fixtures/daemon.ts'
import {
  microsoftNames,
  publicClient,
  secretClient,
  startMicrosoftServer,
} from './fixtures/microsoft-server.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'
import { useRealNames, withRealNames } from './fixtures/real-names.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'

const me = 'me@uni.example'
const nativeClient = 'https://login.microsoftonline.com/common/oauth2/nativeclient'
const folder = t.testdir()
const authority = await createAuthority(folder)
const certificate = await authority.issue(microsoftNames)
const app = createClientCertificate(folder, 400)
const appClient = {
  id: '33333333-3333-4333-8333-333333333333',
  certificate: app.certificate,
}
const microsoft = await startMicrosoftServer({
  ...certificate,
  clients: [publicClient, secretClient, appClient],
  behaviour: { rotates: true },
})
const names = Object.fromEntries(microsoftNames.map((name) => [name, microsoft.port]))
const underRealNames = withRealNames(names, authority.caFile)
// The browser of the person is in this very process.
useRealNames(names, authority.caFile)
t.teardown(() => microsoft.close())

const outlook = 'https://outlook.office.com'
const everything = '["smtp", "imap", "pop", "graph", "ews"]'

function account(more = '', clientId: string = publicClient.id): string {
  return `[[account]]
user = "${me}"
provider = "microsoft"
tenant = "uni.example"
client_id = "${clientId}"
${more}
`
}

function homeWith(t: Test, toml: string) {
  const home = createHome(toml)
  t.teardown(() => home.remove())
  return home
}

/** The token of an answer in XOAUTH2's form. */
function tokenOf(answer: string): string {
  return /Bearer (\S+)\x01\x01$/.exec(answer)?.[1] ?? ''
}

void t.test('a browser, and a token for each resource from one sign-in', async (t) => {
  const home = homeWith(t, account(`services = ${everything}\nmailboxes = ["team@uni.example"]`))
  const { login, url, consent } = await startLogin(home, me, underRealNames)
  t.equal(url.host, 'login.microsoftonline.com')
  t.equal(url.pathname, '/uni.example/oauth2/v2.0/authorize')
  t.match(Object.fromEntries(url.searchParams), {
    response_mode: 'query',
    code_challenge_method: 'S256',
    login_hint: me,
    redirect_uri: /^http:\/\/localhost:\d+$/,
  })
  const asked = url.searchParams.get('scope')?.split(' ') ?? []
  for (const scope of [
    `${outlook}/SMTP.Send`,
    `${outlook}/IMAP.AccessAsUser.All`,
    `${outlook}/POP.AccessAsUser.All`,
    'https://graph.microsoft.com/Mail.Send',
    'https://graph.microsoft.com/Mail.Send.Shared',
    'https://outlook.office365.com/EWS.AccessAsUser.All',
    'offline_access',
    'openid',
  ])
    t.ok(asked.includes(scope), scope)
  t.match(await visit(await consent()), { status: 200, page: /Signed in/ })
  t.equal(await login.ended, 0)
  t.match(
    login.stderr(),
    /\nSigned in as me@uni\.example for smtp, imap, pop, graph, ews\.\nNext: /,
  )

  const daemon = await startDaemonProcess(home, underRealNames)
  t.teardown(() => daemon.stop())
  const before = microsoft.to('token').length
  const resourceOf = async (service: string, who = me) => {
    const token = tokenOf(await send(home.socket, `${service} ${who}`))
    const scopes = microsoft.find(token)?.scope.split(' ') ?? []
    return [...new Set(scopes.map((scope) => scope.slice(0, scope.lastIndexOf('/'))))].join(' ')
  }
  t.equal(await resourceOf('SMTP'), outlook)
  t.equal(await resourceOf('IMAP'), outlook)
  t.equal(await resourceOf('POP'), outlook)
  t.equal(await resourceOf('GRAPH'), 'https://graph.microsoft.com')
  t.equal(await resourceOf('TODO'), 'https://graph.microsoft.com')
  t.equal(await resourceOf('EWS'), 'https://outlook.office365.com')
  t.equal(microsoft.to('token').length, before, 'the sign-in left a token of each')

  // The person sends for the team, and reads as the team.
  const token = tokenOf(await send(home.socket, `SMTP ${me}`))
  t.equal(await send(home.socket, 'SMTP team@uni.example'), xoauth2(me, token))
  t.equal(await send(home.socket, 'IMAP Team@uni.example'), xoauth2('team@uni.example', token))

  t.match(await run(home, ['refresh', me]), { code: 0, stderr: '' })
  t.equal(microsoft.to('token').length, before + 3, 'one request for each resource')
  t.not(tokenOf(await send(home.socket, `SMTP ${me}`)), token)
})

void t.test('an address that is pasted', async (t) => {
  const home = homeWith(t, account(`redirect_uri = "${nativeClient}"`))
  const { login, consent } = await startLogin(home, me, underRealNames)
  const landed = await consent()
  t.equal(landed.href.split('?')[0], nativeClient)
  login.child.stdin?.write(`${landed.href}\n`)
  t.equal(await login.ended, 0)
  t.match(login.stderr(), /\nSigned in as me@uni\.example for smtp, imap\.\nNext: /)
})

void t.test('a client with a secret', async (t) => {
  const home = homeWith(t, account(`client_secret = "${secretClient.secret}"`, secretClient.id))
  const { login, consent } = await startLogin(home, me, underRealNames)
  t.match(await visit(await consent()), { status: 200 })
  t.equal(await login.ended, 0)
  const device = await run(home, ['login', me, '--device'], underRealNames)
  t.match(device, { code: 78, stderr: /has no device code\nhint: .*Allow public client flows/ })
})

void t.test('a device code', async (t) => {
  const home = homeWith(t, account())
  microsoft.behaviour.signsInAs = me
  t.teardown(() => (microsoft.behaviour.signsInAs = undefined))
  // A busy server and a lost answer while the person types end nothing.
  microsoft.fault({ endpoint: 'token', answer: { status: 503 } })
  microsoft.fault({ endpoint: 'token', answer: 'reset' })
  const login = start(home, ['login', me, '--device'], underRealNames)
  await login.said(/^https:\/\/login\.microsoftonline\.com\/device\n/m)
  await login.said(/^and type in this code: ABCD1234\n/m)
  t.equal(await login.ended, 0, login.stderr())
  t.match(login.stderr(), /\nSigned in as me@uni\.example for smtp, imap\.\nNext: /)

  for (const [device, says] of [
    ['declined', /authorization_declined/],
    ['expired', /the code was not typed in while it was good/],
  ] as const) {
    microsoft.microsoft.device = device
    const failed = await run(home, ['login', me, '--device'], underRealNames)
    t.not(failed.code, 0)
    t.match(failed.stderr, says)
  }
  microsoft.microsoft.device = 'approved'
  microsoft.fault({
    endpoint: 'device',
    answer: {
      status: 400,
      body: { error: 'unauthorized_client', error_description: 'AADSTS700016' },
    },
  })
  const refused = await run(home, ['login', me, '--device'], underRealNames)
  t.match(refused, { code: 78, stderr: /unauthorized_client.*AADSTS700016/ })
})

void t.test('who signed in', async (t) => {
  const home = homeWith(t, account())
  const store = join(home.path, 'state', 'xoauthd')
  const first = await startLogin(home, me, underRealNames)
  await visit(await first.consent())
  t.equal(await first.login.ended, 0)
  const [file = ''] = readdirSync(store).filter((name) => name.endsWith('.json'))
  const grant = readFileSync(join(store, file), 'utf8')
  const stored = JSON.parse(grant) as { readonly grant: string }
  t.match(JSON.parse(stored.grant), {
    AccessToken: {},
    RefreshToken: Object,
    Account: Object,
  })

  microsoft.behaviour.signsInAs = 'boss@uni.example'
  const other = await startLogin(home, me, underRealNames)
  t.match(await visit(await other.consent()), { status: 400, page: /boss@uni\.example signed in/ })
  t.equal(await other.login.ended, 77)
  t.match(
    other.login.stderr(),
    /boss@uni\.example signed in, but this account is me@uni\.example\nhint: /,
  )
  t.equal(readFileSync(join(store, file), 'utf8'), grant, 'the old grant is kept')

  // The sign-in name is another than the mail address, and case does not matter.
  microsoft.behaviour.signsInAs = 'ME@uni.example'
  microsoft.microsoft.signInName = 'ab1234@uni.example'
  const alias = await startLogin(home, me, underRealNames)
  t.match(await visit(await alias.consent()), { status: 200 })
  microsoft.behaviour.signsInAs = undefined
  microsoft.microsoft.signInName = undefined

  microsoft.behaviour.withholds = [`${outlook}/IMAP.AccessAsUser.All`]
  const less = await startLogin(home, me, underRealNames)
  t.match(await visit(await less.consent()), { status: 400 })
  t.match(await less.login.ended, 77)
  microsoft.behaviour.withholds = []
  microsoft.behaviour.givesRefreshToken = () => false
  const brief = await startLogin(home, me, underRealNames)
  t.match(await visit(await brief.consent()), { status: 400, page: /No refresh token/ })
  microsoft.behaviour.givesRefreshToken = () => true
})

void t.test('consent that is missing', async (t) => {
  const home = homeWith(t, account('services = ["smtp", "graph"]'))
  microsoft.microsoft.consented = [`${outlook}/SMTP.Send`]
  t.teardown(() => (microsoft.microsoft.consented = undefined))
  const { login, consent } = await startLogin(home, me, underRealNames)
  await visit(await consent())
  t.equal(await login.ended, 77)
  const [address = ''] = /https:\S+adminconsent\S+/.exec(login.stderr()) ?? []
  const url = new URL(address)
  t.equal(url.pathname, '/uni.example/v2.0/adminconsent')
  t.same(Object.fromEntries(url.searchParams), {
    client_id: publicClient.id,
    scope: `${outlook}/SMTP.Send https://graph.microsoft.com/Mail.Send https://graph.microsoft.com/Mail.Send.Shared https://graph.microsoft.com/Mail.ReadWrite`,
    redirect_uri: 'http://localhost',
  })
  // A device code asks for one resource; what is missing of the others is said at once.
  microsoft.behaviour.signsInAs = me
  t.teardown(() => (microsoft.behaviour.signsInAs = undefined))
  const device = await run(home, ['login', me, '--device'], underRealNames)
  t.match(device, {
    code: 77,
    stderr: /AADSTS65001[^]*hint: sign in without --device; or .*adminconsent/,
  })
})

void t.test(
  'a service that a reload adds waits for a sign-in, and the others do not',
  async (t) => {
    const home = homeWith(t, account('services = ["smtp"]'))
    const first = await startLogin(home, me, underRealNames)
    await visit(await first.consent())
    t.equal(await first.login.ended, 0)
    const daemon = await startDaemonProcess(home, underRealNames)
    t.teardown(() => daemon.stop())
    home.configure(account('services = ["smtp", "imap"]'))
    t.match(await run(home, ['reload']), { code: 0 })
    for (const when of ['before', 'after']) {
      t.ok(microsoft.accept(tokenOf(await send(home.socket, `SMTP ${me}`)), me), when)
      t.match(
        await send(home.socket, `IMAP,explain ${me}`),
        /^ERR sign-in-needed .*me@uni\.example .* imap \| run: xoauthd login me@uni\.example\n$/,
      )
      t.match(await run(home, ['refresh', me]), { code: 0, stderr: '' })
    }
    const second = await startLogin(home, me, underRealNames)
    await visit(await second.consent())
    t.equal(await second.login.ended, 0)
    const token = tokenOf(await send(home.socket, `IMAP,wait=60 ${me}`))
    t.match(microsoft.find(token)?.scope, /IMAP/)
  },
)

void t.test("mutt_oauth2.py's file is taken over", async (t) => {
  const home = homeWith(t, account('services = ["smtp", "graph"]'))
  const file = JSON.stringify({
    registration: 'microsoft',
    authflow: 'localhostauthcode',
    email: me,
    access_token: 'a',
    access_token_expiration: '2026-01-01T00:00:00',
    refresh_token: microsoft.grant(me, undefined, publicClient.id),
  })
  const dead = file.replace(/"refresh_token":"[^"]+"/, '"refresh_token":"of-somebody-else"')
  const refused = await run(home, ['import'], { stdin: dead, ...underRealNames })
  t.match(refused, { code: 77, stderr: /AADSTS/ })
  const imported = await run(home, ['import'], { stdin: file, ...underRealNames })
  t.match(imported, { code: 0, stderr: 'Signed in as me@uni.example for smtp, graph.\n' })
  const daemon = await startDaemonProcess(home, underRealNames)
  t.teardown(() => daemon.stop())
  const asked = microsoft.to('token').length
  for (const service of ['SMTP', 'GRAPH'])
    t.ok(microsoft.accept(tokenOf(await send(home.socket, `${service},wait=60 ${me}`)), me))
  t.match(await run(home, ['refresh', me]), { code: 0, stderr: '' }, 'by what came of it')
  t.ok(microsoft.to('token').length > asked)
})

void t.test('an application serves a thousand mailboxes with one request', async (t) => {
  const home = homeWith(
    t,
    `[[account]]
user = "*@corp.example"
provider = "microsoft-app"
tenant = "corp.onmicrosoft.com"
client_id = "${appClient.id}"
certificate = { file = "app.pem" }
`,
  )
  writeFileSync(join(home.path, 'app.pem'), app.pem, { mode: 0o600 })
  const before = microsoft.to('token').length
  const daemon = await startDaemonProcess(home, underRealNames)
  t.teardown(() => daemon.stop())
  const mailboxes = Array.from({ length: 1000 }, (_, each) => `user${each}@corp.example`)
  const answers = await Promise.all(
    mailboxes.map((who) => send(home.socket, `SMTP,wait=60 ${who}`)),
  )
  const token = tokenOf(answers[0] ?? '')
  t.equal(microsoft.find(token)?.scope, 'https://outlook.office365.com/.default')
  t.same(
    answers.filter((answer, each) => answer !== xoauth2(mailboxes[each] ?? '', token)),
    [],
    'each its own name and the same token',
  )
  t.equal(microsoft.to('token').length, before + 1)
  t.equal(await send(home.socket, 'IMAP user5@corp.example'), xoauth2('user5@corp.example', token))
  t.equal(microsoft.to('token').length, before + 1, 'for all that Exchange serves')
  const graph = tokenOf(await send(home.socket, 'GRAPH,wait=60 user5@corp.example'))
  t.equal(microsoft.find(graph)?.scope, 'https://graph.microsoft.com/.default')
  t.notOk(readdirSync(join(home.path, 'state', 'xoauthd')).some((name) => name.endsWith('.json')))
})
