/**
 * Keeps tokens fresh: the heart. Names no vendor, holds no timer; time is an argument.
 *
 * Promises: a token that is expired, or that a mail server refused, is never handed out; one that lives
 * long enough is handed out at once, whatever the provider is doing; one refresh of a token at a time;
 * while a provider is in trouble, one probe a tick for all of its accounts.
 */
import type { Account, Accounts } from './accounts.ts'
import { wildcardDomain } from './address.ts'
import { createAdoption } from './adoption.ts'
import { Failure, SignInNeeded, StoreLocked, asFailure, stackOf } from './errors.ts'
import { warnAhead } from './expiry.ts'
import { createHosts } from './hosts.ts'
import { slotFor, type Kept } from './kept.ts'
import type { Log } from './log.ts'
import { delayOf, planTick } from './plan.ts'
import type { Token, TokenRequest } from './providers/provider.ts'
import { createRenewal } from './renewal.ts'
import { createSaving } from './saving.ts'
import { createServing, type Wanted } from './serving.ts'
import {
  clockToleranceMs,
  deferred,
  dueAtMs,
  endWaiting,
  failedState,
  isUnknown,
  remainingMs,
  replanned,
  settled,
  type Slot,
} from './slot.ts'
import { allSlots } from './slot-table.ts'
import type { Store } from './store.ts'

export interface Keeper {
  /**
   * A token for one mailbox and service; at once, and not as a promise, when there is one.
   *
   * @param nowMs the wall clock, epoch ms
   * @throws Failure, or rejects with it
   */
  token(
    account: Account,
    request: TokenRequest,
    wanted: Wanted,
    nowMs: number,
  ): Token | Promise<Token>
  /**
   * Looks at the store again and fetches now, whatever the plan was.
   *
   * @param mailbox one of the account's, or its `user`
   * @rejects Failure when no fresh token could be had
   */
  refresh(account: Account, mailbox: string): Promise<void>
  /** Starts what is due. To be called when `wake` said, and at least every `tickMs`. */
  tick(nowMs: number): void
  /** Takes over a list of accounts; those that did not change keep their tokens. */
  adopt(accounts: Accounts, nowMs: number): Promise<void>
  /** What is known of each account, in the order of the file. */
  kept(): Iterable<Kept>
  /** The accounts with a grant that the disk has not taken. */
  unsaved(): readonly string[]
  /**
   * Starts nothing any more, lets running refreshes end, and writes what could not be written before.
   * May be called again while something is {@link Keeper.unsaved}.
   */
  close(): Promise<void>
}

/** After an outage all accounts of a provider are due; they come within this. */
const spreadMs = 10_000

/**
 * @param options.now the wall clock, epoch ms
 * @param options.wake asks the owner to call `tick` in so many milliseconds, or sooner
 * @param options.random 0 to 1, for jitter
 */
export function createKeeper(options: {
  readonly store: Store
  readonly log: Log
  readonly now: () => number
  readonly wake: (delayMs: number) => void
  readonly random?: () => number
}): Keeper {
  const { store, log, now, wake, random = Math.random } = options
  const stopping = new AbortController()
  const hosts = createHosts({ random, recovered: spread })
  const renewal = createRenewal({ store, hosts, log, now, stopping: stopping.signal })
  const accounts = new Map<string, Kept>()
  const running = new Set<Promise<void>>()
  const serve = createServing({ hosts, now, wake, start, stopping: stopping.signal })
  const saving = createSaving(accounts, renewal)
  const adoption = createAdoption({ accounts, saving, store, renewal, fail, now, wake, random })
  /** The wall clock at the last tick. */
  let tickedAtMs = 0

  function keptOf(account: Account): Kept {
    const kept = accounts.get(account.user)
    if (!kept) throw new Error(`${account.user} was not adopted`)
    return kept
  }

  function slotsOf(kept: Kept, mailbox: string): Slot[] {
    // Somebody mistyped a mailbox once: that is no reason to fail for all others.
    if (wildcardDomain(mailbox) !== undefined)
      return [...allSlots(kept.slots)].filter((slot) => !isUnknown(slot))
    const { services } = kept.account
    return [
      ...new Set(services.map((service) => slotFor(kept, hosts, { service, mailbox }, now()))),
    ]
  }

  /** One attempt of a slot at a time; it never rejects: its outcome is the slot's state. */
  function start(kept: Kept, slot: Slot): Promise<void> {
    if (slot.attempt) return slot.attempt
    const attempt = renewal
      .renew(kept, slot)
      .then(
        (token) => succeeded(kept, slot, token),
        (error: unknown) => failed(kept, slot, error),
      )
      .finally(() => {
        slot.attempt = undefined
        running.delete(attempt)
        endWaiting(slot)
        wake(delayOf(kept, slot, hosts, now()))
      })
    slot.attempt = attempt
    running.add(attempt)
    return attempt
  }

  function succeeded(kept: Kept, slot: Slot, token: Token): void {
    const before = slot.state
    slot.state = settled(token, random())
    log.info('failure' in before ? 'recovered' : 'refreshed', {
      account: kept.account.user,
      token: slot.key === '' ? undefined : slot.key,
      expires_in: Math.round(remainingMs(token, now()) / 1000),
    })
  }

  /** The first answer after an outage makes all accounts of that host due, not all in one instant. */
  function spread(authority: string): void {
    const nowMs = now()
    for (const kept of accounts.values()) {
      if (kept.account.provider.authority !== authority) continue
      for (const slot of allSlots(kept.slots))
        if (slot.state.kind === 'failing' || dueAtMs(slot) <= nowMs)
          slot.state = deferred(slot.state, nowMs + (slot.waiting ? 0 : random() * spreadMs))
    }
    tick(nowMs)
  }

  function failed(kept: Kept, slot: Slot, error: unknown): void {
    const { account } = kept
    if (!(error instanceof Failure)) {
      log.error('bug', { account: account.user, stack: stackOf(error) })
    }
    if (stopping.signal.aborted) return
    const failure = withHint(asFailure(error), account)
    const before = slot.state
    fail(kept, slot, failure)
    // What holds for the grant holds for all of its tokens.
    if (failure instanceof SignInNeeded && failure.certain)
      for (const other of allSlots(kept.slots)) if (other !== slot) fail(kept, other, failure)
    // A locked store is said once, and not by each account.
    const told = failure instanceof StoreLocked
    const repeated = told || ('failure' in before && before.kind === slot.state.kind)
    log[repeated ? 'debug' : 'warn'](failure.code, {
      account: account.user,
      mailbox: account.wildcard ? slot.request.mailbox : undefined,
      reason: failure.message,
      hint: failure.hint,
    })
  }

  function fail(kept: Kept, slot: Slot, failure: Failure): void {
    const hostRetryAtMs = hosts.trouble(kept.account.provider.authority)?.retryAtMs ?? 0
    slot.state = failedState(slot.state, failure, hostRetryAtMs, now())
    if (slot.state.kind === 'stopped') endWaiting(slot)
  }

  function tick(nowMs: number): void {
    if (stopping.signal.aborted) return
    if (nowMs < tickedAtMs - clockToleranceMs) replan(nowMs)
    tickedAtMs = nowMs
    const { due, delayMs } = planTick(accounts.values(), hosts, nowMs)
    for (const { kept, slot } of due)
      if (hosts.mayStart(kept.account.provider.authority, nowMs)) void start(kept, slot)
    for (const kept of accounts.values()) warnAhead(kept, log, nowMs)
    void adoption.lookAgain()
    saving.retry()
    wake(delayMs)
  }

  /** The clock was set back: plans, and what is left of tokens, mean nothing any more. */
  function replan(nowMs: number): void {
    log.warn('clock set back', { seconds: Math.round((tickedAtMs - nowMs) / 1000) })
    hosts.clockSetBack(nowMs)
    for (const kept of accounts.values())
      for (const slot of allSlots(kept.slots)) {
        slot.askedAtMs = Math.min(slot.askedAtMs, nowMs)
        slot.state = replanned(slot.state, nowMs + random() * spreadMs)
      }
  }

  async function refresh(account: Account, mailbox: string): Promise<void> {
    const kept = keptOf(account)
    const slots = slotsOf(kept, mailbox)
    const served = account.provider.usesGrant ? await adoption.look(kept) : undefined
    await Promise.all(slots.filter((slot) => !served?.has(slot)).map((slot) => start(kept, slot)))
    for (const { state } of slots) if ('failure' in state) throw state.failure
  }

  async function close(): Promise<void> {
    stopping.abort()
    for (const { slots } of accounts.values()) for (const slot of allSlots(slots)) endWaiting(slot)
    await Promise.all(running)
    await saving.finish()
  }

  return {
    token: (account, request, wanted, nowMs) => serve(keptOf(account), request, wanted, nowMs),
    refresh,
    tick,
    async adopt(list, nowMs) {
      await adoption.adopt(list, nowMs)
      // Reading a store takes a while.
      tick(now())
    },
    kept: () => accounts.values(),
    unsaved: () => saving.unsaved().map(({ account }) => account.user),
    close,
  }
}

/** A provider knows how to cure what it saw, and not what the account is called here. */
function withHint(failure: Failure, account: Account): Failure {
  if (!(failure instanceof SignInNeeded) || failure.hint?.includes('xoauthd login')) return failure
  const command = `run: xoauthd login ${account.user}`
  const hint = failure.hint === undefined ? command : `${failure.hint}; ${command}`
  const { certain, because } = failure
  return new SignInNeeded(failure.message, { cause: failure, hint, certain, because })
}
