/**
 * The `[[socket]]` tables: where each appears, who may open it, and what it serves.
 *
 * Promises that a socket which others may open says what it serves, and that there is always one, for
 * the owner alone, on which the daemon is controlled.
 */
import { join } from 'node:path'
import { matches } from './address.ts'
import type { AccountConfig } from './account-config.ts'
import { groupId, userId } from './identity.ts'
import type { KeyPath } from './locate.ts'
import type { Report } from './schema-check.ts'
import { expandPath } from './secret.ts'
import { defaultSocketPath } from './socket-path.ts'

export interface SocketConfig {
  readonly path: string
  /** The permission bits. */
  readonly mode: number
  readonly gid: number | undefined
  readonly uid: number | undefined
  /** Addresses and `*@domain`s; undefined: all. */
  readonly accounts: readonly string[] | undefined
  readonly services: readonly string[] | undefined
  readonly control: boolean
}

export interface SocketTable {
  readonly path?: string | undefined
  readonly mode: number
  readonly group?: string | undefined
  readonly owner?: string | undefined
  readonly accounts?: readonly string[] | undefined
  readonly services?: readonly string[] | undefined
  readonly protocol: 'line' | 'socketmap'
  readonly map?: Readonly<Record<string, string>> | undefined
  readonly control?: boolean | undefined
}

/** sun_path of unix(7) has 108 bytes, the last of them zero; Node cuts what is longer, in silence. */
export const socketPathMaxBytes = 107

/** @param report takes each problem with the path of its key */
export function resolveSockets(
  tables: readonly SocketTable[],
  accounts: readonly AccountConfig[],
  file: string,
  env: NodeJS.ProcessEnv,
  report: Report,
): SocketConfig[] {
  const sockets: SocketConfig[] = []
  const taken = new Map<string, number>()
  tables.forEach((entry, index) => {
    const at: KeyPath = ['socket', index]
    const socket = resolveSocket(entry, at, file, env, report)
    const other = taken.get(socket.path)
    if (other !== undefined)
      report([...at, 'path'], `is the same as that of socket[${other + 1}]: ${socket.path}`)
    taken.set(socket.path, index)
    for (const name of socket.accounts ?? [])
      if (!isServed(name, accounts))
        report([...at, 'accounts'], `names ${name}, which no [[account]] serves`)
    sockets.push(socket)
  })
  if (sockets.some((socket) => socket.control)) return sockets
  const path = defaultSocketPath(env)
  const clash = taken.get(path)
  if (clash !== undefined)
    report(
      ['socket', clash, 'path'],
      `is the default path, where the control socket belongs; give it another, or mode "0600" and control = true`,
    )
  const everything = { mode: 0o600, gid: undefined, uid: undefined, accounts: undefined }
  return [...sockets, { path, ...everything, services: undefined, control: true }]
}

function resolveSocket(
  entry: SocketTable,
  at: KeyPath,
  file: string,
  env: NodeJS.ProcessEnv,
  report: Report,
): SocketConfig {
  const path =
    entry.path === undefined
      ? defaultSocketPath(env)
      : expandPath(entry.path, join(file, '..'), env)
  if (Buffer.byteLength(path) > socketPathMaxBytes)
    report(
      [...at, 'path'],
      `is ${Buffer.byteLength(path)} bytes long, and a socket's path may have ${socketPathMaxBytes}; choose a shorter one`,
    )
  const open = (entry.mode & 0o077) !== 0
  // The default socket is where commands look for the daemon.
  const control = entry.control ?? (entry.path === undefined && entry.mode === 0o600)
  if (control && entry.mode !== 0o600)
    report([...at, 'control'], 'needs mode = "0600": whoever may open it may stop a queue')
  for (const key of ['accounts', 'services'] as const)
    if (open && entry[key] === undefined)
      report(
        [...at, key],
        `is missing: a socket that others may open (mode "0${entry.mode.toString(8)}") must say what it serves`,
      )
  if (entry.protocol === 'socketmap')
    report([...at, 'protocol'], '"socketmap" is not served by this version yet; use "line"')
  else if (entry.map !== undefined)
    report([...at, 'map'], 'belongs to protocol = "socketmap"; remove it')
  const gid = entry.group === undefined ? undefined : groupId(entry.group)
  if (entry.group !== undefined && gid === undefined)
    report(
      [...at, 'group'],
      `"${entry.group}" is no group of this machine; getent group lists them`,
    )
  const uid = entry.owner === undefined ? undefined : userId(entry.owner)
  if (entry.owner !== undefined && uid === undefined)
    report([...at, 'owner'], `"${entry.owner}" is no user of this machine`)
  const { mode, accounts, services } = entry
  return { path, mode, gid, uid, accounts, services, control }
}

function isServed(pattern: string, accounts: readonly AccountConfig[]): boolean {
  return accounts.some((account) =>
    [account.user, ...account.mailboxes].some(
      (name) => name === pattern || matches(name, pattern) || matches(pattern, name),
    ),
  )
}
