/**
 * A grant per account on disk, and the lock under which it changes.
 *
 * The meeting point of a sign-in, which runs in a process of its own, and the daemon. Promises: a folder
 * of mode 0700 with files of mode 0600, looser ones refused; a file that is whole at any instant (write,
 * fsync, rename, fsync of the folder); a write that fails when another one came first; names that no
 * address can escape from. Nothing here knows what a grant is.
 */
import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { foldCase } from './address.ts'
import { Held, lock, openFolder, type Release } from './claim.ts'
import { Failure, Misconfigured, Unavailable } from './errors.ts'
import { readLife, type GrantLife } from './grant-life.ts'
import type { Grant, Token } from './providers/provider.ts'

const format = 1

/** What is kept of one account. */
export interface StoredGrant {
  readonly grant: Grant
  /** The registration that the grant belongs to; see `Provider.binding`. */
  readonly binding: string
  readonly signedInAtMs: number
  readonly refreshedAtMs: number
  /** The last tokens, by the provider's token key: a restart serves at once and asks nobody. */
  readonly tokens: Readonly<Record<string, Token>>
  /** How it ended, or the one before; no version of the file has to have it. */
  readonly life?: GrantLife | undefined
}

/** Changes with every write, of whatever process. */
export type Version = string

export interface Store {
  /** @rejects Misconfigured when the file cannot be used */
  read(account: string): Promise<{ stored: StoredGrant; version: Version } | undefined>
  /**
   * Replaces a grant; on disk when it resolves. Only for a caller that holds the {@link lock}.
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
   * Puts a new sign-in in the place of whatever is there; what cannot be read is kept aside.
   *
   * @rejects Unavailable when the disk does not take it
   */
  replace(account: string, stored: StoredGrant): Promise<Version>
  /**
   * Removes a grant, and what was kept aside of the account: it may hold one as well.
   *
   * @returns whether there was anything
   */
  forget(account: string): Promise<boolean>
  /**
   * Makes the caller the only one, in any process, who refreshes or replaces this grant.
   *
   * @rejects Unavailable when another one does until `signal` ends the wait, or the disk fails
   */
  lock(account: string, signal: AbortSignal): Promise<Release>
  /** @rejects Unavailable at once when another daemon uses this store */
  lockForDaemon(): Promise<Release>
  readonly path: string
  close(): Promise<void>
}

/** What a crash left behind is swept away after this; nothing takes that long to write. */
const leftoverMs = 3_600_000

/**
 * Opens the store, making its folder when it is missing.
 *
 * @rejects Misconfigured when the folder is open to others or belongs to another user
 */
export async function openStore(path: string): Promise<Store> {
  await prepareFolder(path)
  const folder = await openFolder(path)
  const file = (account: string) => join(path, `${fileName(account)}.json`)

  async function read(account: string) {
    const text = await readPrivate(file(account))
    return text === undefined ? undefined : parseRecord(text, file(account))
  }

  async function put(account: string, stored: StoredGrant): Promise<Version> {
    const version = randomBytes(8).toString('hex')
    const record = { format, account, version, ...stored }
    await replaceFile(path, file(account), `${JSON.stringify(record)}\n`)
    return version
  }

  return {
    path,
    read,

    async write(account, stored, expected) {
      const present = await read(account)
      return present?.version === expected ? put(account, stored) : undefined
    },

    async replace(account, stored) {
      try {
        await read(account)
      } catch {
        await keepAside(path, file(account))
      }
      return put(account, stored)
    },

    async forget(account) {
      const present = await namesFrom(path, file(account))
      const ours = present.filter((name) => name === file(account) || isAside(name, file(account)))
      try {
        for (const name of ours) await rm(name, { force: true })
        if (ours.length > 0) await syncFolder(path)
      } catch (error) {
        throw diskTrouble(error, file(account))
      }
      return ours.length > 0
    },

    async lock(account, signal) {
      return lockFile(folder.path(`${hashOf(account)}.lock`), signal)
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

/** Who may change the store: `login` by another user would lock the daemon out of its own files. */
export async function ownerOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).uid
  } catch {
    return undefined
  }
}

async function prepareFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    const { mode, uid } = await stat(path)
    const own = process.getuid?.()
    if (own !== undefined && uid !== own)
      throw new Misconfigured(`the store ${path} belongs to user ${uid}, and this is user ${own}`, {
        hint: 'run xoauthd as its owner, or set [store] path',
      })
    if ((mode & 0o077) !== 0)
      throw new Misconfigured(
        `the store ${path} is open to others (mode ${(mode & 0o777).toString(8)})`,
        { hint: `chmod 700 ${path}` },
      )
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Misconfigured(
      `the store ${path} cannot be used (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
      { cause: error, hint: 'make the folder, mode 0700, or set [store] path' },
    )
  }
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

async function readPrivate(path: string): Promise<string | undefined> {
  let file
  try {
    file = await open(path, 'r')
    const { mode } = await file.stat()
    if ((mode & 0o077) !== 0)
      throw new Misconfigured(`${path} is open to others (mode ${(mode & 0o777).toString(8)})`, {
        hint: `chmod 600 ${path}, and sign in again if somebody may have read it`,
      })
    return await file.readFile('utf8')
  } catch (error) {
    if (error instanceof Failure) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw diskTrouble(error, path)
  } finally {
    await file?.close()
  }
}

function parseRecord(text: string, path: string): { stored: StoredGrant; version: Version } {
  const record = parseObject(text)
  if (typeof record['format'] === 'number' && record['format'] > format)
    throw new Misconfigured(`${path} was written by a newer xoauthd (format ${record['format']})`, {
      hint: 'use that version, or sign in again',
    })
  const { grant, binding, signedInAtMs, refreshedAtMs, tokens, version } = record
  if (
    record['format'] !== format ||
    typeof grant !== 'string' ||
    typeof version !== 'string' ||
    typeof binding !== 'string' ||
    typeof signedInAtMs !== 'number' ||
    typeof refreshedAtMs !== 'number'
  )
    throw damaged(path)
  const life = readLife(record['life'])
  const stored = {
    ...{ grant, binding, signedInAtMs, refreshedAtMs, tokens: readTokens(tokens) },
    ...(life ? { life } : {}),
  }
  return { version, stored }
}

/** @returns nothing of what is no object */
function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    return asObject(JSON.parse(text))
  } catch {
    return {}
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** A token that cannot be read is fetched again: no reason to lose the grant beside it. */
function readTokens(value: unknown): Record<string, Token> {
  const tokens: Record<string, Token> = {}
  for (const [key, entry] of Object.entries(asObject(value))) {
    const { value: text, obtainedAtMs, expiresAtMs } = asObject(entry)
    if (typeof text !== 'string' || text === '') continue
    if (typeof obtainedAtMs !== 'number' || typeof expiresAtMs !== 'number') continue
    tokens[key] = { value: text, obtainedAtMs, expiresAtMs, expiryKnown: true }
  }
  return tokens
}

function damaged(path: string): Misconfigured {
  return new Misconfigured(`${path} is damaged`, {
    hint: 'restore it from a backup, or sign in again; login keeps the old file beside the new one',
  })
}

/** What was kept aside of a file: `….broken`, `….broken.2` and so on. */
function isAside(name: string, path: string): boolean {
  return name.startsWith(`${path}.broken`)
}

/** @returns the paths in a folder that begin with one */
async function namesFrom(folder: string, path: string): Promise<string[]> {
  try {
    const names = await readdir(folder)
    return names.map((name) => join(folder, name)).filter((name) => name.startsWith(path))
  } catch (error) {
    throw diskTrouble(error, path)
  }
}

/** What we cannot read we do not destroy, nor what was kept aside before. */
async function keepAside(folder: string, path: string): Promise<void> {
  const present = await namesFrom(folder, path)
  let aside = `${path}.broken`
  for (let count = 2; present.includes(aside); count++) aside = `${path}.broken.${count}`
  try {
    await rename(path, aside)
    await chmod(aside, 0o600)
  } catch (error) {
    throw diskTrouble(error, path)
  }
}

/** A lock whose every failure the rest of the program knows how to take. */
async function lockFile(path: string, signal: AbortSignal): Promise<Release> {
  try {
    return await lock(path, signal)
  } catch (error) {
    throw error instanceof Failure ? error : diskTrouble(error, path)
  }
}

async function replaceFile(folder: string, path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncFolder(folder)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw diskTrouble(error, path)
  }
}

/** Without it a power cut may forget the rename, and with it a grant that the server has rotated. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function sweep(folder: string): Promise<void> {
  try {
    for (const name of await readdir(folder)) {
      if (!/^\.[0-9a-f]{12}$|\.tmp$/.test(name)) continue
      const { mtimeMs } = await stat(join(folder, name))
      if (Date.now() - mtimeMs > leftoverMs) await rm(join(folder, name), { force: true })
    }
  } catch {
    // What cannot be swept away does no harm; the next start tries again.
  }
}

function diskTrouble(error: unknown, path: string): Unavailable {
  const code = (error as NodeJS.ErrnoException).code ?? String(error)
  return new Unavailable(`${path} could not be read or written (${code})`, {
    cause: error,
    hint:
      code === 'ENOSPC' ? 'the disk is full' : 'check the disk and the permissions of the folder',
  })
}
