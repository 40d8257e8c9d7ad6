/**
 * Opens age files (C2SP, age-encryption.org/v1) that were made for an X25519 key, by Node's own
 * cryptography alone.
 *
 * It is here because a start reads each file of the store: a hundred take 20 ms in this way and more than
 * 200 with the library, whose loading is counted in. Whatever else has to do with age goes through age.ts.
 */
import {
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto'

/** A secret key, ready for use. */
export interface Identity {
  /** As it is written: `AGE-SECRET-KEY-1…`. */
  readonly text: string
  readonly privateKey: KeyObject
  readonly publicKey: Buffer
}

/** A file is none of age, or it is not whole. */
export class DamagedAgeFile extends Error {}

const intro = 'age-encryption.org/v1\n'
/** As much of a file tells whether it is one of age. */
export const ageIntroBytes = intro.length
/** RFC 8410: what comes before the 32 bytes of a key. */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex')
const spkiPrefix = Buffer.from('302a300506032b656e032100', 'hex')
const fileKeyBytes = 16
const tagBytes = 16
const nonceBytes = 16
const chunkBytes = 64 * 1024
/** A line of a stanza's body that is as long as this has another one after it. */
const fullLine = 64

export function isAgeFile(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, intro.length)).toString('latin1') === intro
}

/**
 * Finds the keys in a text: what age-keygen prints, with its remarks, or keys with blanks between them.
 *
 * @returns the keys in their order, or what is wrong with the text, without any part of it
 */
export function readIdentities(text: string): readonly Identity[] | string {
  const words = text
    .split(/\r?\n/)
    .filter((line) => !line.trimStart().startsWith('#'))
    .flatMap((line) => line.split(/\s+/))
    .filter((word) => word !== '')
  const identities: Identity[] = []
  for (const word of words) {
    if (/^AGE-SECRET-KEY-PQ-1/.test(word)) return 'holds a post-quantum key, and X25519 is needed'
    if (!word.startsWith('AGE-SECRET-KEY-1')) return 'holds something that is no age secret key'
    const scalar = decodeKey(word)
    if (!scalar) return 'holds an age secret key that was not copied whole'
    identities.push(createIdentity(word, scalar))
  }
  return identities.length > 0 ? identities : 'holds no age secret key'
}

function createIdentity(text: string, scalar: Buffer): Identity {
  const privateKey = createPrivateKey({
    key: Buffer.concat([pkcs8Prefix, scalar]),
    format: 'der',
    type: 'pkcs8',
  })
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return { text, privateKey, publicKey: der.subarray(spkiPrefix.length) }
}

const letters = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const checksumLetters = 6

/** Bech32 (BIP 173) with the prefix of age's secret keys; undefined when its checksum is wrong. */
function decodeKey(text: string): Buffer | undefined {
  const prefix = 'age-secret-key-'
  const encoded = text.toLowerCase().slice(prefix.length + 1)
  const values = Array.from(encoded, (letter) => letters.indexOf(letter))
  const prefixCodes = Array.from(prefix, (letter) => letter.charCodeAt(0))
  const checked = [
    ...prefixCodes.map((code) => code >> 5),
    0,
    ...prefixCodes.map((code) => code & 31),
    ...values,
  ]
  if (values.includes(-1) || polymod(checked) !== 1) return undefined
  const bytes: number[] = []
  let bits = 0
  let left = 0
  for (const value of values.slice(0, -checksumLetters)) {
    bits = ((bits << 5) | value) & 0xfff
    left += 5
    if (left >= 8) bytes.push((bits >> (left -= 8)) & 0xff)
  }
  return bytes.length === 32 ? Buffer.from(bytes) : undefined
}

function polymod(values: readonly number[]): number {
  const generator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [bit, mask] of generator.entries()) if ((top >>> bit) & 1) sum ^= mask
  }
  return sum >>> 0
}

/**
 * @returns what is in the file, or undefined when it was made for none of these keys
 * @throws DamagedAgeFile
 */
export function openAgeFile(file: Buffer, identities: readonly Identity[]): Buffer | undefined {
  const { stanzas, authenticated, mac, payload } = readHeader(file)
  for (const stanza of stanzas)
    for (const identity of identities) {
      const fileKey = unwrap(stanza, identity)
      if (!fileKey) continue
      const macKey = derive(fileKey, '', 'header')
      const expected = createHmac('sha256', macKey).update(authenticated, 'latin1').digest()
      if (mac.length !== expected.length || !timingSafeEqual(mac, expected))
        throw new DamagedAgeFile('the header was changed')
      return openPayload(payload, fileKey)
    }
  return undefined
}

interface Stanza {
  readonly words: readonly string[]
  readonly body: Buffer
}

interface Header {
  readonly stanzas: readonly Stanza[]
  /** What the MAC is of. */
  readonly authenticated: string
  readonly mac: Buffer
  readonly payload: Buffer
}

function readHeader(file: Buffer): Header {
  const footer = file.indexOf('\n---')
  const end = file.indexOf('\n', footer + 1)
  if (!isAgeFile(file) || footer < 0 || end < 0) throw new DamagedAgeFile('the header is not whole')
  const authenticated = file.toString('latin1', 0, footer + '\n---'.length)
  const [, encodedMac] = /^ (.*)$/.exec(file.toString('latin1', footer + '\n---'.length, end)) ?? []
  const mac = decode64(encodedMac ?? '')
  const stanzas: Stanza[] = []
  let body = ''
  let words: readonly string[] | undefined
  for (const line of file.toString('latin1', intro.length, footer).split('\n'))
    if (line.startsWith('-> ')) words = line.slice(3).split(' ')
    else {
      body += line
      if (line.length === fullLine || !words) continue
      stanzas.push({ words, body: decode64(body) })
      body = ''
      words = undefined
    }
  return { stanzas, authenticated, mac, payload: file.subarray(end + 1) }
}

/** Base64 without padding, of which there is one form only. */
function decode64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64').replace(/=+$/, '') !== text)
    throw new DamagedAgeFile('the header was changed')
  return bytes
}

/** @returns the key of the file when it was wrapped for this identity */
function unwrap({ words, body }: Stanza, identity: Identity): Buffer | undefined {
  const [type, argument = ''] = words
  if (type !== 'X25519') return undefined
  const share = decode64(argument)
  if (share.length !== 32 || body.length !== fileKeyBytes + tagBytes)
    throw new DamagedAgeFile('the header was changed')
  const { privateKey, publicKey } = identity
  const key = Buffer.concat([spkiPrefix, share])
  const shared = diffieHellman({
    privateKey,
    publicKey: createPublicKey({ key, format: 'der', type: 'spki' }),
  })
  const salt = Buffer.concat([share, publicKey])
  const wrapKey = derive(shared, salt, 'age-encryption.org/v1/X25519')
  return decrypt(wrapKey, Buffer.alloc(12), body)
}

function openPayload(payload: Buffer, fileKey: Buffer): Buffer {
  const key = derive(fileKey, payload.subarray(0, nonceBytes), 'payload')
  const chunks: Buffer[] = []
  let rest = payload.subarray(nonceBytes)
  for (let count = 0; chunks.length === 0 || rest.length > 0; count++) {
    const chunk = rest.subarray(0, chunkBytes + tagBytes)
    rest = rest.subarray(chunk.length)
    // STREAM: eleven bytes count the chunks, and the twelfth marks the last one.
    const nonce = Buffer.alloc(12)
    nonce.writeUInt32BE(count, 7)
    nonce[11] = rest.length === 0 ? 1 : 0
    const plain = decrypt(key, nonce, chunk)
    if (!plain) throw new DamagedAgeFile('it is not whole')
    chunks.push(plain)
  }
  return Buffer.concat(chunks)
}

function derive(secret: Buffer, salt: Buffer | string, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, 32))
}

/** ChaCha20-Poly1305; undefined when the tag is not that of this key. */
function decrypt(key: Buffer, nonce: Buffer, sealed: Buffer): Buffer | undefined {
  if (sealed.length < tagBytes) return undefined
  const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes })
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  const plain = decipher.update(sealed.subarray(0, -tagBytes))
  try {
    decipher.final()
    return plain
  } catch {
    return undefined
  }
}
