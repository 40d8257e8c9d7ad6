/** Users and groups of this machine, by name: from wherever its administrator keeps them (nsswitch). */
import { execFileSync } from 'node:child_process'

/** uid_t has 32 bits, and chown(2) takes the last value for "leave it". */
const largestId = 2 ** 32 - 2

/** A directory server that does not answer must not hold up the start for ever. */
const lookUpTimeoutMs = 5_000

/** @returns the numeric id, or undefined when there is no such group */
export function groupId(name: string): number | undefined {
  return lookUp('group', name)
}

/** @returns the numeric id, or undefined when there is no such user */
export function userId(name: string): number | undefined {
  return lookUp('passwd', name)
}

/** @returns the name of a user, or its number where it has none */
export function userName(uid: number): string {
  return entry('passwd', String(uid))?.[0] ?? String(uid)
}

function lookUp(database: 'group' | 'passwd', name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name) <= largestId ? Number(name) : undefined
  const id = entry(database, name)?.[2]
  return id === undefined ? undefined : Number(id)
}

function entry(database: 'group' | 'passwd', key: string): string[] | undefined {
  try {
    const line = execFileSync('getent', [database, '--', key], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: lookUpTimeoutMs,
    })
    return line.trim().split(':')
  } catch {
    // getent ends with 2 when there is no such entry.
    return undefined
  }
}
