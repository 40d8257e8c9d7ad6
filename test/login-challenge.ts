/**
 * What Microsoft wants to see at a sign-in beyond what it usually does (a claims challenge), through the
 * program as a process: whoever meets the challenge, the next sign-in carries it.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from './fixtures/certificates.ts'
import { createHome, run, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { challenge, failure } from './fixtures/microsoft-endpoints.ts'
import { microsoftNames, publicClient, startMicrosoftServer } from './fixtures/microsoft-server.ts'
import { startLogin, visit, type SigningIn } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'
import { useRealNames, withRealNames } from './fixtures/real-names.ts'

const me = 'me@uni.example'
const authority = await createAuthority(t.testdir())
const certificate = await authority.issue(microsoftNames)
const microsoft = await startMicrosoftServer({ ...certificate, behaviour: { rotates: true } })
const names = Object.fromEntries(microsoftNames.map((name) => [name, microsoft.port]))
const underRealNames = withRealNames(names, authority.caFile)
// The browser of the person is in this very process.
useRealNames(names, authority.caFile)
t.teardown(() => microsoft.close())

const account = `[[account]]
user = "${me}"
provider = "microsoft"
tenant = "uni.example"
client_id = "${publicClient.id}"
`
const refusal = {
  status: 400,
  body: {
    ...failure(53003, 'interaction_required', 'Blocked by a policy.', 'message_only'),
    claims: challenge,
  },
}

function homeWith(t: Test, toml: string): Home {
  const home = createHome(toml)
  t.teardown(() => home.remove())
  return home
}

async function signIn(t: Test, home: Home): Promise<SigningIn> {
  const signingIn = await startLogin(home, me, underRealNames)
  t.match(await visit(await signingIn.consent()), { status: 200 })
  t.equal(await signingIn.login.ended, 0)
  return signingIn
}

/** The library adds what it wants to know itself. */
function claimsIn(url: URL): object {
  return JSON.parse(url.searchParams.get('claims') ?? '{}') as object
}

void t.test('a challenge that the daemon met is carried into the next sign-in', async (t) => {
  const home = homeWith(t, account)
  await signIn(t, home)
  const daemon = await startDaemonProcess(home, underRealNames)
  t.teardown(() => daemon.stop())
  microsoft.fault({ endpoint: 'token', answer: refusal })
  t.match(await run(home, ['refresh', me]), { code: 75, stderr: /interaction_required/ })
  const token = await send(home.socket, `SMTP,token ${me}`)
  t.ok(microsoft.accept(token, me), 'the token that lives goes on being served')

  const second = await signIn(t, home)
  t.match(claimsIn(second.url), JSON.parse(challenge))
  t.match(await run(home, ['refresh', me]), { code: 0 })
})

void t.test('also from an encrypted store, where its key asks nobody', async (t) => {
  const home = homeWith(t, `${account}[store]\nkey = { file = "key" }\n`)
  t.match(await run(home, ['store', 'encrypt', '--new-key', 'key']), { code: 0 })
  await signIn(t, home)
  const daemon = await startDaemonProcess(home, underRealNames)
  t.teardown(() => daemon.stop())
  microsoft.fault({ endpoint: 'token', answer: refusal })
  t.match(await run(home, ['refresh', me]), { code: 75 })
  const byFile = await signIn(t, home)
  t.match(claimsIn(byFile.url), JSON.parse(challenge))
  const names = readdirSync(join(home.path, 'state', 'xoauthd'))
  t.notMatch(names.join(' '), /unread/, 'what it replaced was read, and how that one ended')

  microsoft.fault({ endpoint: 'token', answer: refusal })
  t.match(await run(home, ['refresh', me]), { code: 75 })
  home.configure(`${account}[store]\nkey = { command = ["sh", "-c", "touch asked; cat key"] }\n`)
  const byCommand = await signIn(t, home)
  t.notOk('access_token' in claimsIn(byCommand.url))
  t.notOk(existsSync(join(home.path, 'asked')), 'a program may put a question before the person')
})
