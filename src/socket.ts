/**
 * The UNIX listener of the line protocol: what its clients say, {@link answerLine} answers.
 *
 * Promises what `unix-listener.ts` does of its name and its end, and `connections.ts` of its clients.
 */
import { createServer } from 'node:net'
import { answerLine, type SocketService } from './answer.ts'
import type { SocketName } from './bind.ts'
import type { Connections } from './connections.ts'
import { listenAt, type SocketListener } from './unix-listener.ts'

/**
 * Opens one socket.
 *
 * @param connections where its clients join those of the others
 * @param inherited the descriptor on which systemd listens already, if it does
 * @rejects Misconfigured when it cannot be opened; Unavailable when another daemon has it
 */
export async function openSocket(
  name: SocketName,
  service: SocketService,
  connections: Connections,
  inherited?: number,
): Promise<SocketListener> {
  const clients = connections.clientsOf((line) => answerLine(line, name.path, service))
  const server = createServer({ allowHalfOpen: true }, clients.take)
  return listenAt(name, server, inherited, clients, service.log)
}
