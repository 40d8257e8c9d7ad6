/**
 * Microsoft's library, loaded when the first Microsoft account needs it. The one door to it.
 *
 * A client of the library lives for one exchange, so that none of its own memory (tokens, throttling)
 * comes between the keeper and the server. It builds and signs the requests and keeps the cache; what it
 * sends goes through our own transport, and only to the login host of the account's cloud: it is given the
 * endpoints, so that it asks nobody for them. What an answer means is read from the answer itself, as for
 * every other provider, whatever the library makes of it.
 */
import type * as msal from '@azure/msal-node'
import { Unavailable, asFailure, type Failure } from '../errors.ts'
import { readTokenAnswer, type TokenAnswer } from './answers.ts'
import type { ClientCertificate } from './client-certificate.ts'
import { createLine, objectOf, patient, type How, type Line, type Network } from './msal-network.ts'
import type { DeviceCode, Grant } from './provider.ts'

/** A registration in Entra, and what it proves itself with. */
export interface Application {
  readonly clientId: string
  /** Of the cloud: `login.microsoftonline.com`. */
  readonly loginHost: string
  /** A tenant's id or domain, or `common`, `organizations`, `consumers`. */
  readonly tenant: string
  /** Without either, the client is a public one. */
  readonly secret: string | undefined
  readonly certificate: ClientCertificate | undefined
}

export interface AuthorizationRequest {
  readonly redirectUri: string
  readonly state: string
  readonly challenge: string
  readonly loginHint: string
  readonly scopes: readonly string[]
  /** Of other resources, for which tokens are fetched later. */
  readonly scopesToConsent: readonly string[]
  readonly claims: string | undefined
}

/** What came of an exchange. */
export type Exchanged =
  | { readonly kind: 'tokens'; readonly answer: TokenAnswer; readonly cache: string }
  | {
      readonly kind: 'refused'
      readonly failure: Failure
      /** What the server wants to see at the next sign-in, as it sent it. */
      readonly claims: string | undefined
    }

type Library = Pick<typeof msal, 'ConfidentialClientApplication' | 'PublicClientApplication'>
type Client = msal.PublicClientApplication | msal.ConfidentialClientApplication

/** @returns the address of the sign-in page; nobody is asked for it */
export async function authorizationUrl(
  application: Application,
  request: AuthorizationRequest,
): Promise<string> {
  const { claims } = request
  const client = createClient(await loadLibrary(), application, closedLine)
  return client.getAuthCodeUrl({
    scopes: [...request.scopes],
    extraScopesToConsent: [...request.scopesToConsent],
    redirectUri: request.redirectUri,
    responseMode: 'query',
    state: request.state,
    codeChallenge: request.challenge,
    codeChallengeMethod: 'S256',
    loginHint: request.loginHint,
    ...(claims === undefined ? {} : { claims }),
  })
}

/** A code that the browser brought back becomes tokens. */
export async function redeemCode(
  application: Application,
  request: {
    readonly code: string
    readonly verifier: string
    readonly redirectUri: string
    readonly scopes: readonly string[]
  },
  how: How,
): Promise<Exchanged> {
  const { code, verifier, redirectUri, scopes } = request
  return exchange(application, createLine(application.loginHost, how), how, (client) =>
    client.acquireTokenByCode({ code, codeVerifier: verifier, redirectUri, scopes: [...scopes] }),
  )
}

/** @param grant whose cache the new refresh token joins */
export async function redeemRefreshToken(
  application: Application,
  request: {
    readonly grant: Grant
    readonly refreshToken: string
    readonly scopes: readonly string[]
  },
  how: How,
): Promise<Exchanged> {
  const { grant, refreshToken, scopes } = request
  return exchange(application, createLine(application.loginHost, how), how, (client) => {
    client.getTokenCache().deserialize(grant)
    return client.acquireTokenByRefreshToken({
      refreshToken,
      scopes: [...scopes],
      forceCache: true,
    })
  })
}

/** The application asks for itself (RFC 6749 4.4). */
export async function redeemCredentials(
  application: Application,
  scopes: readonly string[],
  how: How,
): Promise<Exchanged> {
  return exchange(application, createLine(application.loginHost, how), how, (client) => {
    if (!('acquireTokenByClientCredential' in client))
      throw new Error('an application needs a secret or a certificate')
    // The variable MSAL_FORCE_REGION would send it to another host.
    const azureRegion = 'DisableMsalForceRegion'
    return client.acquireTokenByClientCredential({ scopes: [...scopes], azureRegion })
  })
}

/**
 * Asks for a code, hands it to `show`, and polls until the person is done (RFC 8628).
 *
 * Only a public client can: learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
 */
export async function redeemDeviceCode(
  application: Application,
  request: { readonly scopes: readonly string[]; readonly claims: string | undefined },
  show: (code: DeviceCode) => void,
  how: How,
): Promise<Exchanged> {
  const line = createLine(application.loginHost, how)
  let failure: Failure | undefined
  const network = patient(line, how, (error) => (failure ??= asFailure(error)))
  const exchanged = await exchange(application, { ...line, network }, how, (client) => {
    if (!('acquireTokenByDeviceCode' in client))
      throw new Error('a device code is for public clients')
    const { claims } = request
    return client.acquireTokenByDeviceCode({
      scopes: [...request.scopes],
      ...(claims === undefined ? {} : { claims }),
      deviceCodeCallback: ({ userCode, verificationUri, expiresIn }) =>
        show({
          userCode,
          verificationUri,
          verificationUriComplete: undefined,
          expiresAtMs: Date.now() + expiresIn * 1000,
        }),
    })
  })
  if (failure) return { kind: 'refused', failure, claims: undefined }
  const late =
    exchanged.kind === 'refused' && /pending|expired_token/.test(exchanged.failure.message)
  return late ? { ...exchanged, failure: codeExpired } : exchanged
}

const codeExpired = new Unavailable('the code was not typed in while it was good', {
  hint: 'run login --device again',
})

async function exchange(
  application: Application,
  line: Line,
  how: How,
  call: (client: Client) => Promise<unknown>,
): Promise<Exchanged> {
  const client = createClient(await loadLibrary(), application, line.network)
  try {
    await call(client)
  } catch (error) {
    // Once the server was asked, its answer counts, and not what the library thinks of it.
    if (line.seen() === undefined) throw error
  }
  const seen = line.seen() ?? { kind: 'no-answer', error: new Error('nothing was asked') }
  try {
    const answer = readTokenAnswer(seen, line.asked(how.nowMs))
    return { kind: 'tokens', answer, cache: client.getTokenCache().serialize() }
  } catch (error) {
    const { claims } = objectOf(seen)
    const known = typeof claims === 'string' && claims !== '' ? claims : undefined
    return { kind: 'refused', failure: asFailure(error), claims: known }
  }
}

function createClient(library: Library, application: Application, networkClient: Network): Client {
  const { clientId, loginHost, tenant, secret, certificate } = application
  const base = `https://${loginHost}/${tenant}`
  const auth: msal.Configuration['auth'] = {
    clientId,
    authority: base,
    // Otherwise it asks login.microsoftonline.com whether this host may be trusted, and then the host.
    knownAuthorities: [loginHost],
    authorityMetadata: JSON.stringify({
      issuer: `${base}/v2.0`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      jwks_uri: `${base}/discovery/v2.0/keys`,
    }),
  }
  const system = { networkClient }
  if (certificate)
    return new library.ConfidentialClientApplication({
      auth: {
        ...auth,
        clientCertificate: {
          thumbprintSha256: certificate.thumbprint,
          privateKey: certificate.privateKey,
        },
      },
      system,
    })
  return secret === undefined
    ? new library.PublicClientApplication({ auth, system })
    : new library.ConfidentialClientApplication({ auth: { ...auth, clientSecret: secret }, system })
}

/** Nothing is sent to make an address. */
const closedLine: Network = {
  sendGetRequestAsync: () => Promise.reject(new Error('nothing is asked here')),
  sendPostRequestAsync: () => Promise.reject(new Error('nothing is asked here')),
}

async function loadLibrary(): Promise<Library> {
  return import('@azure/msal-node')
}
