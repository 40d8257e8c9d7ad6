/**
 * One refresh: from the grant on disk to a token in hand.
 *
 * Promises that refreshes of one grant follow each other, in this process and across all that share the
 * store; that what the provider sent is on disk before it is returned; and that nothing is written over
 * a grant that was replaced meanwhile. A grant is never deleted here.
 */
import type { Account } from './accounts.ts'
import {
  Failure,
  Misconfigured,
  SignInNeeded,
  StoreUnusable,
  Unavailable,
  asFailure,
} from './errors.ts'
import type { Hosts, Outcome } from './hosts.ts'
import { lifeGoesOn } from './grant-life.ts'
import { recall, type Kept, type KnownGrant } from './kept.ts'
import type { Log } from './log.ts'
import { explainEnd } from './prediction.ts'
import type { Grant, Issued, Token } from './providers/provider.ts'
import { isRefused, refreshAtMs, remainingMs, type Slot } from './slot.ts'
import type { Store } from './store.ts'
import type { StoredGrant, StoredRecord } from './store-record.ts'

export interface Renewal {
  /** @rejects Failure, or whatever a bug throws */
  renew(kept: Kept, slot: Slot): Promise<Token>
  /**
   * Looks what other processes have done to the grant.
   *
   * @returns what is stored when it is not what was known
   * @rejects SignInNeeded when it is gone or another client's; Misconfigured when it cannot be read
   */
  look(kept: Kept): Promise<StoredGrant | undefined>
  /** Tries again to write a grant that the disk did not take; never rejects. */
  save(kept: Kept): Promise<void>
}

/** The requests of one refresh have their own, shorter limits; this is for what they do not cover. */
const refreshTimeoutMs = 40_000

type Found = StoredRecord | undefined

/** One refresh's dealings with its host. */
interface Visit {
  outcome: Outcome
}

/** @param options.stopping what has not asked its provider by then does not any more */
export function createRenewal(options: {
  readonly store: Store
  readonly hosts: Hosts
  readonly log: Log
  readonly now: () => number
  readonly stopping: AbortSignal
}): Renewal {
  const { store, hosts, log, now, stopping } = options

  async function renew(kept: Kept, slot: Slot): Promise<Token> {
    const { provider } = kept.account
    const leave = await hosts.enter(provider.authority, now)
    const visit: Visit = { outcome: 'unasked' }
    try {
      const token = provider.usesGrant
        ? await inTurn(kept.grant, () => underLock(kept, slot, visit))
        : (await ask(kept, slot, undefined, visit)).token
      if (remainingMs(token, now()) > 0) return token
      throw new Unavailable(`${provider.authority} sent a token that has expired already`, {
        trouble: 'clock',
        hint: 'check the clock of this machine',
      })
    } finally {
      leave(visit.outcome, now())
    }
  }

  async function read(account: Account): Promise<Found> {
    try {
      return await store.read(account.user)
    } catch (error) {
      if (!(error instanceof Misconfigured)) throw error
      throw new StoreUnusable(error.message, { cause: error, hint: error.hint })
    }
  }

  async function ask(
    kept: Kept,
    slot: Slot,
    grant: Grant | undefined,
    visit: Visit,
  ): Promise<Issued> {
    const { provider } = kept.account
    if (stopping.aborted) throw new Unavailable('xoauthd is stopping')
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(), refreshTimeoutMs)
    try {
      const issued = await provider.refresh(grant, slot.request, now(), limit.signal)
      visit.outcome = 'answered'
      return issued
    } catch (error) {
      visit.outcome = outcomeOf(error)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** @returns undefined when the sign-in that was asked with is not the stored one any more */
  async function renewStored(kept: Kept, slot: Slot, visit: Visit): Promise<Token | undefined> {
    const { account, grant } = kept
    const found = await read(account)
    const changed = recognize(grant, found)
    const stored = grant.unsaved ?? found?.stored
    if (stored?.binding !== account.provider.binding) throw signInFirst(account, stored)
    const theirs = changed ? usable(stored.tokens[slot.key], slot, now()) : undefined
    if (theirs) return theirs
    const issued = await ask(kept, slot, stored.grant, visit).catch(async (error: unknown) => {
      if (error instanceof SignInNeeded) throw await noteEnd(kept, stored, error)
      await keepRotated(kept, stored, error)
      throw error
    })
    const written = await write(kept, withToken(stored, slot, issued, now()))
    return written ? issued.token : undefined
  }

  /** The grant that was asked with may be dead by now, although no token came. */
  async function keepRotated(kept: Kept, stored: StoredGrant, error: unknown): Promise<void> {
    const rotated = error instanceof Failure ? error.grant : undefined
    if (rotated === undefined || rotated === stored.grant) return
    await write(kept, { ...stored, grant: rotated })
  }

  /** The end of a sign-in is remembered at once; a token that comes after all takes it back. */
  async function noteEnd({ account, grant }: Kept, stored: StoredGrant, error: SignInNeeded) {
    if (error.certain) return error
    const endedAtMs = now()
    const ends = account.provider.grantEnds ?? []
    const failure = explainEnd(error, ends, endedAtMs - stored.signedInAtMs)
    const known = stored.life?.endedAtMs !== undefined
    if (grant.unsaved || (known && error.grant === undefined)) return failure
    const life = known ? stored.life : { ...stored.life, endedAtMs, endedBecause: failure.because }
    // What the provider wants to see at the next sign-in is of use to that one alone, which reads it there.
    const left = { ...stored, grant: error.grant ?? stored.grant, life }
    // It is worth knowing, and no more than that: a disk that does not take it is met again elsewhere.
    const version = await store.write(account.user, left, grant.version).catch(() => undefined)
    if (version !== undefined) Object.assign(grant, { version, life })
    return failure
  }

  /** Not worth a refresh: what it meets, the refresh meets too, and says. */
  async function sortUnread({ account }: Kept): Promise<void> {
    const damaged = await store.sortUnread(account.user).catch(() => [])
    for (const file of damaged)
      log.warn('sign-in kept aside', {
        account: account.user,
        file,
        reason: 'it was damaged when a new sign-in took its place',
      })
  }

  async function underLock(kept: Kept, slot: Slot, visit: Visit): Promise<Token> {
    return store.locked(kept.account.user, async () => {
      await sortUnread(kept)
      // What came between the two is asked with at once, and a sign-out is seen.
      for (let times = 0; times < 2; times++) {
        const token = await renewStored(kept, slot, visit)
        if (token) return token
      }
      throw new Unavailable('the sign-in was replaced again and again')
    })
  }

  /** @returns false when another grant has taken the place of the one that this one comes from */
  async function write({ account, grant }: Kept, next: StoredGrant): Promise<boolean> {
    try {
      const version = await store.write(account.user, next, grant.version)
      if (grant.unsaved && version !== undefined)
        log.info('grant written', { account: account.user })
      grant.unsaved = undefined
      if (version === undefined) return false
      grant.version = version
      recall(grant, next)
    } catch (error) {
      // The old grant may be dead by now, so this one is all there is: serve, and write it later.
      const { message, hint } = asFailure(error)
      const level = grant.unsaved ? 'debug' : 'error'
      log[level]('grant not written', { account: account.user, reason: message, hint })
      grant.unsaved = next
    }
    return true
  }

  return {
    renew,

    async look({ account, grant }) {
      let before, found
      do {
        before = grant.version
        found = await read(account)
        // What a refresh of ours wrote meanwhile may be newer than what was read.
      } while (grant.version !== before)
      const changed = recognize(grant, found)
      if (found?.stored.binding !== account.provider.binding)
        throw signInFirst(account, found?.stored)
      return changed ? found.stored : undefined
    },

    save: (kept) =>
      inTurn(kept.grant, async () => {
        try {
          await store.locked(kept.account.user, async () => {
            if (kept.grant.unsaved) await write(kept, kept.grant.unsaved)
          })
        } catch (error) {
          log.debug('grant not written', { reason: asFailure(error).message })
        }
      }),
  }
}

async function inTurn<Result>(grant: KnownGrant, work: () => Promise<Result>): Promise<Result> {
  const before = grant.turn
  let done = () => {}
  grant.turn = new Promise((resolve) => (done = resolve))
  await before
  try {
    return await work()
  } finally {
    done()
  }
}

/** @returns whether another process has changed what is stored */
function recognize(grant: KnownGrant, found: Found): boolean {
  if (found?.version === grant.version) return false
  grant.version = found?.version
  recall(grant, found?.stored)
  // Somebody signed in since the disk failed us: theirs is the grant that counts.
  grant.unsaved = undefined
  return true
}

/** What a failure tells of the host. Misconfigured may come from here as well, so it tells nothing. */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof Unavailable) {
    if (error.trouble === 'network' || error.trouble === 'provider') return error
    return error.trouble === 'waiting' ? 'unasked' : 'answered'
  }
  return error instanceof Failure && !(error instanceof Misconfigured) ? 'answered' : 'unasked'
}

/** @returns a token that another process fetched or a sign-in brought along, when it will do */
export function usable(token: Token | undefined, slot: Slot, nowMs: number): Token | undefined {
  if (!token || isRefused(slot, token) || remainingMs(token, nowMs) <= 0) return undefined
  return refreshAtMs(token, 0) > nowMs ? token : undefined
}

function withToken(stored: StoredGrant, slot: Slot, issued: Issued, nowMs: number): StoredGrant {
  const { token } = issued
  const living = Object.entries(stored.tokens).filter(([, one]) => remainingMs(one, nowMs) > 0)
  return {
    ...stored,
    grant: issued.grant ?? stored.grant,
    refreshedAtMs: nowMs,
    life: lifeGoesOn(stored.life),
    tokens: {
      ...Object.fromEntries(living),
      ...(token.expiryKnown ? { [slot.key]: token } : {}),
    },
  }
}

function signInFirst(account: Account, stored: StoredGrant | undefined): SignInNeeded {
  return new SignInNeeded(
    stored === undefined
      ? `nobody has signed in for ${account.user}`
      : `${account.user} was signed in for another client or provider than the file names now`,
    { certain: true, hint: `run: xoauthd login ${account.user}` },
  )
}
