/**
 * Any OAuth 2 or OpenID Connect server: found by its issuer or by its endpoints.
 *
 * A grant is the refresh token. Services whose scopes differ get tokens of their own, each narrowed to
 * what the service needs (RFC 6749 6), so that a socket that serves SMTP hands out nothing that can read
 * mail.
 */
import { wildcardDomain } from '../address.ts'
import { Failure, Misconfigured } from '../errors.ts'
import {
  choice,
  described,
  endpoint,
  loopbackHostPort,
  optional,
  redirect,
  secret,
  table,
  text,
  texts,
} from '../schema.ts'
import { readIdToken, readJsonAnswer, type TokenAnswer } from './answers.ts'
import { readAuthorizationCode } from './authorization-answer.ts'
import { discover, type Endpoints } from './discovery.ts'
import { createPkce } from './pkce.ts'
import { providerKind, type Problem } from './provider.ts'
import { checkSignIn, scopesOf } from './signed-in.ts'
import { requestToken, revokeGrant, type Client } from './token-endpoint.ts'

/** Metadata changes rarely; a day's delay is what browsers and libraries allow themselves too. */
const metadataLifetimeMs = 86_400_000

/** What `extra` may not set: the parameters that make the exchange safe, and our own identity. */
const ownAuthorizeParameters = [
  'response_type',
  'response_mode',
  'client_id',
  'redirect_uri',
  'scope',
  'state',
  'code_challenge',
  'code_challenge_method',
]
const ownTokenParameters = [
  'grant_type',
  'code',
  'redirect_uri',
  'client_id',
  'client_secret',
  'code_verifier',
  'refresh_token',
  'scope',
]

export const oauth2 = providerKind({
  settings: {
    client_id: text('the client registration at the server'),
    client_secret: optional(secret("the registration's secret, where it has one")),
    client_auth: optional(
      choice(['post', 'basic', 'none'], 'how the client proves itself at the token endpoint'),
    ),
    issuer: optional(endpoint('the server, which is then asked for its endpoints (RFC 8414)')),
    authorization_endpoint: optional(endpoint('where a person signs in, when there is no issuer')),
    token_endpoint: optional(endpoint('where tokens are fetched, when there is no issuer')),
    revocation_endpoint: optional(endpoint('where logout --revoke ends a grant')),
    redirect_uri: optional(redirect('the redirect URI as the registration has it')),
    listen: optional(
      loopbackHostPort('where login waits for the answer, when not where redirect_uri points'),
    ),
    extra: optional(
      described(
        table({
          authorize: optional(texts('parameters added to the authorization request')),
          token: optional(texts('parameters added to each token request')),
        }),
        'parameters that this server wants beside the usual ones',
      ),
    ),
  },

  services(scopes) {
    const named = Object.keys(scopes).filter((service) => service !== 'login')
    const known = named.length > 0 ? named : ['smtp', 'imap']
    return { known, usual: known }
  },

  problems(identity, settings) {
    const problems: Problem[] = []
    if (settings.issuer === undefined && settings.token_endpoint === undefined)
      problems.push({
        key: 'issuer',
        message:
          'is missing; write issuer = "https://…", or authorization_endpoint and token_endpoint',
      })
    if (settings.issuer === undefined && settings.authorization_endpoint === undefined)
      if (settings.token_endpoint !== undefined)
        problems.push({
          key: 'authorization_endpoint',
          message: 'is missing beside token_endpoint',
        })
    const needsSecret = settings.client_auth === 'post' || settings.client_auth === 'basic'
    if (needsSecret && settings.client_secret === undefined)
      problems.push({
        key: 'client_secret',
        message: `is missing; client_auth = "${settings.client_auth}" needs it`,
      })
    if (settings.client_auth === 'none' && settings.client_secret !== undefined)
      problems.push({ key: 'client_secret', message: 'is not used with client_auth = "none"' })
    for (const [part, own] of [
      ['authorize', ownAuthorizeParameters],
      ['token', ownTokenParameters],
    ] as const)
      for (const name of Object.keys(settings.extra?.[part] ?? {}))
        if (own.includes(name))
          problems.push({ key: 'extra', message: `may not set "${name}" in ${part}; remove it` })
    if (wildcardDomain(identity.user) !== undefined)
      problems.push({ key: 'user', message: 'must be one address: a person signs in here' })
    return problems
  },

  create(identity, settings, { transport, readSecret }) {
    const { scopes, services: wanted } = identity
    const distinct = new Set(wanted.map((service) => scopesOf(scopes, [service])))
    const origin = settings.issuer ?? settings.token_endpoint ?? ''
    let metadata: { endpoints: Endpoints; readAtMs: number } | undefined

    async function client(): Promise<Client> {
      const value = settings.client_secret && (await readSecret(settings.client_secret))
      const authentication = settings.client_auth ?? (value === undefined ? 'none' : 'post')
      const extra = settings.extra?.token
      return { id: settings.client_id, secret: value, authentication, extra }
    }

    async function endpoints(nowMs: number, signal: AbortSignal): Promise<Endpoints> {
      if (metadata && Math.abs(nowMs - metadata.readAtMs) < metadataLifetimeMs)
        return metadata.endpoints
      let found: Endpoints | undefined
      try {
        if (settings.issuer !== undefined)
          found = await discover(transport, settings.issuer, nowMs, signal)
      } catch (error) {
        // What is a day old is still better than nothing, and was checked when it was read.
        if (metadata && error instanceof Failure) return metadata.endpoints
        throw error
      }
      const result: Endpoints = {
        issuer: settings.issuer,
        authorization: settings.authorization_endpoint ?? found?.authorization,
        token: settings.token_endpoint ?? found?.token ?? '',
        revocation: settings.revocation_endpoint ?? found?.revocation,
        userinfo: found?.userinfo,
        sendsIss: found?.sendsIss ?? false,
      }
      metadata = { endpoints: result, readAtMs: nowMs }
      return result
    }

    async function post(
      url: string,
      form: Record<string, string>,
      nowMs: number,
      signal: AbortSignal,
    ): Promise<TokenAnswer> {
      return requestToken(transport, url, await client(), form, nowMs, signal)
    }

    async function userOf(
      answer: TokenAnswer,
      at: Endpoints,
      nowMs: number,
      signal: AbortSignal,
    ): Promise<unknown> {
      const claimed = readIdToken(answer.idToken)['email']
      if (claimed !== undefined || answer.idToken === undefined || at.userinfo === undefined)
        return claimed
      const headers = { authorization: `Bearer ${answer.token.value}` }
      const seen = await transport.send({ method: 'GET', url: at.userinfo, headers }, signal)
      const host = new URL(at.userinfo).host
      return readJsonAnswer(seen, { host, nowMs, secrets: [answer.token.value] })['email']
    }

    return {
      authority: new URL(origin).host,
      binding: `oauth2 ${settings.client_id} at ${origin}`,
      usesGrant: true,
      tokenKey: (request) => (distinct.size > 1 ? scopesOf(scopes, [request.service]) : ''),

      async check() {
        await client()
      },

      async refresh(grant, request, nowMs, signal) {
        const at = await endpoints(nowMs, signal)
        const form: Record<string, string> = {
          grant_type: 'refresh_token',
          refresh_token: grant ?? '',
        }
        // Asking for a scope narrows; a server that gives the same to all is not asked (RFC 6749 6).
        if (distinct.size > 1) form['scope'] = scopesOf(scopes, [request.service])
        const answer = await post(at.token, form, nowMs, signal)
        return { token: answer.token, grant: answer.refreshToken ?? grant }
      },

      async signIn(ui, signal) {
        const at = await endpoints(Date.now(), signal)
        const { authorization } = at
        if (authorization === undefined)
          throw new Misconfigured(`${origin} has no authorization endpoint`, {
            hint: 'set authorization_endpoint',
          })
        const pkce = createPkce()
        const scope = scopesOf(scopes, ['login', ...wanted])
        return ui.browse(
          {
            redirectUri: settings.redirect_uri ?? 'http://127.0.0.1/',
            listen: settings.listen,
            authorizationUrl(redirectUri, state) {
              const url = new URL(authorization)
              const parameters: Record<string, string> = {
                login_hint: identity.user,
                // OpenID Connect Core 11: offline access is only given with the person's consent.
                ...(/(?:^| )offline_access(?: |$)/.test(scope) ? { prompt: 'consent' } : {}),
                ...settings.extra?.authorize,
                response_type: 'code',
                client_id: settings.client_id,
                redirect_uri: redirectUri,
                ...(scope === '' ? {} : { scope }),
                state,
                code_challenge: pkce.challenge,
                code_challenge_method: 'S256',
              }
              for (const [name, value] of Object.entries(parameters))
                url.searchParams.set(name, value)
              return url.href
            },
            async redeem(parameters, redirectUri, tripSignal) {
              const code = readAuthorizationCode(parameters, at.issuer, at.sendsIss)
              const form = {
                grant_type: 'authorization_code',
                code,
                redirect_uri: redirectUri,
                code_verifier: pkce.verifier,
              }
              const nowMs = Date.now()
              const answer = await post(at.token, form, nowMs, tripSignal)
              return checkSignIn({
                answer,
                user: identity.user,
                signedInAs: await userOf(answer, at, nowMs, tripSignal),
                scopes: scopesOf(scopes, wanted),
                hintForRefreshToken:
                  'add "offline_access" to scopes.login, or allow it at the server',
              })
            },
          },
          signal,
        )
      },

      grantFromRefreshToken: (refreshToken) => Promise.resolve(refreshToken),

      async revoke(grant, signal) {
        const { revocation } = await endpoints(Date.now(), signal)
        if (revocation === undefined)
          throw new Misconfigured(`${origin} has no revocation endpoint`, {
            hint: "end the sign-in on the provider's own pages",
          })
        await revokeGrant(transport, revocation, await client(), grant, signal)
      },
    }
  },
})
