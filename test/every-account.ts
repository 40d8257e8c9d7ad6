/**
 * A file with an account of every kind that is not Microsoft's, as examples/config.toml has them: whoever
 * signs in does so with the program itself, by browser or by device, and then one daemon answers for all.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { startAuthorizationServer, theClient } from './fixtures/authorization-server.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { createHome, run, start, startDaemonProcess } from './fixtures/daemon.ts'
import { googleClient, googleNames, startGoogleServer } from './fixtures/google-server.ts'
import { startLogin, visit } from './fixtures/person.ts'
import {
  hostsOf,
  presetClient,
  presetServers,
  startPresetServer,
} from './fixtures/preset-subjects.ts'
import { send } from './fixtures/raw-client.ts'
import { useRealNames, withRealNames } from './fixtures/real-names.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'
import { createServiceAccount } from './fixtures/service-account.ts'
import { relay, startTokenServer } from './fixtures/token-server.ts'

const key = createServiceAccount('corp.example')
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const publicKey = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const robotToken = 'token-that-a-program-printed'
const fleetToken = 'token-of-the-other-server'
const expires = Math.floor(Date.now() / 1000) + 3000

const home = createHome()
const authority = await createAuthority(home.path)
const google = await startGoogleServer({
  ...(await authority.issue(googleNames)),
  serviceAccounts: [key.account],
})
const issuer = await startAuthorizationServer({
  ...(await authority.issue(['issuer.example'])),
  issuer: 'https://issuer.example',
  clients: [theClient, { id: 'keyed-client', publicKey }],
})
const preset = presetServers['fastmail']!
const fastmail = await startPresetServer(preset, await authority.issue(hostsOf(preset)))
const tokens = await startTokenServer({
  ...(await authority.issue(['tokens.corp.example'])),
  knows: (account, proto) =>
    account === 'ghost@fleet.example'
      ? undefined
      : {
          user: proto === 'smtp' ? 'relay@fleet.example' : account,
          accessToken: fleetToken,
          expires,
        },
})

const names: Record<string, number> = {
  'issuer.example': issuer.port,
  'tokens.corp.example': tokens.port,
}
for (const name of googleNames) names[name] = google.port
for (const name of hostsOf(preset)) names[name] = fastmail.port
const underRealNames = withRealNames(names, authority.caFile)
// The browser of the person is in this very process.
useRealNames(names, authority.caFile)
t.teardown(async () => {
  for (const server of [google, issuer, fastmail, tokens]) await server.close()
  home.remove()
})

for (const [name, text] of [
  ['key.json', key.keyFile],
  ['client.pem', pem],
  ['tokens-password', relay.password],
  ['fastmail-secret', presetClient.secret],
] as const)
  writeFileSync(join(home.path, name), text, { mode: 0o600 })
home.configure(`
[[account]]
user = "me@gmail.com"
provider = "google"
client_id = "${googleClient.id}"
client_secret = { command = ["printf", "%s\\n", "${googleClient.secret}"] }

[[account]]
user = "*@corp.example"
provider = "google-service-account"
key = { file = "key.json" }
max_mailboxes = 100

[[account]]
user = "me@issuer.example"
provider = "oauth2"
issuer = "https://issuer.example"
client_id = "${theClient.id}"
client_secret = "${theClient.secret}"
scopes = { smtp = ["mail.send"], imap = ["mail.read"], login = ["openid", "email", "offline_access"] }
hosts = { smtp = "smtp.issuer.example:465", imap = "imap.issuer.example:993" }

[[account]]
user = "keyed@issuer.example"
provider = "oauth2"
issuer = "https://issuer.example"
client_id = "keyed-client"
client_auth = "private_key_jwt"
key = { file = "client.pem" }
scopes = { smtp = ["mail.send"], login = ["openid", "email", "offline_access"] }

[[account]]
user = "${preset.user}"
provider = "fastmail"
client_id = "${presetClient.id}"
client_secret = { file = "fastmail-secret" }

[[account]]
user = "robot@corp-robots.example"
provider = "command"
command = ["sh", "-c", "test -e broken && exit 3; echo ${robotToken}; echo noise >&2"]

[[account]]
user = "*@fleet.example"
provider = "auth-server"
url = "https://tokens.corp.example/authentication"
username = "${relay.username}"
password = { file = "tokens-password" }
`)

function stored(user: string): string {
  const folder = join(home.path, 'state', 'xoauthd')
  const name = readdirSync(folder).find((file) => file.startsWith(user))
  return name === undefined ? '' : readFileSync(join(folder, name), 'utf8')
}

void t.test('whoever signs in', async (t) => {
  for (const user of ['me@gmail.com', 'me@issuer.example', preset.user])
    await t.test(`${user}, with a browser`, async (t) => {
      const { login, consent } = await startLogin(home, user, underRealNames)
      t.match(await visit(await consent()), { status: 200, page: /Signed in/ })
      t.equal(await login.ended, 0)
      t.match(login.stderr(), /\nSigned in as \S+ for smtp, imap\.\nNext: /)
    })

  await t.test('with a code, and a key for a secret', async (t) => {
    const user = 'keyed@issuer.example'
    issuer.behaviour.signsInAs = user
    const pending = { status: 400, body: { error: 'authorization_pending' } }
    issuer.fault({ endpoint: 'token', answer: pending, times: 3 })
    const login = start(home, ['login', '--device', user], underRealNames)
    await login.said(/https:\/\/issuer\.example\/device\?user_code=WDJB-MJHT\n/)
    await login.said(/type in this code: WDJB-MJHT\nIt is good for 30 minutes\./)
    t.equal(await login.ended, 0, login.stderr())
    t.match(login.stderr(), /\nSigned in as keyed@issuer\.example for smtp\.\nNext: /)
    t.match(stored(user), /"grant":"refresh\./)
  })

  await t.test('a sign-in by device that fails keeps the old one', async (t) => {
    const user = 'keyed@issuer.example'
    const old = stored(user)
    const fails = async (code: number, reason: RegExp, hint = /\nhint: .*\n$/) => {
      const login = await run(home, ['login', '--device', user], underRealNames)
      t.equal(login.code, code, login.stderr)
      t.match(login.stderr, reason)
      t.match(login.stderr, hint)
      t.equal(stored(user), old)
    }
    const { behaviour } = issuer
    const error = (name: string) => ({ status: 400, body: { error: name } })
    issuer.fault({ endpoint: 'token', answer: error('access_denied') })
    await fails(77, /access_denied/, /\nhint: consent was refused; run login again/)
    issuer.fault({ endpoint: 'token', answer: error('expired_token') })
    await fails(77, /the code was not typed in in time/)
    behaviour.signsInAs = 'you@issuer.example'
    await fails(77, /you@issuer\.example signed in/)
    behaviour.signsInAs = user
    behaviour.withholds = ['mail.send']
    await fails(78, /consent was not given for mail\.send/)
    behaviour.withholds = []
    behaviour.givesRefreshToken = () => false
    await fails(78, /no refresh token came/)
    behaviour.givesRefreshToken = () => true
    // The sign-in itself is good, and the refresh that is tried at once is not.
    issuer.fault({ endpoint: 'token', answer: { overlay: {} } })
    issuer.fault({ endpoint: 'token', answer: error('invalid_grant') })
    await fails(77, /invalid_grant/, /\n$/)
  })

  await t.test('where there is nothing to sign in to, or no code', async (t) => {
    for (const user of ['robot@corp-robots.example', 'jane@fleet.example'])
      t.match(await run(home, ['login', user], underRealNames), {
        code: 78,
        stderr: /needs no sign-in\nhint: run: xoauthd token/,
      })
    t.match(await run(home, ['login', '--device', preset.user], underRealNames), {
      code: 78,
      stderr: /^xoauthd: fastmail has no sign-in by device code\nhint: run login without --device/,
    })
  })
})

void t.test('the daemon answers for all', async (t) => {
  const daemon = await startDaemonProcess(home, underRealNames)
  t.teardown(() => daemon.stop())
  const { socket } = home
  const tokenOf = async (service: string, user: string) => {
    const value = await send(socket, `${service},token,wait=60 ${user}`)
    t.not(value, '', `${service} ${user}`)
    return value
  }
  for (const [server, user, service, scope] of [
    [google, 'me@gmail.com', 'SMTP', undefined],
    [google, 'ann@corp.example', 'IMAP', undefined],
    [issuer, 'me@issuer.example', 'SMTP', 'mail.send'],
    [issuer, 'me@issuer.example', 'IMAP', 'mail.read'],
    [issuer, 'keyed@issuer.example', 'SMTP', undefined],
    [fastmail, preset.user, 'SMTP', undefined],
    [fastmail, preset.user, 'POP', undefined],
  ] as const) {
    if (service === 'POP') {
      t.match(await send(socket, `POP,explain ${user}`), /^ERR not-allowed .*login me@fastmail/)
      continue
    }
    const value = await tokenOf(service, user)
    t.ok(server.accept(value, user), `${service} ${user}`)
    if (scope !== undefined) t.equal(server.find(value)?.scope, scope)
    t.equal(await send(socket, `${service} ${user}`), xoauth2(user, value))
  }

  const robot = 'robot@corp-robots.example'
  t.equal(await send(socket, `SMTP,wait=60 ${robot}`), xoauth2(robot, robotToken))

  const asked = tokens.requests.length
  const jane = 'jane@fleet.example'
  t.equal(await send(socket, `IMAP,wait=60 ${jane}`), xoauth2(jane, fleetToken))
  t.equal(
    await send(socket, `SMTP,wait=60 ${jane}`),
    xoauth2('relay@fleet.example', fleetToken),
    'the other server knows who logs in',
  )
  t.match(JSON.parse(await send(socket, `SMTP,json ${jane}`)), {
    mailbox: jane,
    user: 'relay@fleet.example',
    expires_at: expires,
  })
  t.equal(
    await send(socket, `POP,explain ${jane}`),
    'ERR not-allowed the account *@fleet.example has no service pop; it has smtp, imap | add it to its services, then run: xoauthd reload\n',
  )
  t.equal(tokens.requests.length, asked + 2, 'and is asked once for each protocol')
  t.match(await send(socket, 'IMAP,explain,wait=60 ghost@fleet.example'), /^ERR unknown-account /)
  t.equal(await send(socket, 'IMAP ghost@fleet.example'), '', 'a failure has no bytes')

  for (const user of ['robot', 'fleet', 'corp.example'])
    t.equal(stored(user), '', `nothing of ${user} is on disk`)
  for (const secret of [robotToken, fleetToken, relay.password, pem.slice(60, 100)])
    t.notOk(daemon.stderr().includes(secret), 'and nothing secret in the log')
})

void t.test('a program that fails is run again, and serves again', async (t) => {
  const daemon = await startDaemonProcess(home, underRealNames)
  t.teardown(() => daemon.stop())
  const robot = 'robot@corp-robots.example'
  t.equal(await send(home.socket, `SMTP,token,wait=60 ${robot}`), robotToken)
  writeFileSync(join(home.path, 'broken'), '')
  const failed = await run(home, ['refresh', robot])
  t.match(failed, { code: 75, stderr: /the command "sh" failed \(3\)\nhint: run it by hand/ })
  t.equal(await send(home.socket, `SMTP,token ${robot}`), robotToken, 'the last one still lives')
})
