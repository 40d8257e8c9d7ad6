/**
 * A sign-in with a code that is typed in on another device (RFC 8628).
 *
 * Promises to ask as seldom as the server wants, more seldom while it is in trouble, and not beyond the
 * life of the code.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { SignInNeeded, Unavailable, oneLine } from '../errors.ts'
import type { Seen, Transport } from '../transport.ts'
import { readJsonAnswer, readTokenAnswer, type TokenAnswer } from './answers.ts'
import type { DeviceCode } from './provider.ts'
import { sendForm, type Client } from './token-endpoint.ts'

const grantType = 'urn:ietf:params:oauth:grant-type:device_code'
/** RFC 8628 3.2: what a server that does not say wants, and 3.5: what `slow_down` adds. */
const usualIntervalMs = 5_000
/** RFC 8628 requires servers to say; a quarter of an hour is what most do. */
const assumedLifetimeMs = 15 * 60_000
/** While nothing answers, waits double up to this. */
const longestWaitMs = 60_000

const consentHint = 'consent was refused; run login again to give it'

/** The two endpoints, and who asks. */
export interface DeviceParty {
  readonly transport: Transport
  readonly deviceEndpoint: string
  readonly tokenEndpoint: string
  readonly client: Client
}

/**
 * Asks for a code, shows it, and waits until the person is done.
 *
 * @param form parameters of the first request: `scope`, and what the server wants beside it
 * @rejects SignInNeeded when the person refused or took too long, or another Failure
 */
export async function redeemDeviceCode(
  party: DeviceParty,
  form: Readonly<Record<string, string>>,
  show: (code: DeviceCode) => void,
  signal: AbortSignal,
): Promise<TokenAnswer> {
  const { transport, deviceEndpoint, client } = party
  const { seen, asked } = await sendForm(
    transport,
    deviceEndpoint,
    client,
    form,
    Date.now(),
    signal,
  )
  const issued = readDeviceAnswer(readJsonAnswer(seen, asked), asked.host, asked.nowMs)
  show(issued.code)
  return poll(party, issued, signal)
}

interface Issued {
  readonly code: DeviceCode
  /** The secret half, for us alone. */
  readonly deviceCode: string
  readonly intervalMs: number
}

function readDeviceAnswer(json: Record<string, unknown>, host: string, nowMs: number): Issued {
  const word = (name: string): string | undefined => {
    const value = json[name]
    return typeof value === 'string' && value !== '' ? oneLine(value) : undefined
  }
  const deviceCode = word('device_code')
  const userCode = word('user_code')
  // Google's name for it is the older one.
  const uri = word('verification_uri') ?? word('verification_url')
  const complete = word('verification_uri_complete')
  if (deviceCode === undefined || userCode === undefined || !isWebAddress(uri))
    throw new Unavailable(`${host} answered without a usable device code`, { trouble: 'provider' })
  return {
    deviceCode,
    intervalMs: positiveMs(json['interval']) ?? usualIntervalMs,
    code: {
      userCode,
      verificationUri: uri,
      verificationUriComplete: isWebAddress(complete) ? complete : undefined,
      expiresAtMs: nowMs + (positiveMs(json['expires_in']) ?? assumedLifetimeMs),
    },
  }
}

/** What a person is told to open is a page, and nothing that a terminal or browser would run. */
function isWebAddress(text: string | undefined): text is string {
  return text !== undefined && /^https?:\/\//i.test(text) && URL.canParse(text)
}

function positiveMs(seconds: unknown): number | undefined {
  const ms = Number(seconds ?? undefined) * 1000
  return ms > 0 && Number.isFinite(ms) ? ms : undefined
}

async function poll(
  { transport, tokenEndpoint, client }: DeviceParty,
  { code, deviceCode, intervalMs }: Issued,
  signal: AbortSignal,
): Promise<TokenAnswer> {
  const form = { ...client.extra, grant_type: grantType, device_code: deviceCode }
  let waitMs = intervalMs
  for (;;) {
    await pause(waitMs, signal)
    const nowMs = Date.now()
    if (nowMs >= code.expiresAtMs) throw tooLate()
    const { seen, asked } = await sendForm(transport, tokenEndpoint, client, form, nowMs, signal)
    const error = errorIn(seen)
    if (error === 'expired_token') throw tooLate()
    if (error === 'slow_down') waitMs += usualIntervalMs
    else if (error !== 'authorization_pending')
      try {
        return readTokenAnswer(seen, asked)
      } catch (failure) {
        // The person may be typing all the while; a server that is away comes back (RFC 8628 3.5).
        if (signal.aborted) throw notFinished()
        if (failure instanceof SignInNeeded)
          throw new SignInNeeded(failure.message, { cause: failure, hint: consentHint })
        if (!(failure instanceof Unavailable)) throw failure
        const doubledMs = Math.min(waitMs * 2, Math.max(longestWaitMs, intervalMs))
        waitMs = Math.max(doubledMs, failure.retryAfterMs ?? 0)
      }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await wait(ms, undefined, { signal })
  } catch {
    throw notFinished()
  }
}

function notFinished(): Unavailable {
  return new Unavailable('the sign-in was not finished', { hint: 'run login again' })
}

function tooLate(): SignInNeeded {
  return new SignInNeeded('the code was not typed in in time', {
    hint: 'run login --device again, which shows a new one',
  })
}

/** The error of a server that speaks OAuth; the rest is judged like any token answer. */
function errorIn(seen: Seen): string | undefined {
  // RFC 6749 5.2 says 400; some say 401, 403 (Okta, early Auth0) or 428 (early Google) while they wait.
  if (seen.kind !== 'answer' || seen.status >= 500) return undefined
  try {
    const { error } = Object(JSON.parse(seen.body)) as { readonly error?: unknown }
    return typeof error === 'string' ? error : undefined
  } catch {
    return undefined
  }
}
