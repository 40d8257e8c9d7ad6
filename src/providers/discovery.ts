/**
 * An issuer's metadata: RFC 8414, or OpenID Connect Discovery 1.0, which most servers have.
 *
 * Promises that the document names the very issuer that was asked for (RFC 8414 3.3, against mix-up),
 * and that every endpoint taken from it may be sent a secret.
 */
import { isSafeEndpoint } from '../endpoint.ts'
import { Misconfigured, SignInNeeded, Unavailable, asFailure, type Failure } from '../errors.ts'
import type { Transport } from '../transport.ts'
import { readJsonAnswer } from './answers.ts'
import { quote } from './redaction.ts'

/** What servers say, beside 404, of a path that they do not have. */
const notHereStatus = new Set([400, 403, 405])

export interface Endpoints {
  readonly issuer: string | undefined
  readonly authorization: string | undefined
  readonly token: string
  /** Where a code to type in is asked for (RFC 8628 4). */
  readonly deviceAuthorization: string | undefined
  readonly revocation: string | undefined
  readonly userinfo: string | undefined
  /** RFC 9207: whether each authorization answer carries `iss`. */
  readonly sendsIss: boolean
}

/**
 * @param known whether the issuer has published its metadata before: what finds nothing there now is
 *   something on the way, or a mistake of theirs, and passes
 * @rejects Failure when no document can be had, or it is another issuer's
 */
export async function discover(
  transport: Transport,
  issuer: string,
  nowMs: number,
  signal: AbortSignal,
  known = false,
): Promise<Endpoints> {
  const asked = { host: new URL(issuer).host, nowMs, secrets: [] }
  let first: Failure | undefined
  for (const url of wellKnown(issuer)) {
    const seen = await transport.send({ method: 'GET', url }, signal)
    if (seen.kind === 'answer' && seen.status === 404) continue
    try {
      return readMetadata(readJsonAnswer(seen, asked), issuer)
    } catch (error) {
      const failure = withoutGrant(error)
      if (seen.kind !== 'answer' || !notHereStatus.has(seen.status)) throw failure
      first ??= failure
    }
  }
  if (first) throw first
  if (known)
    throw new Unavailable(`${issuer} publishes no metadata any more (HTTP 404)`, {
      trouble: 'network',
      hint: 'a proxy may be answering for it; else set authorization_endpoint and token_endpoint',
    })
  throw new Misconfigured(`${issuer} publishes no metadata`, {
    hint: 'check issuer, or set authorization_endpoint and token_endpoint instead',
  })
}

/** No grant was shown, so whatever the answer says, it is not that the grant is dead. */
function withoutGrant(error: unknown): Failure {
  const failure = asFailure(error)
  if (!(failure instanceof SignInNeeded)) return failure
  return new Unavailable(failure.message, { trouble: 'provider', cause: failure })
}

function wellKnown(issuer: string): string[] {
  const url = new URL(issuer)
  const path = url.pathname.replace(/\/$/, '')
  return [
    `${url.origin}${path}/.well-known/openid-configuration`,
    // RFC 8414 3.1 puts the well-known part before the issuer's path.
    `${url.origin}/.well-known/oauth-authorization-server${path}`,
  ]
}

function readMetadata(document: Record<string, unknown>, issuer: string): Endpoints {
  const named = document['issuer']
  if (typeof named !== 'string')
    throw new Unavailable(`${new URL(issuer).host} answered without an issuer`, {
      trouble: 'network',
    })
  if (named !== issuer)
    throw new Misconfigured(`the metadata of ${issuer} is of the issuer ${quote(named)}`, {
      hint: 'write issuer exactly as the server does, down to a slash at the end',
    })
  const endpoint = (name: string): string | undefined => {
    const value = document[name]
    if (value === undefined) return undefined
    if (typeof value === 'string' && isSafeEndpoint(value)) return value
    throw new Misconfigured(`the metadata of ${issuer} has an unusable ${name}`)
  }
  const token = endpoint('token_endpoint')
  if (token === undefined)
    throw new Unavailable(`the metadata of ${issuer} names no token_endpoint`, {
      trouble: 'provider',
    })
  return {
    issuer,
    authorization: endpoint('authorization_endpoint'),
    token,
    deviceAuthorization: endpoint('device_authorization_endpoint'),
    revocation: endpoint('revocation_endpoint'),
    userinfo: endpoint('userinfo_endpoint'),
    sendsIss: document['authorization_response_iss_parameter_supported'] === true,
  }
}
