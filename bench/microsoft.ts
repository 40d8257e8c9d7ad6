/**
 * What Microsoft accounts cost in memory: a daemon with so many of them, each signed in, from its first
 * answer out of the store to the moment when every one has been refreshed by Microsoft's library.
 *
 *     node --import tsx bench/microsoft.ts [COUNT]
 */
import { spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openStore } from '../src/store.ts'
import { createAuthority } from '../test/fixtures/certificates.ts'
import { createHome } from '../test/fixtures/daemon.ts'
import {
  grantWith,
  microsoftNames,
  publicClient,
  startMicrosoftServer,
} from '../test/fixtures/microsoft-server.ts'
import { withRealNames } from '../test/fixtures/real-names.ts'
import { ask, residentMb } from './servers.ts'

const count = Number(process.argv[2] ?? 1000)
/** What tokens of work accounts were seen to be. */
const tokenBytes = 2000
const hourMs = 3_600_000
/** What V8 has not collected yet is no account's: it is told to, by a signal, before each look. */
const collect = `process.on('SIGUSR2', () => { gc(); gc(); console.error('collected') })`
const nodeArgs = [
  '--expose-gc',
  ...['--import', `data:text/javascript,${encodeURIComponent(collect)}`],
]
const program = fileURLToPath(new URL('../bin/xoauthd.js', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'xo-'))
const authority = await createAuthority(folder)
const certificate = await authority.issue(microsoftNames)
const server = await startMicrosoftServer({ ...certificate, behaviour: { tokenBytes } })
const names = Object.fromEntries(microsoftNames.map((name) => [name, server.port]))
const { execArgv, env } = withRealNames(names, authority.caFile)
try {
  const one = await measure(1)
  const many = await measure(count)
  const each = (what: 'idleMb' | 'refreshedMb') =>
    (((many[what] - one[what]) * 1024) / (count - 1)).toFixed(1)
  console.log(
    `one account: ${one.idleMb.toFixed(0)} MB, refreshed ${one.refreshedMb.toFixed(0)} MB`,
  )
  console.log(
    `${count} accounts: ${many.idleMb.toFixed(0)} MB, refreshed ${many.refreshedMb.toFixed(0)} MB`,
  )
  console.log(`an account: ${each('idleMb')} KB, refreshed ${each('refreshedMb')} KB`)
} finally {
  await server.close()
  rmSync(folder, { recursive: true })
}

async function measure(accounts: number): Promise<{ idleMb: number; refreshedMb: number }> {
  const users = Array.from({ length: accounts }, (_, index) => `user${index}@uni.example`)
  const home = createHome(users.map(accountToml).join('\n'))
  const store = await openStore(join(home.path, 'state', 'xoauthd'))
  const nowMs = Date.now()
  for (const user of users)
    await store.replace(user, {
      grant: grantWith(server.grant(user)),
      binding: `microsoft ${publicClient.id} at login.microsoftonline.com/uni.example`,
      signedInAtMs: nowMs,
      refreshedAtMs: nowMs,
      tokens: { 'https://outlook.office.com': tokenOf(user, nowMs) },
    })
  await store.close()
  const args = [...nodeArgs, ...execArgv, program, 'serve']
  const daemon = spawn(process.execPath, args, {
    env: { ...home.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const settled = async (): Promise<number> => {
    daemon.kill('SIGUSR2')
    for await (const text of on(daemon.stderr, 'data'))
      if (String(text).includes('collected')) break
    return residentMb(daemon.pid ?? 0)
  }
  const ended = once(daemon, 'exit')
  try {
    for await (const text of on(daemon.stderr, 'data')) if (String(text).includes('ready')) break
    await ask(home.socket, `SMTP ${users[0] ?? ''}`)
    const idleMb = await settled()
    for (let at = 0; at < users.length; at += 32)
      await Promise.all(users.slice(at, at + 32).map((user) => ask(home.socket, `REFRESH ${user}`)))
    return { idleMb, refreshedMb: await settled() }
  } finally {
    daemon.kill()
    await ended
    home.remove()
  }
}

function accountToml(user: string): string {
  return `[[account]]
user = "${user}"
provider = "microsoft"
tenant = "uni.example"
client_id = "${publicClient.id}"
`
}

function tokenOf(user: string, nowMs: number) {
  const value = `access.${user}.`.padEnd(tokenBytes, 'x')
  return { value, obtainedAtMs: nowMs, expiresAtMs: nowMs + hourMs, expiryKnown: true }
}
