/**
 * One token that the keeper looks after, the states it can be in, and when it is due.
 *
 * Pure but for the slot itself. A field exists only in the state where it means something; `token` is
 * the last one that is known, which may be handed out in any state while it lives.
 */
import {
  Misconfigured,
  SignInNeeded,
  StoreLocked,
  StoreUnusable,
  Unavailable,
  UnknownAccount,
  type Failure,
} from './errors.ts'
import type { Token, TokenRequest } from './providers/provider.ts'

export type SlotState =
  /** Nothing is known yet. */
  | { readonly kind: 'idle'; readonly token: undefined; readonly refreshAtMs: number }
  | { readonly kind: 'live'; readonly token: Token; readonly refreshAtMs: number }
  | Troubled

/**
 * - failing: waiting can help, and we do
 * - confirming: the provider said once that the grant is dead; it is asked once more before we believe it
 * - stopped: only a person can help; answered from memory, looked at again at long intervals
 */
export interface Troubled {
  readonly kind: 'failing' | 'confirming' | 'stopped'
  readonly token: Token | undefined
  readonly failure: Failure
  readonly sinceMs: number
  readonly retryAtMs: number
}

export interface Slot {
  readonly key: string
  readonly request: TokenRequest
  state: SlotState
  askedAtMs: number
  refused: Refusal | undefined
  /** When clients forced a refresh of this grant, the latest last. */
  readonly forcedAtMs: number[]
  /** The refresh that runs. */
  attempt: Promise<void> | undefined
  /** Who waits for the next one to end. */
  waiting: { readonly ended: Promise<void>; readonly end: () => void } | undefined
}

/** A token that a mail server refused. Whoever said so never gets it again; it may serve others well. */
export interface Refusal {
  readonly value: string
  readonly mailboxes: Set<string>
}

/** Anybody can make up mailboxes of a wildcard; those beyond this are asked about anew. */
const mostRefusing = 1_000
/** The least that waiting for the confirmation of a dead grant takes, and the floor of forced refreshes. */
export const confirmAfterMs = 30_000
const retryMisconfiguredMs = 15 * 60_000
const retrySignInMs = 86_400_000
const forgetUnknownMs = 10 * 60_000
/** Clients may force a refresh this often, whatever they ask: some providers count (Zoho: 10 in 10 min). */
export const forceFloorMs = 30_000
const forceWindowMs = 10 * 60_000
const forceLimit = 5
/** Some servers count in units so small that a token is due as it comes; none is asked more often. */
const shortestIntervalMs = 1_000
/**
 * However long a token lives, its grant is used this often: providers end those that nobody uses (24 h to
 * six months; Yandex wants "every three months").
 */
const longestUnusedMs = 14 * 86_400_000
/** A token that was fetched later than now means that the clock was set back: its expiry means nothing. */
export const clockToleranceMs = 5_000

export function createSlot(
  key: string,
  request: TokenRequest,
  forcedAtMs: number[],
  nowMs: number,
): Slot {
  return {
    key,
    request,
    state: { kind: 'idle', token: undefined, refreshAtMs: nowMs },
    askedAtMs: nowMs,
    refused: undefined,
    forcedAtMs,
    attempt: undefined,
    waiting: undefined,
  }
}

/** Notes that a mail server refused a token for a mailbox. */
export function refuse(slot: Slot, { value }: Token, mailbox: string): void {
  if (slot.refused?.value !== value) slot.refused = { value, mailboxes: new Set() }
  const { mailboxes } = slot.refused
  mailboxes.add(mailbox)
  if (mailboxes.size <= mostRefusing) return
  for (const oldest of mailboxes) {
    mailboxes.delete(oldest)
    break
  }
}

/** @param mailbox undefined: refused for any */
export function isRefused({ refused }: Slot, { value }: Token, mailbox?: string): boolean {
  if (refused?.value !== value) return false
  return mailbox === undefined || refused.mailboxes.has(mailbox)
}

export function lifetimeMs(token: Token): number {
  return token.expiresAtMs - token.obtainedAtMs
}

/** How long a token may still be handed out; 0 or less when it may not. */
export function remainingMs(token: Token, nowMs: number): number {
  if (nowMs < token.obtainedAtMs - clockToleranceMs) return 0
  return token.expiresAtMs - nowMs
}

/**
 * When to refresh: with a quarter to a third of the life left. An hour's token has 15 to 20 minutes left
 * then, which is over the 10 that Microsoft's high-volume endpoint asks for, and outlasts most outages.
 *
 * @param random 0 to 1, so that many accounts do not come at once
 */
export function refreshAtMs(token: Token, random: number): number {
  const leftMs = lifetimeMs(token) * (1 / 4 + random / 12)
  const soonestMs = token.obtainedAtMs + shortestIntervalMs
  return Math.min(
    Math.max(token.expiresAtMs - leftMs, soonestMs),
    token.obtainedAtMs + longestUnusedMs,
  )
}

/** @returns in how long a client may cost the provider a request although a living token is there */
export function forceWait(slot: Slot, nowMs: number): { readonly reason: string; waitMs: number } {
  const floorMs = (slot.state.token?.obtainedAtMs ?? 0) + forceFloorMs - nowMs
  const recent = slot.forcedAtMs.filter((atMs) => Math.abs(nowMs - atMs) < forceWindowMs)
  slot.forcedAtMs.splice(0, slot.forcedAtMs.length, ...recent)
  const first = recent.sort((a, b) => a - b).at(-forceLimit)
  const windowMs = first === undefined ? 0 : first + forceWindowMs - nowMs
  return windowMs > floorMs
    ? {
        reason: `clients had ${forceLimit} new tokens fetched within ${forceWindowMs / 60_000} minutes, which is the most`,
        waitMs: windowMs,
      }
    : {
        reason: 'a new token was fetched only just now, and no newer one is to be had',
        waitMs: Math.max(0, floorMs),
      }
}

/** The slot's state after a refresh brought a token. */
export function settled(token: Token, random: number): SlotState {
  return { kind: 'live', token, refreshAtMs: refreshAtMs(token, random) }
}

/**
 * The slot's state after a refresh failed.
 *
 * @param hostRetryAtMs when the provider's host may be asked again; 0 when it is not to blame
 */
export function failedState(
  before: SlotState,
  failure: Failure,
  hostRetryAtMs: number,
  nowMs: number,
): SlotState {
  const sinceMs = 'failure' in before ? before.sinceMs : nowMs
  const { token } = before
  const stopped = (retryMs: number): Troubled => ({
    kind: 'stopped',
    token,
    failure,
    sinceMs: before.kind === 'stopped' ? before.sinceMs : nowMs,
    retryAtMs: nowMs + retryMs,
  })
  if (failure instanceof Misconfigured || failure instanceof StoreLocked)
    return stopped(retryMisconfiguredMs)
  if (failure instanceof UnknownAccount) return stopped(forgetUnknownMs)
  if (failure instanceof SignInNeeded) {
    // Without a grant of ours there is no token of ours: somebody signed out.
    if (failure.certain) return { ...stopped(retrySignInMs), token: undefined }
    const believed = before.kind === 'stopped' && before.failure instanceof SignInNeeded
    if (believed || (before.kind === 'confirming' && nowMs >= before.retryAtMs))
      return stopped(retrySignInMs)
    // Asked again too early, by hand: that confirms nothing.
    if (before.kind === 'confirming') return before
    const wait = new Unavailable(`${failure.message}; asking once more to be sure`, {
      cause: failure,
      hint: failure.hint,
    })
    return { kind: 'confirming', token, failure: wait, sinceMs, retryAtMs: nowMs + confirmAfterMs }
  }
  const retryAtMs = hostRetryAtMs > nowMs ? hostRetryAtMs : nowMs + ownRetryMs(failure)
  return { kind: 'failing', token, failure, sinceMs, retryAtMs }
}

/** Of what no host is to blame for: a server that wants this one account to wait longer says so. */
function ownRetryMs(failure: Failure): number {
  const own = failure instanceof Unavailable && failure.trouble === 'waiting'
  return Math.max(confirmAfterMs, own ? (failure.retryAfterMs ?? 0) : 0)
}

/** Waiting for the key of the store, or for a file there to be repaired. */
export function awaitsStore({ state }: Slot): boolean {
  if (state.kind !== 'stopped') return false
  return state.failure instanceof StoreLocked || state.failure instanceof StoreUnusable
}

/** For a mailbox that the provider does not know. */
export function isUnknown({ state }: Slot): boolean {
  return state.kind === 'stopped' && state.failure instanceof UnknownAccount
}

/** When the slot's next refresh is wanted, epoch ms: at once where somebody waits for a first one. */
export function dueAtMs({ state, waiting }: Slot): number {
  if ('failure' in state) return state.retryAtMs
  return waiting ? 0 : state.refreshAtMs
}

/** The same, due at another time; a dead grant is confirmed when it is time, whatever happens. */
export function deferred(state: SlotState, atMs: number): SlotState {
  if (state.kind === 'confirming') return state
  return 'failure' in state ? { ...state, retryAtMs: atMs } : { ...state, refreshAtMs: atMs }
}

/** What was planned by a clock that has been set back since is due, a confirmation after its wait. */
export function replanned(state: SlotState, atMs: number): SlotState {
  return state.kind === 'confirming'
    ? { ...state, retryAtMs: atMs + confirmAfterMs }
    : deferred(state, atMs)
}

/** Resolves when the next refresh of the slot has ended, well or not. */
export function nextAttempt(slot: Slot): Promise<void> {
  if (!slot.waiting) {
    let end = () => {}
    const ended = new Promise<void>((resolve) => (end = resolve))
    slot.waiting = { ended, end }
  }
  return slot.waiting.ended
}

/** Lets go of those who wait, whether there has been a refresh or there will be none. */
export function endWaiting(slot: Slot): void {
  slot.waiting?.end()
  slot.waiting = undefined
}
