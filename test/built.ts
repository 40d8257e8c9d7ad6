/**
 * The program as it is installed: what bin/ starts out of dist/, where the bundle could have broken what
 * works from source. Vendor libraries are the likeliest to suffer, so one is really used.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { getToken } from '../src/client.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { createHome, program } from './fixtures/daemon.ts'
import { apiNames, startMailApis } from './fixtures/mail-api-server.ts'
import { googleNames, startGoogleServer } from './fixtures/google-server.ts'
import { withRealNames } from './fixtures/real-names.ts'
import { createServiceAccount } from './fixtures/service-account.ts'

const built = new URL('../dist/client.js', import.meta.url).href

void t.test('the bundle fetches a token with the library of Google', async (t) => {
  const key = createServiceAccount('corp.example')
  const home = createHome(`
[[account]]
user = "*@corp.example"
provider = "google-service-account"
key = { file = "key.json" }
send = "gmail"
`)
  t.teardown(() => home.remove())
  writeFileSync(join(home.path, 'key.json'), key.keyFile, { mode: 0o600 })
  const authority = await createAuthority(home.path)
  const certificate = await authority.issue([...googleNames, ...apiNames])
  const google = await startGoogleServer({ ...certificate, serviceAccounts: [key.account] })
  t.teardown(() => google.close())
  const api = await startMailApis({ ...certificate, verify: (token) => google.accept(token) })
  t.teardown(() => api.close())
  const names = Object.fromEntries([
    ...googleNames.map((name) => [name, google.port] as const),
    ...apiNames.map((name) => [name, api.port] as const),
  ])
  const { execArgv, env } = withRealNames(names, authority.caFile)
  const daemon = spawn(process.execPath, [...execArgv, program, 'serve'], {
    env: { ...home.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(async () => {
    if (daemon.exitCode !== null) return
    daemon.kill()
    await once(daemon, 'exit')
  })
  for await (const chunk of daemon.stderr) if (String(chunk).includes('info ready')) break

  const client = (await import(built)) as { getToken: typeof getToken }
  const reply = await client.getToken('ann@corp.example', { socket: home.socket, wait: 20 })
  t.match(reply, { mailbox: 'ann@corp.example', user: 'ann@corp.example', service: 'smtp' })
  t.ok(google.accept(reply.access_token, 'ann@corp.example'))
  const refusal = client.getToken('ann@other.example', { socket: home.socket })
  await t.rejects(refusal, { name: 'XoauthdError', code: 'unknown-account' })

  const args = [...execArgv, program, 'sendmail', '-f', 'ann@corp.example', 'x@example.net']
  const sendmail = spawn(process.execPath, args, { env: { ...home.env, ...env } })
  sendmail.stdin.end('Subject: x\n\nby the bundle\n')
  const said = await text(sendmail.stderr)
  t.equal(said, '')
  t.match(api.sent[0]?.message.toString(), /From: ann@corp\.example\r\n[^]*by the bundle\r\n$/)
})

void t.test('signals while it loads', async (t) => {
  const home = createHome('[[account]]\n')
  t.teardown(() => home.remove())
  // Node reads its modules in a thread of its own, which can send them just before the program is run.
  const hooks = `export async function load(url, context, next) {
    if (url.endsWith('/dist/cli.js'))
      for (const signal of ['SIGHUP', 'SIGUSR1']) process.kill(process.pid, signal)
    return next(url, context)
  }`
  const preload = `import { register } from 'node:module'
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)})`
  const execArgv = [`--import=data:text/javascript,${encodeURIComponent(preload)}`]
  const child = spawn(process.execPath, [...execArgv, program, 'serve'], {
    env: home.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const said = text(child.stderr)
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  t.equal(signal, null, 'a reload does not kill it')
  t.equal(code, 78, 'it went on to read its file')
  t.notMatch(await said, /Debugger listening/, 'and lets no debugger in')
})
