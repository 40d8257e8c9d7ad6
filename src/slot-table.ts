/**
 * The slots of one account. Those of a wildcard's mailboxes are bounded: those that were asked for
 * longest ago make room, but for the ones that somebody waits for. A Map keeps the order of insertion, which is all that it takes.
 *
 * There may be a thousand tables of one slot each, so a table is plain state, and what works on it is here once.
 */
import type { Slot } from './slot.ts'

export interface SlotTable {
  /** The most slots of mailboxes that no list names. */
  readonly limit: number
  /** Of the account itself: never dropped, kept fresh although nobody asks. */
  readonly own: Map<string, Slot>
  /** The one that was asked for last comes last; most accounts never have any. */
  others: Map<string, Slot> | undefined
}

/** So many more there may be while they are waited for; as many as may wait for one host. */
const excess = 1_000

/** @param limit the most slots of mailboxes that no list names */
export function createSlotTable(limit: number): SlotTable {
  return { limit, own: new Map(), others: undefined }
}

/** @returns the slot of a token key; that it was asked for is noted */
export function askedSlot({ own, others }: SlotTable, key: string): Slot | undefined {
  const mine = own.get(key)
  if (mine) return mine
  const slot = others?.get(key)
  if (slot) {
    others?.delete(key)
    others?.set(key, slot)
  }
  return slot
}

/** Drops what nobody needs, and says whether there is room for one more. */
export function makeRoom({ limit, others }: SlotTable): boolean {
  if (!others || others.size < limit) return true
  for (const [key, oldest] of others) {
    // Somebody waits for it, or will.
    if (oldest.attempt || oldest.waiting) continue
    others.delete(key)
    if (others.size < limit) break
  }
  return others.size < limit + excess
}

/** To be called when there is room. */
export function addSlot(table: SlotTable, slot: Slot): Slot {
  table.others ??= new Map()
  table.others.set(slot.key, slot)
  return slot
}

/** A slot of the account itself. */
export function addOwnSlot({ own }: SlotTable, slot: Slot): Slot {
  own.set(slot.key, slot)
  return slot
}

/** Forgets a slot of a mailbox that no list names; who asks for it next makes another. */
export function dropSlot({ others }: SlotTable, slot: Slot): void {
  others?.delete(slot.key)
}

export function isOwnSlot({ own }: SlotTable, slot: Slot): boolean {
  return own.has(slot.key)
}

export function* allSlots({ own, others }: SlotTable): Iterable<Slot> {
  yield* own.values()
  if (others) yield* others.values()
}
