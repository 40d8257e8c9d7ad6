/**
 * What one person's account wants of its registration in Entra: scopes by resource, and whether a sign-in
 * brought them.
 */
import { foldCase } from '../address.ts'
import { Misconfigured, SignInNeeded, type Failure } from '../errors.ts'
import { readIdToken, type TokenAnswer } from './answers.ts'
import { readAuthorizationCode } from './authorization-answer.ts'
import { resourceOf } from './microsoft-clouds.ts'
import { grantOf, notesAfter, withChallenge } from './microsoft-grant.ts'
import { withConsentPage, type Registration } from './microsoft-registration.ts'
import type { Exchanged } from './msal.ts'
import type { Scopes, SignedIn } from './provider.ts'
import { checkSignIn } from './signed-in.ts'

/** What one account wants of its registration. */
export interface Delegation {
  readonly user: string
  readonly services: readonly string[]
  readonly scopes: Scopes
  readonly registration: Registration
}

/** What consent is asked for: kept by nobody, as there may be thousands of accounts. */
export function wantedBy(delegation: Delegation) {
  const { scopes, registration } = delegation
  const all = allScopes(delegation)
  const resource = resourceOf(all[0] ?? '', registration.cloud.graph)
  const first = scopesAt(delegation, resource)
  const others = all.filter((scope) => !first.includes(scope))
  return { all, resource, first, further: unique([...others, ...(scopes['login'] ?? [])]) }
}

/** @returns what of it is asked for in one token */
export function scopesAt(delegation: Delegation, resource: string | undefined): string[] {
  const { graph } = delegation.registration.cloud
  return allScopes(delegation).filter((scope) => resourceOf(scope, graph) === resource)
}

/**
 * What a refresh asks for: one scope that nobody consented to would have all of it refused.
 *
 * @param granted to the last token of the resource, where that is known
 * @returns all that is wanted there but what came after the sign-in
 */
export function scopesToRenew(
  delegation: Delegation,
  resource: string,
  granted: readonly string[] | undefined,
): string[] {
  const all = scopesAt(delegation, resource)
  const consented = granted ? spelledAs(all, granted) : all
  return consented.length > 0 ? consented : all
}

function allScopes({ services, scopes }: Delegation): string[] {
  return unique(services.flatMap((service) => scopes[service] ?? []))
}

/**
 * A sign-in that has passed the checks.
 *
 * @throws Failure with what can be done about it
 */
export function checked(delegation: Delegation, exchanged: Exchanged): SignedIn {
  const { resource, first } = wantedBy(delegation)
  if (exchanged.kind === 'refused')
    throw explained(delegation, withChallenge(exchanged, undefined, resource))
  const { answer, cache } = exchanged
  const { user } = delegation
  const signedIn = checkSignIn({
    answer: { ...answer, scopes: answer.scopes && spelledAs(first, answer.scopes) },
    user,
    signedInAs: nameIn(answer, user),
    scopes: first.join(' '),
    hintForRefreshToken:
      'the registration must not be of the kind "single-page application", and offline_access be allowed',
  })
  const notes = notesAfter(undefined, resource, answer.scopes)
  return { ...signedIn, grant: grantOf(cache, signedIn.grant, notes) }
}

/**
 * @param redirect the URI that the answer came to
 * @throws Failure with what can be done about it
 */
export function codeIn(
  delegation: Delegation,
  parameters: URLSearchParams,
  redirect: string,
): string {
  const { settings, cloud } = delegation.registration
  try {
    return readAuthorizationCode(parameters, undefined, false, {
      host: cloud.login,
      client: settings.client_id,
      tenant: settings.tenant,
      redirect,
      scope: wantedBy(delegation).all.join(' '),
    })
  } catch (error) {
    const known = error instanceof SignInNeeded || error instanceof Misconfigured
    throw known ? explained(delegation, error) : error
  }
}

/** A refusal with the address where an administrator consents, where that is what is missing. */
export function explained(delegation: Delegation, failure: Failure): Failure {
  return withConsentPage(delegation.registration, failure, allScopes(delegation))
}

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
export function spelledAs(asked: readonly string[], granted: readonly string[]): string[] {
  const nameOf = (scope: string) => foldCase(scope.slice(scope.lastIndexOf('/') + 1))
  const names = new Set(granted.map(nameOf))
  // `.default` stands for whatever was consented to.
  return asked.filter((scope) => names.has(nameOf(scope)) || nameOf(scope) === '.default')
}
