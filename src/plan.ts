/**
 * What is to be done when: which slots a tick starts, and how long the keeper can sleep. Pure.
 *
 * Promises that nothing makes the keeper wake again and again for what cannot start, and that what has
 * been due for longest comes first, so that while a host is down its probe is not always the same one.
 */
import type { Hosts } from './hosts.ts'
import type { Kept } from './kept.ts'
import { dueAtMs, isUnknown, lifetimeMs, remainingMs, type Slot } from './slot.ts'
import { allSlots, isOwnSlot } from './slot-table.ts'

/** The longest that anything waits for the next look at the clock. */
export const tickMs = 30_000
/** Being late by this much is better than waking a laptop for each of many accounts. */
const slackMs = 10_000
/** A token that nobody asked for in so long is fetched again when somebody does. */
const forgottenMs = 7 * 86_400_000
/** A grant that brought no token for so long is tried by all its slots; two ticks before 14 days. */
const unusedMs = 13 * 86_400_000
/** How long we go on trying for a mailbox of a wildcard, with nobody asking again. */
const tryingMs = 3_600_000

export interface Due {
  readonly kept: Kept
  readonly slot: Slot
}

/** @returns what may start now, the longest due first, and when to look again */
export function planTick(
  accounts: Iterable<Kept>,
  hosts: Hosts,
  nowMs: number,
): { readonly due: readonly Due[]; readonly delayMs: number } {
  const due: Due[] = []
  let delayMs = tickMs
  for (const kept of accounts)
    for (const slot of allSlots(kept.slots)) {
      if (slot.attempt || !isKeptFresh(kept, slot, nowMs)) continue
      const startsAtMs = startableAtMs(kept, slot, hosts)
      if (startsAtMs <= nowMs) due.push({ kept, slot })
      else delayMs = Math.min(delayMs, startsAtMs - nowMs + slackOf(slot))
    }
  due.sort((a, b) => dueAtMs(a.slot) - dueAtMs(b.slot))
  return { due, delayMs }
}

/** @returns in how long a slot needs a tick, whose last attempt has just ended */
export function delayOf(kept: Kept, slot: Slot, hosts: Hosts, nowMs: number): number {
  const { authority } = kept.account.provider
  // It was to be the host's probe and never asked: the next one that is due may.
  if (hosts.trouble(authority) && hosts.mayStart(authority, nowMs)) return 0
  if (!isKeptFresh(kept, slot, nowMs)) return tickMs
  const delayMs = startableAtMs(kept, slot, hosts) - nowMs + slackOf(slot)
  return Math.min(tickMs, Math.max(0, delayMs))
}

function startableAtMs(kept: Kept, slot: Slot, hosts: Hosts): number {
  const { authority } = kept.account.provider
  return Math.max(dueAtMs(slot), hosts.trouble(authority)?.retryAtMs ?? 0)
}

function slackOf({ state, waiting }: Slot): number {
  return state.kind === 'live' && !waiting ? Math.min(slackMs, lifetimeMs(state.token) / 20) : 0
}

/** Mailboxes of a wildcard stay fresh while somebody asks for them; an account's own always do. */
function isKeptFresh(kept: Kept, slot: Slot, nowMs: number): boolean {
  if (slot.waiting) return true
  const { state, askedAtMs } = slot
  if (state.token?.expiryKnown === false) return false
  if (isOwnSlot(kept.slots, slot))
    return nowMs - askedAtMs < forgottenMs || slot === firstOf(kept) || isUnused(kept, nowMs)
  if (isUnknown(slot)) return false
  const lives = state.kind === 'live' || (state.token && remainingMs(state.token, nowMs) > 0)
  if (state.token && lives && askedAtMs > state.token.obtainedAtMs) return true
  if (state.kind === 'live' || state.kind === 'stopped') return false
  return nowMs - askedAtMs < tryingMs
}

/**
 * Whether what a slot meets says something of its account. A mailbox of a wildcard does not that the provider
 * does not know, or that nobody asks for any more.
 */
export function speaksForAccount({ slots }: Kept, slot: Slot, nowMs: number): boolean {
  return isOwnSlot(slots, slot) || (!isUnknown(slot) && nowMs - slot.askedAtMs < tryingMs)
}

/** A first slot that fails for reasons of its own does not keep the grant alive; another one does then. */
function isUnused({ grant }: Kept, nowMs: number): boolean {
  return grant.refreshedAtMs !== undefined && nowMs - grant.refreshedAtMs > unusedMs
}

function firstOf(kept: Kept): Slot | undefined {
  for (const slot of kept.slots.own.values()) return slot
  return undefined
}
