/**
 * The `[[socket]]` tables: where each appears, who may open it, and what it serves.
 *
 * Promises that a socket which others may open says what it serves, and that there is always one, for
 * the owner alone, on which the daemon is controlled.
 */
import { dirname, resolve } from 'node:path'
import { foldCase, matches } from './address.ts'
import { socketEntries } from './config-schema.ts'
import { groupId, userId } from './identity.ts'
import { keyName, type KeyPath } from './locate.ts'
import { octal } from './octal.ts'
import { checkTable, suggestion, type Placed, type Report, type Table } from './schema-check.ts'
import type { Output } from './schema.ts'
import { expandPath } from './secret.ts'
import { defaultSocketPath } from './socket-path.ts'

/** What the accounts offer. */
export interface Served {
  /** Of accounts and their mailboxes. */
  readonly names: readonly string[]
  /** Undefined where they are not all known. */
  readonly services: readonly string[] | undefined
}

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
  readonly protocol: 'line' | 'socketmap'
  /** With socketmap: the mailbox of each host that postfix sends to; hosts in lower case. */
  readonly map: ReadonlyMap<string, string>
}

/** sun_path of unix(7) has 108 bytes, the last of them zero; Node cuts what is longer, in silence. */
export const socketPathMaxBytes = 107

const ownerOnly = 0o600

type Entry = Partial<Output<typeof socketEntries>>
/** Takes a problem with a key, or with an item of a list, of one table. */
export type Complain = (key: string | readonly [string, string | number], message: string) => void

/**
 * @param served what the accounts offer, to find what none of them does
 * @param report takes each problem with the path of its key
 * @returns the sockets, which are as they should be when nothing was reported
 */
export function readSockets(
  tables: readonly Placed[],
  served: Served,
  file: string,
  env: NodeJS.ProcessEnv,
  report: Report,
): SocketConfig[] {
  const usual = resolve(defaultSocketPath(env))
  const taken = new Map<string, KeyPath>()
  const sockets = tables.map(({ table, at }) => {
    const complain: Complain = (key, message) => report(at.concat(key), message)
    const entry = checkTable(socketEntries, table, at, report)
    const path =
      entry.path === undefined ? usual : resolve(expandPath(entry.path, dirname(file), env))
    // A path of a wrong type does not say where the socket was to be.
    if (entry.path !== undefined || !Object.hasOwn(table, 'path')) {
      reportPath(path, taken.get(path), entry, complain)
      taken.set(path, at)
    }
    reportRights(entry, table, complain)
    reportScope(entry, served, complain)
    reportProtocol(entry, served, complain)
    return resolved(entry, path, path === usual, complain)
  })
  if (sockets.some(({ control }) => control)) return sockets
  return [...sockets, controlSocket(usual, taken.get(usual), report)]
}

/** There is always one, so that `status` and `reload` reach the daemon. */
function controlSocket(path: string, clash: KeyPath | undefined, report: Report): SocketConfig {
  if (clash)
    report(
      [...clash, 'path'],
      'is the default path, where the control socket belongs; write another, or mode = "0600" and control = true',
    )
  else if (isTooLong(path))
    report(
      ['socket'],
      `is missing, and the default path ${tooLong(path)}; write a [[socket]] with path and control = true`,
    )
  const everything = { gid: undefined, uid: undefined, accounts: undefined, services: undefined }
  return { path, mode: 0o600, ...everything, control: true, protocol: 'line', map: new Map() }
}

function reportPath(
  path: string,
  other: KeyPath | undefined,
  entry: Entry,
  complain: Complain,
): void {
  if (isTooLong(path)) complain('path', `${tooLong(path)}; choose a shorter one`)
  if (other && entry.path === undefined)
    complain('path', `is missing, and ${keyName(other)} is at the default path already; write one`)
  else if (other)
    complain('path', `is the same as that of ${keyName(other)}: ${path}; write another`)
}

export function isTooLong(path: string): boolean {
  return Buffer.byteLength(path) > socketPathMaxBytes
}

export function tooLong(path: string): string {
  return `is ${Buffer.byteLength(path)} bytes long, where ${socketPathMaxBytes} are the most that a socket may have`
}

function reportRights(entry: Entry, table: Table, complain: Complain): void {
  const { mode, control } = entry
  if (mode === undefined) return
  if (control === true && mode !== ownerOnly)
    complain(
      'control',
      'needs mode = "0600", since it gives orders to the daemon; remove one of them',
    )
  for (const key of ['accounts', 'services'] as const)
    if ((mode & 0o077) !== 0 && !Object.hasOwn(table, key))
      complain(
        key,
        `is missing; a socket that others may open (mode "${octal(mode)}") must say what it serves`,
      )
}

/** What a listener is to serve, somebody must have. */
export function reportScope(
  entry: Pick<Entry, 'accounts' | 'services'>,
  { names, services }: Served,
  complain: Complain,
): void {
  entry.accounts?.forEach((pattern, index) => {
    if (!isServed(pattern, names))
      complain(
        ['accounts', index],
        `names ${pattern}, which no [[account]] serves; correct it, or add it to the mailboxes of one`,
      )
  })
  if (services)
    entry.services?.forEach((service, index) => {
      if (!services.includes(service))
        complain(
          ['services', index],
          `names "${service}", which no [[account]] has; ${suggestion(service, services) ?? 'remove it'}`,
        )
    })
}

function isServed(pattern: string, names: readonly string[]): boolean {
  return names.some((name) => matches(name, pattern) || matches(pattern, name))
}

function reportProtocol(entry: Entry, { names }: Served, complain: Complain): void {
  const { protocol, map, control, accounts = names } = entry
  if (protocol === 'socketmap' && control === true)
    complain('control', 'needs protocol = "line"; remove one of them')
  if (map && protocol === 'line')
    complain('map', 'belongs to protocol = "socketmap"; set that, or remove it')
  for (const [host, mailbox] of Object.entries(map ?? {}))
    if (!accounts.some((pattern) => matches(pattern, mailbox)) || !isServed(mailbox, names))
      complain(
        ['map', host],
        `names ${mailbox}, which this socket does not serve; correct it, or add it to accounts`,
      )
}

function resolved(entry: Entry, path: string, isUsual: boolean, complain: Complain): SocketConfig {
  const { mode = ownerOnly, group, owner, accounts, services, protocol = 'line' } = entry
  const map = new Map(Object.entries(entry.map ?? {}).map(([host, to]) => [foldCase(host), to]))
  const gid = group === undefined ? undefined : groupId(group)
  if (group !== undefined && gid === undefined)
    complain('group', `"${group}" is no group of this machine; choose one of: getent group`)
  const uid = owner === undefined ? undefined : userId(owner)
  if (owner !== undefined && uid === undefined)
    complain('owner', `"${owner}" is no user of this machine; choose one of: getent passwd`)
  // The default path is where commands look for the daemon.
  const control = entry.control ?? (isUsual && mode === ownerOnly && protocol === 'line')
  return { path, mode, gid, uid, accounts, services, control, protocol, map }
}
