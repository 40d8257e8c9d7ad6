/**
 * Gmail and Google Workspace, where a person signs in once.
 *
 * A grant is the refresh token, which Google does not rotate. One token serves every service.
 * Facts: developers.google.com/identity/protocols/oauth2/native-app
 */
import { wildcardDomain } from '../address.ts'
import { loopbackHostPort, optional, redirect, secret, text } from '../schema.ts'
import { readIdToken, tokenIn, type TokenAnswer } from './answers.ts'
import { readAuthorizationCode } from './authorization-answer.ts'
import {
  authority,
  gmailHosts,
  loadGoogleAuth,
  servicesOf,
  askGoogle,
  withMailScopes,
  type OAuth2Client,
} from './googleapis.ts'
import { googleEnds } from './grant-ends.ts'
import { createPkce } from './pkce.ts'
import { providerKind } from './provider.ts'
import { checkRefreshed, checkSignIn, missingIn, scopesOf } from './signed-in.ts'
import { revokeGrant } from './token-endpoint.ts'

const issuer = 'https://accounts.google.com'
const revocationEndpoint = 'https://oauth2.googleapis.com/revoke'
/** Asked for beside the mail scope, so that the answer says who signed in. */
const identityScopes = ['openid', 'https://www.googleapis.com/auth/userinfo.email']

export const google = providerKind({
  settings: {
    client_id: text('an OAuth client of the type "Desktop app", …apps.googleusercontent.com'),
    client_secret: secret('the secret of that client, as the console shows it'),
    redirect_uri: optional(redirect('http://127.0.0.1 with any free port, unless set')),
    listen: optional(
      loopbackHostPort('where login waits for the answer, when not where redirect_uri points'),
    ),
  },

  alsoCalled: ['gmail', 'googlemail'],
  recognised: {
    domains: ['gmail.com', 'googlemail.com'],
    mx: ['google.com', 'googlemail.com'],
  },
  page: 'google.md',

  services: (scopes) => ({ known: servicesOf(scopes), usual: ['smtp', 'imap'] }),

  mailHosts: () => gmailHosts,

  problems(identity, settings) {
    const problems = []
    if (wildcardDomain(identity.user) !== undefined)
      problems.push({
        key: 'user',
        message:
          'must be one address: a person signs in here; a whole domain needs provider = "google-service-account"',
      })
    if (!settings.client_id.endsWith('.apps.googleusercontent.com'))
      problems.push({
        key: 'client_id',
        message: 'is no client id of Google; it ends in .apps.googleusercontent.com',
      })
    return problems
  },

  create(identity, settings, { transport, readSecret }) {
    const scopes = withMailScopes(identity.scopes)

    /** Lets one call of Google's client run, and reads what came of it. */
    async function ask(
      nowMs: number,
      signal: AbortSignal,
      call: (client: OAuth2Client) => Promise<unknown>,
    ): Promise<TokenAnswer> {
      const clientSecret = await readSecret(settings.client_secret)
      const auth = await loadGoogleAuth()
      return askGoogle(transport, nowMs, signal, (options) =>
        call(new auth.OAuth2({ clientId: settings.client_id, clientSecret, ...options })),
      )
    }

    return {
      authority,
      binding: `google ${settings.client_id}`,
      usesGrant: true,
      grantEnds: googleEnds,
      tokenKey: () => '',
      missingScopes: (service, granted) => missingIn(scopes, service, granted),

      async check() {
        await readSecret(settings.client_secret)
      },

      async refresh(grant, _request, nowMs, signal) {
        const refreshToken = grant ?? ''
        const answer = await ask(nowMs, signal, (client) => {
          client.setCredentials({ refresh_token: refreshToken })
          return client.refreshAccessToken()
        })
        const ownerNamed = checkRefreshed(answer, identity.user, authority)
        const next = answer.refreshToken ?? grant
        const token = { ...tokenIn(answer, next), scopes: answer.scopes }
        return { token, grant: next, ownerNamed }
      },

      async signIn(ui, signal) {
        const auth = await loadGoogleAuth()
        const pkce = createPkce()
        const mailScopes = scopesOf(scopes, identity.services)
        return ui.browse(
          {
            redirectUri: settings.redirect_uri ?? 'http://127.0.0.1/',
            listen: settings.listen,
            authorizationUrl: (redirectUri, state) =>
              new auth.OAuth2({ clientId: settings.client_id }).generateAuthUrl({
                redirect_uri: redirectUri,
                scope: [...mailScopes.split(' '), ...identityScopes, ...(scopes['login'] ?? [])],
                state,
                // A refresh token comes only with both of these, and only `consent` brings it again.
                access_type: 'offline',
                prompt: 'consent',
                login_hint: identity.user,
                code_challenge: pkce.challenge,
                code_challenge_method: 'S256' as never,
              }),
            async redeem(parameters, redirectUri, tripSignal) {
              const code = readAuthorizationCode(parameters, issuer, false, {
                client: settings.client_id,
                redirect: redirectUri,
                scope: mailScopes,
              })
              const answer = await ask(Date.now(), tripSignal, (client) =>
                client.getToken({ code, codeVerifier: pkce.verifier, redirect_uri: redirectUri }),
              )
              return checkSignIn({
                answer,
                user: identity.user,
                signedInAs: readIdToken(answer.idToken)['email'],
                scopes: mailScopes,
                hintForRefreshToken:
                  'remove the access of this client at myaccount.google.com/connections and sign in again',
              })
            },
          },
          signal,
        )
      },

      grantFromRefreshToken: (refreshToken) => Promise.resolve(refreshToken),

      async revoke(grant, signal) {
        const client = {
          id: settings.client_id,
          secret: undefined,
          authentication: 'none',
        } as const
        await revokeGrant(transport, revocationEndpoint, client, grant, signal)
      },
    }
  },
})
