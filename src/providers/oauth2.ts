/**
 * Any OAuth 2 or OpenID Connect server: found by its issuer or by its endpoints.
 *
 * A grant is the refresh token. Services whose scopes differ get tokens of their own, each narrowed to
 * what the service needs (RFC 6749 6), so that a socket that serves SMTP hands out nothing that can read
 * mail.
 */
import { Misconfigured, Unavailable } from '../errors.ts'
import { describeSecret } from '../secret.ts'
import { readIdToken, readJsonAnswer, tokenIn, type TokenAnswer } from './answers.ts'
import { readAuthorizationCode } from './authorization-answer.ts'
import { readAssertionKey } from './client-assertion.ts'
import { redeemDeviceCode } from './device-code.ts'
import type { Endpoints } from './discovery.ts'
import { createEndpointFinder } from './oauth2-endpoints.ts'
import { problemsOf, settings as entries, type OAuth2Settings } from './oauth2-settings.ts'
import { createPkce } from './pkce.ts'
import {
  providerKind,
  type AccountIdentity,
  type Provider,
  type SignedIn,
  type Surroundings,
} from './provider.ts'
import { checkRefreshed, checkSignIn, missingIn, scopesOf } from './signed-in.ts'
import { requestToken, revokeGrant, sentIn, type Client } from './token-endpoint.ts'

/** In what a server that we know differs from what any server may be expected to do. */
export interface Ways {
  /** What it calls itself in its answers (RFC 9207), when it has no metadata. */
  readonly issuer?: string
  /** Whether a refresh may ask for some of the scopes alone. */
  readonly narrows: boolean
  /** How it says that tokens were asked for too often, and how long it is left alone then. */
  readonly tooMany?: { readonly says: RegExp; readonly waitMs: number }
}

export const oauth2 = providerKind({
  settings: entries,
  offered: ['client_secret', 'scopes'],

  page: 'others.md',

  services(scopes) {
    const named = Object.keys(scopes).filter((service) => service !== 'login')
    const known = named.length > 0 ? named : ['smtp', 'imap']
    return { known, usual: known }
  },

  problems: problemsOf,
  create: (identity, settings, surroundings) =>
    createOAuth2(identity, settings, { narrows: true }, surroundings),
})

/** A provider of an account at a server that is reached as `settings` say and behaves as `ways` say. */
export function createOAuth2(
  identity: AccountIdentity,
  settings: OAuth2Settings,
  ways: Ways,
  { transport, readSecret }: Surroundings,
): Provider {
  const { scopes, services: wanted, user } = identity
  const distinct = new Set(wanted.map((service) => scopesOf(scopes, [service])))
  const narrows = ways.narrows && distinct.size > 1
  const origin = settings.issuer ?? settings.token_endpoint ?? ''
  const endpoints = createEndpointFinder(transport, settings, ways.issuer)
  const signInScope = scopesOf(scopes, ['login', ...wanted])

  async function client(at?: Endpoints): Promise<Client> {
    const { client_secret, key, key_id } = settings
    const secret = client_secret && (await readSecret(client_secret))
    const authentication = settings.client_auth ?? (secret === undefined ? 'none' : 'post')
    const extra = settings.extra?.token
    const id = settings.client_id
    if (authentication !== 'private_key_jwt') return { id, secret, authentication, extra }
    if (!key) throw new Misconfigured('client_auth = "private_key_jwt" needs key')
    const readKey = readAssertionKey(await readSecret(key), describeSecret(key), key_id)
    return { id, secret, authentication: readKey, audience: at?.token, extra }
  }

  async function post(
    at: Endpoints,
    form: Record<string, string>,
    nowMs: number,
    signal: AbortSignal,
  ): Promise<TokenAnswer> {
    try {
      return await requestToken(transport, at.token, await client(at), form, nowMs, signal)
    } catch (error) {
      const { tooMany } = ways
      if (!(error instanceof Misconfigured) || !tooMany?.says.test(error.message)) throw error
      const hint = 'this provider counts token requests; xoauthd asks again when it may'
      throw new Unavailable(error.message, { cause: error, hint, retryAfterMs: tooMany.waitMs })
    }
  }

  /** What stands between a token answer to a sign-in and a grant that is kept. */
  async function finish(
    answer: TokenAnswer,
    at: Endpoints,
    signal: AbortSignal,
  ): Promise<SignedIn> {
    return checkSignIn({
      answer,
      user,
      signedInAs: await emailIn(answer, at, signal),
      scopes: scopesOf(scopes, wanted),
      hintForRefreshToken: 'add "offline_access" to scopes.login, or allow it at the server',
    })
  }

  async function emailIn(
    answer: TokenAnswer,
    at: Endpoints,
    signal: AbortSignal,
  ): Promise<unknown> {
    const claimed = readIdToken(answer.idToken)['email']
    if (claimed !== undefined || answer.idToken === undefined || at.userinfo === undefined)
      return claimed
    const { value } = tokenIn(answer)
    const headers = { authorization: `Bearer ${value}` }
    const seen = await transport.send({ method: 'GET', url: at.userinfo, headers }, signal)
    const host = new URL(at.userinfo).host
    const asked = { host, nowMs: Date.now(), secrets: [value] }
    return readJsonAnswer(seen, asked)['email']
  }

  function authorizationUrl(
    page: string,
    redirectUri: string,
    state: string,
    challenge: string,
  ): string {
    const url = new URL(page)
    const parameters: Record<string, string> = {
      login_hint: user,
      // OpenID Connect Core 11: offline access is only given with the person's consent.
      ...(/(?:^| )offline_access(?: |$)/.test(signInScope) ? { prompt: 'consent' } : {}),
      ...settings.extra?.authorize,
      response_type: 'code',
      client_id: settings.client_id,
      redirect_uri: redirectUri,
      ...(signInScope === '' ? {} : { scope: signInScope }),
      state,
      code_challenge: challenge,
      code_challenge_method: 'S256',
    }
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
    return url.href
  }

  const provider: Provider = {
    authority: new URL(origin).host,
    binding: `oauth2 ${settings.client_id} at ${origin}`,
    usesGrant: true,
    tokenKey: (request) => (narrows ? scopesOf(scopes, [request.service]) : ''),
    missingScopes: (service, granted) => missingIn(scopes, service, granted),

    async check() {
      await client()
    },

    async refresh(grant, request, nowMs, signal) {
      const at = await endpoints(nowMs, signal, grant !== undefined)
      const form: Record<string, string> = {
        grant_type: 'refresh_token',
        refresh_token: grant ?? '',
      }
      // Asking for a scope narrows; a server that gives the same to all is not asked (RFC 6749 6).
      if (narrows) form['scope'] = scopesOf(scopes, [request.service])
      const answer = await post(at, form, nowMs, signal)
      const ownerNamed = checkRefreshed(answer, user, new URL(at.token).host)
      const next = answer.refreshToken ?? grant
      const token = { ...tokenIn(answer, next), scopes: answer.scopes }
      return { token, grant: next, ownerNamed }
    },

    async signIn(ui, signal) {
      const at = await endpoints(Date.now(), signal, false)
      const { authorization } = at
      if (authorization === undefined) throw hasNo('authorization_endpoint')
      const pkce = createPkce()
      return ui.browse(
        {
          redirectUri: settings.redirect_uri ?? 'http://127.0.0.1/',
          listen: settings.listen,
          authorizationUrl: (redirectUri, state) =>
            authorizationUrl(authorization, redirectUri, state, pkce.challenge),
          async redeem(parameters, redirectUri, tripSignal) {
            const code = readAuthorizationCode(parameters, at.issuer, at.sendsIss, {
              ...sentIn(authorization, new URLSearchParams({ scope: signInScope })),
              client: settings.client_id,
              redirect: redirectUri,
            })
            const form = {
              grant_type: 'authorization_code',
              code,
              redirect_uri: redirectUri,
              code_verifier: pkce.verifier,
            }
            const answer = await post(at, form, Date.now(), tripSignal)
            return finish(answer, at, tripSignal)
          },
        },
        signal,
      )
    },

    grantFromRefreshToken: (refreshToken) => Promise.resolve(refreshToken),

    async revoke(grant, signal) {
      const at = await endpoints(Date.now(), signal, true)
      const { revocation } = at
      if (revocation === undefined)
        throw new Misconfigured(`${origin} has no revocation endpoint`, {
          hint: "end the sign-in on the provider's own pages",
        })
      await revokeGrant(transport, revocation, await client(at), grant, signal)
    },
  }

  function hasNo(key: string): Misconfigured {
    return new Misconfigured(`${origin} has no ${key.replaceAll('_', ' ')}`, { hint: `set ${key}` })
  }

  // A server that cannot be asked whether it has this, and of which the file does not say so, has not.
  if (settings.issuer === undefined && settings.device_authorization_endpoint === undefined)
    return provider
  return {
    ...provider,
    async signInByDevice(ui, signal) {
      const at = await endpoints(Date.now(), signal, false)
      const { deviceAuthorization: deviceEndpoint, token: tokenEndpoint } = at
      if (deviceEndpoint === undefined) throw hasNo('device_authorization_endpoint')
      const party = { transport, deviceEndpoint, tokenEndpoint, client: await client(at) }
      const scope = signInScope === '' ? {} : { scope: signInScope }
      const form = { ...settings.extra?.authorize, ...scope }
      return ui.device(
        {
          redeem: async (show, tripSignal) =>
            finish(await redeemDeviceCode(party, form, show, tripSignal), at, tripSignal),
        },
        signal,
      )
    },
  }
}
