/**
 * Microsoft 365 and outlook.com, where a person signs in once.
 *
 * One sign-in serves every service and every mailbox that the person may open. A token is for one resource
 * (Exchange, EWS, Graph), so there is one for each, asked for separately by the same refresh token, which
 * comes anew with each answer. A grant is the token cache of Microsoft's library.
 * Facts: learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
 */
import { wildcardDomain } from '../address.ts'
import { Misconfigured } from '../errors.ts'
import { loopbackHostPort, optional, redirect } from '../schema.ts'
import { tokenIn } from './answers.ts'
import { microsoftEnds } from './grant-ends.ts'
import { cloudOf, delegatedCatalogue, delegatedScopes } from './microsoft-clouds.ts'
import {
  checked,
  codeIn,
  explained,
  scopesToRenew,
  spelledAs,
  wantedBy,
  type Delegation,
} from './microsoft-delegation.ts'
import {
  claimsIn,
  grantedIn,
  grantOf,
  notesAfter,
  refreshTokenIn,
  withChallenge,
} from './microsoft-grant.ts'
import {
  applicationOf,
  expiryOf,
  isPublic,
  nameOf,
  registrationEntries,
  registrationOf,
  registrationProblems,
} from './microsoft-registration.ts'
import { authorizationUrl, redeemCode, redeemDeviceCode, redeemRefreshToken } from './msal.ts'
import { createPkce } from './pkce.ts'
import { providerKind } from './provider.ts'
import { missingIn } from './signed-in.ts'

/** Entra takes it with any port: learn.microsoft.com/entra/identity-platform/reply-url */
const usualRedirectUri = 'http://localhost'
/** Asked for beside the mail scopes, so that the answer says who signed in under which addresses. */
const identityScopes = ['email']

export const microsoft = providerKind({
  alsoCalled: ['outlook', 'hotmail', 'office', 'office365', 'o365', 'm365', 'exchange'],
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
    const delegation: Delegation = { user, services, scopes, registration }
    const resourceFor = (service: string) => resources[service] ?? cloud.graph

    return {
      authority: cloud.login,
      binding: `microsoft ${nameOf(registration)}`,
      usesGrant: true,
      tokenKey: ({ service }) => resourceFor(service),
      grantEnds: microsoftEnds,
      missingScopes: (service, granted) =>
        missingIn(scopes, service, spelledAs(scopes[service] ?? [], granted)),
      lacks(service, granted) {
        const wanted = scopes[service] ?? []
        const silent = wanted.length === 0 || granted.length === 0
        // Of several scopes some may not be for this kind of account: Mail.Send.Shared is for work alone.
        return !silent && spelledAs(wanted, granted).length === 0
      },
      expiry: () => expiryOf(registration),

      async check() {
        await applicationOf(registration)
      },

      async refresh(grant = '', request, nowMs, signal) {
        const refreshToken = refreshTokenIn(grant)
        const resource = resourceFor(request.service)
        const asked = scopesToRenew(delegation, resource, grantedIn(grant, resource))
        const exchanged = await redeemRefreshToken(
          await applicationOf(registration),
          { grant, refreshToken, scopes: asked },
          { transport, nowMs, signal },
        )
        if (exchanged.kind === 'refused')
          throw explained(delegation, withChallenge(exchanged, grant, resource))
        const { answer, cache } = exchanged
        const rotated = answer.refreshToken ?? refreshToken
        const same = rotated === refreshToken && claimsIn(grant, resource) === undefined
        const notes = notesAfter(grant, resource, answer.scopes)
        const next = same ? grant : grantOf(cache, rotated, notes)
        const token = { ...tokenIn(answer, next), scopes: answer.scopes }
        return { token, grant: next }
      },

      async signIn(ui, signal, before) {
        const application = await applicationOf(registration)
        const pkce = createPkce()
        const { first, further } = wantedBy(delegation)
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
              const code = codeIn(delegation, parameters, uri)
              const asked = {
                code,
                verifier: pkce.verifier,
                redirectUri: uri,
                scopes: [...first, ...identityScopes],
              }
              const how = { transport, nowMs: Date.now(), signal: tripSignal }
              return checked(delegation, await redeemCode(application, asked, how))
            },
          },
          signal,
        )
      },

      async signInByDevice(ui, signal, before) {
        if (!isPublic(registration))
          throw new Misconfigured('a client with a secret or certificate has no device code', {
            hint: 'use a registration without one, with "Allow public client flows" on; or run login without --device',
          })
        const application = await applicationOf(registration)
        return ui.device(
          {
            async redeem(show, tripSignal) {
              // Consent to other resources follows when their tokens are fetched, or was given before.
              const scopesAsked = [...wantedBy(delegation).first, ...identityScopes]
              const asked = { scopes: scopesAsked, claims: claimsIn(before) }
              const how = { transport, nowMs: Date.now(), signal: tripSignal }
              return checked(delegation, await redeemDeviceCode(application, asked, show, how))
            },
          },
          signal,
        )
      },

      // Nothing else of the library's cache is needed: the first refresh fills it.
      grantFromRefreshToken: (refreshToken) => Promise.resolve(grantOf('{}', refreshToken)),
    }
  },
})

const isService = (name: string): boolean => name !== 'login'
