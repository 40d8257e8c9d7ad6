/** What STATUS tells of the store: where it is, whether it is encrypted, and what it lacks. No secret is in it. */
import { join } from 'node:path'
import { isAgeFile } from './age-file.ts'
import type { Config } from './config.ts'
import { StoreLocked, asFailure, type Failure } from './errors.ts'
import type { Store } from './store.ts'
import { isSameFolder, readPrivate } from './store-disk.ts'
import { encryptionOf, filesOf, recipientsOf } from './store-encryption.ts'
import type { StoreKey } from './store-key.ts'

export interface StoreStatus {
  readonly path: string
  /** Whether what is written is encrypted. */
  readonly encrypted: boolean
  /** Files of sign-ins that are not: all of them, or what a conversion that broke off has left. */
  readonly plain_files: number
  /** Whether its key is missing or another one. */
  readonly locked: boolean
  /** The accounts whose newest sign-in the disk did not take: it is in the daemon's memory alone. */
  readonly unsaved: readonly string[]
  readonly message: string
  readonly hint: string
}

/**
 * What there is to say of a store; that it cannot be read is a part of it.
 *
 * @param unsaved the accounts whose grants are not on disk
 */
export async function storeStatus(
  store: Pick<Store, 'path' | 'mustBeInPlace'>,
  key: StoreKey,
  unsaved: readonly string[],
): Promise<StoreStatus> {
  const { path } = store
  let trouble: Failure | undefined = key.trouble()
  const locked = trouble !== undefined
  const unknown = (error: unknown) => {
    trouble = asFailure(error)
    return { encrypted: false, plainFiles: 0 }
  }
  const encryption = await encryptionOf(path).catch(unknown)
  await store.mustBeInPlace().catch(unknown)
  return {
    path,
    encrypted: encryption.encrypted,
    plain_files: encryption.plainFiles,
    locked,
    unsaved,
    message: trouble?.message ?? '',
    hint: trouble?.hint ?? '',
  }
}

/**
 * Asks for the key where the store is encrypted, and tries it on one of its files.
 *
 * @returns why the store is locked; undefined when it is not
 * @rejects Failure when the store cannot be read
 */
export async function storeLock(path: string, key: StoreKey): Promise<Failure | undefined> {
  if ((await recipientsOf(path)).length === 0) return undefined
  await key.unlock()
  for (const name of await filesOf(path)) {
    const sealed = await readPrivate(join(path, name))
    if (sealed && isAgeFile(sealed)) return lockOf(key, sealed, join(path, name))
  }
  const failure = key.failure()
  return (
    failure && new StoreLocked(`the store is locked: ${failure.message}`, { hint: failure.hint })
  )
}

function lockOf(key: StoreKey, sealed: Buffer, path: string): Failure | undefined {
  try {
    key.open(sealed, path)
    return undefined
  } catch (error) {
    // One that is damaged is its account's trouble.
    if (error instanceof StoreLocked) return error
    return undefined
  }
}

/** @returns what is wrong, and what to do, where new sign-ins are in the daemon's memory alone */
export function unsavedTrouble({
  path,
  // A daemon that is older than this program does not say.
  unsaved = [],
}: Pick<StoreStatus, 'path'> & Partial<StoreStatus>):
  { readonly message: string; readonly hint: string } | undefined {
  const [first] = unsaved
  if (first === undefined) return undefined
  const others = unsaved.length === 1 ? '' : ` and ${unsaved.length - 1} more`
  return {
    message: `the store ${path} did not take the new sign-in of ${first}${others}: it is in memory alone`,
    hint: 'make room on the disk, or correct the permissions of the store; end xoauthd only after that',
  }
}

/**
 * @param daemon what the one that runs says of itself
 * @returns what is wrong where it has read this file and goes by another store than the file names now
 */
export async function storeElsewhere(
  { file, storePath }: Pick<Config, 'file' | 'storePath'>,
  { configuration, path }: { readonly configuration: unknown; readonly path: unknown },
): Promise<string | undefined> {
  if (configuration !== file || typeof path !== 'string') return undefined
  if (await isSameFolder(path, storePath)) return undefined
  return `the xoauthd that runs uses the store ${path}, and ${file} names ${storePath}`
}
