/** What the keeper knows of one account. */
import type { Account } from './accounts.ts'
import { wildcardDomain } from './address.ts'
import { Unavailable } from './errors.ts'
import type { GrantLife } from './grant-life.ts'
import { predictEnd, type Prediction } from './prediction.ts'
import type { Expiry } from './providers/provider.ts'
import type { TokenRequest } from './providers/provider.ts'
import { createSlot, deferred, type Slot } from './slot.ts'
import {
  addOwnSlot,
  addSlot,
  allSlots,
  askedSlot,
  createSlotTable,
  makeRoom,
  type SlotTable,
} from './slot-table.ts'
import type { StoredGrant, Version } from './store-record.ts'

export interface Kept {
  /** Replaced by a reload that changed nothing of it. */
  account: Account
  readonly slots: SlotTable
  readonly grant: KnownGrant
  /** When the secret or certificate of its registration ends; see expiry.ts. */
  credential: Expiry | undefined
}

/** What is known of an account's grant. It outlives a change of the account that leaves the grant valid. */
export interface KnownGrant {
  /** Of the grant that was read or written last; undefined when there was none. */
  version: Version | undefined
  signedInAtMs: number | undefined
  /** When it last brought a token. */
  refreshedAtMs: number | undefined
  life: GrantLife | undefined
  /** The end that was warned of, epoch ms. */
  warnedOfMs: number | undefined
  /** A rotated grant that the disk did not take. It is written again before anything else. */
  unsaved: StoredGrant | undefined
  /** The end of the last refresh that was queued: those of one grant follow each other. */
  turn: Promise<void>
  /** When clients forced a refresh of the grant; shared by its slots. */
  readonly forcedAtMs: number[]
}

/** @param before the same account before a reload changed it */
export function createKept(account: Account, before?: Kept): Kept {
  const { binding } = account.provider
  return {
    account,
    slots: createSlotTable(account.wildcard ? account.maxMailboxes : Infinity),
    grant: before?.account.provider.binding === binding ? before.grant : unknownGrant(),
    credential: before?.credential,
  }
}

function unknownGrant(): KnownGrant {
  return {
    version: undefined,
    signedInAtMs: undefined,
    refreshedAtMs: undefined,
    life: undefined,
    warnedOfMs: undefined,
    unsaved: undefined,
    turn: Promise.resolve(),
    forcedAtMs: [],
  }
}

/** What will end the account's sign-in or its registration, as far as anything is known. */
export function predictionFor({ account, grant, credential }: Kept): Prediction | undefined {
  const { signedInAtMs, refreshedAtMs, life } = grant
  const ends = account.provider.grantEnds ?? []
  return predictEnd({ signedInAtMs, refreshedAtMs, life, ends, credential })
}

/** Whether nothing but a person can help one of the account's own slots. */
export function isStopped({ slots }: Kept): boolean {
  for (const { state } of slots.own.values()) if (state.kind === 'stopped') return true
  return false
}

/** Takes down what the store has of a grant, or that it has none. */
export function recall(grant: KnownGrant, stored: StoredGrant | undefined): void {
  grant.signedInAtMs = stored?.signedInAtMs
  grant.refreshedAtMs = stored?.refreshedAtMs
  grant.life = stored?.life
}

/** A slot that is not in the account's table yet. */
export function newSlot(kept: Kept, key: string, request: TokenRequest, nowMs: number): Slot {
  // A grant is one thing however many tokens it has; without one, each mailbox stands for itself.
  const forcedAtMs = kept.account.provider.usesGrant ? kept.grant.forcedAtMs : []
  return createSlot(key, request, forcedAtMs, nowMs)
}

/** Makes the slots that an account has although nobody asks. */
export function addOwnSlots(kept: Kept, nowMs: number): void {
  const { user, services, provider } = kept.account
  if (wildcardDomain(user) !== undefined) return
  for (const service of services) {
    const request = { service, mailbox: user }
    const key = provider.tokenKey(request)
    if (!kept.slots.own.has(key)) addOwnSlot(kept.slots, newSlot(kept, key, request, nowMs))
  }
}

/**
 * Takes over what is known of the tokens of an account that a reload changed, as far as they stay its own. What
 * is asked for in another way now is due at once, and served until then.
 *
 * @param before the same account before the reload
 * @param answersFor whether a mailbox is still the account's
 */
export function takeOverSlots(
  kept: Kept,
  before: Kept,
  answersFor: (mailbox: string) => boolean,
  nowMs: number,
): void {
  const { provider, services } = kept.account
  if (before.account.provider.binding !== provider.binding) return
  const touched = before.account.settingsFingerprint() !== kept.account.settingsFingerprint()
  const isStill = ({ key, request }: Slot) =>
    services.includes(request.service) &&
    provider.tokenKey(request) === key &&
    answersFor(request.mailbox)
  for (const old of allSlots(before.slots)) {
    const own = kept.slots.own.get(old.key)
    if (!own && !isStill(old)) continue
    const slot = own ?? addSlot(kept.slots, newSlot(kept, old.key, old.request, nowMs))
    slot.state = touched ? deferred(old.state, nowMs) : old.state
    slot.askedAtMs = old.askedAtMs
    slot.refused = old.refused
    if (slot.forcedAtMs.length === 0) slot.forcedAtMs.push(...old.forcedAtMs)
  }
}

/** What of the hosts matters to a table of slots. */
interface Crowds {
  isCrowded(authority: string): boolean
}

/** By then a good part of those who wait have been served. */
const crowdedRetryMs = 5_000

/**
 * The slot that serves a request, made when there is none.
 *
 * @throws Unavailable when it would be one too many of a wildcard's: anybody can make up names
 */
export function slotFor(kept: Kept, hosts: Crowds, request: TokenRequest, nowMs: number): Slot {
  const { wildcard, provider } = kept.account
  const key = provider.tokenKey(request)
  const present = askedSlot(kept.slots, key)
  if (present) return present
  if (wildcard && (hosts.isCrowded(provider.authority) || !makeRoom(kept.slots)))
    throw new Unavailable(`too many tokens are being fetched from ${provider.authority}`, {
      trouble: 'waiting',
      retryAfterMs: crowdedRetryMs,
    })
  return addSlot(kept.slots, newSlot(kept, key, request, nowMs))
}
