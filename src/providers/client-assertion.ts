/**
 * A client's proof by its private key: a short-lived JWT (RFC 7523 2.2; OpenID Connect Core 9 calls it
 * `private_key_jwt`), signed by the kind of key that the PEM holds (RFC 7518 3.1, RFC 8037 3.1).
 */
import { createPrivateKey, randomUUID, sign, type KeyObject } from 'node:crypto'
import { Misconfigured } from '../errors.ts'

/** Clocks differ by some; servers refuse what lives for hours. */
const lifetimeS = 120

export interface AssertionKey {
  readonly key: KeyObject
  readonly algorithm: string
  /** Which of several keys of the registration it is. */
  readonly id: string | undefined
}

/**
 * @param where where the key comes from, for the message
 * @throws Misconfigured when it is no private key that JWTs are signed with
 */
export function readAssertionKey(pem: string, where: string, id: string | undefined): AssertionKey {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    // OpenSSL's own words repeat nothing, and say nothing that helps.
    throw new Misconfigured(`${where} holds no private key that can be read`, {
      hint: 'it must be PEM, -----BEGIN PRIVATE KEY-----, without a passphrase',
    })
  }
  const algorithm = algorithmOf(key)
  if (algorithm === undefined)
    throw new Misconfigured(
      `${where} holds a key of the kind ${key.asymmetricKeyType ?? 'secret'}, which signs no assertion`,
      { hint: 'make one of RSA (2048 bits or more), EC (P-256, P-384, P-521) or Ed25519' },
    )
  return { key, algorithm, id }
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  const { modulusLength = 0, namedCurve = '' } = asymmetricKeyDetails ?? {}
  if (asymmetricKeyType === 'ec') return curves.get(namedCurve)
  if (asymmetricKeyType === 'ed25519') return 'EdDSA'
  // RFC 7518 3.3: 2048 bits or more.
  return asymmetricKeyType === 'rsa' && modulusLength >= 2048 ? 'RS256' : undefined
}

/** OpenSSL's names of the curves of RFC 7518 3.4. */
const curves = new Map([
  ['prime256v1', 'ES256'],
  ['secp384r1', 'ES384'],
  ['secp521r1', 'ES512'],
])

/**
 * @param audience the token endpoint, as RFC 7523 3 has it
 * @param nowMs the wall clock, epoch ms
 */
export function signAssertion(
  { key, algorithm, id }: AssertionKey,
  clientId: string,
  audience: string,
  nowMs: number,
): string {
  const iat = Math.floor(nowMs / 1000)
  const header = { alg: algorithm, typ: 'JWT', ...(id === undefined ? {} : { kid: id }) }
  const claims = {
    iss: clientId,
    sub: clientId,
    aud: audience,
    // A server may refuse to see one twice.
    jti: randomUUID(),
    iat,
    exp: iat + lifetimeS,
  }
  const input = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  const hash = algorithm === 'EdDSA' ? null : `sha${algorithm.slice(2)}`
  // JWTs have both halves of an elliptic signature side by side (RFC 7518 3.4), OpenSSL has them in DER.
  const signature = sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}
