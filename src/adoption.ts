/**
 * A list of accounts, taken over, and what the store has for each: at start, after a reload, and when
 * another process has changed it.
 *
 * Promises that what did not change keeps its tokens, and an account that did those that the change does
 * not touch; that a token in the store is served at once; and that what another process did not leave is
 * fetched: `login` has one of its own, and the key of a locked store may come, or a file there be
 * repaired, at any time.
 */
import type { Account, Accounts } from './accounts.ts'
import { foldCase } from './address.ts'
import { eachOf } from './each-of.ts'
import { Misconfigured, asFailure, type Failure } from './errors.ts'
import {
  addOwnSlots,
  createKept,
  isStopped,
  recall as recallGrant,
  takeOverSlots,
  type Kept,
} from './kept.ts'
import { usable, type Renewal } from './renewal.ts'
import type { Saving } from './saving.ts'
import {
  awaitsStore,
  deferred,
  endWaiting,
  isUnknown,
  remainingMs,
  settled,
  type Slot,
} from './slot.ts'
import { allSlots, dropSlot, isOwnSlot } from './slot-table.ts'
import type { Store } from './store.ts'
import { filesAtOnce } from './store-disk.ts'
import type { StoredGrant } from './store-record.ts'

export interface Adoption {
  /** Takes over a list of accounts; those that did not change keep their tokens. Never rejects. */
  adopt(list: Accounts, nowMs: number): Promise<void>
  /**
   * Looks at the store for somebody who asked.
   *
   * @returns the slots that have a token from there
   * @rejects Failure, which all slots have then, when there is no grant any more or it cannot be read
   */
  look(kept: Kept): Promise<ReadonlySet<Slot>>
  /**
   * Looks whether what stopped accounts wait for has come: one look after another, and however often it is
   * asked for meanwhile one more. Never rejects.
   */
  lookAgain(): Promise<void>
}

/**
 * @param options.accounts what is kept, by user: changed here alone
 * @param options.fail puts a slot into the state that a failure leads to
 * @param options.wake asks for a tick in so many milliseconds, or sooner
 */
export function createAdoption(options: {
  readonly accounts: Map<string, Kept>
  readonly saving: Saving
  readonly store: Store
  readonly renewal: Renewal
  readonly fail: (kept: Kept, slot: Slot, failure: Failure) => void
  readonly now: () => number
  readonly wake: (delayMs: number) => void
  readonly random: () => number
}): Adoption {
  const { accounts, saving, store, renewal, fail, now, wake, random } = options
  const looks = { running: false, wanted: false }

  /** @returns those that are new or changed */
  function replace(list: Accounts, nowMs: number): Kept[] {
    const before = new Map([...accounts.values()].map((kept) => [keyOf(kept.account), kept]))
    const added: Kept[] = []
    accounts.clear()
    for (const account of list.all) {
      let kept = before.get(keyOf(account))
      if (kept?.account.fingerprint() === account.fingerprint()) {
        kept.account = account
        tryAgain(kept, nowMs)
        before.delete(keyOf(account))
      } else {
        const known = predecessor(account, kept)
        kept = createKept(account, known)
        addOwnSlots(kept, nowMs)
        const answersFor = (mailbox: string) => list.find(mailbox)?.account === account
        if (known) takeOverSlots(kept, known, answersFor, nowMs)
        tryAgain(kept, nowMs)
        added.push(kept)
      }
      accounts.set(account.user, kept)
    }
    const grants = new Set([...accounts.values()].map(({ grant }) => grant))
    for (const old of before.values()) {
      for (const slot of allSlots(old.slots)) endWaiting(slot)
      if (!grants.has(old.grant)) saving.mind(old)
    }
    return added
  }

  /** A grant that is in memory alone is worth more than what else is known of the account. */
  function predecessor({ user, provider }: Account, present: Kept | undefined): Kept | undefined {
    if (present?.account.provider.binding === provider.binding) return present
    return saving.giveBack(user, provider.binding) ?? present
  }

  /** Takes up what the store remembers, so that a restart serves at once and asks nobody. */
  async function recall(kept: Kept, nowMs: number): Promise<void> {
    if (!kept.account.provider.usesGrant) return
    const known = kept.grant.version !== undefined
    const stored = await newestOf(kept)
    for (const slot of kept.slots.own.values()) {
      const token = stored?.tokens[slot.key]
      if (slot.state.kind === 'idle' && token && remainingMs(token, nowMs) > 0)
        slot.state = settled(token, random())
    }
    // A sign-in since then counts for more than a token that was kept.
    if (known) await lookAgainAt(kept)
  }

  /** @returns what is stored of the account's grant, or what the disk did not take */
  async function newestOf({ account, grant }: Kept): Promise<StoredGrant | undefined> {
    // Trouble with the store is met again, and said, by the first refresh.
    const found = await store.read(account.user).catch(() => 'unread' as const)
    if (found === 'unread') return grant.unsaved
    if (found?.stored.binding !== account.provider.binding) return undefined
    if (grant.version === undefined) recallGrant(grant, found.stored)
    grant.version ??= found.version
    return found.version === grant.version ? (grant.unsaved ?? found.stored) : found.stored
  }

  /** @returns whether any slot was waiting for the store */
  function settleWaiting(kept: Kept, go: (slot: Slot) => void): boolean {
    const waiting = [...allSlots(kept.slots)].filter(awaitsStore)
    waiting.forEach(go)
    return waiting.length > 0
  }

  /**
   * Serves what another process left, and has what it did not leave fetched.
   *
   * @returns the slots that have a token now
   */
  function takeUp(kept: Kept, stored: StoredGrant): ReadonlySet<Slot> {
    const served = new Set<Slot>()
    for (const slot of allSlots(kept.slots)) {
      const token = usable(stored.tokens[slot.key], slot, now())
      if (token && !slot.attempt) {
        slot.state = settled(token, random())
        served.add(slot)
        endWaiting(slot)
      } else if (slot.state.kind === 'stopped') slot.state = deferred(slot.state, now())
    }
    wake(0)
    return served
  }

  async function lookAgainAt(kept: Kept): Promise<void> {
    try {
      const stored = await renewal.look(kept)
      if (stored) takeUp(kept, stored)
      else if (settleWaiting(kept, (slot) => (slot.state = deferred(slot.state, now())))) wake(0)
    } catch (error) {
      // Of no use still, perhaps for another reason, or readable and without a sign-in.
      settleWaiting(kept, (slot) => fail(kept, slot, asFailure(error)))
    }
  }

  return {
    async adopt(list, nowMs) {
      const added = replace(list, nowMs)
      const waiting = [...accounts.values()].filter(({ slots }) =>
        [...slots.own.values()].some(awaitsStore),
      )
      await Promise.all([
        eachOf(added, filesAtOnce, (kept) => recall(kept, nowMs)),
        eachOf(waiting, filesAtOnce, lookAgainAt),
      ])
    },

    async look(kept) {
      try {
        const stored = await renewal.look(kept)
        return stored ? takeUp(kept, stored) : new Set()
      } catch (error) {
        // Signed out, which is seen although the provider may be out of reach.
        for (const slot of allSlots(kept.slots)) fail(kept, slot, asFailure(error))
        throw error
      }
    },

    async lookAgain() {
      looks.wanted = true
      if (looks.running) return
      looks.running = true
      while (looks.wanted) {
        looks.wanted = false
        const stopped = [...accounts.values()].filter(isStopped)
        const waiting = stopped.filter(({ account }) => account.provider.usesGrant)
        await eachOf(waiting, filesAtOnce, lookAgainAt)
      }
      looks.running = false
    },
  }
}

/** The store does not tell spellings apart either. */
function keyOf({ user }: Account): string {
  return foldCase(user)
}

/**
 * A reload often follows a repair that the file itself does not show: of a key, of a secret. A wildcard's mailbox
 * that nobody asks for is not tried now, so that what it met is forgotten.
 */
function tryAgain({ slots }: Kept, nowMs: number): void {
  for (const slot of allSlots(slots)) {
    const { state } = slot
    if (state.kind !== 'stopped') continue
    if (!(state.failure instanceof Misconfigured || isUnknown(slot))) continue
    const isNeeded = isOwnSlot(slots, slot) || slot.attempt || slot.waiting
    if (isNeeded) slot.state = deferred(state, nowMs)
    else if (state.token && remainingMs(state.token, nowMs) > 0)
      slot.state = { kind: 'live', token: state.token, refreshAtMs: nowMs }
    else dropSlot(slots, slot)
  }
}
