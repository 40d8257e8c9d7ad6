/** The keys of an account at any OAuth 2 server, and which combinations of them cannot be. */
import { wildcardDomain } from '../address.ts'
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
  type Output,
} from '../schema.ts'
import type { AccountIdentity, Problem } from './provider.ts'

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
  'client_assertion',
  'client_assertion_type',
  'code_verifier',
  'device_code',
  'refresh_token',
  'scope',
]

/** What every such account has, whether its server is named by the file or known to us. */
export const clientSettings = {
  client_id: text('the client registration at the server'),
  client_secret: optional(secret("the registration's secret, where it has one")),
  client_auth: optional(
    choice(
      ['post', 'basic', 'none', 'private_key_jwt'],
      'how the client proves itself at the token endpoint',
    ),
  ),
  key: optional(secret('the private key of client_auth = "private_key_jwt", PEM')),
  key_id: optional(text('which key of the registration that is, where it has several')),
  authorization_endpoint: optional(endpoint('where a person signs in, when there is no issuer')),
  token_endpoint: optional(endpoint('where tokens are fetched, when there is no issuer')),
  device_authorization_endpoint: optional(
    endpoint('where login --device asks for a code, when the issuer does not say'),
  ),
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
}

export const settings = {
  issuer: optional(endpoint('the server, which is then asked for its endpoints (RFC 8414)')),
  ...clientSettings,
}

export type OAuth2Settings = Output<typeof settings>

/** @returns a sentence about each key that cannot stand as it does */
export function problemsOf({ user }: AccountIdentity, settings: OAuth2Settings): Problem[] {
  const problems: Problem[] = [...endpointProblems(settings), ...clientProblems(settings)]
  for (const [part, own] of [
    ['authorize', ownAuthorizeParameters],
    ['token', ownTokenParameters],
  ] as const)
    for (const name of Object.keys(settings.extra?.[part] ?? {}))
      if (own.includes(name))
        problems.push({ key: 'extra', message: `may not set "${name}" in ${part}; remove it` })
  if (wildcardDomain(user) !== undefined)
    problems.push({ key: 'user', message: 'must be one address: a person signs in here' })
  return problems
}

function* endpointProblems(settings: OAuth2Settings): Generator<Problem> {
  if (settings.issuer !== undefined) return
  if (settings.token_endpoint === undefined)
    yield {
      key: 'issuer',
      message:
        'is missing; write issuer = "https://…", or authorization_endpoint and token_endpoint',
    }
  // Signing in by device code alone needs no page of the server's own.
  else if (
    settings.authorization_endpoint === undefined &&
    settings.device_authorization_endpoint === undefined
  )
    yield { key: 'authorization_endpoint', message: 'is missing beside token_endpoint' }
}

function* clientProblems(settings: OAuth2Settings): Generator<Problem> {
  const { client_auth: way, client_secret: secret, key } = settings
  if ((way === 'post' || way === 'basic') && secret === undefined)
    yield { key: 'client_secret', message: `is missing; client_auth = "${way}" needs it` }
  if ((way === 'none' || way === 'private_key_jwt') && secret !== undefined)
    yield { key: 'client_secret', message: `is not used with client_auth = "${way}"` }
  if (way === 'private_key_jwt' && key === undefined)
    yield {
      key: 'key',
      message:
        'is missing; client_auth = "private_key_jwt" needs it, e.g. key = { file = "client.pem" }',
    }
  for (const name of ['key', 'key_id'] as const)
    if (way !== 'private_key_jwt' && settings[name] !== undefined)
      yield { key: name, message: 'is used with client_auth = "private_key_jwt" alone; remove it' }
}
