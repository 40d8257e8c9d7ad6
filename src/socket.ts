/**
 * The UNIX listener of the line protocol.
 *
 * Promises: the socket appears under its name only with its final mode and group; a live daemon's is
 * never taken; a newline or a half-close ends a request; one answer, then the connection is closed; a
 * client that stalls is cut after {@link usualStallMs} and holds up nobody; on a plain format a failure
 * writes zero bytes.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Audit } from './audit.ts'
import { bindSocket } from './bind.ts'
import type { Credentials, Scope } from './credentials.ts'
import { asFailure } from './errors.ts'
import type { Log } from './log.ts'
import {
  failureReply,
  parseRequest,
  replies,
  requestMaxBytes,
  type ControlRequest,
  type Credential,
  type CredentialRequest,
} from './protocol.ts'
import type { SocketConfig } from './socket-config.ts'

export interface SocketListener {
  readonly path: string
  /** Takes the name away, stops accepting, and lets open requests end. */
  close(): Promise<void>
}

export interface SocketService {
  readonly credentials: Credentials
  readonly scope: Scope
  readonly audit: Audit
  readonly log: Log
  readonly now: () => number
  /** Answers a control request in JSON; undefined on a socket that has none. */
  readonly control: ((request: ControlRequest) => Promise<string>) | undefined
}

const usualStallMs = 10_000
/** What a closing daemon gives its open requests. */
const closeMs = 5_000
/** Listening again sets systemd's backlog anew; the kernel caps it at net.core.somaxconn. */
const inheritedBacklog = 65_535

/**
 * Opens one socket.
 *
 * @param inherited the descriptor on which systemd listens already, if it does
 * @param stallMs how long a client may take to ask, and then to read its answer
 * @rejects Misconfigured when it cannot be opened; Unavailable when another daemon has it
 */
export async function openSocket(
  config: SocketConfig,
  service: SocketService,
  inherited: number | undefined,
  stallMs = usualStallMs,
): Promise<SocketListener> {
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    serve(socket, config.path, service, stallMs)
  })
  let takeAway: () => Promise<void> = async () => {}
  if (inherited === undefined) takeAway = await bindSocket(server, config)
  else server.listen({ fd: inherited }, inheritedBacklog)
  server.on('error', (error) => {
    service.log.error('socket', { socket: config.path, reason: error.message })
  })
  return {
    path: config.path,
    async close() {
      await takeAway()
      await closeServer(server, open)
    },
  }
}

/** Stops accepting and lets open requests end, for a while. */
export async function closeServer(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const deadline = setTimeout(() => {
    for (const socket of open) socket.destroy()
  }, closeMs)
  // Those that have not asked anything yet are not waited for.
  for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
  await closed
  clearTimeout(deadline)
}

/** One connection: one request, one answer. */
function serve(socket: Socket, path: string, service: SocketService, stallMs: number): void {
  let received: Buffer | undefined
  let answered = false
  let stalled = setTimeout(cut, stallMs)

  function cut(): void {
    socket.destroy()
  }

  socket.on('error', () => undefined) // A client that has gone is no error.
  socket.on('close', () => clearTimeout(stalled))
  socket.on('data', (chunk: Buffer) => {
    if (answered) return
    const all = received === undefined ? chunk : Buffer.concat([received, chunk])
    const newline = all.indexOf(10)
    if (newline >= 0) take(all.toString('utf8', 0, newline))
    else if (all.length > requestMaxBytes + 1) take(all.toString('utf8'))
    else received = all
  })
  socket.on('end', () => {
    if (answered) return
    // Somebody only looked whether we are here.
    if (received === undefined) socket.end()
    else take(received.toString('utf8'))
  })

  function take(line: string): void {
    answered = true
    received = undefined
    const reply = answer(line, path, service)
    if (typeof reply === 'string') {
      socket.end(reply)
      return
    }
    clearTimeout(stalled)
    void reply.then((text) => {
      stalled = setTimeout(cut, stallMs)
      socket.end(text)
    })
  }
}

/** @returns the reply; a promise of it, which is never rejected, when a token has to be fetched first */
function answer(line: string, path: string, service: SocketService): string | Promise<string> {
  const request = parseRequest(line)
  switch (request.kind) {
    case 'credential':
      return answerCredential(request, path, service)
    case 'malformed':
      service.audit.answered(path, '-', '-', request.failure.code, 0, request.failure.message)
      return failureReply(request.failure, request)
    case 'status':
    case 'refresh':
    case 'reload':
      if (service.control) return service.control(request)
      service.audit.answered(path, request.kind, '-', 'not-allowed', 0, 'not a control socket')
      return ''
  }
}

function answerCredential(
  request: CredentialRequest,
  path: string,
  service: SocketService,
): string | Promise<string> {
  const nowMs = service.now()
  const done = (credential: Credential, waitMs: number): string => {
    service.audit.answered(path, request.service, request.mailbox, 'ok', waitMs)
    return replies[request.format](credential, nowMs + waitMs)
  }
  const failed = (error: unknown, waitMs: number): string => {
    const failure = asFailure(error)
    if (failure !== error) service.log.error('bug', { stack: stackOf(error) })
    const { service: name, mailbox } = request
    service.audit.answered(path, name, mailbox, failure.code, waitMs, failure.message)
    return failureReply(failure, request)
  }
  try {
    const credential = service.credentials.get(request, service.scope, nowMs)
    if (!(credential instanceof Promise)) return done(credential, 0)
    return credential.then(
      (ready) => done(ready, service.now() - nowMs),
      (error: unknown) => failed(error, service.now() - nowMs),
    )
  } catch (error) {
    return failed(error, 0)
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
