/**
 * What Microsoft wants to see at a sign-in beyond what it usually does (a claims challenge), through the
 * program as a process: whoever meets the challenge, the next sign-in carries it.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from './fixtures/certificates.ts'
import { redirectedFrom } from './fixtures/browser.ts'
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

/** The second address that is printed, after why. */
async function onceMore({ login }: SigningIn): Promise<URL> {
  const [, address = ''] = await login.said(
    /Blocked by a policy[^]*\nSign in once more[^]*?^(https:\S+)\n(?=\n[^]*\n)/m,
  )
  return new URL(address)
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

void t.test('a challenge that a sign-in meets itself is answered at once', async (t) => {
  const home = homeWith(t, account)
  for (const redeems of [false, true]) {
    const signingIn = await startLogin(home, me, underRealNames)
    const landed = await signingIn.consent()
    if (!redeems) microsoft.fault({ endpoint: 'token', answer: { overlay: {} } })
    microsoft.fault({ endpoint: 'token', answer: refusal })
    const page = await visit(landed)
    t.match(page, { status: 400, page: /Blocked by a policy[^]*Go back to the terminal/ })
    t.notMatch(page.page, /run: xoauthd login/)
    const url = await onceMore(signingIn)
    t.match(claimsIn(url), JSON.parse(challenge))
    t.match(await visit(new URL(await redirectedFrom(url))), { status: 200, page: /Signed in/ })
    t.equal(await signingIn.login.ended, 0, 'by the code or by the first refresh')
  }
})

void t.test('where addresses are pasted, and no more than once', async (t) => {
  const nativeClient = 'https://login.microsoftonline.com/common/oauth2/nativeclient'
  const home = homeWith(t, `${account}redirect_uri = "${nativeClient}"\n`)
  for (const code of [0, 77]) {
    const signingIn = await startLogin(home, me, underRealNames)
    const { login } = signingIn
    microsoft.fault({ endpoint: 'token', times: code === 0 ? 1 : 2, answer: refusal })
    login.child.stdin?.write(`${(await signingIn.consent()).href}\n`)
    login.child.stdin?.write(`${await redirectedFrom(await onceMore(signingIn))}\n`)
    t.equal(await login.ended, code)
    t.equal(login.stderr().match(/^https:/gm)?.length, 2)
  }
})

void t.test('with a code that is typed in elsewhere', async (t) => {
  microsoft.behaviour.signsInAs = me
  t.teardown(() => (microsoft.behaviour.signsInAs = undefined))
  const home = homeWith(t, account)
  microsoft.fault({ endpoint: 'token', answer: refusal })
  const device = await run(home, ['login', me, '--device'], underRealNames)
  t.match(device, { code: 0, stderr: /\nSign in once more[^]*code: ABCD1234\n[^]*\nSigned in as / })
  t.match(microsoft.to('device').at(-1)?.form.get('claims'), /c1/)
})
