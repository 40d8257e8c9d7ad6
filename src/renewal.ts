/**
 * One refresh: from the grant on disk to a token in hand.
 *
 * Promises that refreshes of one grant follow each other, in this process and across all that share the
 * store; that what the provider sent is on disk before it is returned; and that nothing is written over
 * a grant that was replaced meanwhile. A grant is never deleted here.
 */
import type { Account } from './accounts.ts'
import { SignInNeeded, Unavailable, asFailure } from './errors.ts'
import type { Hosts } from './hosts.ts'
import type { Kept } from './kept.ts'
import type { Log } from './log.ts'
import type { Grant, Issued, Token } from './providers/provider.ts'
import { refreshAtMs, type Slot } from './slot.ts'
import type { Store, StoredGrant, Version } from './store.ts'

export interface Renewal {
  /**
   * @returns the token, and whether its host has just come back from trouble
   * @rejects Failure
   */
  renew(kept: Kept, slot: Slot): Promise<{ token: Token; recovered: boolean }>
  /** Tries again to write a grant that the disk did not take. */
  save(kept: Kept): Promise<void>
}

/** Longer than a refresh may take, so that another process has ended or died by then. */
const lockWaitMs = 45_000

/** @param options.signal ends requests that are under way */
export function createRenewal(options: {
  readonly store: Store
  readonly hosts: Hosts
  readonly log: Log
  readonly now: () => number
  readonly signal: AbortSignal
}): Renewal {
  const { store, hosts, log, now, signal } = options

  async function renew(kept: Kept, slot: Slot): Promise<{ token: Token; recovered: boolean }> {
    const { provider } = kept.account
    const leave = await hosts.enter(provider.authority, now)
    let trouble: Unavailable | undefined
    try {
      const token = provider.usesGrant
        ? await inTurn(kept, () => underLock(kept, slot))
        : (await ask(kept, slot, undefined)).token
      return { token, recovered: leave(undefined, now()) }
    } catch (error) {
      if (
        error instanceof Unavailable &&
        (error.trouble === 'network' || error.trouble === 'provider')
      )
        trouble = error
      leave(trouble, now())
      throw error
    }
  }

  async function ask(kept: Kept, slot: Slot, grant: Grant | undefined): Promise<Issued> {
    return kept.account.provider.refresh(grant, slot.request, now(), signal)
  }

  async function inTurn<Result>(kept: Kept, work: () => Promise<Result>): Promise<Result> {
    const before = kept.turn
    let done = () => {}
    kept.turn = new Promise((resolve) => (done = resolve))
    await before
    try {
      return await work()
    } finally {
      done()
    }
  }

  async function underLock(kept: Kept, slot: Slot): Promise<Token> {
    const { account } = kept
    const release = await store.lock(account.user, AbortSignal.timeout(lockWaitMs))
    try {
      const found = await store.read(account.user)
      const changed = found?.version !== kept.version
      // Somebody signed in since the disk failed us: theirs is the grant that counts.
      if (changed) kept.unsaved = undefined
      const stored = kept.unsaved ?? found?.stored
      kept.version = found?.version
      kept.signedInAtMs = stored?.signedInAtMs
      if (stored?.binding !== account.provider.binding) throw signInFirst(account, stored)
      const theirs = stored.tokens[slot.key]
      // Another process refreshed meanwhile, or a sign-in brought a token along.
      if (changed && theirs && refreshAtMs(theirs, 0) > now()) return theirs
      const issued = await ask(kept, slot, stored.grant)
      await write(kept, withToken(stored, slot, issued, now()))
      return issued.token
    } finally {
      await release()
    }
  }

  async function write(kept: Kept, next: StoredGrant): Promise<void> {
    const { user } = kept.account
    let version: Version | undefined
    try {
      version = await store.write(user, next, kept.version)
    } catch (error) {
      // The old grant may be dead by now, so this one is all there is: serve, and write it later.
      kept.unsaved = next
      const { message, hint } = asFailure(error)
      log.error('grant not written', { account: user, reason: message, hint })
      return
    }
    if (kept.unsaved && version !== undefined) log.info('grant written', { account: user })
    kept.unsaved = undefined
    if (version === undefined)
      throw new Unavailable('the sign-in was replaced while the token was fetched')
    kept.version = version
  }

  return {
    renew,
    save: (kept) =>
      inTurn(kept, async () => {
        if (!kept.unsaved) return
        const release = await store.lock(kept.account.user, AbortSignal.timeout(lockWaitMs))
        try {
          await write(kept, kept.unsaved)
        } finally {
          await release()
        }
      }),
  }
}

function withToken(stored: StoredGrant, slot: Slot, issued: Issued, nowMs: number): StoredGrant {
  const { token } = issued
  return {
    ...stored,
    grant: issued.grant ?? stored.grant,
    refreshedAtMs: nowMs,
    tokens: token.expiryKnown ? { ...stored.tokens, [slot.key]: token } : stored.tokens,
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
