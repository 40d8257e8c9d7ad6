/**
 * Whether a store is encrypted, and for whom: the file `recipient` in its folder.
 *
 * A recipient is public, so whoever signs in can write a file that the daemon alone can read.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { encryptTo, readRecipients } from './age.ts'
import { ageIntroBytes, isAgeFile } from './age-file.ts'
import { eachOf } from './each-of.ts'
import { diskTrouble, filesAtOnce, readPrivate, removeFiles, replaceFile } from './store-disk.ts'

const fileOf = (store: string) => join(store, 'recipient')

/** @returns none when what is written is not encrypted */
export async function recipientsOf(store: string): Promise<readonly string[]> {
  const text = await readPrivate(fileOf(store))
  return text === undefined ? [] : readRecipients(text.toString('utf8'), fileOf(store))
}

/** From now on what is written is encrypted for these; with none, nothing is. */
export async function setRecipients(store: string, recipients: readonly string[]): Promise<void> {
  if (recipients.length === 0) await removeFiles(store, [fileOf(store)])
  else await replaceFile(store, fileOf(store), `${recipients.join('\n')}\n`)
}

/** @returns what goes on disk for a content, by the recipients that there are now */
export async function seal(
  store: string,
  content: string | Uint8Array,
): Promise<string | Uint8Array> {
  const recipients = await recipientsOf(store)
  return recipients.length === 0 ? content : encryptTo(recipients, content)
}

/**
 * @returns the files of a store that hold a sign-in, also those that were kept aside
 * @rejects Unavailable when the disk fails
 */
export async function filesOf(store: string): Promise<readonly string[]> {
  const names = await readdir(store).catch((error: unknown) => {
    throw diskTrouble(error, store)
  })
  return names.filter((name) => /\.json(?:\.(?:broken|unread)(?:\.\d+)?)?$/.test(name)).sort()
}

/** How much of a store is encrypted. */
export interface Encryption {
  /** What is written from now on is. */
  readonly encrypted: boolean
  /** How many files are not. */
  readonly plainFiles: number
}

/** @rejects Failure when the store cannot be read */
export async function encryptionOf(store: string): Promise<Encryption> {
  const { length } = await recipientsOf(store)
  let plainFiles = 0
  await eachOf(await filesOf(store), filesAtOnce, async (name) => {
    const beginning = await readPrivate(join(store, name), ageIntroBytes)
    if (beginning && !isAgeFile(beginning)) plainFiles++
  })
  return { encrypted: length > 0, plainFiles }
}
