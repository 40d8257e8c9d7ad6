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
import { createAuthority } from '../test/fixtures/certificates.ts'
import {
  grantWith,
  microsoftNames,
  publicClient,
  startMicrosoftServer,
} from '../test/fixtures/microsoft-server.ts'
import { withRealNames } from '../test/fixtures/real-names.ts'
import { createSignedInHome } from './household.ts'
import { ask, residentMb } from './servers.ts'

const count = Number(process.argv[2] ?? 1000)
/** What tokens of work accounts were seen to be. */
const tokenBytes = 2000
/** What V8 has not collected yet is no account's: it is told to, by a signal, before each look. */
const collect = `process.on('SIGUSR2', () => {
  gc(); gc()
  console.error('collected', process.memoryUsage().heapUsed)
})`
const hook = `data:text/javascript,${encodeURIComponent(collect)}`
const nodeArgs = ['--expose-gc', '--import', hook]
const program = fileURLToPath(new URL('../bin/xoauthd.js', import.meta.url))

interface Memory {
  /** With what V8 and the C library hold in reserve. */
  readonly residentMb: number
  /** What is in use on V8's heap. */
  readonly liveMb: number
}

const folder = mkdtempSync(join(tmpdir(), 'xo-'))
const authority = await createAuthority(folder)
const certificate = await authority.issue(microsoftNames)
const server = await startMicrosoftServer({ ...certificate, behaviour: { tokenBytes } })
const names = Object.fromEntries(microsoftNames.map((name) => [name, server.port]))
const { execArgv, env } = withRealNames(names, authority.caFile)
try {
  const one = await measure(1)
  const many = await measure(count)
  for (const when of ['idle', 'refreshed'] as const) {
    const each = (what: keyof Memory) =>
      (((many[when][what] - one[when][what]) * 1024) / (count - 1)).toFixed(1)
    console.log(
      `${when}: one account ${inMb(one[when])}; ${count} accounts ${inMb(many[when])};`,
      `an account ${each('residentMb')} KB resident, ${each('liveMb')} KB live`,
    )
  }
} finally {
  await server.close()
  rmSync(folder, { recursive: true })
}

async function measure(accounts: number): Promise<{ idle: Memory; refreshed: Memory }> {
  const users = Array.from({ length: accounts }, (_, index) => `user${index}@uni.example`)
  const home = await createSignedInHome(users, {
    keys: `provider = "microsoft"\ntenant = "uni.example"\nclient_id = "${publicClient.id}"\n`,
    binding: `microsoft ${publicClient.id} at login.microsoftonline.com/uni.example`,
    tokenKey: 'https://outlook.office.com',
    tokenPrefix: 'access.',
    tokenBytes,
    grant: (user) => grantWith(server.grant(user)),
  })
  const args = [...nodeArgs, ...execArgv, program, 'serve']
  const daemon = spawn(process.execPath, args, {
    env: { ...home.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const settled = async (): Promise<Memory> => {
    daemon.kill('SIGUSR2')
    let said = ''
    for await (const text of on(daemon.stderr, 'data')) {
      said += String(text)
      if (/collected \d+\n/.test(said)) break
    }
    const liveBytes = Number(/collected (\d+)\n/.exec(said)?.[1])
    return { residentMb: residentMb(daemon.pid ?? 0), liveMb: liveBytes / 2 ** 20 }
  }
  const ended = once(daemon, 'exit')
  try {
    for await (const text of on(daemon.stderr, 'data')) if (String(text).includes('ready')) break
    await ask(home.socket, `SMTP ${users[0] ?? ''}`)
    const idle = await settled()
    for (let at = 0; at < users.length; at += 32)
      await Promise.all(users.slice(at, at + 32).map((user) => ask(home.socket, `REFRESH ${user}`)))
    return { idle, refreshed: await settled() }
  } finally {
    daemon.kill()
    await ended
    home.remove()
  }
}

function inMb({ residentMb, liveMb }: Memory): string {
  return `${residentMb.toFixed(0)} MB (${liveMb.toFixed(1)} live)`
}
