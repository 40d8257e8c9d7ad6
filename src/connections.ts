/**
 * The clients of all sockets: each sends one line, gets one answer, and goes.
 *
 * Promises: a newline or a half-close ends a request; who stalls, asking or reading, is cut and holds up
 * nobody; there are never more than so many, and whoever comes beyond that takes the place of one that
 * has had its answer, else of the one that has been silent for longest.
 *
 * A warm answer is as cheap here as Node lets it be: one timer sweeps for all, a connection is a link in
 * a list instead of an entry in a Set whose tables are ever made anew, and nothing is made per request
 * that is not needed.
 */
import type { Socket } from 'node:net'
import type { Log } from './log.ts'
import { requestMaxBytes } from './protocol.ts'

/** What a line is answered with; what takes time is a promise that is never rejected. */
export type Answer = (line: string) => string | Promise<string>

export interface Connections {
  /** The clients of one socket, whose lines `answer` answers. */
  clientsOf(answer: Answer): Clients
}

export interface Clients {
  /** Takes one in. */
  readonly take: (socket: Socket) => void
  /** Cuts those that have not said anything yet. */
  readonly cutSilent: () => void
  readonly cutAll: () => void
}

/** One connection: one request, one answer. */
interface Connection {
  readonly socket: Socket
  readonly answer: Answer
  received: Buffer | undefined
  /** The client has said all that it will. */
  ended: boolean
  /** Undefined when it is over. */
  line: Line | undefined
  /** The number of sweeps when it came into its line. */
  since: number
  before: Connection | undefined
  after: Connection | undefined
}

/** Connections in the same phase, the one that came into it first before the others. */
interface Line {
  first: Connection | undefined
  last: Connection | undefined
}

const usualStallMs = 10_000
/** A stall is seen within a tenth more of its time. */
const sweepsAStall = 10
/** What a client may send after its line; nobody reads it. */
const ignoredMaxBytes = 65_536

/**
 * @param options.most how many there may be at once, on all sockets together
 * @param options.stallMs how long a client may take to ask, and then to read its answer
 */
export function createConnections(options: {
  readonly most: number
  readonly log: Log
  readonly stallMs?: number
}): Connections {
  const { most, log, stallMs = usualStallMs } = options
  const asking: Line = { first: undefined, last: undefined }
  const waiting: Line = { first: undefined, last: undefined }
  const reading: Line = { first: undefined, last: undefined }
  let count = 0
  let sweeps = 0
  let timer: NodeJS.Timeout | undefined
  let crowdedOut = 0

  function take(socket: Socket, answer: Answer): void {
    if (count >= most) makeRoom()
    count++
    const connection: Connection = {
      socket,
      answer,
      received: undefined,
      ended: false,
      line: undefined,
      since: 0,
      before: undefined,
      after: undefined,
    }
    join(connection, asking)
    timer ??= setTimeout(sweep, stallMs / sweepsAStall)
    socket.on('error', ignore)
    socket.on('close', () => leave(connection))
    socket.on('data', (chunk: Buffer) => receive(connection, chunk))
    socket.on('end', () => receiveEnd(connection))
  }

  function receive(connection: Connection, chunk: Buffer): void {
    const { received, line, socket } = connection
    if (line !== asking) {
      if (socket.bytesRead > ignoredMaxBytes) cut(connection)
      return
    }
    const all = received === undefined ? chunk : Buffer.concat([received, chunk])
    const newline = all.indexOf(10)
    if (newline >= 0) reply(connection, all.toString('utf8', 0, newline))
    else if (all.length > requestMaxBytes + 1) reply(connection, all.toString('utf8'))
    else connection.received = all
  }

  function receiveEnd(connection: Connection): void {
    const { received, line } = connection
    connection.ended = true
    if (line !== asking) return
    // Without a word, somebody only looked whether we are here.
    if (received === undefined) cut(connection)
    else reply(connection, received.toString('utf8'))
  }

  function reply(connection: Connection, line: string): void {
    connection.received = undefined
    const text = connection.answer(line)
    if (typeof text === 'string') {
      send(connection, text)
      return
    }
    join(connection, waiting)
    void text.then((fetched) => {
      if (connection.line === waiting) send(connection, fetched)
    })
  }

  function send(connection: Connection, text: string): void {
    const { socket, ended } = connection
    join(connection, reading)
    if (!ended) socket.end(text)
    else if (text === '') cut(connection)
    // Both sides have said all: the close itself ends the answer, and saves a shutdown and its wait. It
    // comes when the stream is done with the write: one that is destroyed in the midst of it makes an
    // error, with its stack, that nobody sees.
    else socket.write(text, encodingOf(text), () => process.nextTick(cut, connection))
  }

  /** Those that have been answered need us least; who waits for a token has been promised one. */
  function makeRoom(): void {
    const next = reading.first ?? asking.first ?? waiting.first
    if (!next) return
    crowdedOut++
    cut(next)
  }

  function sweep(): void {
    sweeps++
    for (const line of [asking, reading])
      while (line.first && sweeps - line.first.since > sweepsAStall) cut(line.first)
    if (crowdedOut > 0) log.warn('clients crowded out', { count: crowdedOut, most })
    crowdedOut = 0
    timer = count > 0 ? setTimeout(sweep, stallMs / sweepsAStall) : undefined
  }

  function cut(connection: Connection): void {
    leave(connection)
    connection.socket.destroy()
  }

  function leave(connection: Connection): void {
    if (connection.line === undefined) return
    part(connection, connection.line)
    connection.line = undefined
    connection.before = undefined
    connection.after = undefined
    count--
  }

  function join(connection: Connection, line: Line): void {
    if (connection.line) part(connection, connection.line)
    connection.line = line
    connection.since = sweeps
    connection.before = line.last
    connection.after = undefined
    if (line.last) line.last.after = connection
    else line.first = connection
    line.last = connection
  }

  /** @returns the connections of one socket that are in a line */
  function of(answer: Answer, line: Line): Connection[] {
    const found: Connection[] = []
    for (let one = line.first; one; one = one.after) if (one.answer === answer) found.push(one)
    return found
  }

  return {
    clientsOf: (answer) => ({
      take: (socket) => take(socket, answer),
      cutSilent() {
        for (const one of of(answer, asking)) if (one.received === undefined) cut(one)
      },
      cutAll() {
        for (const line of [asking, waiting, reading]) of(answer, line).forEach(cut)
      },
    }),
  }
}

function part({ before, after }: Connection, line: Line): void {
  if (before) before.after = after
  else line.first = after
  if (after) after.before = before
  else line.last = before
}

/** What is ASCII, as nearly every answer is, costs half as much to write when Node is told so. */
function encodingOf(text: string): 'latin1' | 'utf8' {
  return Buffer.byteLength(text) === text.length ? 'latin1' : 'utf8'
}

/** A client that has gone is no error. */
function ignore(): void {
  // Its end is seen by `close`.
}
