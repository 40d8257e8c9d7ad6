/**
 * Encryption with age: what is written to a recipient, and files from elsewhere.
 *
 * The one door to age-encryption, loaded when first needed. What it makes, the stock `age` program opens,
 * and the other way round.
 */
import { Misconfigured } from './errors.ts'

const load = () => import('age-encryption')

/**
 * @param recipients `age1…`, at least one
 * @returns a binary age file
 */
export async function encryptTo(
  recipients: readonly string[],
  content: string | Uint8Array,
): Promise<Uint8Array> {
  const { Encrypter } = await load()
  const encrypter = new Encrypter()
  for (const recipient of recipients)
    try {
      encrypter.addRecipient(recipient)
    } catch (error) {
      throw new Misconfigured(`${JSON.stringify(recipient)} is no recipient of age`, {
        cause: error,
        hint: 'it begins with age1; age-keygen -y prints it from a secret key',
      })
    }
  return encrypter.encrypt(content)
}

/**
 * @param file binary or armored
 * @param identities `AGE-SECRET-KEY-…`
 * @rejects Misconfigured when none of them opens it
 */
export async function decryptWith(
  file: Uint8Array,
  identities: readonly string[],
): Promise<Uint8Array> {
  const { Decrypter, armor } = await load()
  try {
    const decrypter = new Decrypter()
    for (const identity of identities) decrypter.addIdentity(identity)
    const text = Buffer.from(file).toString('latin1')
    return await decrypter.decrypt(isArmored(text) ? armor.decode(text) : file)
  } catch (error) {
    throw new Misconfigured('the key does not open this age file, or it is not whole', {
      cause: error,
      hint: 'name the secret key that it was made for with --identity FILE',
    })
  }
}

/** @returns the text form of a binary age file */
export async function armored(file: Uint8Array): Promise<string> {
  const { armor } = await load()
  return armor.encode(file)
}

export function isArmored(text: string): boolean {
  return text.trimStart().startsWith('-----BEGIN AGE ENCRYPTED FILE-----')
}

/** @returns the recipient of a secret key: `age1…` */
export async function recipientOf(identity: string): Promise<string> {
  const { identityToRecipient } = await load()
  return identityToRecipient(identity)
}

/** @returns a new secret key */
export async function newIdentity(): Promise<string> {
  const { generateX25519Identity } = await load()
  return generateX25519Identity()
}

/**
 * Reads recipients as age's `-R` does: one a line, remarks begin with `#`.
 *
 * @param what where the text comes from, for messages
 * @throws Misconfigured when there is none, or what is there is of another kind
 */
export function readRecipients(text: string, what: string): readonly string[] {
  const lines = text.split(/\r?\n/).map((line) => line.trim())
  const found = lines.filter((line) => line !== '' && !line.startsWith('#'))
  const foreign = found.find((line) => !/^age1[02-9ac-hj-np-z]+$/.test(line))
  if (found.length === 0 || foreign !== undefined)
    throw new Misconfigured(`${what} holds no recipient of age, or something else beside it`, {
      hint: 'a recipient begins with age1; keys of SSH are not taken',
    })
  return found
}
