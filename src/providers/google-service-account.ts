/**
 * A Google service account with domain-wide delegation: any mailbox of a Workspace domain, no sign-in.
 *
 * There is no grant and nothing on disk: each token comes from a signed assertion (RFC 7523) that names
 * one mailbox. Facts: developers.google.com/identity/protocols/oauth2/service-account
 */
import { createPrivateKey } from 'node:crypto'
import { Misconfigured, SignInNeeded, UnknownAccount, oneLine } from '../errors.ts'
import { secret } from '../schema.ts'
import { tokenIn } from './answers.ts'
import { describeSecret } from '../secret.ts'
import {
  askGoogle,
  authority,
  gmailHosts,
  loadGoogleAuth,
  servicesOf,
  tokenEndpoint,
  withMailScopes,
} from './googleapis.ts'
import { providerKind } from './provider.ts'
import { scopesOf } from './signed-in.ts'

interface Key {
  readonly email: string
  readonly privateKey: string
  readonly clientId: string
}

/** What key files name: the present endpoint, and the one in files made before 2018. Both are Google's. */
const tokenUris = [tokenEndpoint, 'https://accounts.google.com/o/oauth2/token']

export const googleServiceAccount = providerKind({
  settings: {
    key: secret('the JSON key of the service account'),
  },

  alsoCalled: ['gsuite', 'workspace', 'google-workspace'],
  recognised: { domains: [], mx: ['google.com', 'googlemail.com'], wholeDomains: true },
  page: 'google.md',

  services(scopes) {
    const known = servicesOf(scopes)
    return { known, usual: known }
  },

  mailHosts: () => gmailHosts,

  create(identity, settings, { transport, readSecret }) {
    const scopes = withMailScopes(identity.scopes)
    const where = describeSecret(settings.key)
    const readKey = async (): Promise<Key> => parseKey(await readSecret(settings.key), where)

    return {
      authority,
      binding: 'google-service-account',
      usesGrant: false,
      tokenKey: (request) => `${request.mailbox} ${scopesOf(scopes, [request.service])}`,

      async check() {
        await readKey()
      },

      async refresh(_grant, request, nowMs, signal) {
        const key = await readKey()
        const scope = scopesOf(scopes, [request.service])
        const auth = await loadGoogleAuth()
        try {
          const answer = await askGoogle(transport, nowMs, signal, (options) =>
            new auth.JWT({
              email: key.email,
              key: key.privateKey,
              scopes: scope.split(' '),
              subject: request.mailbox,
              ...options,
            }).authorize(),
          )
          return { token: tokenIn(answer) }
        } catch (error) {
          throw explain(error, key, request.mailbox, scope)
        }
      },
    }
  },
})

/**
 * Checks a key file before anything is signed with it.
 *
 * @throws Misconfigured when it is not a service account's key, or sends assertions elsewhere than to
 *   Google: a key file from a stranger must not choose who gets our signature
 */
function parseKey(text: string, where: string): Key {
  let json: Partial<Record<string, unknown>>
  try {
    // Whatever else JSON can be has no key's properties, which are checked one by one.
    json = Object(JSON.parse(text)) as Partial<Record<string, unknown>>
  } catch {
    throw new Misconfigured(`${where} is not JSON`, {
      hint: 'download the key of the service account again, as JSON',
    })
  }
  const word = (name: string): string => {
    const value = json[name]
    if (typeof value === 'string' && value !== '') return value
    throw new Misconfigured(`${where} has no ${name}, so it is no key of a service account`, {
      hint: 'in the Google Cloud console: IAM, Service accounts, Keys, Add key, JSON',
    })
  }
  if ('installed' in json || 'web' in json)
    throw new Misconfigured(`${where} is an OAuth client, and no key of a service account`, {
      hint: 'the client of a person who signs in goes into provider = "google"',
    })
  const type = word('type')
  if (type !== 'service_account')
    throw new Misconfigured(
      `${where} is of the type ${JSON.stringify(oneLine(type))}, not "service_account"`,
      {
        hint: 'the client of a person who signs in goes into provider = "google"',
      },
    )
  const tokenUri = word('token_uri')
  if (!tokenUris.includes(tokenUri))
    throw new Misconfigured(
      `${where} names ${oneLine(tokenUri)} as token_uri, which is not Google's`,
      {
        hint: `a key from Google has ${tokenEndpoint}; do not use one that has another`,
      },
    )
  const privateKey = word('private_key')
  if (!isPrivateKey(privateKey))
    throw new Misconfigured(`${where} has a private_key that cannot be read`, {
      hint: 'the file is damaged; download the key again',
    })
  return {
    email: word('client_email'),
    privateKey,
    clientId: typeof json['client_id'] === 'string' ? json['client_id'] : 'of the service account',
  }
}

function isPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}

/** Nobody signs in here, so what Google calls a dead grant is a wrong mailbox or a wrong key. */
function explain(error: unknown, key: Key, mailbox: string, scope: string): unknown {
  const asked = error instanceof SignInNeeded || error instanceof Misconfigured
  if (asked && /\b(?:unauthorized_client|access_denied)\b/.test(error.message))
    return new Misconfigured(error.message, {
      cause: error,
      hint: `in the Workspace admin console, Security, API controls, Domain-wide delegation: allow client ${key.clientId} the scope ${scope}`,
    })
  if (!(error instanceof SignInNeeded)) return error
  if (/Invalid email or User ID/i.test(error.message))
    return new UnknownAccount(`Google knows no user ${mailbox}`, {
      cause: error,
      hint: 'only users of the Workspace domain have tokens; a group or an alias has none',
    })
  return new Misconfigured(error.message, {
    cause: error,
    hint: `check that the key of ${key.email} still exists in the Google Cloud console`,
  })
}
