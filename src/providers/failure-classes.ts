/**
 * The classes of failure: what was seen of a request, and what that calls for. Pure.
 *
 * The rule that matters most: only an answer that parses as OAuth and says so ends a sign-in. A captive
 * portal, an HTML page, a proxy's 403 or a wrong clock is trouble on the way, and trouble passes. The
 * error code of the standards (RFC 6749 5.2 and what servers do beside it) decides; what a vendor adds
 * only makes the explanation better.
 */
import {
  type Failure,
  Misconfigured,
  SignInNeeded,
  Unavailable,
  oneLine,
  type Trouble,
} from '../errors.ts'
import { parseObject } from '../json.ts'
import type { Seen } from '../transport.ts'
import { explain, type Said, type Sent } from './explain.ts'
import { quote, redact, shorten } from './redaction.ts'

/**
 * - network: nobody was reached, or the connection broke
 * - intercepted: somebody else answered, by all appearance: a portal, a proxy, a wrong certificate
 * - provider: the server is in trouble, or asks us to slow down
 * - configuration: the administrator has to change something
 * - clock: this machine's clock is what the server complains of
 * - sign-in: the grant is dead, or consent was refused
 */
export type FailureClass =
  'network' | 'intercepted' | 'provider' | 'configuration' | 'clock' | 'sign-in'

export interface Judged {
  readonly class: FailureClass
  readonly message: string
  readonly hint: string | undefined
  /** How long the server asked us to wait, at most an hour. */
  readonly waitMs: number | undefined
  /** Which row of the explanations fits. */
  readonly because: string | undefined
  readonly cause?: unknown
}

/** What was asked, as far as it takes to judge the answer. */
export interface Asked {
  /** Whom we asked, for the message. */
  readonly host: string
  /** The wall clock, epoch ms. */
  readonly nowMs: number
  /** What we sent that no message may repeat, should the server quote it. */
  readonly secrets: readonly string[]
  /** What an explanation may repeat. */
  readonly sent?: Sent | undefined
}

/** Retry-After beyond this is taken for a mistake. */
const retryAfterLimitMs = 3_600_000
/** Below this a clock cannot be what a server complains of. */
const clockToleranceMs = 5 * 60_000

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
/** How servers word that an assertion's times do not fit their clock. */
const aboutTime =
  /short-lived token|reasonable timeframe|not yet valid|within its valid time range|clock/i

/** @returns undefined for a success: JSON with a status of 2xx */
export function judge(seen: Seen, asked: Asked): Judged | undefined {
  if (seen.kind === 'no-answer') return unreached(seen.error, asked.host)
  const json = parseObject(seen.body)
  const error = json && textOf(json['error'])
  const { status, headers } = seen
  if (status >= 500 || passingStatus.has(status) || (error && passing.has(error)))
    return inTrouble(status, error, headers['retry-after'], asked)
  // Google's 403 for a delegation that is not there; a proxy does not say these words.
  const google = /^Requested client not authorized/.test(textOf(json?.['error_description']) ?? '')
  const meant = errorStatus.has(status) || registered.has(error ?? '') || google
  if (json !== undefined && error !== undefined && meant)
    return answered(error, json, asked, skewOf(headers.date, asked.nowMs))
  if (json !== undefined && status >= 200 && status <= 299) return undefined
  return {
    class: 'intercepted',
    message: `${asked.host} did not answer as an OAuth server (HTTP ${status}${json ? '' : ', no JSON'})`,
    hint: 'something between here and there may be answering for it: a captive portal or a proxy',
    waitMs: undefined,
    because: undefined,
  }
}

/** @returns the failure that the rest of the program reacts to */
export function failureFrom(judged: Judged): Failure {
  const { message, hint, because, cause } = judged
  switch (judged.class) {
    case 'configuration':
      return new Misconfigured(message, { hint, cause })
    case 'sign-in':
      return new SignInNeeded(message, { hint, cause, because })
    case 'network':
    case 'intercepted':
    case 'provider':
    case 'clock': {
      const trouble: Trouble = judged.class === 'intercepted' ? 'network' : judged.class
      return new Unavailable(message, { hint, cause, trouble, retryAfterMs: judged.waitMs })
    }
  }
}

/** An answer that parses as OAuth and says what is wrong. */
function answered(
  error: string,
  json: Readonly<Record<string, unknown>>,
  asked: Asked,
  skewMs: number,
): Judged {
  const description = redact(textOf(json['error_description']) ?? '', asked.secrets)
  const code = quote(redact(error, asked.secrets))
  const words = `${asked.host} answered ${code}${description === '' ? '' : `: ${shorten(description)}`}`
  const off = Math.abs(skewMs) > clockToleranceMs
  const untimely = aboutTime.test(description)
  const gone = dead.has(error) || refused.has(error)
  if (gone ? untimely || off : untimely && off) {
    const much = off ? ` is off by ${Math.round(skewMs / 1000)} s` : ' may be off'
    const hint = `the clock of this machine${much}; check timedatectl`
    return { class: 'clock', message: words, hint, waitMs: undefined, because: 'clock' }
  }
  const found = explain(
    { ...saidIn(json, description), error },
    { host: asked.host, ...asked.sent },
  )
  const { sentence, next, because } = found ?? {}
  const message = sentence === undefined ? words : `${sentence} (${words})`
  if (gone) return { class: 'sign-in', message, hint: next, waitMs: undefined, because }
  const hint = next ?? 'check the account against the registration, then run: xoauthd reload'
  return { class: 'configuration', message, hint, waitMs: undefined, because }
}

function saidIn(json: Readonly<Record<string, unknown>>, description: string): Omit<Said, 'error'> {
  const codes: unknown = json['error_codes']
  return {
    description,
    subtype: textOf(json['suberror']) ?? textOf(json['error_subtype']),
    numbers: Array.isArray(codes)
      ? codes.filter((one): one is number => Number.isInteger(one))
      : [],
  }
}

function inTrouble(
  status: number,
  error: string | undefined,
  retryAfter: string | undefined,
  asked: Asked,
): Judged {
  const code = error === undefined ? '' : `, ${quote(redact(error, asked.secrets))}`
  return {
    class: 'provider',
    message: `${asked.host} is in trouble (HTTP ${status}${code})`,
    hint: undefined,
    waitMs: readRetryAfter(retryAfter, asked.nowMs),
    because: 'service-trouble',
  }
}

/** What it means that no answer came. */
export function unreached(error: NodeJS.ErrnoException, host: string): Judged {
  const code = error.code ?? error.name
  const rest = { waitMs: undefined, because: undefined, cause: error }
  // Node names certificate failures in these ways (OpenSSL's X509_V_ERR_*).
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME|SSL|TLS/.test(code))
    return {
      class: 'intercepted',
      message: `${host} showed a certificate that we cannot accept (${code})`,
      hint: 'a captive portal, an intercepting proxy (NODE_EXTRA_CA_CERTS) or a wrong clock does this',
      ...rest,
    }
  const why = code === 'ABORT_ERR' ? 'no answer in time' : code === 'Error' ? error.message : code
  const message = `${host} cannot be reached (${oneLine(why)})`
  return { class: 'network', message, hint: undefined, ...rest }
}

/** Seconds or a date (RFC 9110 10.2.3), at most an hour. */
export function readRetryAfter(header: string | undefined, nowMs: number): number | undefined {
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

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
