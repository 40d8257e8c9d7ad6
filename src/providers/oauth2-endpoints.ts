/** Where the endpoints of an OAuth 2 server are: from the file, else from its metadata, read once a day. */
import { Failure } from '../errors.ts'
import type { Transport } from '../transport.ts'
import { discover, type Endpoints } from './discovery.ts'
import type { OAuth2Settings } from './oauth2-settings.ts'

/** Metadata changes rarely; a day's delay is what browsers and libraries allow themselves too. */
const metadataLifetimeMs = 86_400_000

/**
 * @param nowMs the wall clock, epoch ms
 * @param known whether there is a grant, so that the issuer has been found before
 * @rejects Failure when the server's metadata cannot be had
 */
export type FindEndpoints = (
  nowMs: number,
  signal: AbortSignal,
  known: boolean,
) => Promise<Endpoints>

/** @param issuer what a server without metadata calls itself in its answers, if that is known */
export function createEndpointFinder(
  transport: Transport,
  settings: OAuth2Settings,
  issuer: string | undefined,
): FindEndpoints {
  let metadata: { endpoints: Endpoints; readAtMs: number } | undefined

  return async (nowMs, signal, known) => {
    if (metadata && Math.abs(nowMs - metadata.readAtMs) < metadataLifetimeMs)
      return metadata.endpoints
    let found: Endpoints | undefined
    try {
      if (settings.issuer !== undefined)
        found = await discover(transport, settings.issuer, nowMs, signal, known)
    } catch (error) {
      // What is a day old is still better than nothing, and was checked when it was read.
      if (metadata && error instanceof Failure) return metadata.endpoints
      throw error
    }
    const endpoints: Endpoints = {
      issuer: settings.issuer ?? issuer,
      authorization: settings.authorization_endpoint ?? found?.authorization,
      token: settings.token_endpoint ?? found?.token ?? '',
      deviceAuthorization: settings.device_authorization_endpoint ?? found?.deviceAuthorization,
      revocation: settings.revocation_endpoint ?? found?.revocation,
      userinfo: found?.userinfo,
      sendsIss: found?.sendsIss ?? false,
    }
    metadata = { endpoints, readAtMs: nowMs }
    return endpoints
  }
}
