/**
 * Keeps tokens fresh: the heart. Names no vendor, holds no timer; time is an argument.
 *
 * Promises: a token that is expired, or that a mail server refused, is never handed out; one that lives
 * long enough is handed out at once, whatever the provider is doing; one refresh of a token at a time;
 * while a provider is in trouble, one probe a tick for all of its accounts.
 */
import type { Account, Accounts } from './accounts.ts'
import { wildcardDomain } from './address.ts'
import { Failure, SignInNeeded, Unavailable, asFailure } from './errors.ts'
import { createHosts } from './hosts.ts'
import { createKept, type Kept } from './kept.ts'
import type { Log } from './log.ts'
import type { Token, TokenRequest } from './providers/provider.ts'
import { createRenewal } from './renewal.ts'
import {
  createSlot,
  deferred,
  failedState,
  lifetimeMs,
  mayForce,
  nextAttempt,
  remainingMs,
  settled,
  wantedAtMs,
  type Slot,
} from './slot.ts'
import type { Store } from './store.ts'

export interface Wanted {
  /** How long the token must still live; undefined: a minute, or a quarter of a shorter life. */
  readonly minMs: number | undefined
  /** Until when the caller waits, epoch ms. The promise may settle later than that. */
  readonly untilMs: number
  /** The mail server refused the token that was given last. */
  readonly refused: boolean
}

export interface Keeper {
  /**
   * A token for one mailbox and service; at once, and not as a promise, when there is one.
   *
   * @param nowMs the wall clock, epoch ms
   * @rejects Failure
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
  /** Starts what is due. To be called when `wake` said, and at least every {@link tickMs}. */
  tick(nowMs: number): void
  /** Takes over a list of accounts; those that did not change keep their tokens. */
  adopt(accounts: Accounts, nowMs: number): Promise<void>
  /** What is known of each account, in the order of the file. */
  kept(): Iterable<Kept>
  /** Starts nothing any more and lets running refreshes end. */
  close(): Promise<void>
}

/** The longest that anything waits for the next look at the clock. */
export const tickMs = 30_000
/** Being late by this much is better than waking a laptop for each of many accounts. */
const slackMs = 10_000
/** What is left of a token must do for one delivery at least. */
const defaultMinMs = 60_000
/** After an outage all accounts of a provider are due; they come within this. */
const spreadMs = 10_000
/** A token that nobody asked for in so long is fetched again when somebody does. */
const forgottenMs = 7 * 86_400_000

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
  const closing = new AbortController()
  const hosts = createHosts(random)
  const renewal = createRenewal({ store, hosts, log, now, signal: closing.signal })
  const accounts = new Map<string, Kept>()
  const running = new Set<Promise<void>>()
  let closed = false

  function keptOf(account: Account): Kept {
    const kept = accounts.get(account.user)
    if (!kept) throw new Error(`${account.user} was not adopted`)
    return kept
  }

  function newSlot(kept: Kept, key: string, request: TokenRequest, nowMs: number): Slot {
    // A grant is one thing however many tokens it has; without one, each mailbox stands for itself.
    const forcedAtMs = kept.account.provider.usesGrant ? kept.forcedAtMs : []
    return createSlot(key, request, forcedAtMs, nowMs)
  }

  function token(
    account: Account,
    request: TokenRequest,
    wanted: Wanted,
    nowMs: number,
  ): Token | Promise<Token> {
    const kept = keptOf(account)
    const slot = slotFor(kept, request, nowMs)
    slot.askedAtMs = nowMs
    const current = slot.state.token
    if (wanted.refused && current && nowMs - current.obtainedAtMs >= tickMs)
      slot.refusedValue = current.value
    if (current && isUsable(slot, current, wanted.minMs, nowMs)) return current
    return fetchFor(kept, slot, wanted, nowMs)
  }

  function slotFor(kept: Kept, request: TokenRequest, nowMs: number): Slot {
    const key = kept.account.provider.tokenKey(request)
    return kept.slots.get(key) ?? kept.slots.add(newSlot(kept, key, request, nowMs))
  }

  function slotsOf(kept: Kept, mailbox: string): Slot[] {
    const { services } = kept.account
    return [...new Set(services.map((service) => slotFor(kept, { service, mailbox }, now())))]
  }

  function isUsable(slot: Slot, token: Token, minMs: number | undefined, nowMs: number): boolean {
    const leastMs = minMs ?? Math.min(defaultMinMs, lifetimeMs(token) / 4)
    return remainingMs(token, nowMs) > leastMs && token.value !== slot.refusedValue
  }

  /** Fetches because a client needs it, within the limits that clients have. */
  async function fetchFor(kept: Kept, slot: Slot, wanted: Wanted, nowMs: number): Promise<Token> {
    const { state } = slot
    if (state.kind === 'stopped' && nowMs < state.retryAtMs) throw state.failure
    const current = state.token
    if (!slot.attempt) {
      const startsAtMs = earliestStartMs(kept, slot, nowMs)
      if (startsAtMs > wanted.untilMs) throw failureOf(slot, startsAtMs - nowMs)
      if (current && remainingMs(current, nowMs) > 0) force(slot, current, wanted, nowMs)
      if (startsAtMs > nowMs) wake(startsAtMs - nowMs)
      else if (hosts.mayStart(kept.account.provider.authority, nowMs)) void start(kept, slot)
    }
    await (slot.attempt ?? nextAttempt(slot))
    const fresh = slot.state.token
    if (fresh && fresh !== current && isUsable(slot, fresh, wanted.minMs, now())) return fresh
    throw failureOf(slot, undefined)
  }

  /** A living token is not good enough for this client: only so often may that cost a request. */
  function force(slot: Slot, current: Token, wanted: Wanted, nowMs: number): void {
    const lifeMs = lifetimeMs(current)
    if (wanted.minMs !== undefined && wanted.minMs >= lifeMs)
      throw new Unavailable(
        `min is ${wanted.minMs / 1000} s, and a fresh token lives ${Math.floor(lifeMs / 1000)} s`,
      )
    if (!mayForce(slot, nowMs))
      throw new Unavailable(
        'a new token was fetched only just now, and no newer one is to be had',
        {
          retryAfterMs: tickMs,
        },
      )
    slot.forcedAtMs.push(nowMs)
  }

  /** When the provider may be asked for this slot: now, or after a back-off. */
  function earliestStartMs(kept: Kept, slot: Slot, nowMs: number): number {
    const { state } = slot
    const retryAtMs = state.kind === 'failing' || state.kind === 'confirming' ? state.retryAtMs : 0
    return Math.max(nowMs, retryAtMs, hosts.retryAtMs(kept.account.provider.authority))
  }

  function failureOf({ state }: Slot, waitMs: number | undefined): Failure {
    if (state.kind === 'idle' || state.kind === 'live')
      return new Unavailable('no token that fits could be had', { retryAfterMs: waitMs })
    const { failure } = state
    if (!(failure instanceof Unavailable)) return failure
    return new Unavailable(failure.message, {
      cause: failure,
      trouble: failure.trouble,
      hint: failure.hint,
      retryAfterMs: waitMs ?? Math.max(0, state.retryAtMs - now()),
    })
  }

  /** One attempt of a slot at a time; it never rejects: its outcome is the slot's state. */
  function start(kept: Kept, slot: Slot): Promise<void> {
    if (slot.attempt) return slot.attempt
    const attempt = renewal
      .renew(kept, slot)
      .then(
        ({ token, recovered }) => succeeded(kept, slot, token, recovered),
        (error: unknown) => failed(kept, slot, error),
      )
      .finally(() => {
        slot.attempt = undefined
        running.delete(attempt)
        slot.waiting?.end()
        slot.waiting = undefined
        if (!closed) wake(delayOf(kept, slot, now()))
      })
    slot.attempt = attempt
    running.add(attempt)
    return attempt
  }

  function succeeded(kept: Kept, slot: Slot, token: Token, recovered: boolean): void {
    const before = slot.state.kind
    slot.state = settled(token, random())
    if (token.value !== slot.refusedValue) slot.refusedValue = undefined
    if (recovered) spread(kept.account.provider.authority)
    log.info(before === 'idle' || before === 'live' ? 'refreshed' : 'recovered', {
      account: kept.account.user,
      token: slot.key === '' ? undefined : slot.key,
      expires_in: Math.round(remainingMs(token, now()) / 1000),
    })
  }

  /** The first success after an outage makes all accounts of that host due, not all in one instant. */
  function spread(authority: string): void {
    const nowMs = now()
    for (const kept of accounts.values()) {
      if (kept.account.provider.authority !== authority) continue
      for (const slot of kept.slots.all())
        if (slot.waiting) void start(kept, slot)
        else if (slot.state.kind === 'failing' || wantedAtMs(slot) <= nowMs)
          slot.state = deferred(slot.state, nowMs + random() * spreadMs)
    }
    tick(nowMs)
  }

  function failed(kept: Kept, slot: Slot, error: unknown): void {
    const { account } = kept
    if (!(error instanceof Failure))
      log.error('bug', {
        account: account.user,
        stack: error instanceof Error ? error.stack : undefined,
      })
    const failure = withHint(asFailure(error), account)
    const before = slot.state
    slot.state = failedState(before, failure, hosts.retryAtMs(account.provider.authority), now())
    const repeated = 'failure' in before && before.kind === slot.state.kind
    log[repeated ? 'debug' : 'warn'](failure.code, {
      account: account.user,
      mailbox: account.wildcard ? slot.request.mailbox : undefined,
      reason: failure.message,
      hint: failure.hint,
    })
  }

  function withHint(failure: Failure, account: Account): Failure {
    if (!(failure instanceof SignInNeeded) || failure.hint !== undefined) return failure
    const hint = `run: xoauthd login ${account.user}`
    return new SignInNeeded(failure.message, { cause: failure, hint, certain: failure.certain })
  }

  function tick(nowMs: number): void {
    if (closed) return
    let delayMs = tickMs
    for (const kept of accounts.values()) {
      const { authority } = kept.account.provider
      let signedOut = false
      for (const slot of kept.slots.all()) {
        const { state } = slot
        signedOut ||= state.kind === 'stopped' && state.failure instanceof SignInNeeded
        if (isDue(kept, slot, nowMs) && hosts.mayStart(authority, nowMs)) void start(kept, slot)
        delayMs = Math.min(delayMs, delayOf(kept, slot, nowMs))
      }
      if (signedOut) void lookForSignIn(kept)
      if (kept.unsaved) void renewal.save(kept)
    }
    wake(delayMs)
  }

  function isDue(kept: Kept, slot: Slot, nowMs: number): boolean {
    return !slot.attempt && wantedAtMs(slot) <= nowMs && isKeptFresh(kept, slot, nowMs)
  }

  /** Mailboxes of a wildcard stay fresh while somebody asks for them; an account's own always do. */
  function isKeptFresh(kept: Kept, slot: Slot, nowMs: number): boolean {
    const { token } = slot.state
    if (token?.expiryKnown === false) return slot.waiting !== undefined
    if (kept.slots.isOwn(slot))
      return nowMs - slot.askedAtMs < forgottenMs || slot === firstOf(kept)
    if (slot.state.kind === 'stopped') return false
    return slot.waiting !== undefined || slot.askedAtMs > (token?.obtainedAtMs ?? 0)
  }

  /** How long a slot can do without a tick. */
  function delayOf(kept: Kept, slot: Slot, nowMs: number): number {
    if (slot.attempt || !isKeptFresh(kept, slot, nowMs)) return tickMs
    const { authority } = kept.account.provider
    // A probe is under way; its end wakes us.
    if (hosts.retryAtMs(authority) <= nowMs && !hosts.mayStart(authority, nowMs)) return tickMs
    const startsAtMs = Math.max(wantedAtMs(slot), earliestStartMs(kept, slot, nowMs))
    const { state } = slot
    const slack = state.kind === 'live' ? Math.min(slackMs, lifetimeMs(state.token) / 20) : 0
    return Math.min(tickMs, Math.max(0, startsAtMs - nowMs + slack))
  }

  /** `login` runs in a process of its own; what it leaves is in the store. */
  async function lookForSignIn(kept: Kept): Promise<void> {
    const found = await store.read(kept.account.user).catch(() => undefined)
    if (found === undefined || found.version === kept.version) return
    for (const slot of kept.slots.all()) if (slot.state.kind === 'stopped') void start(kept, slot)
  }

  async function adopt(list: Accounts, nowMs: number): Promise<void> {
    const before = new Map(accounts)
    const added: Kept[] = []
    accounts.clear()
    for (const account of list.all) {
      let kept = before.get(account.user)
      if (kept?.account.fingerprint === account.fingerprint) kept.account = account
      else {
        kept = createKept(account)
        added.push(kept)
      }
      accounts.set(account.user, kept)
    }
    await Promise.all(added.map((kept) => recall(kept, nowMs)))
    tick(nowMs)
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
    kept.version = found.version
    kept.signedInAtMs = found.stored.signedInAtMs
    for (const slot of kept.slots.own()) {
      const token = found.stored.tokens[slot.key]
      if (token && remainingMs(token, nowMs) > 0) slot.state = settled(token, random())
    }
  }

  return {
    token,
    tick,
    adopt,
    kept: () => accounts.values(),

    async refresh(account, mailbox) {
      const kept = keptOf(account)
      const named = wildcardDomain(mailbox) === undefined
      const slots = named ? slotsOf(kept, mailbox) : [...kept.slots.all()]
      await Promise.all(slots.map((slot) => start(kept, slot)))
      for (const { state } of slots) if ('failure' in state) throw state.failure
    },

    async close() {
      closed = true
      await Promise.all(running)
      closing.abort()
    },
  }
}

function firstOf(kept: Kept): Slot | undefined {
  for (const slot of kept.slots.own()) return slot
  return undefined
}
