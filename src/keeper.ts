/**
 * Keeps tokens fresh: the heart. Names no vendor, holds no timer; time is an argument.
 *
 * Promises: a token that is expired, or that a mail server refused, is never handed out; one that lives
 * long enough is handed out at once, whatever the provider is doing; one refresh of a token at a time;
 * while a provider is in trouble, one probe a tick for all of its accounts.
 */
import type { Account, Accounts } from './accounts.ts'
import { wildcardDomain } from './address.ts'
import {
  Failure,
  Misconfigured,
  SignInNeeded,
  StoreLocked,
  UnknownAccount,
  asFailure,
  stackOf,
} from './errors.ts'
import { createHosts } from './hosts.ts'
import {
  createKept,
  newSlot,
  predictionFor,
  recall as recallGrant,
  slotFor,
  type Kept,
} from './kept.ts'
import type { Log } from './log.ts'
import { delayOf, planTick } from './plan.ts'
import { duration } from './prediction.ts'
import type { Token, TokenRequest } from './providers/provider.ts'
import { createRenewal, usable } from './renewal.ts'
import {
  clockToleranceMs,
  deferred,
  dueAtMs,
  endWaiting,
  failedState,
  remainingMs,
  replanned,
  settled,
  type Slot,
} from './slot.ts'
import { createServing, type Wanted } from './serving.ts'
import type { Store } from './store.ts'
import type { StoredGrant } from './store-record.ts'

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
/** Files of the store that are read side by side: all of them at once leave 13 KB of holes each. */
const readersAtOnce = 16

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
  const saving = new Set<Kept>()
  /** What a reload removed or changed while its grant was not on disk. */
  const leaving = new Set<Kept>()
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
      return [...kept.slots.all()].filter((slot) => !isUnknown(slot))
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
      for (const slot of kept.slots.all())
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
      for (const other of kept.slots.all()) if (other !== slot) fail(kept, other, failure)
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
    for (const kept of accounts.values()) {
      if (kept.account.provider.usesGrant && isStopped(kept)) void lookAtStore(kept)
      warnAhead(kept, nowMs)
    }
    for (const kept of unsaved()) void save(kept)
    wake(delayMs)
  }

  /** Once for each end that is foreseen. */
  function warnAhead(kept: Kept, nowMs: number): void {
    const end = predictionFor(kept)
    // That of a registration is told for all of its accounts at once, by expiry.ts.
    if (!end || end.because === 'secret-expired') return
    if (nowMs < end.warnAtMs || kept.grant.warnedOfMs === end.atMs) return
    kept.grant.warnedOfMs = end.atMs
    log.warn('ends soon', {
      account: kept.account.user,
      in: duration(end.atMs - nowMs),
      reason: end.sentence,
      hint: end.next,
    })
  }

  /** The clock was set back: plans, and what is left of tokens, mean nothing any more. */
  function replan(nowMs: number): void {
    log.warn('clock set back', { seconds: Math.round((tickedAtMs - nowMs) / 1000) })
    hosts.clockSetBack(nowMs)
    for (const kept of accounts.values())
      for (const slot of kept.slots.all()) {
        slot.askedAtMs = Math.min(slot.askedAtMs, nowMs)
        slot.state = replanned(slot.state, nowMs + random() * spreadMs)
      }
  }

  /** `login` runs in a process of its own, and the key of a locked store may come: both are seen here. */
  async function lookAtStore(kept: Kept): Promise<void> {
    try {
      const stored = await renewal.look(kept)
      if (stored) takeUp(kept, stored)
      else if (unlocked(kept, (slot) => (slot.state = deferred(slot.state, now())))) wake(0)
    } catch (error) {
      // Locked still, perhaps for another reason, or open and without a sign-in.
      unlocked(kept, (slot) => fail(kept, slot, asFailure(error)))
    }
  }

  /** @returns whether any slot was waiting for the key of the store */
  function unlocked(kept: Kept, go: (slot: Slot) => void): boolean {
    const locked = [...kept.slots.all()].filter(isLocked)
    locked.forEach(go)
    return locked.length > 0
  }

  /**
   * Serves what another process left, and has what it did not leave fetched.
   *
   * @returns the slots that have a token now
   */
  function takeUp(kept: Kept, stored: StoredGrant): ReadonlySet<Slot> {
    const served = new Set<Slot>()
    for (const slot of kept.slots.all()) {
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

  function unsaved(): Kept[] {
    for (const kept of leaving) if (!kept.grant.unsaved) leaving.delete(kept)
    return [...accounts.values(), ...leaving].filter(({ grant }) => grant.unsaved)
  }

  async function save(kept: Kept): Promise<void> {
    if (saving.has(kept)) return
    saving.add(kept)
    await renewal.save(kept)
    saving.delete(kept)
  }

  async function refresh(account: Account, mailbox: string): Promise<void> {
    const kept = keptOf(account)
    const slots = slotsOf(kept, mailbox)
    let served: ReadonlySet<Slot> = new Set()
    if (account.provider.usesGrant)
      try {
        const stored = await renewal.look(kept)
        if (stored) served = takeUp(kept, stored)
      } catch (error) {
        // Signed out, which is seen although the provider may be out of reach.
        for (const slot of kept.slots.all()) fail(kept, slot, asFailure(error))
        throw error
      }
    await Promise.all(slots.filter((slot) => !served.has(slot)).map((slot) => start(kept, slot)))
    for (const { state } of slots) if ('failure' in state) throw state.failure
  }

  async function adopt(list: Accounts, nowMs: number): Promise<void> {
    const before = new Map(accounts)
    const added: Kept[] = []
    accounts.clear()
    for (const account of list.all) {
      let kept = before.get(account.user)
      if (kept?.account.fingerprint() === account.fingerprint()) {
        kept.account = account
        lookAgain(kept, nowMs)
        before.delete(account.user)
      } else {
        kept = createKept(account, kept)
        added.push(kept)
      }
      accounts.set(account.user, kept)
    }
    for (const old of before.values()) {
      for (const slot of old.slots.all()) endWaiting(slot)
      if (accounts.get(old.account.user)?.grant !== old.grant) leaving.add(old)
    }
    const locked = [...accounts.values()].filter(({ slots }) => [...slots.own()].some(isLocked))
    await Promise.all([recallAll(added, nowMs), ...locked.map(lookAtStore)])
    tick(nowMs)
  }

  /** A reload often follows a repair that the file itself does not show: of a key, of a secret. */
  function lookAgain(kept: Kept, nowMs: number): void {
    for (const slot of kept.slots.all())
      if (slot.state.kind === 'stopped' && slot.state.failure instanceof Misconfigured)
        slot.state = deferred(slot.state, nowMs)
  }

  async function recallAll(added: readonly Kept[], nowMs: number): Promise<void> {
    const left = added.values()
    const reader = async () => {
      for (const kept of left) await recall(kept, nowMs)
    }
    await Promise.all(Array.from({ length: readersAtOnce }, reader))
  }

  /** Takes up what the store remembers, so that a restart serves at once and asks nobody. */
  async function recall(kept: Kept, nowMs: number): Promise<void> {
    const { account } = kept
    if (wildcardDomain(account.user) === undefined)
      for (const service of account.services) {
        const request = { service, mailbox: account.user }
        const key = account.provider.tokenKey(request)
        if (!kept.slots.get(key)) kept.slots.addOwn(newSlot(kept, key, request, nowMs))
      }
    if (!account.provider.usesGrant) return
    // Trouble with the store is met again, and said, by the first refresh.
    const found = await store.read(account.user).catch(() => undefined)
    if (found?.stored.binding !== account.provider.binding) return
    if (kept.grant.version === undefined) recallGrant(kept.grant, found.stored)
    kept.grant.version ??= found.version
    for (const slot of kept.slots.own()) {
      const token = found.stored.tokens[slot.key]
      if (slot.state.kind === 'idle' && token && remainingMs(token, nowMs) > 0)
        slot.state = settled(token, random())
    }
  }

  async function close(): Promise<void> {
    stopping.abort()
    for (const { slots } of accounts.values()) for (const slot of slots.all()) endWaiting(slot)
    await Promise.all(running)
    for (const kept of unsaved()) await renewal.save(kept)
  }

  return {
    token: (account, request, wanted, nowMs) => serve(keptOf(account), request, wanted, nowMs),
    refresh,
    tick,
    adopt,
    kept: () => accounts.values(),
    unsaved: () => unsaved().map(({ account }) => account.user),
    close,
  }
}

function isUnknown({ state }: Slot): boolean {
  return state.kind === 'stopped' && state.failure instanceof UnknownAccount
}

function isStopped(kept: Kept): boolean {
  for (const { state } of kept.slots.own()) if (state.kind === 'stopped') return true
  return false
}

function isLocked({ state }: Slot): boolean {
  return state.kind === 'stopped' && state.failure instanceof StoreLocked
}

/** A provider knows how to cure what it saw, and not what the account is called here. */
function withHint(failure: Failure, account: Account): Failure {
  if (!(failure instanceof SignInNeeded) || failure.hint?.includes('xoauthd login')) return failure
  const command = `run: xoauthd login ${account.user}`
  const hint = failure.hint === undefined ? command : `${failure.hint}; ${command}`
  const { certain, because } = failure
  return new SignInNeeded(failure.message, { cause: failure, hint, certain, because })
}
