/**
 * How many connections an HTTP server has at once: never more than so many, and whoever comes beyond that
 * takes the place of the one that has been silent for longest.
 *
 * Promises that a connection whose request is being answered keeps its place.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * @param most how many there may be
 * @param crowdedOut is called for each that had to go
 */
export function boundConnections(
  server: Server,
  most: number,
  crowdedOut: () => void = () => undefined,
): void {
  let count = 0
  /** Those that wait for nothing of ours, the longest silent first. */
  const silent = new Map<unknown, Socket>()
  server.on('connection', (socket: Socket) => {
    const end = otherEnd(socket)
    count++
    silent.set(end, socket)
    socket.on('close', () => {
      count--
      silent.delete(end)
    })
    if (count <= most) return
    const [longest = socket] = silent.values()
    longest.destroy()
    crowdedOut()
  })
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const end = otherEnd(socket)
    const connection = silent.get(end)
    if (!connection) return
    silent.delete(end)
    response.on('close', () => {
      if (!connection.destroyed) silent.set(end, connection)
    })
  })
}

/** A TLS socket is another object than the connection that carries it, and both have one other end. */
function otherEnd(socket: Socket): unknown {
  return socket.remotePort === undefined ? socket : `${socket.remoteAddress} ${socket.remotePort}`
}
