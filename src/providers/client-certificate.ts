/**
 * The certificate by which an application proves itself: a PEM file with a certificate and its private
 * key, checked before anything is signed with it.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { Misconfigured } from '../errors.ts'

export interface ClientCertificate {
  /** Of the certificate, SHA-256, in hexadecimal: how the server finds it among those it knows. */
  readonly thumbprint: string
  /** PKCS #8, PEM. */
  readonly privateKey: string
  /** PEM. */
  readonly certificate: string
  readonly expiresAtMs: number
}

const certificatePattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const keyPattern = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[^]+?-----END \1PRIVATE KEY-----/

/**
 * @param pem a certificate and its key, in any order; a chain may be there as well
 * @param where it comes from, for messages
 * @throws Misconfigured when one is missing, they do not belong together, or the key is of another kind
 */
export function parseClientCertificate(pem: string, where: string): ClientCertificate {
  const certificates = (pem.match(certificatePattern) ?? []).map((text) => readX509(text, where))
  if (certificates.length === 0)
    throw new Misconfigured(`${where} has no certificate`, {
      hint: 'put the certificate and its private key into one PEM file: cat cert.pem key.pem',
    })
  const key = readKey(keyPattern.exec(pem), where)
  if (key.asymmetricKeyType !== 'rsa')
    throw new Misconfigured(`${where} has a private key of another kind than RSA`, {
      hint: 'Microsoft takes RSA keys: openssl req -x509 -newkey rsa:2048 -nodes …',
    })
  const own = certificates.find((each) => each.checkPrivateKey(key))
  if (!own)
    throw new Misconfigured(`${where} has a private key that is of another certificate`, {
      hint: 'put the certificate and the key that it was made with into the file',
    })
  return {
    thumbprint: own.fingerprint256.replaceAll(':', '').toLowerCase(),
    privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: own.toString(),
    expiresAtMs: Date.parse(own.validTo),
  }
}

function readX509(text: string, where: string): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch {
    throw new Misconfigured(`${where} has a certificate that cannot be read`, { hint: damaged })
  }
}

function readKey(found: RegExpExecArray | null, where: string): KeyObject {
  if (!found)
    throw new Misconfigured(`${where} has no private key`, {
      hint: 'put the certificate and its private key into one PEM file: cat cert.pem key.pem',
    })
  const [text, kind = ''] = found
  if (kind.startsWith('ENCRYPTED') || text.includes('Proc-Type: 4,ENCRYPTED'))
    throw new Misconfigured(`${where} has a private key with a passphrase, which nobody can type`, {
      hint: 'take it off: openssl pkcs8 -topk8 -nocrypt -in key.pem -out plain.pem; or use { credential } to keep the file encrypted',
    })
  try {
    return createPrivateKey(text)
  } catch {
    throw new Misconfigured(`${where} has a private key that cannot be read`, { hint: damaged })
  }
}

const damaged = 'the file is damaged; export it again, as PEM'
