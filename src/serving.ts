/**
 * A token for a client: from memory when one will do, else from a refresh that the client waits for.
 *
 * Promises that what is handed out lives long enough and was not refused for that mailbox, that a client which cannot be
 * served in time is told at once, and that clients cost a provider only so many requests.
 */
import { Unavailable, type Failure } from './errors.ts'
import type { Hosts } from './hosts.ts'
import { slotFor, type Kept } from './kept.ts'
import type { Token, TokenRequest } from './providers/provider.ts'
import {
  dueAtMs,
  forceFloorMs,
  forceWait,
  isRefused,
  lifetimeMs,
  nextAttempt,
  refuse,
  remainingMs,
  type Slot,
} from './slot.ts'

export interface Wanted {
  /** How long the token must still live; undefined: a minute, or a quarter of a shorter life. */
  readonly minMs: number | undefined
  /** Until when the caller waits, epoch ms. The promise may settle later than that. */
  readonly untilMs: number
  /** The mail server refused the token that was given last. */
  readonly refused: boolean
}

/** See `Keeper.token`. */
export type Serve = (
  kept: Kept,
  request: TokenRequest,
  wanted: Wanted,
  nowMs: number,
) => Token | Promise<Token>

/** What is left of a token must do for one delivery at least. */
const defaultMinMs = 60_000

/**
 * @param options.start begins a refresh of a slot; it never rejects, its outcome is the slot's state
 * @param options.wake asks for a tick in so many milliseconds, or sooner
 * @param options.stopping nothing is begun any more
 */
export function createServing(options: {
  readonly hosts: Hosts
  readonly now: () => number
  readonly wake: (delayMs: number) => void
  readonly start: (kept: Kept, slot: Slot) => Promise<void>
  readonly stopping: AbortSignal
}): Serve {
  const { hosts, now, wake, start, stopping } = options

  /** Fetches because a client needs it, within the limits that clients have. */
  async function fetchFor(
    kept: Kept,
    slot: Slot,
    mailbox: string,
    wanted: Wanted,
    nowMs: number,
  ): Promise<Token> {
    const current = slot.state.token
    if (!slot.attempt) planFor(kept, slot, wanted, nowMs)
    await (slot.attempt ?? nextAttempt(slot))
    const fresh = slot.state.token
    if (fresh && fresh !== current) {
      if (isUsable(slot, fresh, mailbox, wanted.minMs, now())) return fresh
      checkMin(fresh, wanted)
    }
    throw failureOf(kept, slot, undefined)
  }

  /** @throws Failure when no refresh will end in time for this client */
  function planFor(kept: Kept, slot: Slot, wanted: Wanted, nowMs: number): void {
    const { state } = slot
    const { authority } = kept.account.provider
    if (stopping.aborted) throw new Unavailable('xoauthd is stopping')
    if (state.kind === 'stopped' && nowMs < state.retryAtMs) throw state.failure
    const retryAtMs = 'failure' in state ? state.retryAtMs : 0
    const startsAtMs = Math.max(nowMs, retryAtMs, hosts.trouble(authority)?.retryAtMs ?? 0)
    if (startsAtMs > wanted.untilMs) throw failureOf(kept, slot, startsAtMs - nowMs)
    if (state.kind === 'live' && isForced(slot, nowMs)) force(slot, state.token, wanted, nowMs)
    if (startsAtMs > nowMs) wake(startsAtMs - nowMs)
    else if (hosts.mayStart(authority, nowMs)) void start(kept, slot)
  }

  /** A living token is not good enough for this client: only so often may that cost a request. */
  function force(slot: Slot, current: Token, wanted: Wanted, nowMs: number): void {
    checkMin(current, wanted)
    const { reason, waitMs } = forceWait(slot, nowMs)
    if (waitMs > 0) throw new Unavailable(reason, { retryAfterMs: waitMs })
    slot.forcedAtMs.push(nowMs)
  }

  /** @param waitMs how long it will be until the next attempt, where that is known */
  function failureOf(kept: Kept, { state }: Slot, waitMs: number | undefined): Failure {
    const failure =
      'failure' in state ? state.failure : hosts.trouble(kept.account.provider.authority)?.failure
    if (failure && !(failure instanceof Unavailable)) return failure
    const untilRetryMs = 'failure' in state ? Math.max(0, state.retryAtMs - now()) : undefined
    return new Unavailable(failure?.message ?? 'no token that fits could be had', {
      cause: failure,
      trouble: failure?.trouble ?? 'waiting',
      hint: failure?.hint,
      retryAfterMs: waitMs ?? untilRetryMs,
    })
  }

  return (kept, request, wanted, nowMs) => {
    const slot = slotFor(kept, hosts, request, nowMs)
    const { mailbox } = request
    slot.askedAtMs = nowMs
    const current = slot.state.token
    const refused =
      wanted.refused && current !== undefined && nowMs - current.obtainedAtMs >= forceFloorMs
    // While no other may be fetched it stays good for all who do not complain.
    if (refused && (!isForced(slot, nowMs) || forceWait(slot, nowMs).waitMs === 0))
      refuse(slot, current, mailbox)
    if (current && !refused && isUsable(slot, current, mailbox, wanted.minMs, nowMs)) return current
    return fetchFor(kept, slot, mailbox, wanted, nowMs)
  }
}

/** @returns whether a refresh would be for this client alone; who else waits has paid for it */
function isForced(slot: Slot, nowMs: number): boolean {
  const { state, attempt } = slot
  if (attempt || state.kind !== 'live') return false
  return dueAtMs(slot) > nowMs && remainingMs(state.token, nowMs) > 0
}

/** @throws Unavailable when no token lives as long as the client wants */
function checkMin(fresh: Token, { minMs }: Wanted): void {
  const lifeMs = lifetimeMs(fresh)
  if (minMs !== undefined && minMs >= lifeMs)
    throw new Unavailable(
      `min is ${minMs / 1000} s, and a fresh token lives ${Math.floor(lifeMs / 1000)} s`,
    )
}

function isUsable(
  slot: Slot,
  token: Token,
  mailbox: string,
  minMs: number | undefined,
  nowMs: number,
): boolean {
  const leastMs = minMs ?? Math.min(defaultMinMs, lifetimeMs(token) / 4)
  return remainingMs(token, nowMs) > leastMs && !isRefused(slot, token, mailbox)
}
