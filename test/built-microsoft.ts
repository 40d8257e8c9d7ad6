/**
 * Microsoft's library out of the bundle: it fetches tokens, a rotated grant survives kill -9 of the daemon
 * that fetched it, and nobody loads it who has no account there.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { ask } from '../src/client.ts'
import { openStore } from '../src/store.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { createHome, program, type Home } from './fixtures/daemon.ts'
import { googleNames, startGoogleServer } from './fixtures/google-server.ts'
import {
  grantWith,
  microsoftNames,
  publicClient,
  startMicrosoftServer,
} from './fixtures/microsoft-server.ts'
import { withRealNames } from './fixtures/real-names.ts'
import { createServiceAccount } from './fixtures/service-account.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const kills = Number(process.env['KILLS'] ?? 8)
const me = 'me@uni.example'
const microsoftAccount = `[[account]]
user = "${me}"
provider = "microsoft"
tenant = "uni.example"
client_id = "${publicClient.id}"
`
const googleAccount = `[[account]]
user = "*@corp.example"
provider = "google-service-account"
key = { file = "key.json" }
`

const authority = await createAuthority(t.testdir())
const certificate = await authority.issue([...microsoftNames, ...googleNames])
const key = createServiceAccount('corp.example')
const microsoft = await startMicrosoftServer({
  ...certificate,
  behaviour: { rotates: 'when the next is used' },
})
const google = await startGoogleServer({ ...certificate, serviceAccounts: [key.account] })
t.teardown(() => Promise.all([microsoft.close(), google.close()]))
const names = Object.fromEntries<number>([
  ...microsoftNames.map((name) => [name, microsoft.port] as const),
  ...googleNames.map((name) => [name, google.port] as const),
])
const { execArgv, env } = withRealNames(names, authority.caFile)

function homeWith(t: Test, toml: string): Home {
  const home = createHome(toml)
  t.teardown(() => home.remove())
  writeFileSync(join(home.path, 'key.json'), key.keyFile, { mode: 0o600 })
  return home
}

async function signIn(home: Home): Promise<string> {
  const storePath = join(home.path, 'state', 'xoauthd')
  const store = await openStore(storePath)
  await store.replace(me, {
    grant: grantWith(microsoft.grant(me)),
    binding: `microsoft ${publicClient.id} at login.microsoftonline.com/uni.example`,
    signedInAtMs: Date.now(),
    refreshedAtMs: Date.now(),
    tokens: {},
  })
  await store.close()
  return storePath
}

async function startBuilt(home: Home, variables: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [...execArgv, program, 'serve'], {
    env: { ...home.env, ...env, ...variables },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'exit')
  for await (const text of child.stderr) if (String(text).includes('info ready')) break
  return { child, ended }
}

void t.test(`a rotated grant survives ${kills} kills`, async (t) => {
  const home = homeWith(t, microsoftAccount)
  const storePath = await signIn(home)
  const before = microsoft.to('token').length
  for (let kill = 0; kill < kills; kill++) {
    const { child, ended } = await startBuilt(home)
    const reply = await ask([home.socket], `REFRESH ${me}`)
    t.match(reply, /"refreshed"/, `after ${kill} kills`)
    // Refreshes go on one after another until the kill comes in the middle of some step of one.
    setTimeout(() => child.kill('SIGKILL'), Math.random() * 40)
    while (child.signalCode === null) {
      const answered = ask([home.socket], `REFRESH ${me}`).catch(() => '')
      await Promise.race([answered, ended])
    }
    await ended
    for (const name of readdirSync(storePath).filter((file) => file.endsWith('.json')))
      JSON.parse(readFileSync(join(storePath, name), 'utf8'))
  }
  t.ok(microsoft.to('token').length >= before + kills)
})

/** The files of dist/ that a daemon has loaded by the time it has answered, as V8 counts them. */
async function loadedBy(t: Test, home: Home, mailbox: string): Promise<readonly string[]> {
  const folder = join(home.path, 'coverage')
  mkdirSync(folder)
  const { child, ended } = await startBuilt(home, { NODE_V8_COVERAGE: folder })
  t.match(await ask([home.socket], `SMTP,explain,wait=20 ${mailbox}`), /Bearer /)
  child.kill()
  await ended
  return readdirSync(folder).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
      result: readonly { readonly url: string }[]
    }
    return result.map(({ url }) => url.split('/dist/')[1] ?? '')
  })
}

/** The chunks that hold some text: names of vendors' methods survive minification. */
function chunksWith(text: string): readonly string[] {
  const names = readdirSync(join(root, 'dist')).filter((name) => name.endsWith('.js'))
  return names.filter((name) => {
    const isProgram = name === 'cli.js' || name === 'client.js'
    if (isProgram) return false
    // Long lines are broken, in the middle of a string too.
    return readFileSync(join(root, 'dist', name), 'utf8')
      .replaceAll('\\\n', '')
      .includes(text)
  })
}

void t.test('a library is loaded by those who need it', async (t) => {
  const ofMicrosoft = chunksWith('acquireTokenByDeviceCode called')
  const ofGoogle = chunksWith('gmail/v1/users')
  t.equal(ofMicrosoft.length, 1)
  t.ok(ofGoogle.length > 0)
  const loads = (loaded: readonly string[], chunks: readonly string[]) =>
    chunks.some((name) => loaded.includes(name))

  const microsoftHome = homeWith(t, microsoftAccount)
  await signIn(microsoftHome)
  const byMicrosoft = await loadedBy(t, microsoftHome, me)
  t.ok(loads(byMicrosoft, ofMicrosoft))
  t.notOk(loads(byMicrosoft, ofGoogle), 'no library of Google')

  const byGoogle = await loadedBy(t, homeWith(t, googleAccount), 'ann@corp.example')
  t.ok(loads(byGoogle, ofGoogle))
  t.notOk(loads(byGoogle, ofMicrosoft), 'no library of Microsoft')
})
