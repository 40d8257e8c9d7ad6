/**
 * Turns a store from one form into another: encrypted, in the clear, or for another key.
 *
 * Promises that each file is whole at any instant in one of the two forms, and that what broke off half
 * way is readable and goes on with the next call. A file's version stays, so a daemon that runs takes no
 * notice; while it runs it writes in the new form already.
 */
import { join } from 'node:path'
import { recipientOf } from './age.ts'
import { isAgeFile } from './age-file.ts'
import { Misconfigured, asFailure, type Failure } from './errors.ts'
import { opened, type Store } from './store.ts'
import { readPrivate, replaceFile } from './store-disk.ts'
import { encryptionOf, filesOf, recipientsOf, seal, setRecipients } from './store-encryption.ts'
import type { StoreKey } from './store-key.ts'
import { parseRecord } from './store-record.ts'

export interface Conversion {
  readonly converted: number
  /** Were so already. */
  readonly unchanged: number
  /** What could not be converted, and stays as it is. */
  readonly failures: readonly Failure[]
}

/**
 * @param recipient whom to encrypt for; the key's own unless given
 * @rejects Misconfigured when there is neither, or it is not the store's recipient
 */
export async function encryptStore(
  store: Store,
  key: StoreKey,
  recipient: string | undefined,
): Promise<Conversion> {
  const [own] = await ownRecipients(key)
  const wanted = recipient ?? own
  if (wanted === undefined)
    throw new Misconfigured('there is no key to encrypt the store for', {
      hint: 'set [store] key, or make a key with --new-key FILE, or name a recipient with --to',
    })
  if (own !== undefined && wanted !== own)
    throw new Misconfigured(`[store] key does not open what is encrypted for ${wanted}`, {
      hint: 'leave out --to, or set [store] key to the secret key of that recipient',
    })
  const [present] = await recipientsOf(store.path)
  if (present !== undefined && present !== wanted)
    throw new Misconfigured(`the store is encrypted for ${present} already`, {
      hint: 'xoauthd store rekey changes that',
    })
  await setRecipients(store.path, [wanted])
  return convert(store, key, (bytes) => isAgeFile(bytes))
}

/** @rejects StoreLocked when the key is not to be had; some of it may be in the clear by then */
export async function decryptStore(store: Store, key: StoreKey): Promise<Conversion> {
  await mustOpenAll(store, key)
  await setRecipients(store.path, [])
  return convert(store, key, (bytes) => !isAgeFile(bytes))
}

/**
 * Encrypts all again, for the first of the keys that are known.
 *
 * @rejects StoreLocked when the keys do not open all; nothing is changed then
 */
export async function rekeyStore(store: Store, key: StoreKey): Promise<Conversion> {
  const { encrypted } = await encryptionOf(store.path)
  if (!encrypted)
    throw new Misconfigured(`the store ${store.path} is not encrypted`, {
      hint: 'run: xoauthd store encrypt',
    })
  await mustOpenAll(store, key)
  const [recipient] = await ownRecipients(key)
  if (recipient === undefined)
    throw new Misconfigured('there is no key to encrypt the store for', {
      hint: 'set [store] key, or name a file with --identity',
    })
  await setRecipients(store.path, [recipient])
  return convert(store, key, () => false)
}

async function ownRecipients(key: StoreKey): Promise<readonly string[]> {
  return Promise.all(key.identities().map(({ text }) => recipientOf(text)))
}

/** Better to change nothing than to stop in the middle for want of a key. */
async function mustOpenAll(store: Store, key: StoreKey): Promise<void> {
  for (const name of await filesOf(store.path)) {
    const path = join(store.path, name)
    const bytes = await readPrivate(path)
    if (bytes && isAgeFile(bytes) && !isKeptAside(name)) key.open(bytes, path)
  }
}

async function convert(
  store: Store,
  key: StoreKey,
  isDone: (bytes: Buffer) => boolean,
): Promise<Conversion> {
  let converted = 0
  let unchanged = 0
  const failures: Failure[] = []
  for (const name of await filesOf(store.path)) {
    const path = join(store.path, name)
    try {
      if (await convertFile(store, key, path, isDone)) converted++
      else unchanged++
    } catch (error) {
      failures.push(asFailure(error))
    }
  }
  return { converted, unchanged, failures }
}

/** @returns whether there was something to do */
async function convertFile(
  store: Store,
  key: StoreKey,
  path: string,
  isDone: (bytes: Buffer) => boolean,
): Promise<boolean> {
  const before = await readPrivate(path)
  if (!before || isDone(before)) return false
  // What was kept aside has no owner, and nobody writes it.
  if (isKeptAside(path)) {
    await replaceFile(store.path, path, await seal(store.path, plain(before, path, key)))
    return true
  }
  const { account } = parseRecord(opened(before, path, key), path)
  return store.locked(account, async () => {
    const bytes = await readPrivate(path)
    if (!bytes || isDone(bytes)) return false
    const text = opened(bytes, path, key)
    await replaceFile(store.path, path, await seal(store.path, text))
    return true
  })
}

function plain(bytes: Buffer, path: string, key: StoreKey): Buffer {
  return isAgeFile(bytes) ? key.open(bytes, path) : bytes
}

function isKeptAside(name: string): boolean {
  return /\.json\.(?:broken|unread)/.test(name)
}
