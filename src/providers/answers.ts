/**
 * A token endpoint's success, read and checked (RFC 6749 5.1). What is none is judged by
 * `failure-classes.ts`.
 */
import { Misconfigured, Unavailable } from '../errors.ts'
import { parseObject, type JsonObject } from '../json.ts'
import type { Seen } from '../transport.ts'
import { failureFrom, judge, textOf, type Asked } from './failure-classes.ts'
import type { Grant, Token } from './provider.ts'
import { shorten } from './redaction.ts'

/** A token endpoint's success, read. What else it brought counts although its token is of no use. */
export interface TokenAnswer {
  /** {@link tokenIn} tells which it is. */
  readonly token: Token | UnusableToken
  readonly refreshToken: string | undefined
  /** The scopes granted, where the server says. */
  readonly scopes: readonly string[] | undefined
  readonly idToken: string | undefined
}

/** A token that mail cannot be read or sent with. */
interface UnusableToken {
  readonly unusable: string
  /** Whether the next one will be no better. */
  readonly lasting: boolean
}

/** RFC 6749 recommends that servers say; an hour is what those that do not mostly mean. */
const assumedLifetimeMs = 3_600_000
/** Beyond this a token does not end, as far as we care; and a date must stay one that can be written. */
export const longestLifetimeMs = 365 * 86_400_000
/** What travels in a header and has no blanks (RFC 6750 2.1 allows still less). */
export const tokenPattern = /^[!-~]{1,16384}$/

/**
 * Reads the answer to a token request.
 *
 * @throws Failure of the class that the answer stands for
 */
export function readTokenAnswer(seen: Seen, asked: Asked): TokenAnswer {
  const json = readJsonAnswer(seen, asked)
  const refreshToken = textOf(json['refresh_token'])
  if (textOf(json['access_token']) === undefined && refreshToken === undefined)
    throw new Unavailable(withoutToken(asked.host), { trouble: 'provider' })
  return {
    token: readToken(json, asked),
    refreshToken,
    scopes: textOf(json['scope'])
      ?.split(/[ ,]+/)
      .filter((scope) => scope !== ''),
    idToken: textOf(json['id_token']),
  }
}

function readToken(json: JsonObject, { host, nowMs }: Asked): TokenAnswer['token'] {
  const value = json['access_token']
  if (typeof value !== 'string' || !tokenPattern.test(value))
    return { unusable: withoutToken(host), lasting: false }
  const type = json['token_type']
  if (type !== undefined && (typeof type !== 'string' || type.toLowerCase() !== 'bearer')) {
    const named = shorten(JSON.stringify(type))
    return { unusable: `${host} issued a token of type ${named}, mail needs Bearer`, lasting: true }
  }
  const said = json['expires_in'] ?? undefined
  const lifetimeMs = said === undefined ? assumedLifetimeMs : Number(said) * 1000
  if (!(lifetimeMs > 0))
    return { unusable: `${host} issued a token that has expired already`, lasting: false }
  return {
    value,
    obtainedAtMs: nowMs,
    expiresAtMs: nowMs + Math.min(lifetimeMs, longestLifetimeMs),
    expiryKnown: true,
  }
}

function withoutToken(host: string): string {
  return `${host} answered without a usable access token`
}

/**
 * The token of an answer whose other parts have been checked.
 *
 * @param grant what is to be kept of the answer, whatever its token is
 * @throws Failure with that grant, when the token is of no use
 */
export function tokenIn({ token }: TokenAnswer, grant?: Grant): Token {
  if (!('unusable' in token)) return token
  if (token.lasting) throw new Misconfigured(token.unusable, { grant })
  throw new Unavailable(token.unusable, { trouble: 'account', grant })
}

/**
 * Reads any JSON answer of an authorization server.
 *
 * @throws Failure of the class that the answer stands for
 */
export function readJsonAnswer(seen: Seen, asked: Asked): JsonObject {
  const judged = judge(seen, asked)
  if (judged) throw failureFrom(judged)
  return (seen.kind === 'answer' ? parseObject(seen.body) : undefined) ?? {}
}

/**
 * The claims of an ID token. Its signature needs no check: it came from the token endpoint itself, over
 * TLS (OpenID Connect Core 3.1.3.7, point 6).
 *
 * @returns an empty object when there is no such token, or it cannot be read
 */
export function readIdToken(idToken: string | undefined): JsonObject {
  const payload = idToken?.split('.')[1]
  if (payload === undefined) return {}
  return parseObject(Buffer.from(payload, 'base64url').toString('utf8')) ?? {}
}
