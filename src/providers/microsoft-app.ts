/**
 * A Microsoft 365 tenant where the application itself has access: any mailbox, nobody signs in.
 *
 * There is no grant and nothing on disk: the application proves itself by its certificate or secret, and one
 * token of a resource serves every mailbox that Exchange lets the application into.
 * Facts: learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 */
import { Misconfigured, SignInNeeded } from '../errors.ts'
import { tokenIn } from './answers.ts'
import { applicationScopes, cloudOf } from './microsoft-clouds.ts'
import {
  applicationOf,
  expiryOf,
  nameOf,
  registrationEntries,
  registrationOf,
  registrationProblems,
  sharedTenants,
  withConsentPage,
  type RegistrationSettings,
} from './microsoft-registration.ts'
import { redeemCredentials } from './msal.ts'
import { providerKind, type Scopes } from './provider.ts'

/** What the page of an administrator's consent ends at; nobody listens there. */
const consentRedirectUri = 'http://localhost'

export const microsoftApp = providerKind({
  recognised: {
    domains: [],
    mx: ['mail.protection.outlook.com', 'mx.microsoft'],
    wholeDomains: true,
  },
  page: 'microsoft.md',
  settings: registrationEntries,

  services(scopes) {
    const known = Object.keys({ ...applicationScopes(cloudOf('global')), ...scopes })
    const services = known.filter((service) => service !== 'login')
    return { known: services, usual: services }
  },

  mailHosts: (settings) => cloudOf(settings.cloud, settings.cloud_hosts).hosts,

  problems(identity, settings) {
    const problems = registrationProblems(identity, settings, scopesOf(identity.scopes, settings))
    if (settings.client_secret === undefined && settings.certificate === undefined)
      problems.push({
        key: 'certificate',
        message: 'is missing; the application needs it, or a client_secret, to prove itself',
      })
    if (sharedTenants.includes(settings.tenant))
      problems.push({
        key: 'tenant',
        message: `must be one tenant's ID or domain, and not "${settings.tenant}": an application belongs to one`,
      })
    return problems
  },

  create(identity, settings, { transport, readSecret }) {
    const registration = registrationOf(settings, consentRedirectUri, readSecret)
    const scopes = scopesOf(identity.scopes, settings)

    return {
      authority: registration.cloud.login,
      binding: `microsoft-app ${nameOf(registration)}`,
      usesGrant: false,
      // The mailbox is no part of it.
      tokenKey: ({ service }) => (scopes[service] ?? []).join(' '),
      expiry: () => expiryOf(registration),

      async check() {
        await applicationOf(registration)
      },

      async refresh(_grant, { service }, nowMs, signal) {
        const asked = scopes[service] ?? []
        const application = await applicationOf(registration)
        const exchanged = await redeemCredentials(application, asked, { transport, nowMs, signal })
        if (exchanged.kind === 'tokens') return { token: tokenIn(exchanged.answer) }
        throw withConsentPage(registration, withoutPerson(exchanged.failure), asked)
      },
    }
  },
})

function scopesOf(given: Scopes, settings: RegistrationSettings): Scopes {
  return { ...applicationScopes(cloudOf(settings.cloud, settings.cloud_hosts)), ...given }
}

/** Nobody signs in here, so what is said of a sign-in is the administrator's to mend. */
function withoutPerson<Reason extends Error>(failure: Reason): Reason | Misconfigured {
  if (!(failure instanceof SignInNeeded)) return failure
  return new Misconfigured(failure.message, {
    cause: failure.cause,
    hint: 'check the application in the Entra admin center: its permissions, the consent to them, its secret or certificate',
  })
}
