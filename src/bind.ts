/**
 * Giving a server its UNIX socket.
 *
 * Promises that the socket appears under its name with its final mode and group, or not at all; that a
 * live process's socket is never taken, and a stale one is; that nothing else is ever replaced.
 */
import { randomBytes } from 'node:crypto'
import { chmod, chown, rm, stat, unlink } from 'node:fs/promises'
import type { Server } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { claim, listen, openFolder } from './claim.ts'
import { Failure, Misconfigured, Unavailable } from './errors.ts'

export interface SocketName {
  readonly path: string
  /** The permission bits. */
  readonly mode: number
  readonly gid: number | undefined
  readonly uid: number | undefined
}

/** A name that a server has. */
export interface BoundName {
  /** @returns whether it still leads to the server: somebody may have removed or replaced it */
  isOurs(): Promise<boolean>
  takeAway(): Promise<void>
}

/** The kernel caps it at net.core.somaxconn, 4096 today; a short one loses connections in a burst. */
const backlog = 4096

/**
 * Binds under another name first.
 *
 * @rejects Misconfigured when it cannot be bound; Unavailable when another daemon has it
 */
export async function bindSocket(server: Server, name: SocketName): Promise<BoundName> {
  const { path, mode, gid, uid } = name
  const directory = dirname(path)
  const folder = await openFolder(directory).catch((error: unknown) => {
    throw cannotOpen(path, error, `make the folder first: mkdir -p ${directory}`)
  })
  const temporary = `.${randomBytes(6).toString('hex')}`
  try {
    // A link that leads nowhere may be replaced.
    const there = await stat(path).catch(() => undefined)
    if (there && !there.isSocket())
      throw new Misconfigured(`${path} is not a socket`, {
        hint: 'move it away, or write another path: [[socket]] path = "…"',
      })
    await listen(server, folder.path(temporary), backlog)
    const bound = join(directory, temporary)
    if (gid !== undefined || uid !== undefined) await chown(bound, uid ?? -1, gid ?? -1)
    await chmod(bound, mode)
    const { ino } = await stat(bound)
    if (!(await claim(folder.path(temporary), folder.path(basename(path)))))
      throw new Unavailable(`another xoauthd listens on ${path}`, {
        hint: 'stop it, or give this one a socket of its own: [[socket]] path = "…"',
      })
    const isOurs = async () => {
      const now = await stat(path).catch(() => undefined)
      return now?.ino === ino
    }
    return {
      isOurs,
      async takeAway() {
        // Whoever came after us and replaced it keeps it.
        if (await isOurs()) await unlink(path)
      },
    }
  } catch (error) {
    server.close()
    await rm(join(directory, temporary), { force: true })
    if (error instanceof Failure) throw error
    throw cannotOpen(path, error, 'check the folder, and that this user may set the group')
  } finally {
    await folder.close()
  }
}

/** @param error what the system said */
export function cannotOpen(path: string, error: unknown, hint: string): Misconfigured {
  const code = (error as NodeJS.ErrnoException).code ?? String(error)
  return new Misconfigured(`the socket ${path} cannot be opened (${code})`, { cause: error, hint })
}
