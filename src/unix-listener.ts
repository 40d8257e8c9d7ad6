/**
 * A UNIX listener's life, whatever is spoken on it: it takes its name or the descriptor that systemd
 * opened, and later leaves and drains.
 *
 * Promises that the socket appears under its name only with its final mode and group, that a live
 * daemon's is never taken, and that one which systemd opened lets in nobody that the configuration does
 * not.
 */
import { stat } from 'node:fs/promises'
import type { Server } from 'node:net'
import { bindSocket, cannotOpen, type BoundName, type SocketName } from './bind.ts'
import { Misconfigured } from './errors.ts'
import type { Log } from './log.ts'
import { octal } from './octal.ts'

export interface SocketListener {
  readonly path: string
  /** @returns whether clients that go to its path reach it */
  isThere(): Promise<boolean>
  /** Takes the name away and stops accepting; both are done when this resolves. */
  leave(): Promise<void>
  /** After {@link leave}: lets open requests end, for a while. */
  drain(): Promise<void>
}

/** What a closing daemon gives its open requests. */
export const closeMs = 5_000
/** Listening again sets systemd's backlog anew; the kernel caps it at net.core.somaxconn. */
const inheritedBacklog = 65_535
/** The clients of one listener, as its end has to do with them. */
export interface OpenClients {
  /** Cuts those that have not said anything yet. */
  readonly cutSilent: () => void
  readonly cutAll: () => void
}

/**
 * Makes a server listen at its path.
 *
 * @param inherited the descriptor on which systemd listens already, if it does
 * @param clients those that the server lets in
 * @rejects Misconfigured when it cannot be opened; Unavailable when another daemon has it
 */
export async function listenAt(
  name: SocketName,
  server: Server,
  inherited: number | undefined,
  clients: OpenClients,
  log: Log,
): Promise<SocketListener> {
  const { path } = name
  let bound: BoundName | undefined
  if (inherited === undefined) bound = await bindSocket(server, name)
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
    // The name of an inherited socket is systemd's.
    isThere: async () => !bound || (await bound.isOurs()),
    async leave() {
      try {
        await bound?.takeAway()
      } finally {
        closed = new Promise((resolve) => server.close(() => resolve()))
        // Those that have not asked anything yet are not waited for.
        clients.cutSilent()
      }
    },
    async drain() {
      const deadline = setTimeout(clients.cutAll, closeMs)
      await closed
      clearTimeout(deadline)
    },
  }
}

/**
 * The mode of an inherited socket is systemd's, but who it lets in is ours to know.
 *
 * @rejects Misconfigured when it is open to more, or to others, than the configuration says
 */
export async function checkInherited({ path, mode, gid, uid }: SocketName): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw cannotOpen(path, error, 'restart its .socket unit')
  })
  const differs = (what: string, is: number | string, wanted: number | string, key: string) =>
    new Misconfigured(
      `the socket ${path} of systemd has the ${what} ${is}, and its [[socket]] says ${wanted}`,
      { hint: `write ${key}=${wanted} in the .socket unit` },
    )
  if ((found.mode & 0o777 & ~mode) !== 0)
    throw differs('mode', octal(found.mode), octal(mode), 'SocketMode')
  if (gid !== undefined && found.gid !== gid) throw differs('group', found.gid, gid, 'SocketGroup')
  if (uid !== undefined && found.uid !== uid) throw differs('owner', found.uid, uid, 'SocketUser')
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
