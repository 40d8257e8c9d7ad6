/**
 * The failures that somebody reacts to, and the exit code of each.
 *
 * Owns the words between the parts: a provider rejects with one of these, the keeper plans by it, a
 * socket turns it into a code, the command line into an exit status and a `hint:` line. Whatever is not
 * a {@link Failure} is a bug and is logged with its stack. Messages are one line, in lower case, name
 * the thing, and never hold a secret.
 */

/** The codes of the socket protocol. */
export type FailureCode =
  | 'bad-request'
  | 'unknown-account'
  | 'not-allowed'
  | 'unavailable'
  | 'sign-in-needed'
  | 'misconfigured'

/** Exit codes after sysexits.h; `no-daemon` and `config` exist only on the command line. */
export const exitCodes: Readonly<Record<FailureCode | 'no-daemon' | 'config', number>> = {
  'bad-request': 64,
  'unknown-account': 67,
  'no-daemon': 69,
  unavailable: 75,
  'not-allowed': 77,
  'sign-in-needed': 77,
  misconfigured: 78,
  config: 78,
}

interface Detail {
  /** What the person who reads it can do next. */
  readonly hint?: string | undefined
  readonly cause?: unknown
  /** See {@link Failure.grant}. */
  readonly grant?: string | undefined
}

/** Something that went wrong and that the rest of the program knows how to take. */
export abstract class Failure extends Error {
  abstract readonly code: FailureCode
  readonly hint: string | undefined
  readonly #grant: string | undefined

  constructor(message: string, detail: Detail = {}) {
    super(oneLine(message), detail.cause === undefined ? undefined : { cause: detail.cause })
    this.hint = detail.hint === undefined ? undefined : oneLine(detail.hint)
    this.#grant = detail.grant
  }

  /**
   * What has become of the grant although no token came of it: a rotated one, or the same one with what
   * the next sign-in has to prove. Whoever owns the grant stores it. Secret, never shown.
   */
  get grant(): string | undefined {
    return this.#grant
  }
}

/** The request is not one of the protocol. */
export class BadRequest extends Failure {
  override readonly name = 'BadRequest'
  readonly code = 'bad-request'
}

/** Nobody by that name, here or at the provider. */
export class UnknownAccount extends Failure {
  override readonly name = 'UnknownAccount'
  readonly code = 'unknown-account'
}

/** Not served on this socket, or a service that the account does not have. */
export class NotAllowed extends Failure {
  override readonly name = 'NotAllowed'
  readonly code = 'not-allowed'
}

/** A mail server did not take a token, though it is fresh. */
export class LoginRefused extends Failure {
  override readonly name = 'LoginRefused'
  readonly code = 'not-allowed'
}

/**
 * What stands between us and a token: the way there, the provider itself, its answer to this account
 * while it may serve all others, a clock, or only time.
 */
export type Trouble = 'network' | 'provider' | 'account' | 'clock' | 'waiting'

/** Waiting can help. */
export class Unavailable extends Failure {
  override readonly name = 'Unavailable'
  readonly code = 'unavailable'
  readonly trouble: Trouble
  /** How long the provider asked us to wait, or how long it will be until we try again. */
  readonly retryAfterMs: number | undefined

  constructor(
    message: string,
    detail: Detail & { trouble?: Trouble; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, detail)
    this.trouble = detail.trouble ?? 'waiting'
    this.retryAfterMs = detail.retryAfterMs
  }
}

/** The store is encrypted and its key is not to be had; nothing is lost, and it heals with the key. */
export class StoreLocked extends Unavailable {}

/** Only a person can help, by signing in. */
export class SignInNeeded extends Failure {
  override readonly name = 'SignInNeeded'
  readonly code = 'sign-in-needed'
  /** There is no grant at all; when a provider says that one is dead, it is asked once more. */
  readonly certain: boolean
  /** Why the provider ended the sign-in, in one word of its explanations, where that is known. */
  readonly because: string | undefined

  constructor(
    message: string,
    detail: Detail & {
      certain?: boolean
      because?: string | undefined
    } = {},
  ) {
    super(message, detail)
    this.certain = detail.certain ?? false
    this.because = detail.because
  }
}

/** Only the administrator can help, here or in the provider's console. */
export class Misconfigured extends Failure {
  override readonly name = 'Misconfigured'
  readonly code = 'misconfigured'
}

/** What the store has of an account cannot be used; nothing is lost, and it heals when somebody repairs the file. */
export class StoreUnusable extends Misconfigured {}

/** The code that a failure travels under; a bug travels as `unavailable`, and is logged where it is caught. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  return new Unavailable('an internal error, see the log of xoauthd', { cause: error })
}

/** What a bug is logged with. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** Text from outside made fit for one line of a log, a reply or a terminal. */
export function oneLine(text: string): string {
  return text.replace(/[\s\x00-\x1f\x7f-\x9f]+/g, ' ').trim()
}
