/**
 * One token that the keeper looks after, the states it can be in, and when it is due.
 *
 * Pure but for the slot itself. A field exists only in the state where it means something; `token` is
 * the last one that is known, which may be handed out in any state while it lives.
 */
import { Misconfigured, SignInNeeded, Unavailable, UnknownAccount, type Failure } from './errors.ts'
import type { Token, TokenRequest } from './providers/provider.ts'

export type SlotState =
  /** Nothing is known yet. */
  | { readonly kind: 'idle'; readonly token: undefined }
  | { readonly kind: 'live'; readonly token: Token; readonly refreshAtMs: number }
  /** Waiting can help, and we do. */
  | {
      readonly kind: 'failing'
      readonly token: Token | undefined
      readonly failure: Failure
      readonly sinceMs: number
      readonly retryAtMs: number
    }
  /** The provider said once that the grant is dead; it will be asked once more before we believe it. */
  | {
      readonly kind: 'confirming'
      readonly token: Token | undefined
      readonly failure: Failure
      readonly sinceMs: number
      readonly retryAtMs: number
    }
  /** Only a person can help. Answered from memory; looked at again at long intervals. */
  | {
      readonly kind: 'stopped'
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
  /** A token that a mail server refused. It is never handed out again. */
  refusedValue: string | undefined
  /** When clients forced a refresh of this grant, the latest last. */
  readonly forcedAtMs: number[]
  /** The refresh that runs. */
  attempt: Promise<void> | undefined
  /** Who waits for the next one to end. */
  waiting: { readonly ended: Promise<void>; readonly end: () => void } | undefined
}

/** The least that waiting for the confirmation of a dead grant takes, and the floor of forced refreshes. */
export const confirmAfterMs = 30_000
const retryMisconfiguredMs = 15 * 60_000
const retrySignInMs = 86_400_000
const forgetUnknownMs = 10 * 60_000
/** Clients may force a refresh this often, whatever they ask: some providers count (Zoho: 10 in 10 min). */
const forceFloorMs = 30_000
const forceWindowMs = 10 * 60_000
const forceLimit = 5
/** A token that was fetched later than now means that the clock was set back: its expiry means nothing. */
const clockToleranceMs = 5_000

export function createSlot(
  key: string,
  request: TokenRequest,
  forcedAtMs: number[],
  nowMs: number,
): Slot {
  return {
    key,
    request,
    state: { kind: 'idle', token: undefined },
    askedAtMs: nowMs,
    refusedValue: undefined,
    forcedAtMs,
    attempt: undefined,
    waiting: undefined,
  }
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
  return token.expiresAtMs - lifetimeMs(token) * (1 / 4 + random / 12)
}

/** @returns whether a client may cost the provider a request although a living token is there */
export function mayForce(slot: Slot, nowMs: number): boolean {
  const lastMs = slot.state.token?.obtainedAtMs ?? 0
  const recent = slot.forcedAtMs.filter((atMs) => nowMs - atMs < forceWindowMs)
  slot.forcedAtMs.splice(0, slot.forcedAtMs.length, ...recent)
  return nowMs - lastMs >= forceFloorMs && recent.length < forceLimit
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
  const sinceMs = before.kind === 'idle' || before.kind === 'live' ? nowMs : before.sinceMs
  const { token } = before
  const stopped = (retryMs: number, kept = token): SlotState => ({
    kind: 'stopped',
    token: kept,
    failure,
    sinceMs: before.kind === 'stopped' ? before.sinceMs : nowMs,
    retryAtMs: nowMs + retryMs,
  })
  if (failure instanceof Misconfigured) return stopped(retryMisconfiguredMs)
  if (failure instanceof UnknownAccount) return stopped(forgetUnknownMs)
  if (failure instanceof SignInNeeded) {
    // Without a grant of ours there is no token of ours: somebody signed out.
    if (failure.certain) return stopped(retrySignInMs, undefined)
    const again = before.kind === 'confirming' || before.kind === 'stopped'
    if (again) return stopped(retrySignInMs)
    const wait = new Unavailable(`${failure.message}; asking once more to be sure`, {
      cause: failure,
      hint: failure.hint,
    })
    return { kind: 'confirming', token, failure: wait, sinceMs, retryAtMs: nowMs + confirmAfterMs }
  }
  const retryAtMs = hostRetryAtMs > nowMs ? hostRetryAtMs : nowMs + confirmAfterMs
  return { kind: 'failing', token, failure, sinceMs, retryAtMs }
}

/** When the slot's next refresh is wanted, epoch ms. */
export function wantedAtMs({ state }: Slot): number {
  if (state.kind === 'idle') return 0
  return state.kind === 'live' ? state.refreshAtMs : state.retryAtMs
}

/** The same slot, wanted at another time: to spread what became due all at once. */
export function deferred(state: SlotState, atMs: number): SlotState {
  if (state.kind === 'live') return { ...state, refreshAtMs: atMs }
  return state.kind === 'failing' ? { ...state, retryAtMs: atMs } : state
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
