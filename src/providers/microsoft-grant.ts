/**
 * What is kept of a sign-in at Microsoft: the token cache of their library, as it serialises it, without
 * the access tokens, which the store keeps itself.
 *
 * Beside the library's own tables stands, when the last refresh was refused for want of it, what the next
 * sign-in has to prove (`Claims`). The library leaves tables alone that it does not know.
 */
import { SignInNeeded, type Failure } from '../errors.ts'
import type { Grant } from './provider.ts'

type Tables = Readonly<Record<string, unknown>>

/**
 * @returns the refresh token
 * @throws SignInNeeded when there is none
 */
export function refreshTokenIn(grant: Grant | undefined): string {
  const [secret] = Object.values(tableOf(parse(grant), 'RefreshToken')).map(secretOf)
  if (secret !== undefined) return secret
  throw new SignInNeeded('the stored sign-in has no refresh token')
}

/** What the server wants to see at the next sign-in: a JSON text, as it sent it. */
export function claimsIn(grant: Grant | undefined): string | undefined {
  const claims = parse(grant)['Claims']
  return typeof claims === 'string' ? claims : undefined
}

/**
 * What the server wants to see at the next sign-in goes along with the grant, which is asked then.
 *
 * @param refusal of a refresh by `grant`, and the claims in it
 */
export function withChallenge(
  { failure, claims }: { readonly failure: Failure; readonly claims: string | undefined },
  grant: Grant,
): Failure {
  if (!(failure instanceof SignInNeeded) || claims === undefined) return failure
  return new SignInNeeded(failure.message, {
    cause: failure.cause,
    hint: failure.hint,
    because: failure.because,
    grant: JSON.stringify({ ...parse(grant), Claims: claims }),
  })
}

/**
 * @param cache of the library, after an exchange
 * @param refreshToken that came of it; it is kept whatever the library thought of the rest of the answer
 */
export function grantOf(cache: string, refreshToken: string): Grant {
  const tables = parse(cache)
  const known = Object.entries(tableOf(tables, 'RefreshToken'))
  const same = known.filter(([, entry]) => secretOf(entry) === refreshToken)
  const entry = { credential_type: 'RefreshToken', secret: refreshToken }
  return JSON.stringify({
    Account: tableOf(tables, 'Account'),
    IdToken: {},
    AccessToken: {},
    RefreshToken: Object.fromEntries(same.length > 0 ? same : [['refresh-token', entry]]),
    AppMetadata: tableOf(tables, 'AppMetadata'),
  })
}

function parse(text: string | undefined): Tables {
  try {
    return objectOf(JSON.parse(text ?? '{}'))
  } catch {
    return {}
  }
}

function tableOf(tables: Tables, name: string): Tables {
  return objectOf(tables[name])
}

function objectOf(value: unknown): Tables {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function secretOf(entry: unknown): string | undefined {
  const secret = objectOf(entry)['secret']
  return typeof secret === 'string' && secret !== '' ? secret : undefined
}
