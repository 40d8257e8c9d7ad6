/**
 * From a line to its reply: parses, asks for the credential, leaves the audit line.
 *
 * Promises that on a plain format a failure is an empty reply. No closures of a request's own on the way
 * of a warm answer: making them takes longer than the answer.
 */
import type { Audit } from './audit.ts'
import type { Credentials, Scope } from './credentials.ts'
import { asFailure } from './errors.ts'
import type { Log } from './log.ts'
import {
  failureReply,
  parseRequest,
  replies,
  type ControlRequest,
  type Credential,
  type CredentialRequest,
} from './protocol.ts'

export interface SocketService {
  readonly credentials: Credentials
  readonly scope: Scope
  readonly audit: Audit
  readonly log: Log
  readonly now: () => number
  /** Answers a control request in JSON; undefined on a socket that has none. */
  readonly control: ((request: ControlRequest) => Promise<string>) | undefined
}

/** @returns the reply; a promise of it, which is never rejected, when a token has to be fetched first */
export function answer(
  line: string,
  path: string,
  service: SocketService,
): string | Promise<string> {
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
