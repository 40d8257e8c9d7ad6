/**
 * Taking a path for one process: the names of sockets, and locks between processes.
 *
 * What holds a path is a listening UNIX socket, so the kernel itself tells whether the holder lives: a
 * connect that is refused means that nobody does. Promises that a live holder is never displaced, and
 * that of several processes that find a dead one's leavings exactly one succeeds: what is stale is only
 * ever replaced under a lock (flock(2)) on its folder, which dies with its holder too.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, link, lstat, open, rename, rm, stat, unlink } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { Misconfigured, Unavailable } from './errors.ts'

/** How long a process may take to replace something stale; it takes milliseconds. */
const takeOverTimeoutS = 10
/** A holder says who it is at once, unless it is stopped: then it holds the path all the same. */
const introductionMs = 1_000
/** A full backlog gives no sign when it empties. */
const crowdedMs = 50

/** Whether anybody listens there. */
export async function probe(path: string): Promise<'live' | 'stale' | 'absent'> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve('live')
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // A symbolic link that leads nowhere is there and has nobody behind it.
      if (error.code === 'ENOENT')
        lstat(path).then(
          () => resolve('stale'),
          () => resolve('absent'),
        )
      // Not a socket at all, or one that nobody listens on.
      else if (error.code === 'ECONNREFUSED' || error.code === 'ENOTSOCK') resolve('stale')
      // A full backlog is somebody's.
      else if (error.code === 'EAGAIN') resolve('live')
      // It was closed while we waited to be let in.
      else if (error.code === 'ECONNRESET') probe(path).then(resolve, reject)
      else reject(error)
    })
  })
}

/**
 * Gives a listening socket its name.
 *
 * @param listening where it listens now, in the same folder as `path`; gone afterwards
 * @returns false when a live process holds `path`
 */
export async function claim(listening: string, path: string): Promise<boolean> {
  for (;;) {
    if (await linked(listening, path)) {
      await unlink(listening)
      return true
    }
    const state = await probe(path)
    if (state === 'live') return false
    if (state === 'stale' && (await takeOver(listening, path))) return true
  }
}

/** `link` fails where the name exists, which makes it the one atomic "only if nobody has it". */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** While the folder is locked nobody else removes a stale name, so what was stale still is. */
async function takeOver(listening: string, path: string): Promise<boolean> {
  const folder = await open(dirname(path), 'r')
  try {
    await lockDescriptor(folder.fd)
    if ((await probe(path)) !== 'stale') return false
    await refuseForeign(path)
    await rename(listening, path)
    return true
  } finally {
    await folder.close()
  }
}

/**
 * A file or folder that came by since somebody looked refuses a connect as a stale socket does.
 *
 * @throws Misconfigured for what is neither a socket nor a link that leads nowhere
 */
async function refuseForeign(path: string): Promise<void> {
  const there = await lstat(path)
  if (!there.isSocket() && !there.isSymbolicLink())
    throw new Misconfigured(`${basename(path)} is not a socket`, { hint: 'move it away' })
}

/** Node has no flock(2); the program of that name locks what it inherits, and we keep it open. */
async function lockDescriptor(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (why: string) =>
      reject(
        new Unavailable(`a stale socket could not be replaced: flock ${why}`, {
          hint: 'install util-linux, or remove the socket by hand when no xoauthd runs',
        }),
      )
    spawn('flock', ['--exclusive', '--timeout', String(takeOverTimeoutS), '3'], {
      stdio: ['ignore', 'ignore', 'ignore', fd],
    })
      .on('error', (error: NodeJS.ErrnoException) => failed(`cannot be run (${error.code ?? ''})`))
      .on('exit', (code) => (code === 0 ? resolve() : failed(`gave up (${code ?? 'killed'})`)))
  })
}

/** A live process has the lock. */
export class Held extends Unavailable {}

/** Ends a lock. */
export type Release = () => Promise<void>

/** A folder that stays the same one, whatever becomes of its name. */
export interface OpenFolder {
  /** A path that is short enough for a socket wherever the folder is: 107 bytes are all there are. */
  path(name: string): string
  /**
   * @returns whether its name leads to it still
   * @rejects an error of the file system, ENOENT where the name leads nowhere
   */
  isInPlace(): Promise<boolean>
  close(): Promise<void>
}

export async function openFolder(folder: string): Promise<OpenFolder> {
  const handle = await open(folder, 'r')
  const { dev, ino } = await handle.stat({ bigint: true })
  const base = process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : folder
  return {
    path: (name) => join(base, name),
    async isInPlace() {
      // No other folder gets this number as long as this one is open.
      const there = await stat(folder, { bigint: true })
      return there.ino === ino && there.dev === dev
    },
    close: () => handle.close(),
  }
}

/**
 * Takes a lock that dies with this process, waiting for its holder when there is one.
 *
 * @param path short enough for a socket, see {@link openFolder}
 * @param signal ends the wait; one that is aborted already does not wait at all
 * @rejects Held when somebody else has the lock until the wait ends
 */
export async function lock(path: string, signal: AbortSignal): Promise<Release> {
  const waiting = new Set<Socket>()
  const server = createServer((socket) => {
    waiting.add(socket)
    socket.on('error', () => undefined).on('close', () => waiting.delete(socket))
    // It stays open: its end is how the one who waits learns that the lock is free, or we are dead.
    socket.unref().resume().write(`${process.pid}\n`)
  })
  const listening = join(dirname(path), `.${randomBytes(6).toString('hex')}`)
  await listen(server, listening)
  server.unref()
  try {
    while (!(await claim(listening, path))) {
      const holder = await released(path, signal)
      if (holder !== undefined) throw new Held(`${basename(path)} is held by process ${holder}`)
    }
  } catch (error) {
    await rm(listening, { force: true })
    server.close()
    throw error
  }
  return async () => {
    // The name goes first: a socket that is closed but still named would look stale to others, which
    // is the worst that comes of a name that cannot be removed.
    await unlink(path).catch(() => undefined)
    for (const socket of waiting) socket.destroy()
    server.close()
  }
}

/** @returns the holder's process id when the wait is over, undefined when the lock was let go */
async function released(path: string, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    let holder = ''
    let crowded = false
    const socket = createConnection(path)
    const settle = (outcome: string | undefined) => {
      signal.removeEventListener('abort', stop)
      clearTimeout(introduction)
      resolve(outcome)
    }
    const stop = () => {
      socket.destroy()
      settle(holder.trim() || 'unknown')
    }
    const stopWhenAborted = () => {
      if (signal.aborted) stop()
    }
    const introduction = setTimeout(stopWhenAborted, introductionMs)
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      holder += text
      stopWhenAborted()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => (crowded = error.code === 'EAGAIN'))
    socket.on('close', () => {
      if (crowded) setTimeout(settle, crowdedMs, undefined)
      else settle(undefined)
    })
    signal.addEventListener('abort', stop)
  })
}

/**
 * Binds with a mode that lets nobody in, from the first instant, and ends with 0600. The mask of the process is
 * everybody's: it takes nothing from the owner, or a folder that is made meanwhile would be closed to us.
 */
export async function listen(server: ReturnType<typeof createServer>, path: string, backlog = 511) {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.removeListener('error', reject)
      resolve()
    })
    const umask = process.umask(0o077)
    try {
      server.listen({ path, backlog })
    } finally {
      process.umask(umask)
    }
  })
  try {
    await chmod(path, 0o600)
  } catch (error) {
    server.close()
    throw error
  }
}
