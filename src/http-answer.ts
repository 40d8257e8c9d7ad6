/**
 * What the authentication server answers: from a request to a status, headers and JSON.
 *
 * Promises that a token goes only to who may ask, and into no cache; that trouble which time heals is
 * waited for and then told as 429 with Retry-After; and that nothing is ever told as 5xx, since
 * EmailEngine asks again after 429 alone and parks the account after anything else.
 */
import type { IncomingMessage } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import type { Account, Accounts } from './accounts.ts'
import { isAddress, wildcardDomain } from './address.ts'
import type { Audit } from './audit.ts'
import type { Credentials, Scope } from './credentials.ts'
import {
  NotAllowed,
  Unavailable,
  UnknownAccount,
  asFailure,
  stackOf,
  type Failure,
} from './errors.ts'
import { isBrowser, isOwnName, type Ends, type Proof } from './http-access.ts'
import type { HttpConfig } from './http-config.ts'
import { readQuery, readTarget, type AccountQuery, type Target } from './http-request.ts'
import type { Log } from './log.ts'
import { describeFailure, type Credential } from './protocol.ts'
import { providers } from './providers/index.ts'

export interface HttpService {
  readonly accounts: () => Accounts
  readonly credentials: Credentials
  readonly audit: Audit
  readonly log: Log
  readonly now: () => number
}

/** What a reload may change while the listener stays. */
export interface Desk {
  readonly config: HttpConfig
  readonly scope: Scope
  readonly isAllowed: (ends: Ends) => boolean
  readonly proofOf: (headers: IncomingMessage['headers']) => Proof
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** EmailEngine itself waits 90 s. */
const waitMs = 20_000
/** What a wrong password costs whoever tries many; each needs a connection of its own. */
const refusalMs = 1_000
/** Between two attempts of one request, whatever the first one ended with. */
const leastPauseMs = 250
/** What a client is told when nothing better is known, and the most that it is. */
const usualRetryS = 10
const maxRetryS = 3600

const statusOf: Readonly<Record<Failure['code'], number>> = {
  'bad-request': 400,
  'unknown-account': 404,
  'not-allowed': 403,
  'sign-in-needed': 403,
  misconfigured: 403,
  unavailable: 429,
}

/**
 * @param address of the listener, for the audit
 * @param gone aborts when nobody waits for the answer any more
 * @returns the reply; the promise is rejected only when nobody waits
 */
export async function answer(
  request: IncomingMessage,
  address: string,
  desk: Desk,
  service: HttpService,
  gone: AbortSignal,
): Promise<Reply> {
  const target = readTarget(request.url ?? '')
  const refusal = refusalOf(request, target, desk)
  if (refusal) {
    const { remoteAddress = '-' } = request.socket
    const reason = `${refusal.failure.message} (from ${remoteAddress})`
    service.audit.answered(address, '-', '-', refusal.failure.code, 0, reason)
    if (refusal.slow) await pause(refusalMs, undefined, { signal: gone })
    return failureReply(refusal.failure, refusal.status, refusal.headers)
  }
  if (target.path === '/healthz') return reply(200, { status: 'ok' })
  return answerAccount(target, address, desk, service, gone)
}

interface Refusal {
  readonly failure: Failure
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly slow?: boolean
}

/** @returns what to say to a request that is not looked into; undefined when it is */
function refusalOf(request: IncomingMessage, target: Target, desk: Desk): Refusal | undefined {
  const { headers, method, socket } = request
  const { authority, path } = target
  const refuse = (message: string, hint?: string, status = 403): Refusal => ({
    failure: new NotAllowed(message, { hint }),
    status,
  })
  if (isBrowser(headers)) return refuse('browsers are not answered')
  if (!desk.isAllowed(socket)) return refuse('this address is not in allow')
  // Of several Host headers nobody knows which one another reader believed.
  const names: (string | undefined)[] = request.headersDistinct['host'] ?? [undefined]
  for (const name of authority === undefined ? names : [...names, authority])
    if (!isOwnName(name, socket, desk.config))
      return refuse('the Host of the request is not ours', 'add its name to hosts in [http]')
  if (method !== 'GET' && method !== 'HEAD')
    return {
      ...refuse('the method is GET', undefined, 405),
      headers: { allow: 'GET, HEAD', connection: 'close' },
    }
  if (path === '/healthz') return undefined
  const proof = desk.proofOf(headers)
  if (proof !== 'right') return unauthorized(proof)
  if (desk.config.path !== undefined && path !== desk.config.path)
    return refuse('nothing is served under this path', `ask under ${desk.config.path}`, 404)
  return undefined
}

/** Only a guess is slowed down: who brings nothing learns nothing, and many clients try that first. */
function unauthorized(proof: 'wrong' | 'missing'): Refusal {
  const challenge = { 'www-authenticate': 'Basic realm="xoauthd", charset="UTF-8"' }
  return proof === 'missing'
    ? { failure: new NotAllowed('credentials are missing'), status: 401, headers: challenge }
    : {
        failure: new NotAllowed('the credentials are wrong'),
        status: 401,
        headers: { ...challenge, connection: 'close' },
        slow: true,
      }
}

async function answerAccount(
  target: Target,
  address: string,
  desk: Desk,
  parts: HttpService,
  gone: AbortSignal,
): Promise<Reply> {
  const startMs = parts.now()
  let asked: Asked | undefined
  try {
    const query = readQuery(target.query)
    asked = identify(query, parts.accounts())
    const { user, accessToken, expiresAtMs } = await patiently(asked, desk, parts, gone)
    audit('ok')
    return reply(200, { user, accessToken, expires: Math.floor(expiresAtMs / 1000) })
  } catch (error) {
    if (gone.aborted) throw error
    const failure = asFailure(error)
    if (failure !== error) parts.log.error('bug', { stack: stackOf(error) })
    audit(failure.code, failure.message)
    return failureReply(failure)
  }

  function audit(result: string, reason?: string): void {
    const { service = '-', mailbox = '-' } = asked ?? {}
    parts.audit.answered(address, service, mailbox, result, parts.now() - startMs, reason)
  }
}

interface Asked {
  readonly service: string
  readonly mailbox: string
}

/** @throws UnknownAccount */
function identify({ name, proto }: AccountQuery, accounts: Accounts): Asked {
  const found = accounts.findByName(name)
  // What is no address may be anything, a secret that went astray too, and is not repeated.
  if (!found)
    throw new UnknownAccount(isAddress(name) ? `no account answers for ${name}` : 'no such account')
  const { account, mailbox } = found
  if (wildcardDomain(mailbox) !== undefined)
    throw new UnknownAccount(`${mailbox} is a whole domain, and no mailbox`, {
      hint: 'ask for an address of it',
    })
  return { service: proto === 'api' ? apiOf(account) : proto, mailbox }
}

/** The mail API of the account's provider. */
function apiOf({ services, kind }: Account): string {
  const known = providers[kind]?.services({}).known ?? []
  return [...services, ...known].find((name) => name === 'gmail' || name === 'graph') ?? 'graph'
}

/** Trouble that ends within {@link waitMs} is none: the keeper says when it will try again. */
async function patiently(
  asked: Asked,
  { scope }: Desk,
  { credentials, now }: HttpService,
  gone: AbortSignal,
): Promise<Credential> {
  const untilMs = now() + waitMs
  for (;;) {
    const nowMs = now()
    const wish = { ...asked, minMs: undefined, waitMs: untilMs - nowMs, refused: false }
    try {
      return await credentials.get(wish, scope, nowMs)
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      const pauseMs = Math.max(leastPauseMs, error.retryAfterMs ?? 0)
      if (now() + pauseMs >= untilMs) throw error
      await pause(pauseMs, undefined, { signal: gone })
    }
  }
}

function failureReply(
  failure: Failure,
  status = statusOf[failure.code],
  headers: Readonly<Record<string, string>> = {},
): Reply {
  const body = describeFailure(failure)
  if (failure.code !== 'unavailable') return reply(status, body, headers)
  const retryS = Math.min(maxRetryS, Math.max(1, Number(body['retry_after'] ?? usualRetryS)))
  return reply(status, { ...body, retry_after: retryS }, { 'retry-after': String(retryS) })
}

function reply(
  status: number,
  body: Readonly<Record<string, string | number>>,
  headers: Readonly<Record<string, string>> = {},
): Reply {
  return { status, headers, body: `${JSON.stringify(body)}\n` }
}
