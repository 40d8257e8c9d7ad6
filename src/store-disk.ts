/**
 * Private files on a disk that may fail: the ground that the store stands on.
 *
 * Promises a folder of mode 0700 with files of mode 0600, looser ones refused; a file that is whole at
 * any instant (write, fsync, rename, fsync of the folder); and that every trouble of the disk is a
 * failure with a hint. Nothing here knows what the files hold.
 */
import { randomBytes } from 'node:crypto'
import { chmod, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { OpenFolder } from './claim.ts'
import { Failure, Misconfigured, Unavailable } from './errors.ts'

/** Of a store, read side by side: all of its files at once leave holes in memory that stay. */
export const filesAtOnce = 16
/** What a crash left behind is swept away after this; nothing takes that long to write. */
const leftoverMs = 3_600_000

/** Who may change the store: `login` by another user would lock the daemon out of its own files. */
export async function ownerOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).uid
  } catch {
    return undefined
  }
}

/**
 * Makes the folder when it is missing.
 *
 * @rejects Misconfigured when it is open to others, belongs to another user, or cannot be made
 */
export async function prepareFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    const { mode, uid } = await stat(path)
    const own = process.getuid?.()
    if (own !== undefined && uid !== own)
      throw new Misconfigured(`the store ${path} belongs to user ${uid}, and this is user ${own}`, {
        hint: 'run xoauthd as its owner, or set [store] path',
      })
    if ((mode & 0o077) !== 0)
      throw new Misconfigured(
        `the store ${path} is open to others (mode ${(mode & 0o777).toString(8)})`,
        { hint: `chmod 700 ${path}` },
      )
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Misconfigured(
      `the store ${path} cannot be used (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
      { cause: error, hint: 'make the folder, mode 0700, or set [store] path' },
    )
  }
}

/**
 * @param lengthBytes of what is read from its beginning; all of it unless given
 * @returns undefined when there is no such file
 * @rejects Misconfigured when it is no file or others can read it, Unavailable when the disk fails
 */
export async function readPrivate(path: string, lengthBytes?: number): Promise<Buffer | undefined> {
  let file
  try {
    file = await open(path, 'r')
    const found = await file.stat()
    if (!found.isFile())
      throw new Misconfigured(`${path} is not a file`, { hint: 'move it away, and sign in again' })
    const { mode } = found
    if ((mode & 0o077) !== 0)
      throw new Misconfigured(`${path} is open to others (mode ${(mode & 0o777).toString(8)})`, {
        hint: `chmod 600 ${path}, and sign in again if somebody may have read it`,
      })
    if (lengthBytes === undefined) return await file.readFile()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(lengthBytes), 0, lengthBytes, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    if (error instanceof Failure) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw diskTrouble(error, path)
  } finally {
    await file?.close()
  }
}

/**
 * Puts a file in the place of whatever is there; on disk when it resolves.
 *
 * @rejects Unavailable when the disk does not take it; what was there still is
 */
export async function replaceFile(
  folder: string,
  path: string,
  content: string | Uint8Array,
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncFolder(folder)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw diskTrouble(error, path)
  }
}

/** @rejects Unavailable when the disk fails */
export async function removeFiles(folder: string, paths: readonly string[]): Promise<void> {
  let path = folder
  try {
    for (path of paths) await rm(path, { force: true })
    if (paths.length > 0) await syncFolder(folder)
  } catch (error) {
    throw diskTrouble(error, path)
  }
}

/** @returns the paths in a folder that begin with one */
export async function namesFrom(folder: string, path: string): Promise<string[]> {
  try {
    const names = await readdir(folder)
    return names.map((name) => join(folder, name)).filter((name) => name.startsWith(path))
  } catch (error) {
    throw diskTrouble(error, path)
  }
}

/** What was kept aside of a file: `….broken`, `….broken.2` and so on, and the same with `unread`. */
export function isAside(name: string, path: string): boolean {
  return name.startsWith(`${path}.broken`) || name.startsWith(`${path}.unread`)
}

/**
 * Gives a file another name: what we cannot read we do not destroy, nor what was kept aside before.
 *
 * @param from where it is now, when it has been left aside already
 * @returns the new name
 */
export async function keepAside(folder: string, path: string, from = path): Promise<string> {
  const aside = freeName(`${path}.broken`, await namesFrom(folder, path))
  try {
    await rename(from, aside)
    await chmod(aside, 0o600)
    return aside
  } catch (error) {
    throw diskTrouble(error, path)
  }
}

/**
 * Gives a file that is about to be replaced a second name, until somebody can say whether it was whole. The
 * first stays, so that there is a file at any instant.
 */
export async function keepUnread(folder: string, path: string): Promise<void> {
  const aside = freeName(`${path}.unread`, await namesFrom(folder, path))
  try {
    await link(path, aside)
    await syncFolder(folder)
  } catch (error) {
    throw diskTrouble(error, path)
  }
}

/** @returns what {@link keepUnread} has left of a file, the first one last */
export async function unreadOf(folder: string, path: string): Promise<string[]> {
  const first = `${path}.unread`
  // There is none nearly always, and this is asked at each refresh.
  if (!(await exists(first))) return []
  return (await namesFrom(folder, first)).sort().reverse()
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function freeName(wanted: string, present: readonly string[]): string {
  let name = wanted
  for (let count = 2; present.includes(name); count++) name = `${wanted}.${count}`
  return name
}

/** Removes what a crash left behind. */
export async function sweep(folder: string): Promise<void> {
  try {
    for (const name of await readdir(folder)) {
      if (!/^\.[0-9a-f]{12}$|\.tmp$/.test(name)) continue
      const { mtimeMs } = await stat(join(folder, name))
      if (Date.now() - mtimeMs > leftoverMs) await rm(join(folder, name), { force: true })
    }
  } catch {
    // What cannot be swept away does no harm; the next start tries again.
  }
}

/** Without it a power cut may forget the rename, and with it a grant that the server has rotated. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** @returns whether two paths, of which one may not be there, are one folder's */
export async function isSameFolder(one: string, other: string): Promise<boolean> {
  if (one === other) return true
  try {
    const [a, b] = await Promise.all([stat(one), stat(other)])
    return a.dev === b.dev && a.ino === b.ino
  } catch {
    return false
  }
}

/**
 * What is in a folder tells nothing while the folder is gone, and what is in another one is not under our locks.
 *
 * @param folder by its name
 * @param opened the one that the name led to
 * @rejects Unavailable when the name leads nowhere or to another one
 */
export async function mustBeInPlace(
  folder: string,
  opened: Pick<OpenFolder, 'isInPlace'>,
): Promise<void> {
  let inPlace
  try {
    inPlace = await opened.isInPlace()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw diskTrouble(error, folder)
    throw new Unavailable(`the store ${folder} is gone (ENOENT)`, {
      cause: error,
      hint: 'put the folder back, or mount the disk that it is on',
    })
  }
  if (!inPlace)
    throw new Unavailable(
      `the store ${folder} is not the folder any more that xoauthd has opened`,
      { hint: 'put that folder back, or restart xoauthd to take this one' },
    )
}

/** @returns the failure that an error of the file system is */
export function diskTrouble(error: unknown, path: string): Unavailable {
  const code = (error as NodeJS.ErrnoException).code ?? String(error)
  return new Unavailable(`${path} could not be read or written (${code})`, {
    cause: error,
    hint:
      code === 'ENOSPC' || code === 'EDQUOT'
        ? 'the disk is full'
        : 'check the disk and the permissions of the folder',
  })
}
