/**
 * The UNIX listener of the line protocol.
 *
 * Promises: the socket appears under its name only with its final mode and group; a live daemon's is
 * never taken; a newline or a half-close ends a request; one answer, then the connection is closed; a
 * client that stalls is cut after {@link usualStallMs} and holds up nobody; on a plain format a failure
 * writes zero bytes. A warm answer makes no function of its own on its way: that took longer than the
 * rest of it.
 */
import { createServer, type Socket } from 'node:net'
import type { Audit } from './audit.ts'
import type { SocketName } from './bind.ts'
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

import { createPlaces, listenAt, type Places, type SocketListener } from './unix-listener.ts'

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

/**
 * Opens one socket.
 *
 * @param inherited the descriptor on which systemd listens already, if it does
 * @param stallMs how long a client may take to ask, and then to read its answer
 * @rejects Misconfigured when it cannot be opened; Unavailable when another daemon has it
 */
export async function openSocket(
  config: SocketName,
  service: SocketService,
  inherited: number | undefined,
  stallMs = usualStallMs,
): Promise<SocketListener> {
  const open = createPlaces()
  const listener = { path: config.path, service, stallMs, open }
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, listener))
  return listenAt(config, server, inherited, open, service.log)
}

/** What the connections of a socket have in common. */
interface Listener {
  readonly path: string
  readonly service: SocketService
  readonly stallMs: number
  readonly open: Places
}

/** One connection: one request, one answer. */
interface Connection {
  readonly socket: Socket
  readonly listener: Listener
  received: Buffer | undefined
  answered: boolean
  stalled: NodeJS.Timeout
}

function serve(socket: Socket, listener: Listener): void {
  const connection: Connection = {
    socket,
    listener,
    received: undefined,
    answered: false,
    stalled: setTimeout(cut, listener.stallMs, socket),
  }
  const place = listener.open.take(socket)
  socket.on('error', () => undefined) // A client that has gone is no error.
  socket.on('close', () => {
    clearTimeout(connection.stalled)
    listener.open.leave(place)
  })
  socket.on('data', (chunk: Buffer) => receive(connection, chunk))
  socket.on('end', () => receiveEnd(connection))
}

function cut(socket: Socket): void {
  socket.destroy()
}

function receive(connection: Connection, chunk: Buffer): void {
  const { received, answered } = connection
  if (answered) return
  const all = received === undefined ? chunk : Buffer.concat([received, chunk])
  const newline = all.indexOf(10)
  if (newline >= 0) reply(connection, all.toString('utf8', 0, newline))
  else if (all.length > requestMaxBytes + 1) reply(connection, all.toString('utf8'))
  else connection.received = all
}

function receiveEnd(connection: Connection): void {
  const { socket, received, answered } = connection
  if (answered) return
  // Somebody only looked whether we are here.
  if (received === undefined) socket.end()
  else reply(connection, received.toString('utf8'))
}

function reply(connection: Connection, line: string): void {
  const { socket, listener } = connection
  connection.answered = true
  connection.received = undefined
  const text = answer(line, listener.path, listener.service)
  if (typeof text === 'string') {
    socket.end(text)
    return
  }
  clearTimeout(connection.stalled)
  void text.then((fetched) => {
    // Its timer would never be cleared.
    if (socket.destroyed) return
    connection.stalled = setTimeout(cut, listener.stallMs, socket)
    socket.end(fetched)
  })
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
  const asked = { request, path, service, atMs: service.now() }
  try {
    const credential = service.credentials.get(request, service.scope, asked.atMs)
    if (!(credential instanceof Promise)) return given(credential, asked, 0)
    return credential.then(
      (ready) => given(ready, asked, service.now() - asked.atMs),
      (error: unknown) => failed(error, asked, service.now() - asked.atMs),
    )
  } catch (error) {
    return failed(error, asked, 0)
  }
}

/** A request on its way to its answer. */
interface Asked {
  readonly request: CredentialRequest
  readonly path: string
  readonly service: SocketService
  readonly atMs: number
}

function given(credential: Credential, asked: Asked, waitMs: number): string {
  const { request, path, service, atMs } = asked
  service.audit.answered(path, request.service, request.mailbox, 'ok', waitMs)
  return replies[request.format](credential, atMs + waitMs)
}

function failed(error: unknown, asked: Asked, waitMs: number): string {
  const { request, path, service } = asked
  const failure = asFailure(error)
  if (failure !== error) service.log.error('bug', { stack: stackOf(error) })
  const { service: name, mailbox } = request
  service.audit.answered(path, name, mailbox, failure.code, waitMs, failure.message)
  return failureReply(failure, request)
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
