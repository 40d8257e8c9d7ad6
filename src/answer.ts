/**
 * What a line is answered with on one socket: a credential, what a control request says, or a failure in
 * the form that the client asked for. Each answer leaves its line in the audit.
 *
 * Promises never to throw or reject, and that on a plain format a failure is the empty string.
 */
import type { Audit } from './audit.ts'
import type { Credentials, Scope } from './credentials.ts'
import { asFailure, stackOf, type Failure } from './errors.ts'
import type { Log } from './log.ts'
import {
  describeFailure,
  failureReply,
  parseRequest,
  replies,
  type ControlRequest,
  type Credential,
  type CredentialRequest,
} from './protocol.ts'

/** What a socket answers from, and for whom. */
export interface SocketService {
  readonly credentials: Credentials
  readonly scope: Scope
  readonly audit: Audit
  readonly log: Log
  /** The wall clock, epoch ms. */
  readonly now: () => number
  /** Obeys a control request, or rejects with a Failure; undefined on a socket that has none. */
  readonly control: ((request: ControlRequest) => Promise<object>) | undefined
}

/**
 * @param path of the socket, for the audit
 * @returns the reply; a promise of it, which is never rejected, when it takes time
 */
export function answerLine(
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
      return answerControl(request, path, service)
  }
}

function answerControl(
  request: ControlRequest,
  path: string,
  service: SocketService,
): string | Promise<string> {
  const { control, audit, now } = service
  const mailbox = 'mailbox' in request ? request.mailbox : '-'
  if (!control) {
    audit.answered(path, request.kind, mailbox, 'not-allowed', 0, 'not a control socket')
    return ''
  }
  const askedAtMs = now()
  return control(request).then(
    (said) => {
      audit.answered(path, request.kind, mailbox, 'ok', now() - askedAtMs)
      return `${JSON.stringify(said)}\n`
    },
    (error: unknown) => {
      const failure = failureOf(error, service)
      audit.answered(path, request.kind, mailbox, failure.code, now() - askedAtMs, failure.message)
      return `${JSON.stringify(describeFailure(failure))}\n`
    },
  )
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
  const failure = failureOf(error, service)
  const { service: name, mailbox } = request
  service.audit.answered(path, name, mailbox, failure.code, waitMs, failure.message)
  return failureReply(failure, request)
}

function failureOf(error: unknown, { log }: SocketService): Failure {
  const failure = asFailure(error)
  if (failure !== error) log.error('bug', { stack: stackOf(error) })
  return failure
}
