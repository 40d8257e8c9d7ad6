/**
 * A UNIX listener's life, whatever is spoken on it: it takes its name or the descriptor that systemd
 * opened, and later leaves and drains.
 *
 * Promises that the socket appears under its name only with its final mode and group, that a live
 * daemon's is never taken, and that only so many clients hold a place at a time.
 */
import { stat } from 'node:fs/promises'
import type { Server, Socket } from 'node:net'
import { bindSocket, cannotOpen, type SocketName } from './bind.ts'
import { Misconfigured } from './errors.ts'
import type { Log } from './log.ts'

export interface SocketListener {
  readonly path: string
  /** Takes the name away and stops accepting; both are done when this resolves. */
  leave(): Promise<void>
  /** After {@link leave}: lets open requests end, for a while. */
  drain(): Promise<void>
}

/** What a closing daemon gives its open requests. */
export const closeMs = 5_000
/** Listening again sets systemd's backlog anew; the kernel caps it at net.core.somaxconn. */
const inheritedBacklog = 65_535
/**
 * Four times the backlog that the kernel allows today, and all the same a bound on the memory and the
 * descriptors that the clients of one socket can take; who comes beyond it is hung up on.
 */
const maxConnections = 16_384

/**
 * Makes a server listen at its path.
 *
 * @param inherited the descriptor on which systemd listens already, if it does
 * @param open where the server keeps its connections
 * @rejects Misconfigured when it cannot be opened; Unavailable when another daemon has it
 */
export async function listenAt(
  name: SocketName,
  server: Server,
  inherited: number | undefined,
  open: Places,
  log: Log,
): Promise<SocketListener> {
  const { path } = name
  server.maxConnections = maxConnections
  let takeAway: () => Promise<void> = async () => {}
  if (inherited === undefined) takeAway = await bindSocket(server, name)
  else {
    await checkInherited(name)
    await listenOn(server, inherited, path)
  }
  server.on('error', (error) => {
    log.error('socket', { socket: path, reason: error.message })
  })
  let closed: Promise<void> | undefined
  return {
    path,
    async leave() {
      try {
        await takeAway()
      } finally {
        closed = new Promise((resolve) => server.close(() => resolve()))
        // Those that have not asked anything yet are not waited for.
        for (const socket of open.taken()) if (socket.bytesRead === 0) socket.destroy()
      }
    },
    async drain() {
      const deadline = setTimeout(() => {
        for (const socket of open.taken()) socket.destroy()
      }, closeMs)
      await closed
      clearTimeout(deadline)
    },
  }
}

/**
 * The mode of an inherited socket is systemd's, but who it lets in is ours to know.
 *
 * @rejects Misconfigured when it is open to more than the configuration says
 */
export async function checkInherited({ path, mode }: SocketName): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw cannotOpen(path, error, 'restart its .socket unit')
  })
  if ((found.mode & 0o777 & ~mode) !== 0)
    throw new Misconfigured(
      `the socket ${path} of systemd has the mode ${octal(found.mode)}, and its [[socket]] says ${octal(mode)}`,
      { hint: `write SocketMode=${octal(mode)} in the .socket unit` },
    )
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0')
}

async function listenOn(server: Server, fd: number, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ fd }, inheritedBacklog, () => {
      server.removeListener('error', reject)
      resolve()
    })
  }).catch((error: unknown) => {
    throw cannotOpen(path, error, 'restart its .socket unit')
  })
}

/** The sockets that are open, each in a place that it leaves to the next. */
export interface Places {
  /** @returns the number of the place */
  take(socket: Socket): number
  leave(place: number): void
  taken(): Socket[]
}

/** A Set would do, but its tables, ever made anew, cost a warm answer a fifth of its time. */
export function createPlaces(): Places {
  const places: (Socket | undefined)[] = []
  const free: number[] = []
  return {
    take(socket) {
      const place = free.pop() ?? places.length
      places[place] = socket
      return place
    },
    leave(place) {
      places[place] = undefined
      free.push(place)
    },
    taken: () => places.filter((socket) => socket !== undefined),
  }
}
