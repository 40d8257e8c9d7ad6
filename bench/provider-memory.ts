/**
 * What accounts cost in memory: a daemon that has Google's alone, and one that has Microsoft's, each signed
 * in, when it has answered for a while out of the store, and when every account has been refreshed by the
 * provider's library.
 *
 * What any daemon needs once is no account's: so the one that it is compared with has as many accounts as
 * are refreshed side by side, and both have answered and refreshed before each look.
 *
 *     node --import tsx bench/provider-memory.ts [COUNT]
 */
import { spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { maxConnectionsPerHost } from '../src/transport.ts'
import { createAuthority } from '../test/fixtures/certificates.ts'
import { googleClient, googleNames, startGoogleServer } from '../test/fixtures/google-server.ts'
import {
  grantWith,
  microsoftNames,
  publicClient,
  startMicrosoftServer,
} from '../test/fixtures/microsoft-server.ts'
import { withRealNames } from '../test/fixtures/real-names.ts'
import { createSignedInHome, type AccountKind } from './household.ts'
import { ask, residentMb } from './servers.ts'

const count = Number(process.argv[2] ?? 1000)
/** So many refreshes may be in flight to one provider. */
const few = maxConnectionsPerHost
if (!(count > few)) throw new Error(`COUNT has to be more than ${few}`)
/** What V8 needs for its code is in place after as many. */
const warmUpRequests = 5_000
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
const certificate = await authority.issue([...googleNames, ...microsoftNames])
const google = await startGoogleServer({ ...certificate, behaviour: { tokenBytes } })
const microsoft = await startMicrosoftServer({ ...certificate, behaviour: { tokenBytes } })
const names = {
  ...portsOf(googleNames, google.port),
  ...portsOf(microsoftNames, microsoft.port),
}
const { execArgv, env } = withRealNames(names, authority.caFile)
const common = { tokenPrefix: 'access.', tokenBytes }
const kinds: Record<string, AccountKind> = {
  Google: {
    ...common,
    keys: `provider = "google"\nclient_id = "${googleClient.id}"\nclient_secret = "${googleClient.secret}"\n`,
    binding: `google ${googleClient.id}`,
    tokenKey: '',
    grant: (user) => google.grant(user, 'https://mail.google.com/', googleClient.id),
  },
  Microsoft: {
    ...common,
    keys: `provider = "microsoft"\ntenant = "uni.example"\nclient_id = "${publicClient.id}"\n`,
    binding: `microsoft ${publicClient.id} at login.microsoftonline.com/uni.example`,
    tokenKey: 'https://outlook.office.com',
    grant: (user) => grantWith(microsoft.grant(user)),
  },
}
try {
  for (const [name, kind] of Object.entries(kinds)) {
    const least = await measure(kind, few)
    const many = await measure(kind, count)
    for (const when of ['idle', 'refreshed'] as const) {
      const each = (what: keyof Memory) =>
        (((many[when][what] - least[when][what]) * 1024) / (count - few)).toFixed(1)
      console.log(
        `${name}, ${when}: ${few} accounts ${inMb(least[when])}; ${count} ${inMb(many[when])};`,
        `an account ${each('residentMb')} KB resident, ${each('liveMb')} KB live`,
      )
    }
  }
} finally {
  await Promise.all([google.close(), microsoft.close()])
  rmSync(folder, { recursive: true })
}

async function measure(kind: AccountKind, accounts: number) {
  const users = Array.from({ length: accounts }, (_, index) => `user${index}@uni.example`)
  const home = await createSignedInHome(users, kind)
  const args = [...nodeArgs, ...execArgv, program, 'serve']
  const daemon = spawn(process.execPath, args, {
    env: { ...home.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const gone = new AbortController()
  daemon.once('exit', () => gone.abort(new Error('the daemon has ended')))
  const settled = async (): Promise<Memory> => {
    daemon.kill('SIGUSR2')
    let said = ''
    for await (const text of on(daemon.stderr, 'data', { signal: gone.signal })) {
      said += String(text)
      if (/collected \d+\n/.test(said)) break
    }
    const liveBytes = Number(/collected (\d+)\n/.exec(said)?.[1])
    return { residentMb: await leastResidentMb(daemon.pid ?? 0), liveMb: liveBytes / 2 ** 20 }
  }
  const ended = once(daemon, 'exit')
  try {
    for await (const text of on(daemon.stderr, 'data', { signal: gone.signal }))
      if (String(text).includes('ready')) break
    const request = `SMTP ${users[0] ?? ''}`
    for (let asked = 0; asked < warmUpRequests; asked += few)
      await Promise.all(Array.from({ length: few }, () => ask(home.socket, request)))
    const idle = await settled()
    for (let at = 0; at < users.length; at += few)
      await Promise.all(
        users.slice(at, at + few).map(async (user) => {
          const answer = await ask(home.socket, `REFRESH ${user}`)
          if (!answer.includes('refreshed')) throw new Error(`${user}: ${answer}`)
        }),
      )
    return { idle, refreshed: await settled() }
  } finally {
    daemon.kill()
    await ended
    home.remove()
  }
}

/** V8 gives back what it has collected from a thread of its own. */
async function leastResidentMb(pid: number): Promise<number> {
  let least = Infinity
  for (let now = residentMb(pid); now < least; now = residentMb(pid)) {
    least = now
    await sleep(500)
  }
  return least
}

function portsOf(names: readonly string[], port: number): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, port]))
}

function inMb({ residentMb, liveMb }: Memory): string {
  return `${residentMb.toFixed(0)} MB (${liveMb.toFixed(1)} live)`
}
