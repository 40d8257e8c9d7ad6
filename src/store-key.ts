/**
 * The key of an encrypted store: where it comes from, and when it is asked for.
 *
 * Promises that no request ever asks for it: a program that prints it may want a passphrase, so it runs
 * at the start, at a reload, and again with growing gaps while it fails at once. Without the key a store
 * is locked, which is a state of its own: nothing is lost and nothing is overwritten.
 */
import { dirname } from 'node:path'
import { DamagedAgeFile, openAgeFile, readIdentities, type Identity } from './age-file.ts'
import { Misconfigured, StoreLocked, Unavailable, asFailure, type Failure } from './errors.ts'
import type { Config } from './config.ts'
import { createSecretReader } from './secret.ts'

export interface StoreKey {
  /**
   * Opens a file of the store with the key as it is known; asks nobody.
   *
   * @throws StoreLocked when the key is missing or another one, Misconfigured when the file is damaged
   */
  open(file: Buffer, path: string): Buffer
  /** Asks for the key where it is kept. It never rejects: {@link StoreKey.trouble} tells what came of it. */
  unlock(): Promise<void>
  /**
   * Asks again when something could not be opened and it is time to; to be called with each tick.
   *
   * @param nowMs the wall clock, epoch ms
   * @returns whether it has asked
   */
  retry(nowMs: number): Promise<boolean>
  /** Why something could not be opened; undefined while all is well. */
  trouble(): StoreLocked | undefined
  /** Why no key is known; undefined when one is. */
  failure(): Failure | undefined
  /** Every secret key that is known, the one to write for first. */
  identities(): readonly Identity[]
}

/** Where a key is kept. */
export interface KeySource {
  /** @rejects Failure */
  read(): Promise<string>
  /** Whether reading it may put a question before a person. */
  readonly mayAsk: boolean
}

/** @returns where the configuration keeps the key; a new one each time, that remembers nothing */
export function keySourceOf(
  { storeKey, file }: Pick<Config, 'storeKey' | 'file'>,
  env: NodeJS.ProcessEnv,
): KeySource | undefined {
  if (!storeKey) return undefined
  const readSecret = createSecretReader(dirname(file), env)
  return { read: () => readSecret(storeKey), mayAsk: storeKey.kind === 'command' }
}

const firstGapMs = 60_000
const longestGapMs = 3_600_000

/** @param source as the configuration has it now; undefined when it names no key */
export function createStoreKey(source: () => KeySource | undefined): StoreKey {
  let identities: readonly Identity[] = []
  let failure: Failure = new Unavailable('its key has not been read yet', { hint: 'ask again' })
  /** Nobody answered the question that the program put. */
  let timedOut = false
  let locked: StoreLocked | undefined
  let running: Promise<void> | undefined
  let gapMs = firstGapMs
  let askAgainAtMs = 0

  async function ask(): Promise<void> {
    try {
      const found = await source()?.read()
      if (found === undefined) throw noKey()
      const read = readIdentities(found)
      if (typeof read === 'string')
        throw new Misconfigured(`its key cannot be used: it ${read}`, {
          hint: 'a key is one line, AGE-SECRET-KEY-1…, as age-keygen prints it',
        })
      identities = read
      locked = undefined
      timedOut = false
    } catch (error) {
      timedOut = error instanceof Unavailable
      // A key that was there once goes on being used: it still opens what it opened.
      failure = asFailure(error)
    }
  }

  function unlock(): Promise<void> {
    running ??= ask().finally(() => (running = undefined))
    return running
  }

  return {
    open(file, path) {
      try {
        const opened = openAgeFile(file, identities)
        if (opened) return opened
      } catch (error) {
        if (!(error instanceof DamagedAgeFile)) throw error
        throw new Misconfigured(`${path} is damaged: ${error.message}`, {
          cause: error,
          hint: 'restore it from a backup, or sign in again; login keeps the old file beside the new one',
        })
      }
      locked =
        identities.length === 0
          ? new StoreLocked(`the store is locked: ${failure.message}`, { hint: failure.hint })
          : new StoreLocked(`the store is locked: its key does not open ${path}`, {
              hint: 'set [store] key to the key that it was encrypted with, or add that one to it',
            })
      throw locked
    },

    unlock,

    async retry(nowMs) {
      const from = source()
      if (!locked || running || !from) return false
      if (from.mayAsk) {
        // It waited for somebody who was not there. The next reload asks again.
        if (timedOut) return false
        // The clock may have been set back.
        if (nowMs < askAgainAtMs && askAgainAtMs - nowMs <= longestGapMs) return false
        askAgainAtMs = nowMs + gapMs
        gapMs = Math.min(2 * gapMs, longestGapMs)
      }
      await unlock()
      return true
    },

    trouble: () => locked,
    failure: () => (identities.length === 0 ? failure : undefined),
    identities: () => identities,
  }
}

function noKey(): Misconfigured {
  return new Misconfigured('it is encrypted, and there is no [store] key', {
    hint: 'set [store] key in the configuration, or give the unit the credential xoauthd-store-key',
  })
}
