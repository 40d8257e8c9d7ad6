/**
 * What is kept of a sign-in at Microsoft: the token cache of their library, as it serialises it, without
 * the access tokens, which the store keeps itself.
 *
 * Beside the library's own tables stands, by resource, what the next sign-in has to prove where the last
 * refresh was refused for want of it (`Claims`), and what the last token was granted (`Granted`). The library
 * leaves tables alone that it does not know.
 */
import { SignInNeeded, type Failure } from '../errors.ts'
import type { Grant } from './provider.ts'

type Tables = Readonly<Record<string, unknown>>

/** What stands beside the library's tables. */
interface Notes {
  readonly Claims?: Tables
  readonly Granted?: Tables
}

/**
 * @returns the refresh token
 * @throws SignInNeeded when there is none
 */
export function refreshTokenIn(grant: Grant | undefined): string {
  const [secret] = Object.values(tableOf(parse(grant), 'RefreshToken')).map(secretOf)
  if (secret !== undefined) return secret
  throw new SignInNeeded('the stored sign-in has no refresh token')
}

/**
 * What the server wants to see at the next sign-in: a JSON text, as it sent it.
 *
 * @param resource that wants it; without one, what any of them wanted last
 */
export function claimsIn(grant: Grant | undefined, resource?: string): string | undefined {
  const claims = tableOf(parse(grant), 'Claims')
  const wanted = resource === undefined ? Object.values(claims).at(-1) : claims[resource]
  return typeof wanted === 'string' ? wanted : undefined
}

/**
 * What the server wants to see at the next sign-in goes along with the grant, which is asked then.
 *
 * @param refusal of a refresh by `grant`, or of a sign-in, which has none yet; and the claims in it
 * @param resource that the token was to be for
 */
export function withChallenge(
  { failure, claims }: { readonly failure: Failure; readonly claims: string | undefined },
  grant: Grant | undefined,
  resource: string,
): Failure {
  if (!(failure instanceof SignInNeeded) || claims === undefined) return failure
  const Claims = { ...challengesBut(grant, resource), [resource]: claims }
  return new SignInNeeded(failure.message, {
    cause: failure.cause,
    hint: failure.hint,
    because: failure.because,
    grant: JSON.stringify({ ...parse(grant), Claims }),
  })
}

/** What other resources want to see. */
function challengesBut(grant: Grant | undefined, resource: string): Tables {
  const all = Object.entries(tableOf(parse(grant), 'Claims'))
  return Object.fromEntries(all.filter(([who]) => who !== resource))
}

/** @returns the scopes that the last token of a resource had; undefined when the server has not said */
export function grantedIn(grant: Grant, resource: string): readonly string[] | undefined {
  const said = tableOf(parse(grant), 'Granted')[resource]
  return Array.isArray(said) ? said.filter((scope) => typeof scope === 'string') : undefined
}

/**
 * What to keep in mind after a token of a resource: the challenges of the others stand until they give one
 * too, or somebody signs in.
 *
 * @param grant that it was asked for with; undefined after a sign-in
 * @param granted the scopes that it has, where the server said so
 */
export function notesAfter(
  grant: Grant | undefined,
  resource: string,
  granted: readonly string[] | undefined,
): Notes {
  const Claims = challengesBut(grant, resource)
  const Granted = {
    ...tableOf(parse(grant), 'Granted'),
    ...(granted ? { [resource]: granted } : {}),
  }
  return {
    ...(Object.keys(Claims).length > 0 ? { Claims } : {}),
    ...(Object.keys(Granted).length > 0 ? { Granted } : {}),
  }
}

/**
 * @param cache of the library, after an exchange
 * @param refreshToken that came of it; it is kept whatever the library thought of the rest of the answer
 * @param notes what is known besides, see {@link notesAfter}
 */
export function grantOf(cache: string, refreshToken: string, notes: Notes = {}): Grant {
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
    ...notes,
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
