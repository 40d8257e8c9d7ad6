/**
 * A grant per account on disk, and the lock under which it changes.
 *
 * The meeting point of a sign-in, which runs in a process of its own, and the daemon. Promises: a write
 * that fails when another one came first; names that no address can escape from; a store that has a
 * recipient (see store-encryption.ts) gets nothing but encrypted files, which takes no key to write.
 * Nothing here knows what a grant is.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { foldCase } from './address.ts'
import { isAgeFile } from './age-file.ts'
import { Held, lock, openFolder, type Release } from './claim.ts'
import { Failure, Misconfigured, StoreLocked, Unavailable } from './errors.ts'
import {
  diskTrouble,
  isAside,
  keepAside,
  keepUnread,
  mustBeInPlace,
  namesFrom,
  prepareFolder,
  readPrivate,
  removeFiles,
  replaceFile,
  sweep,
  unreadOf,
} from './store-disk.ts'
import { seal } from './store-encryption.ts'
import { createStoreKey, type StoreKey } from './store-key.ts'
import {
  formatRecord,
  newRecord,
  parseRecord,
  type StoredGrant,
  type StoredRecord,
  type Version,
} from './store-record.ts'

export interface Store {
  /**
   * @returns undefined when nobody has signed in
   * @rejects Misconfigured when the file cannot be used, StoreLocked when it lacks its key, Unavailable when
   *   the disk fails, or the folder is gone or another one
   */
  read(account: string): Promise<StoredRecord | undefined>
  /**
   * Replaces a grant; on disk when it resolves. Only for a caller that holds the lock.
   *
   * @param expected the version that was read, undefined when there was none
   * @returns the new version, or undefined when another write came first and nothing was written
   * @rejects Unavailable when the disk does not take it
   */
  write(
    account: string,
    stored: StoredGrant,
    expected: Version | undefined,
  ): Promise<Version | undefined>
  /**
   * Puts a new sign-in in the place of whatever is there; what cannot be read is kept aside, also where
   * the key to read it is missing.
   *
   * @rejects Unavailable when the disk does not take it
   */
  replace(account: string, stored: StoredGrant): Promise<Version>
  /**
   * Looks at what a sign-in that had no key replaced unread: what was whole goes, as it would have gone then,
   * and what was damaged is kept as all that cannot be read is. Only for a caller that holds the lock.
   *
   * @returns the new names of what was damaged
   * @rejects StoreLocked while the key is missing; Unavailable when the disk fails
   */
  sortUnread(account: string): Promise<readonly string[]>
  /**
   * Removes a grant, and what was kept aside of the account: it may hold one as well.
   *
   * @returns whether there was anything
   */
  forget(account: string): Promise<boolean>
  /**
   * Does some work as the only one, in any process, who refreshes or replaces this grant.
   *
   * @param signal ends the wait for another one; longer than a refresh may take unless given
   * @rejects Unavailable when another one goes on until the wait ends, the disk fails, or the folder is gone or
   *   another one: locks are of use only where others look for them
   */
  locked<Result>(
    account: string,
    work: () => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result>
  /** @rejects Unavailable at once when another daemon uses this store */
  lockForDaemon(): Promise<Release>
  readonly path: string
  /** @rejects Unavailable when its folder is gone, or another one has its name */
  mustBeInPlace(): Promise<void>
  close(): Promise<void>
}

/** Longer than a refresh may take, so that another process has ended or died by then. */
const lockWaitMs = 45_000

/**
 * Opens the store, making its folder when it is missing.
 *
 * @param key opens what is encrypted; without one only what is not can be read
 * @rejects Misconfigured when the folder is open to others or belongs to another user
 */
export async function openStore(
  path: string,
  key: StoreKey = createStoreKey(() => undefined),
): Promise<Store> {
  await prepareFolder(path)
  const folder = await openFolder(path)
  const file = (account: string) => join(path, `${fileName(account)}.json`)

  const inPlace = () => mustBeInPlace(path, folder)
  const read = (account: string) => readFrom(file(account))

  async function readFrom(name: string): Promise<StoredRecord | undefined> {
    const bytes = await readPrivate(name)
    // After it: a file that is missing because its folder is tells nothing of the sign-in.
    await inPlace()
    return bytes && parseRecord(opened(bytes, name, key), name)
  }

  async function put(account: string, stored: StoredGrant): Promise<Version> {
    const record = newRecord(account, stored)
    await replaceFile(path, file(account), await seal(path, formatRecord(record)))
    return record.version
  }

  return {
    path,
    mustBeInPlace: inPlace,
    read,

    async write(account, stored, expected) {
      const present = await read(account)
      return present?.version === expected ? put(account, stored) : undefined
    },

    async replace(account, stored) {
      await inPlace()
      try {
        await read(account)
      } catch (error) {
        // Encrypted, and whoever signs in has no key and needs none: who has it looks whether it was whole.
        if (error instanceof StoreLocked) await keepUnread(path, file(account))
        else await keepAside(path, file(account))
      }
      return put(account, stored)
    },

    async sortUnread(account) {
      const damaged: string[] = []
      for (const unread of await unreadOf(path, file(account)))
        try {
          await readFrom(unread)
          await removeFiles(path, [unread])
        } catch (error) {
          if (!(error instanceof Misconfigured)) throw error
          damaged.push(await keepAside(path, file(account), unread))
        }
      return damaged
    },

    async forget(account) {
      const present = await namesFrom(path, file(account))
      const ours = present.filter((name) => name === file(account) || isAside(name, file(account)))
      await removeFiles(path, ours)
      return ours.length > 0
    },

    async locked(account, work, signal = AbortSignal.timeout(lockWaitMs)) {
      await inPlace()
      const release = await lockFile(folder.path(`${hashOf(account)}.lock`), signal)
      try {
        // Others would lock in the folder that has taken its place since.
        await inPlace()
        return await work()
      } finally {
        await release()
      }
    },

    async lockForDaemon() {
      let release: Release
      try {
        release = await lockFile(folder.path('daemon.lock'), AbortSignal.abort())
      } catch (error) {
        if (!(error instanceof Held)) throw error
        throw new Unavailable(`another xoauthd uses the store ${path}: ${error.message}`, {
          hint: 'stop it, or give this one a store of its own: [store] path = "…"',
        })
      }
      await sweep(path)
      return release
    },

    close: () => folder.close(),
  }
}

/**
 * @returns the text of a file, encrypted or not
 * @throws StoreLocked, or Misconfigured when it is damaged
 */
export function opened(bytes: Buffer, path: string, key: StoreKey): string {
  return (isAgeFile(bytes) ? key.open(bytes, path) : bytes).toString('utf8')
}

function hashOf(account: string): string {
  return createHash('sha256').update(foldCase(account)).digest('hex').slice(0, 16)
}

/** Readable for people, unique by the hash, and never a path: `/` and a leading dot become `_`. */
function fileName(account: string): string {
  const readable = foldCase(account)
    .replace(/[^a-z0-9@._-]/g, '_')
    .replace(/^\./, '_')
    .slice(0, 80)
  return `${readable}-${hashOf(account)}`
}

/** A lock whose every failure the rest of the program knows how to take. */
async function lockFile(path: string, signal: AbortSignal): Promise<Release> {
  try {
    return await lock(path, signal)
  } catch (error) {
    throw error instanceof Failure ? error : diskTrouble(error, path)
  }
}
