/**
 * What a step of sending by SMTP that failed means for whoever asked us to send. Pure.
 *
 * Promises that a message which may have been sent is told of as such, and that a recipient who did not
 * get it is named.
 */
import { XoauthdError } from './client.ts'
import {
  Failure,
  LoginRefused,
  NotAllowed,
  Unavailable,
  UnknownAccount,
  oneLine,
} from './errors.ts'
import { nameOf, type HostPort } from './endpoint.ts'

interface Rejection {
  readonly message: string
  readonly responseCode?: number | undefined
  readonly response?: string | undefined
  readonly recipient?: string | undefined
}

/** What the library tells of a message that the server took. */
export interface SentInfo {
  readonly accepted: readonly unknown[]
  readonly rejectedErrors?: readonly Rejection[] | undefined
}

/** A server has taken a message when it says so, and who loses that answer cannot know (RFC 1047). */
export function withoutAnswer(error: unknown, { host }: HostPort): unknown {
  if (!(error instanceof Unavailable) || error.trouble !== 'network') return error
  return new Unavailable(
    `the connection to ${host} broke before it said whether it took the message, which may have been sent`,
    {
      trouble: 'network',
      cause: error,
      hint: 'look into the folder of sent mail before you send it again',
    },
  )
}

/** @returns an error of the library in our words, or what of ours it has wrapped */
export function explain(error: Error, at: HostPort): Error {
  const { cause } = error
  if (cause instanceof Failure || cause instanceof XoauthdError) return cause
  const { responseCode, response, code, rejectedErrors } = error as Error &
    Rejection & { code?: string; rejectedErrors?: readonly Rejection[] }
  const rejected = rejectedErrors?.[0]
  if (rejected)
    return refusalOf(rejected.responseCode ?? 0, rejected.response ?? '', at, 'recipient')
  if (responseCode !== undefined && responseCode > 0)
    return refusalOf(responseCode, response ?? error.message, at, 'message')
  const certificate = /certificate|altnames/i.test(error.message)
  return new Unavailable(
    `no connection to ${nameOf(at)}: ${certificate ? error.message : (code ?? error.message)}`,
    {
      trouble: 'network',
      cause: error,
    },
  )
}

/** What a reply of the server means for whoever asked us to send (RFC 5321 4.2.1, RFC 3463). */
export function refusalOf(
  status: number,
  text: string,
  at: HostPort,
  of: 'login' | 'recipient' | 'message',
) {
  const words = `${at.host} says: ${oneLine(text)}`
  if (status < 500) return new Unavailable(words, { trouble: 'provider' })
  if (of === 'login')
    return new LoginRefused(words, {
      hint: 'check that the account may send here, and that SMTP AUTH is on for it',
    })
  if (of === 'recipient' && [550, 551, 553].includes(status)) return new UnknownAccount(words)
  return new NotAllowed(words)
}

/**
 * There is no queue, and nobody writes a bounce: whoever called us has to know.
 *
 * @throws UnknownAccount that names who did not get it, and who did
 */
export function reportRejected(
  rejected: readonly Rejection[],
  accepted: readonly unknown[],
  at: HostPort,
): void {
  const [first] = rejected
  if (!first) return
  const names = rejected.map(({ recipient, message }) => recipient ?? message).join(', ')
  const { message } = refusalOf(550, first.response ?? first.message, at, 'recipient')
  throw new UnknownAccount(`not sent to ${names}: ${message}`, {
    hint: `it was sent to ${accepted.map(String).join(', ')}; do not send it to them again`,
  })
}
