/**
 * A registration in Entra, as both kinds of Microsoft account name it: where it is, what it proves itself
 * with, when that ends, and how an administrator consents to it.
 */
import { Misconfigured, SignInNeeded, type Failure } from '../errors.ts'
import {
  choice,
  day,
  described,
  endpoint,
  hostName,
  optional,
  secret,
  table,
  tenant,
  text,
  type Output,
} from '../schema.ts'
import { describeSecret, type ReadSecret } from '../secret.ts'
import { parseClientCertificate } from './client-certificate.ts'
import { cloudNames, cloudOf, resourceOf, type Cloud } from './microsoft-clouds.ts'
import type { Application } from './msal.ts'
import type { AccountIdentity, Expiry, Problem, Scopes } from './provider.ts'

export const registrationEntries = {
  client_id: text('the application (client) ID of the registration in Entra'),
  client_secret: optional(secret('the value of a client secret; a public client has none')),
  client_secret_expires: optional(
    day(
      'the day the client secret ends, which only the Entra console tells; a warning comes 30 days ahead',
    ),
  ),
  certificate: optional(
    secret('a certificate and its private key (PEM), in the place of a client secret'),
  ),
  tenant: optional(
    tenant("the tenant's ID or domain, or common, organizations or consumers"),
    'common',
  ),
  cloud: optional(choice(cloudNames, "Microsoft's cloud that the tenant is in"), 'global'),
  cloud_hosts: optional(
    described(
      table({
        login: optional(hostName('the host that signs in, e.g. login.microsoftonline.com')),
        mail: optional(endpoint('what the scopes of IMAP, POP and SMTP start with')),
        exchange: optional(endpoint('what the scopes of EWS and of applications start with')),
        graph: optional(endpoint('what the scopes of Graph start with')),
      }),
      'parts of the cloud that are otherwise than this version knows',
    ),
  ),
}

/** What both kinds of account have among their settings. */
export type RegistrationSettings = Output<typeof registrationEntries>

/** Tenants that stand for many. */
export const sharedTenants = ['common', 'organizations', 'consumers']

/** A thousand accounts may have one each, so it is plain state. */
export interface Registration {
  readonly settings: RegistrationSettings
  readonly cloud: Cloud
  /** Where an administrator's consent ends. */
  readonly redirectUri: string
  readonly readSecret: ReadSecret
}

export function registrationOf(
  settings: RegistrationSettings,
  redirectUri: string,
  readSecret: ReadSecret,
): Registration {
  const cloud = cloudOf(settings.cloud, settings.cloud_hosts)
  return { settings, cloud, redirectUri, readSecret }
}

/** @returns whom a grant belongs to: client and issuer */
export function nameOf({ settings, cloud }: Registration): string {
  return `${settings.client_id} at ${cloud.login}/${settings.tenant}`
}

/** @returns whether it has no secret and no certificate */
export function isPublic({ settings }: Registration): boolean {
  return settings.client_secret === undefined && settings.certificate === undefined
}

/** @rejects Failure when the secret or the certificate cannot be read */
export async function applicationOf(registration: Registration): Promise<Application> {
  const { settings, cloud, readSecret } = registration
  return {
    clientId: settings.client_id,
    loginHost: cloud.login,
    tenant: settings.tenant,
    secret: settings.client_secret && (await readSecret(settings.client_secret)),
    certificate: await readCertificate(registration),
  }
}

/** See `Provider.expiry`. */
export async function expiryOf(registration: Registration): Promise<Expiry | undefined> {
  const { client_id: clientId, client_secret_expires: secretExpiresAtMs } = registration.settings
  const own = await readCertificate(registration)
  const console = 'Entra admin center, App registrations, Certificates & secrets'
  if (own)
    return {
      what: `the certificate of client ${clientId}`,
      atMs: own.expiresAtMs,
      hint: `make a new one, add it under ${console}, put it in the place of the old one, then run: xoauthd reload`,
    }
  if (secretExpiresAtMs === undefined) return undefined
  return {
    what: `the client secret of client ${clientId}`,
    atMs: secretExpiresAtMs,
    hint: `make a new one under ${console}, put it and client_secret_expires in the place of the old ones, then run: xoauthd reload`,
  }
}

async function readCertificate({ settings: { certificate }, readSecret }: Registration) {
  if (certificate === undefined) return undefined
  return parseClientCertificate(await readSecret(certificate), describeSecret(certificate))
}

/**
 * A failure with the address where an administrator consents, where that is what is missing.
 *
 * @param scopes that were asked for
 */
export function withConsentPage(
  registration: Registration,
  failure: Failure,
  scopes: readonly string[],
): Failure {
  if (!isAboutConsent(failure) || registration.settings.tenant === 'consumers') return failure
  const administrator = `an administrator of the tenant can consent for everybody: ${adminConsent(registration, scopes)} (the page it ends at need not load)`
  // Whose consent is missing may give it, if the tenant lets them, where the browser asks for all of it.
  const person = failure instanceof SignInNeeded && !/AADSTS9009[45]\b/.test(failure.message)
  const hint = person ? `sign in without --device; or ${administrator}` : administrator
  const detail = { cause: failure.cause, hint }
  return failure instanceof SignInNeeded
    ? new SignInNeeded(failure.message, {
        ...detail,
        because: failure.because,
        grant: failure.grant,
      })
    : new Misconfigured(failure.message, detail)
}

function adminConsent(
  { settings: { tenant, client_id: clientId }, cloud, redirectUri }: Registration,
  scopes: readonly string[],
): string {
  // It takes no other name for all tenants: learn.microsoft.com/entra/identity-platform/v2-admin-consent
  const where = tenant === 'common' ? 'organizations' : tenant
  const url = new URL(`https://${cloud.login}/${where}/v2.0/adminconsent`)
  url.searchParams.set('client_id', clientId)
  url.searchParams.set('scope', scopes.join(' '))
  url.searchParams.set('redirect_uri', redirectUri)
  return url.href
}

/** Numbers are for hints alone: 65001 nobody consented, 90094 and 90095 only an administrator may. */
function isAboutConsent(failure: Failure): boolean {
  const asked = failure instanceof SignInNeeded || failure instanceof Misconfigured
  return asked && /AADSTS(?:65001|90094|90095)\b|"consent_required"/.test(failure.message)
}

/** Combinations that no Microsoft account can have. */
export function registrationProblems(
  { services }: AccountIdentity,
  settings: RegistrationSettings,
  scopes: Scopes,
): Problem[] {
  const problems: Problem[] = []
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(settings.client_id))
    problems.push({
      key: 'client_id',
      message:
        'is no application ID of Entra, which looks like 00000000-0000-0000-0000-000000000000',
    })
  if (settings.client_secret !== undefined && settings.certificate !== undefined)
    problems.push({
      key: 'certificate',
      message: 'cannot stand beside client_secret; remove one of them',
    })
  if (settings.client_secret === undefined && settings.client_secret_expires !== undefined)
    problems.push({
      key: 'client_secret_expires',
      message: 'is of a client_secret, and there is none; remove it',
    })
  const { graph } = cloudOf(settings.cloud, settings.cloud_hosts)
  for (const service of services) {
    const resources = new Set((scopes[service] ?? []).map((scope) => resourceOf(scope, graph)))
    if (resources.size > 1)
      problems.push({
        key: 'scopes',
        message: `names scopes of ${[...resources].join(' and ')} for "${service}"; a token is for one resource`,
      })
  }
  return problems
}
