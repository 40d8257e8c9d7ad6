/**
 * Microsoft 365 and outlook.com, where a person signs in once.
 *
 * One sign-in serves every service and every mailbox that the person may open. A token is for one resource
 * (Exchange, EWS, Graph), so there is one for each, asked for separately by the same refresh token, which
 * comes anew with each answer. A grant is the token cache of Microsoft's library.
 * Facts: learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
 */
import { foldCase, wildcardDomain } from '../address.ts'
import { Misconfigured, SignInNeeded } from '../errors.ts'
import { loopbackHostPort, optional, redirect } from '../schema.ts'
import { readIdToken, type TokenAnswer } from './answers.ts'
import { readAuthorizationCode } from './authorization-answer.ts'
import { microsoftEnds } from './grant-ends.ts'
import { cloudOf, delegatedCatalogue, delegatedScopes, resourceOf } from './microsoft-clouds.ts'
import { claimsIn, grantOf, refreshTokenIn, withChallenge } from './microsoft-grant.ts'
import {
  registrationEntries,
  registrationOf,
  registrationProblems,
} from './microsoft-registration.ts'
import {
  authorizationUrl,
  redeemCode,
  redeemDeviceCode,
  redeemRefreshToken,
  type Exchanged,
} from './msal.ts'
import { createPkce } from './pkce.ts'
import { providerKind, type SignedIn } from './provider.ts'
import { checkSignIn, missingIn } from './signed-in.ts'

/** Entra takes it with any port: learn.microsoft.com/entra/identity-platform/reply-url */
const usualRedirectUri = 'http://localhost'
/** Asked for beside the mail scopes, so that the answer says who signed in under which addresses. */
const identityScopes = ['email']

export const microsoft = providerKind({
  recognised: {
    domains: ['outlook.com', 'hotmail.com', 'live.com', 'msn.com'],
    mx: ['mail.protection.outlook.com', 'mx.microsoft', 'olc.protection.outlook.com'],
  },
  page: 'microsoft.md',
  settings: {
    ...registrationEntries,
    redirect_uri: optional(redirect('http://localhost with any free port, unless set')),
    listen: optional(
      loopbackHostPort('where login waits for the answer, when not where redirect_uri points'),
    ),
  },

  services: (scopes) => ({
    known: Object.keys({ ...delegatedScopes(cloudOf('global')), ...scopes }).filter(isService),
    usual: ['smtp', 'imap'],
  }),

  // An unlicensed shared mailbox has no SMTP of its own: the person sends as it.
  loginAs: { smtp: 'person' },

  mailHosts: (settings) => cloudOf(settings.cloud, settings.cloud_hosts).hosts,

  problems(identity, settings) {
    const { scopes } = delegatedCatalogue(
      cloudOf(settings.cloud, settings.cloud_hosts),
      identity.scopes,
    )
    const problems = registrationProblems(identity, settings, scopes)
    if (wildcardDomain(identity.user) !== undefined)
      problems.push({
        key: 'user',
        message:
          'must be one address: a person signs in here; a whole tenant needs provider = "microsoft-app"',
      })
    return problems
  },

  create(identity, settings, { transport, readSecret }) {
    const { user, services } = identity
    const redirectUri = settings.redirect_uri ?? usualRedirectUri
    const registration = registrationOf(settings, redirectUri, readSecret)
    const { cloud } = registration
    const { scopes, resources } = delegatedCatalogue(cloud, identity.scopes)

    /** What consent is asked for: kept by nobody, as there may be thousands of accounts. */
    function wanted() {
      const all = unique(services.flatMap((service) => scopes[service] ?? []))
      const first = scopesAt(resourceOf(all[0] ?? '', cloud.graph))
      const others = all.filter((scope) => !first.includes(scope))
      return { all, first, further: unique([...others, ...(scopes['login'] ?? [])]) }
    }

    function scopesAt(resource: string | undefined): string[] {
      const all = unique(services.flatMap((service) => scopes[service] ?? []))
      return all.filter((scope) => resourceOf(scope, cloud.graph) === resource)
    }

    /** @throws Failure with what can be done about it */
    function tokensOf(exchanged: Exchanged) {
      if (exchanged.kind === 'tokens') return exchanged
      throw registration.explain(exchanged.failure, wanted().all)
    }

    function check(exchanged: Exchanged): SignedIn {
      const { answer, cache } = tokensOf(exchanged)
      const { first } = wanted()
      const signedIn = checkSignIn({
        answer: { ...answer, scopes: answer.scopes && spelledAs(first, answer.scopes) },
        user,
        signedInAs: nameIn(answer, user),
        scopes: first.join(' '),
        hintForRefreshToken:
          'the registration must not be of the kind "single-page application", and offline_access be allowed',
      })
      return { ...signedIn, grant: grantOf(cache, signedIn.grant) }
    }

    return {
      authority: cloud.login,
      binding: `microsoft ${registration.name}`,
      usesGrant: true,
      tokenKey: ({ service }) => resources[service] ?? cloud.graph,
      grantEnds: microsoftEnds,
      missingScopes: (service, granted) =>
        missingIn(scopes, service, spelledAs(scopes[service] ?? [], granted)),
      expiry: () => registration.expiry(),

      async check() {
        await registration.read()
      },

      async refresh(grant = '', request, nowMs, signal) {
        const refreshToken = refreshTokenIn(grant)
        const exchanged = await redeemRefreshToken(
          await registration.read(),
          { grant, refreshToken, scopes: scopesAt(resources[request.service]) },
          { transport, nowMs, signal },
        )
        if (exchanged.kind === 'refused')
          throw registration.explain(withChallenge(exchanged, grant), wanted().all)
        const { answer, cache } = exchanged
        const rotated = answer.refreshToken ?? refreshToken
        const same = rotated === refreshToken && claimsIn(grant) === undefined
        const token = { ...answer.token, scopes: answer.scopes }
        return { token, grant: same ? grant : grantOf(cache, rotated) }
      },

      async signIn(ui, signal, before) {
        const application = await registration.read()
        const pkce = createPkce()
        const { first, further } = wanted()
        return ui.browse(
          {
            redirectUri,
            listen: settings.listen,
            authorizationUrl: (uri, state) =>
              authorizationUrl(application, {
                redirectUri: uri,
                state,
                challenge: pkce.challenge,
                loginHint: user,
                scopes: [...first, ...identityScopes],
                scopesToConsent: further,
                claims: claimsIn(before),
              }),
            async redeem(parameters, uri, tripSignal) {
              const code = codeIn(parameters, uri)
              const asked = {
                code,
                verifier: pkce.verifier,
                redirectUri: uri,
                scopes: [...first, ...identityScopes],
              }
              const how = { transport, nowMs: Date.now(), signal: tripSignal }
              return check(await redeemCode(application, asked, how))
            },
          },
          signal,
        )
      },

      async signInByDevice(ui, signal, before) {
        if (!registration.isPublic)
          throw new Misconfigured('a client with a secret or certificate has no device code', {
            hint: 'use a registration without one, with "Allow public client flows" on; or run login without --device',
          })
        const application = await registration.read()
        return ui.device(
          {
            async redeem(show, tripSignal) {
              // Consent to other resources follows when their tokens are fetched, or was given before.
              const scopesAsked = [...wanted().first, ...identityScopes]
              const asked = { scopes: scopesAsked, claims: claimsIn(before) }
              const how = { transport, nowMs: Date.now(), signal: tripSignal }
              return check(await redeemDeviceCode(application, asked, show, how))
            },
          },
          signal,
        )
      },

      // Nothing else of the library's cache is needed: the first refresh fills it.
      grantFromRefreshToken: (refreshToken) => Promise.resolve(grantOf('{}', refreshToken)),
    }

    function codeIn(parameters: URLSearchParams, redirect: string): string {
      try {
        return readAuthorizationCode(parameters, undefined, false, {
          host: cloud.login,
          client: settings.client_id,
          tenant: settings.tenant,
          redirect,
          scope: wanted().all.join(' '),
        })
      } catch (error) {
        const known = error instanceof SignInNeeded || error instanceof Misconfigured
        throw known ? registration.explain(error, wanted().all) : error
      }
    }
  },
})

const isService = (name: string): boolean => name !== 'login'

function unique(names: readonly string[]): string[] {
  return [...new Set(names)]
}

/**
 * Who signed in. Sign-in name and address may differ, and either may stand in the file.
 *
 * @returns the one of the names that the account has, else the first
 */
function nameIn(answer: TokenAnswer, user: string): unknown {
  const claims = readIdToken(answer.idToken)
  const names = ['preferred_username', 'upn', 'email'].map((claim) => claims[claim])
  const own = names.find((name) => typeof name === 'string' && foldCase(name) === foldCase(user))
  return own ?? names.find((name) => name !== undefined)
}

/** Entra may leave out the resource or spell it otherwise, and does not mind case. */
function spelledAs(asked: readonly string[], granted: readonly string[]): string[] {
  const nameOf = (scope: string) => foldCase(scope.slice(scope.lastIndexOf('/') + 1))
  const names = new Set(granted.map(nameOf))
  // `.default` stands for whatever was consented to.
  return asked.filter((scope) => names.has(nameOf(scope)) || nameOf(scope) === '.default')
}
