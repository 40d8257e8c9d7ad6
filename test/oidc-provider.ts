/**
 * A server that is not ours: npm's oidc-provider, which is certified. Each way of signing in, each way of
 * proving the client, rotation and revocation, by the program itself.
 */
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createHome, run, start, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { oidcClients, startOidcServer, visitAll } from './fixtures/oidc-server.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'

const me = 'me@issuer.example'
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const publicKey = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const server = await startOidcServer(me, publicKey)
t.teardown(() => server.close())

const keyed = 'client_auth = "private_key_jwt"\nkey = { file = "client.pem" }'

function homeOf(t: Test, clientId: string, more = ''): Home {
  const home = createHome(`
[[account]]
user = "${me}"
provider = "oauth2"
issuer = "${server.issuer}"
client_id = "${clientId}"
scopes = { smtp = ["mail.send"], imap = ["mail.read"], login = ["openid", "email", "offline_access"] }
${more}
`)
  const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' })
  writeFileSync(join(home.path, 'client.pem'), pem, { mode: 0o600 })
  t.teardown(() => home.remove())
  return home
}

function grantIn(home: Home): string {
  const folder = join(home.path, 'state', 'xoauthd')
  const [name = ''] = readdirSync(folder).filter((file) => file.startsWith(me))
  return (JSON.parse(readFileSync(join(folder, name), 'utf8')) as { grant: string }).grant
}

/** What every sign-in is good for. */
async function serves(t: Test, home: Home): Promise<void> {
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  const grants = new Set([grantIn(home)])
  for (const [service, scope] of [
    ['SMTP', 'mail.send'],
    ['IMAP', 'mail.read'],
  ] as const) {
    const token = await send(home.socket, `${service},token,wait=60 ${me}`)
    t.same(await server.find(token), { user: me, scope }, `${service}: narrowed to its scope`)
  }
  for (let count = 0; count < 2; count++) {
    t.match(await run(home, ['refresh', me]), { code: 0, stderr: '' })
    grants.add(grantIn(home))
  }
  t.equal(grants.size, 3, 'each refresh brought another refresh token')
  t.match(await run(home, ['logout', me, '--revoke']), { code: 0, stderr: `Signed out ${me}.\n` })
}

for (const [name, clientId, more] of [
  ['a client without a secret', oidcClients.open, ''],
  ['a client with a key', oidcClients.keyed, keyed],
] as const) {
  void t.test(`${name}, with a browser`, async (t) => {
    const home = homeOf(t, clientId, more)
    const { login, url } = await startLogin(home, me)
    const back = await visitAll(url.href, server.issuer)
    t.match(await visit(new URL(back)), { status: 200, page: /Signed in/ })
    t.equal(await login.ended, 0, login.stderr())
    t.notMatch(login.stderr(), /warning/)
    await serves(t, home)
  })

  void t.test(`${name}, by device`, async (t) => {
    const home = homeOf(t, clientId, more)
    const login = start(home, ['login', '--device', me])
    const [address] = await login.said(/(?<=\n)http:\S+user_code=\S+(?=\n)/)
    t.match(await visitAll(address, server.issuer), /Success/)
    t.equal(await login.ended, 0, login.stderr())
    await serves(t, home)
  })
}
