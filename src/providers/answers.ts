/**
 * What an authorization server's answer means: a token, or the failure that it stands for.
 *
 * Pure. The classes are by RFC 6749 5.2 and what servers do beside it. The rule that matters most: only
 * an answer that parses as OAuth and says so ends a sign-in. A captive portal, an HTML page, a proxy's
 * 403 or a wrong clock is trouble on the way, and trouble passes.
 */
import { type Failure, Misconfigured, SignInNeeded, Unavailable, oneLine } from '../errors.ts'
import { parseObject, type JsonObject } from '../json.ts'
import type { Seen } from '../transport.ts'
import type { Token } from './provider.ts'

/** A token endpoint's success (RFC 6749 5.1), checked. */
export interface TokenAnswer {
  readonly token: Token
  readonly refreshToken: string | undefined
  /** The scopes granted, where the server says. */
  readonly scopes: readonly string[] | undefined
  readonly idToken: string | undefined
}

/** Retry-After beyond this is taken for a mistake. */
const retryAfterLimitMs = 3_600_000
/** RFC 6749 recommends that servers say; an hour is what those that do not mostly mean. */
const assumedLifetimeMs = 3_600_000
/** Beyond this a token does not end, as far as we care; and a date must stay one that can be written. */
const longestLifetimeMs = 365 * 86_400_000
/** Below this a clock cannot be what a server complains of. */
const clockToleranceMs = 5 * 60_000
/** What travels in a header and has no blanks (RFC 6750 2.1 allows still less). */
const tokenPattern = /^[!-~]{1,16384}$/

const dead = new Set([
  'invalid_grant',
  'interaction_required',
  'consent_required',
  'login_required',
])
const refused = new Set(['access_denied', 'authorization_declined'])
/** The last two are Google's. */
const passing = new Set([
  'temporarily_unavailable',
  'server_error',
  'slow_down',
  'rate_limit_exceeded',
  'internal_failure',
])
const passingStatus = new Set([408, 425, 429])
/** Codes that proxies do not use: they mean the same with whatever status they come. */
const registered = new Set([
  // RFC 6749 4.1.2.1 and 5.2, RFC 6750 3.1, RFC 7009 2.2.1, RFC 8628 3.5, RFC 8707 2
  'invalid_request',
  'invalid_client',
  'unauthorized_client',
  'unsupported_grant_type',
  'unsupported_response_type',
  'invalid_scope',
  'invalid_token',
  'insufficient_scope',
  'unsupported_token_type',
  'authorization_pending',
  'expired_token',
  'invalid_target',
  // OpenID Connect Core 3.1.2.6
  'account_selection_required',
  'invalid_request_uri',
  'invalid_request_object',
  'request_not_supported',
  'request_uri_not_supported',
  'registration_not_supported',
  // Google's and Microsoft's
  'org_internal',
  'admin_policy_enforced',
  'disabled_client',
  'deleted_client',
  'redirect_uri_mismatch',
  'invalid_resource',
])
/** RFC 6749 5.2 says 400, and 401 for a client; some servers say 200. */
const errorStatus = new Set([200, 400, 401])

/** What was asked, as far as it takes to judge the answer. */
export interface Asked {
  /** Whom we asked, for the message. */
  readonly host: string
  /** The wall clock, epoch ms. */
  readonly nowMs: number
  /** What we sent that no message may repeat, should the server quote it. */
  readonly secrets: readonly string[]
}

/** @returns what a token request's form holds that no message may repeat */
export function secretsIn(form: URLSearchParams): string[] {
  const names = ['refresh_token', 'code', 'code_verifier', 'client_secret', 'assertion', 'token']
  return names.map((name) => form.get(name) ?? '')
}

/**
 * Reads the answer to a token request.
 *
 * @throws Failure of the class that the answer stands for
 */
export function readTokenAnswer(seen: Seen, asked: Asked): TokenAnswer {
  const { host, nowMs } = asked
  const json = readJsonAnswer(seen, asked)
  const value = json['access_token']
  if (typeof value !== 'string' || !tokenPattern.test(value))
    throw new Unavailable(`${host} answered without a usable access token`, { trouble: 'provider' })
  const type = json['token_type']
  if (type !== undefined && (typeof type !== 'string' || type.toLowerCase() !== 'bearer'))
    throw new Misconfigured(
      `${host} issued a token of type ${shorten(JSON.stringify(type))}, mail needs Bearer`,
    )
  const said = json['expires_in'] ?? undefined
  const lifetimeMs = said === undefined ? assumedLifetimeMs : Number(said) * 1000
  if (!(lifetimeMs > 0))
    throw new Unavailable(`${host} issued a token that has expired already`, {
      trouble: 'provider',
    })
  return {
    token: {
      value,
      obtainedAtMs: nowMs,
      expiresAtMs: nowMs + Math.min(lifetimeMs, longestLifetimeMs),
      expiryKnown: true,
    },
    refreshToken: textOf(json['refresh_token']),
    scopes: textOf(json['scope'])
      ?.split(/[ ,]+/)
      .filter((scope) => scope !== ''),
    idToken: textOf(json['id_token']),
  }
}

/**
 * Reads any JSON answer of an authorization server.
 *
 * @throws Failure of the class that the answer stands for
 */
export function readJsonAnswer(seen: Seen, asked: Asked): JsonObject {
  const { host, nowMs } = asked
  if (seen.kind === 'no-answer') throw unreachable(seen.error, host)
  const json = parseObject(seen.body)
  const error = json && textOf(json['error'])
  const retryAfterMs = readRetryAfter(seen.headers['retry-after'], nowMs)
  if (seen.status >= 500 || passingStatus.has(seen.status) || (error && passing.has(error)))
    throw new Unavailable(
      `${host} is in trouble (HTTP ${seen.status}${error === undefined ? '' : `, ${quote(redact(error, asked.secrets))}`})`,
      { trouble: 'provider', retryAfterMs },
    )
  // Google's 403 for a delegation that is not there; a proxy does not say these words.
  const google = /^Requested client not authorized/.test(textOf(json?.['error_description']) ?? '')
  const meant = errorStatus.has(seen.status) || registered.has(error ?? '') || google
  if (json !== undefined && error !== undefined && meant)
    throw oauthFailure(error, json, asked, skewOf(seen.headers.date, nowMs))
  if (json === undefined || seen.status < 200 || seen.status > 299)
    throw new Unavailable(
      `${host} did not answer as an OAuth server (HTTP ${seen.status}${json ? '' : ', no JSON'})`,
      {
        trouble: 'network',
        hint: 'something between here and there may be answering for it: a captive portal or a proxy',
      },
    )
  return json
}

function oauthFailure(error: string, json: JsonObject, asked: Asked, skewMs: number): Failure {
  const description = redact(textOf(json['error_description']) ?? '', asked.secrets)
  const code = quote(redact(error, asked.secrets))
  const said = `${asked.host} answered ${code}${description === '' ? '' : `: ${shorten(description)}`}`
  const aboutTime = /short-lived token|reasonable timeframe|not yet valid|clock/i.test(description)
  if (dead.has(error) || refused.has(error)) {
    const off = Math.abs(skewMs) > clockToleranceMs
    if (aboutTime || off) {
      const much = off ? ` is off by ${Math.round(skewMs / 1000)} s` : ' may be off'
      const hint = `the clock of this machine${much}; check timedatectl`
      return new Unavailable(said, { trouble: 'clock', hint })
    }
    return new SignInNeeded(said)
  }
  return new Misconfigured(said, { hint: hintFor(error) })
}

function hintFor(error: string): string {
  switch (error) {
    case 'invalid_client':
      return 'check client_id and client_secret against the registration, then run: xoauthd reload'
    case 'unauthorized_client':
      return 'the registration does not allow this way of asking; check its type, grants and scopes'
    case 'invalid_scope':
      return 'check the scopes of the account against what the registration allows'
    case 'redirect_uri_mismatch':
      return 'register the redirect URI that was sent, or set redirect_uri to the registered one'
    default:
      return 'check the account against the registration, then run: xoauthd reload'
  }
}

function unreachable(error: NodeJS.ErrnoException, host: string): Unavailable {
  const code = error.code ?? error.name
  // Node names certificate failures in these ways (OpenSSL's X509_V_ERR_*).
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME|SSL|TLS/.test(code))
    return new Unavailable(`${host} showed a certificate that we cannot accept (${code})`, {
      trouble: 'network',
      cause: error,
      hint: 'a captive portal, an intercepting proxy (NODE_EXTRA_CA_CERTS) or a wrong clock does this',
    })
  const why = code === 'ABORT_ERR' ? 'no answer in time' : code === 'Error' ? error.message : code
  return new Unavailable(`${host} cannot be reached (${oneLine(why)})`, {
    trouble: 'network',
    cause: error,
  })
}

/** Seconds or a date (RFC 9110 10.2.3), at most an hour. */
function readRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - nowMs) / 1000
  if (!Number.isFinite(seconds) || seconds < 0) return undefined
  return Math.min(seconds * 1000, retryAfterLimitMs)
}

/** How far our clock is ahead of the server's; 0 when it does not say. */
function skewOf(date: string | undefined, nowMs: number): number {
  const theirsMs = date === undefined ? NaN : Date.parse(date)
  return Number.isFinite(theirsMs) ? nowMs - theirsMs : 0
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

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Servers quote what was sent as they read it, or as it travelled. */
function redact(text: string, secrets: readonly string[]): string {
  const forms = secrets
    .filter((secret) => secret !== '')
    .flatMap((secret) => [secret, encodeURIComponent(secret), formEncode(secret)])
    // One secret may be a part of another, which must not remain in pieces.
    .sort((a, b) => b.length - a.length)
  return forms.reduce((rest, form) => rest.replaceAll(form, '***'), text)
}

/** @returns a value as a form has it (application/x-www-form-urlencoded) */
export function formEncode(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1)
}

/** @returns a text of the server as one short line in quotes */
export function quote(text: string): string {
  return JSON.stringify(shorten(text))
}

function shorten(text: string): string {
  const line = oneLine(text)
  return line.length > 200 ? `${line.slice(0, 200)}…` : line
}
