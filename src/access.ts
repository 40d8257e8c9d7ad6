/**
 * Whether some user of this machine could open a socket, by the modes on the way to it. Asked on behalf
 * of a mail agent, which the one who asks need not be able to become.
 */
import { execFileSync } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface Person {
  readonly name: string
  readonly uid: number
  readonly gids: readonly number[]
}

/** @returns undefined when this machine knows no such user */
export function personNamed(name: string): Person | undefined {
  const numbers = (flag: string): number[] =>
    execFileSync('id', [flag, '--', name], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .trim()
      .split(/\s+/)
      .map(Number)
  try {
    return { name, uid: numbers('-u')[0] ?? -1, gids: numbers('-G') }
  } catch {
    return undefined
  }
}

const execute = 0o1
const write = 0o2

/**
 * @returns the first thing on the way that keeps the person out, as a sentence with its remedy;
 *   undefined when nothing does
 */
export async function obstacle(
  path: string,
  person: Person,
): Promise<{ message: string; hint: string } | undefined> {
  const folders: string[] = []
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    folders.unshift(folder)
    if (folder === dirname(folder)) break
  }
  for (const folder of folders)
    if (!(await permits(folder, execute, person)))
      return {
        message: `${person.name} cannot pass through ${folder}`,
        hint: `chmod o+x ${folder}, or let the socket be elsewhere: [[socket]] path = "…"`,
      }
  if (await permits(path, write, person)) return undefined
  return {
    message: `${person.name} may not open it`,
    hint: `give the socket mode = "0660" and a group that ${person.name} is in`,
  }
}

/** As the kernel does it: only the first class that fits counts. Access control lists are not looked at. */
async function permits(path: string, bit: number, { uid, gids }: Person): Promise<boolean> {
  const stats = await stat(path)
  if (uid === 0) return true
  if (stats.uid === uid) return (stats.mode & (bit << 6)) !== 0
  if (gids.includes(stats.gid)) return (stats.mode & (bit << 3)) !== 0
  return (stats.mode & bit) !== 0
}
