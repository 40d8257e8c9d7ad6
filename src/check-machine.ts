/**
 * What `check` looks at on this machine: the folder of sign-ins, the running daemon and its sockets, and
 * whether a token could end up in a core file or in swap.
 */
import { readFile, stat } from 'node:fs/promises'
import { obstacle, personNamed } from './access.ts'
import type { XoauthdError } from './client.ts'
import type { Config } from './config.ts'
import { StoreLocked, asFailure, type Failure } from './errors.ts'
import { failedFinding, finding, type Finding } from './findings.ts'
import { userName } from './identity.ts'
import { octal } from './octal.ts'
import type { SocketConfig } from './socket-config.ts'
import type { DaemonStatus } from './status.ts'
import { encryptionOf } from './store-encryption.ts'
import type { StoreKey } from './store-key.ts'
import { storeElsewhere, storeLock, unsavedTrouble } from './store-status.ts'

/** What is known before anything is looked at. */
export interface Machine {
  readonly config: Config
  /** Opens the store, where no daemon tells whether it can. */
  readonly storeKey: StoreKey
  /** What the daemon said of itself; undefined when it did not. */
  readonly daemon: DaemonStatus | undefined
  /** Why it did not. */
  readonly silence: XoauthdError | undefined
  /** The user that a mail agent runs as, who is to reach a socket. */
  readonly agent: string | undefined
  /** The version of this program. */
  readonly version: string
}

export async function checkMachine(machine: Machine): Promise<Finding[]> {
  const { config, daemon } = machine
  const accounts = `${config.accounts.length} account${config.accounts.length === 1 ? '' : 's'}`
  const rows: Finding[] = [
    finding('ok', 'configuration', `${config.file}, ${accounts}`),
    await storeFinding(machine),
    daemonFinding(machine),
    ...(await Promise.all(config.sockets.map((socket) => socketFinding(socket, daemon)))),
  ]
  if (machine.agent !== undefined) rows.push(...(await agentFindings(machine.agent, config)))
  if (daemon) rows.push(await coreFinding(daemon.pid), await swapFinding(daemon.pid))
  return rows
}

async function storeFinding({ config, daemon, storeKey }: Machine): Promise<Finding> {
  const { storePath: path } = config
  const unsaved = daemon && unsavedTrouble(daemon.store)
  if (unsaved) return finding('problem', 'store', unsaved.message, { hint: unsaved.hint })
  // That it is locked is told below, with its owner.
  if (daemon && daemon.store.message !== '' && !daemon.store.locked)
    return finding('problem', 'store', daemon.store.message, { hint: daemon.store.hint })
  const elsewhere = daemon && (await storeElsewhere(config, { ...daemon, path: daemon.store.path }))
  if (elsewhere !== undefined)
    return finding('problem', 'store', elsewhere, {
      hint: 'restart xoauthd to use the one of the file',
    })
  const there = await stat(path).catch(() => undefined)
  if (!there)
    return finding('warning', 'store', `${path} is not there yet`, {
      hint: 'the first login makes it',
    })
  if ((there.mode & 0o077) !== 0)
    return finding('problem', 'store', `${path} is open to others`, {
      hint: `chmod 0700 ${path}`,
    })
  const its = `${path}, of ${userName(there.uid)}`
  const known = daemon
    ? { encrypted: daemon.store.encrypted, plainFiles: daemon.store.plain_files }
    : await encryptionOf(path).catch(() => undefined)
  if (!known)
    return finding('ok', 'store', `${its}; whether it is encrypted, its owner and the daemon know`)
  if (!known.encrypted)
    return finding('ok', 'store', `${its}, not encrypted`, {
      hint: 'whoever can read the disk can use it; xoauthd store encrypt --new-key FILE changes that',
    })
  const lock = await lockOf(path, daemon, storeKey)
  if (lock) return failedFinding('store', lock)
  if (known.plainFiles === 0) return finding('ok', 'store', `${its}, encrypted`)
  return finding('warning', 'store', `${its}, encrypted but for ${known.plainFiles} file(s)`, {
    hint: 'run: xoauthd store encrypt',
  })
}

/** @returns why what is encrypted cannot be opened: as the daemon says, which has a key of its own, or as we find */
async function lockOf(
  path: string,
  daemon: DaemonStatus | undefined,
  storeKey: StoreKey,
): Promise<Failure | undefined> {
  if (!daemon) return storeLock(path, storeKey).catch(asFailure)
  const { locked, message, hint } = daemon.store
  return locked ? new StoreLocked(message, { hint }) : undefined
}

function daemonFinding({ daemon, silence, version, config }: Machine): Finding {
  if (!daemon) return failedFinding('daemon', silence)
  if (daemon.configuration !== config.file)
    return finding('warning', 'daemon', `it reads ${daemon.configuration}, not this file`, {
      hint: `name the same one: xoauthd check --config ${daemon.configuration}`,
    })
  if (daemon.program !== version)
    return finding('warning', 'daemon', `runs version ${daemon.program}, and this is ${version}`, {
      hint: 'restart it',
    })
  return finding('ok', 'daemon', `version ${daemon.program}, process ${daemon.pid}`)
}

async function socketFinding(
  { path, mode, gid, uid }: SocketConfig,
  daemon: DaemonStatus | undefined,
): Promise<Finding> {
  const check = 'socket'
  const there = await stat(path).catch(() => undefined)
  if (!there?.isSocket())
    return daemon
      ? finding('problem', check, `${path} is not there`, { hint: 'run: xoauthd reload' })
      : finding('skipped', check, `${path} is there when the daemon runs`)
  const found = there.mode & 0o777
  if (found !== mode)
    return finding('problem', check, `${path} has mode ${octal(found)} instead of ${octal(mode)}`, {
      hint: 'run: xoauthd reload, or correct SocketMode= in its unit',
    })
  const wrongGroup = gid !== undefined && there.gid !== gid
  if (wrongGroup || (uid !== undefined && there.uid !== uid))
    return finding('problem', check, `${path} has another owner or group than the file says`, {
      hint: 'run: xoauthd reload, or correct SocketUser= and SocketGroup= in its unit',
    })
  return finding('ok', check, `${path}, mode ${octal(found)}`)
}

async function agentFindings(name: string, config: Config): Promise<Finding[]> {
  const person = personNamed(name)
  const check = 'mail agent'
  if (!person)
    return [
      finding('problem', check, `this machine has no user ${name}`, {
        hint: 'see: getent passwd',
      }),
    ]
  const found = await Promise.all(
    config.sockets.map(async ({ path }) => {
      const problem = await obstacle(path, person).catch(() => ({
        message: 'it is not there',
        hint: 'start the daemon',
      }))
      return { path, problem }
    }),
  )
  const open = found.filter(({ problem }) => !problem)
  if (open.length > 0)
    return open.map(({ path }) => finding('ok', check, `${name} may open ${path}`))
  return found.map(({ path, problem }) =>
    finding('problem', check, `${path}: ${problem?.message ?? ''}`, {
      hint: problem?.hint ?? '',
      code: 'not-allowed',
    }),
  )
}

async function coreFinding(pid: number): Promise<Finding> {
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8').catch(() => '')
  const soft = /^Max core file size +(\S+)/m.exec(limits)?.[1]
  if (soft === undefined) return finding('skipped', 'core files', 'this system does not say')
  if (soft === '0') return finding('ok', 'core files', 'off')
  return finding('warning', 'core files', 'a crash could write tokens to disk', {
    hint: 'LimitCORE=0 in the unit, or ulimit -c 0 before the start',
  })
}

async function swapFinding(pid: number): Promise<Finding> {
  const swaps = await readFile('/proc/swaps', 'utf8').catch(() => '')
  if (swaps.trim().split('\n').length < 2) return finding('ok', 'swap', 'none on this machine')
  const group = /^0::(.*)$/m.exec(
    await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''),
  )?.[1]
  const limit = await readFile(`/sys/fs/cgroup${group ?? ''}/memory.swap.max`, 'utf8').catch(
    () => '',
  )
  if (limit.trim() === '0') return finding('ok', 'swap', 'off for the daemon')
  return finding('warning', 'swap', 'tokens could be written to swap', {
    hint: 'MemorySwapMax=0 in the unit, or encrypted swap',
  })
}
