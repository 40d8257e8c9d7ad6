/**
 * Google under its own host names, with TLS and its checks as they are: a person signs in and the daemon
 * keeps the token fresh, and a service account serves a whole domain with nothing on disk.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from './fixtures/certificates.ts'
import { createHome, run, startDaemonProcess } from './fixtures/daemon.ts'
import { googleClient, googleNames, startGoogleServer } from './fixtures/google-server.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'
import { useRealNames, withRealNames } from './fixtures/real-names.ts'
import { createServiceAccount } from './fixtures/service-account.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'

const me = 'me@gmail.com'
const key = createServiceAccount('corp.example', { absent: ['ghost@corp.example'] })
const home = createHome(`
[[account]]
user = "${me}"
provider = "google"
client_id = "${googleClient.id}"
client_secret = "${googleClient.secret}"

[[account]]
user = "*@corp.example"
provider = "google-service-account"
key = { file = "key.json" }
`)
writeFileSync(join(home.path, 'key.json'), key.keyFile, { mode: 0o600 })
const authority = await createAuthority(home.path)
const certificate = await authority.issue(googleNames)
const google = await startGoogleServer({ ...certificate, serviceAccounts: [key.account] })
const names = Object.fromEntries(googleNames.map((name) => [name, google.port]))
const underRealNames = withRealNames(names, authority.caFile)
// The browser of the person is in this very process.
useRealNames(names, authority.caFile)
const { socket } = home
t.teardown(async () => {
  await google.close()
  home.remove()
})

void t.test('a person at Google', async (t) => {
  const { login, url, consent } = await startLogin(home, me, underRealNames)
  t.equal(url.host, 'accounts.google.com')
  t.match(await visit(await consent()), { status: 200, page: /Signed in/ })
  t.equal(await login.ended, 0)
  t.match(login.stderr(), /\nSigned in as me@gmail\.com for smtp, imap\.\nNext: /)

  const daemon = await startDaemonProcess(home, underRealNames)
  t.teardown(() => daemon.stop())
  const asked = google.to('token').length
  const { stdout } = await run(home, ['token', me])
  const token = stdout.trim()
  t.ok(google.accept(token, me))
  t.equal(await send(socket, `SMTP ${me}`), xoauth2(me, token))
  t.equal(google.to('token').length, asked, 'the sign-in left a token')
  t.match(await run(home, ['refresh', me]), { code: 0, stderr: '' })
  t.not(await send(socket, `SMTP,token ${me}`), token)

  for (const who of ['ann@corp.example', 'bob@corp.example']) {
    const answer = await send(socket, `SMTP ${who.toUpperCase()}`)
    const [, value = ''] = /Bearer (\S+)\x01\x01$/.exec(answer) ?? []
    t.equal(answer, xoauth2(who, value))
    t.ok(google.accept(value, who))
  }
  t.match(await send(socket, 'SMTP,explain ghost@corp.example'), /^ERR unknown-account /)
  const files = readdirSync(join(home.path, 'state', 'xoauthd'))
  t.same(
    files.filter((name) => name.includes('corp')),
    [],
    'nothing of them is on disk',
  )
  t.equal(files.filter((name) => name.endsWith('.json')).length, 1)
  const revoked = await run(home, ['logout', me, '--revoke'], underRealNames)
  t.match(revoked, { code: 0, stderr: `Signed out ${me}.\n` })
  const nobody = await run(home, ['login', '*@corp.example'], underRealNames)
  t.match(nobody, {
    code: 78,
    stderr: /google-service-account needs no sign-in\nhint: run: xoauthd token/,
  })
})
