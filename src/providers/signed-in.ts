/**
 * The checks between a code that was redeemed and a grant that is kept.
 *
 * A sign-in that would die tomorrow, or that belongs to somebody else, fails today, and the grant of the
 * last good sign-in stays in the store.
 */
import { foldCase } from '../address.ts'
import { Misconfigured, SignInNeeded, Unavailable, oneLine } from '../errors.ts'
import { readIdToken, tokenIn, type TokenAnswer } from './answers.ts'
import type { Scopes, SignedIn } from './provider.ts'

/** @returns the scopes of some services, each once, as one request parameter */
export function scopesOf(scopes: Scopes, services: readonly string[]): string {
  return [...new Set(services.flatMap((service) => scopes[service] ?? []))].join(' ')
}

/** @returns those scopes of a service that were not granted */
export function missingIn(
  scopes: Scopes,
  service: string,
  granted: readonly string[],
): readonly string[] {
  return (scopes[service] ?? []).filter((scope) => !granted.includes(scope))
}

/** @throws Failure when the grant should not be kept */
export function checkSignIn(seen: {
  readonly answer: TokenAnswer
  /** Who was to sign in. */
  readonly user: string
  /** Who did, as far as the server says. */
  readonly signedInAs: unknown
  /** What was asked for, separated by blanks. */
  readonly scopes: string
  readonly hintForRefreshToken: string
}): SignedIn {
  const { answer, user } = seen
  // It is not used, but a server that issues none of use now would not at the first refresh either.
  tokenIn(answer)
  // A claim that is null says nothing; any other that is no text names somebody, but not this user.
  const signedInAs = seen.signedInAs ?? undefined
  const who =
    typeof signedInAs === 'string' ? oneLine(signedInAs) : 'somebody without a usable email'
  if (signedInAs !== undefined && foldCase(who) !== foldCase(user))
    throw new SignInNeeded(`${who} signed in, but this account is ${user}`, {
      hint: `sign in again and choose ${user}; a private browser window helps`,
    })
  const missing = seen.scopes
    .split(' ')
    .filter((scope) => scope !== '' && answer.scopes?.includes(scope) === false)
  if (missing.length > 0)
    throw new Misconfigured(`consent was not given for ${missing.join(' ')}`, {
      hint: 'sign in again and leave every box ticked; or the registration may not allow the scope',
    })
  if (answer.refreshToken === undefined)
    throw new Misconfigured('no refresh token came with the sign-in', {
      hint: seen.hintForRefreshToken,
    })
  const warnings =
    signedInAs !== undefined ? [] : [`the server did not say who signed in; ${user} is assumed`]
  return { grant: answer.refreshToken, warnings }
}

/**
 * Where a refresh comes with an ID token, it must not be somebody else's: a cache or a proxy that mixes
 * up answers would have one person's mail read by another.
 *
 * @returns whether it said whose it is
 * @throws Unavailable, so that nothing of it is kept and the next answer may be the right one; the host is
 *   not to blame, which may answer all others rightly
 */
export function checkRefreshed(answer: TokenAnswer, user: string, host: string): boolean {
  const { email } = readIdToken(answer.idToken)
  if (typeof email !== 'string') return false
  if (foldCase(email) === foldCase(user)) return true
  throw new Unavailable(`${host} answered for ${oneLine(email)}, and this account is ${user}`, {
    trouble: 'account',
    hint: `if ${user} was renamed, write the new address as user and sign in again`,
  })
}
