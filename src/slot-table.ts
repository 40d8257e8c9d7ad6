/**
 * The slots of one account. Those of a wildcard's mailboxes are bounded: those that were asked for
 * longest ago make room, but for the ones that somebody waits for. A Map keeps the order of insertion, which is all that it takes.
 */
import type { Slot } from './slot.ts'

export interface SlotTable {
  get(key: string): Slot | undefined
  /** Drops what nobody needs, and says whether there is room for one more. */
  makeRoom(): boolean
  /** To be called when there is room. */
  add(slot: Slot): Slot
  /** A slot of the account itself: never dropped, kept fresh although nobody asks. */
  addOwn(slot: Slot): Slot
  isOwn(slot: Slot): boolean
  own(): Iterable<Slot>
  all(): Iterable<Slot>
}

/** So many more there may be while they are waited for; as many as may wait for one host. */
const excess = 1_000

/** @param limit the most slots of mailboxes that no list names */
export function createSlotTable(limit: number): SlotTable {
  const own = new Map<string, Slot>()
  const others = new Map<string, Slot>()
  return {
    get(key) {
      const mine = own.get(key)
      if (mine) return mine
      const slot = others.get(key)
      if (slot) {
        others.delete(key)
        others.set(key, slot)
      }
      return slot
    },
    makeRoom() {
      if (others.size < limit) return true
      for (const [key, oldest] of others) {
        // Somebody waits for it, or will.
        if (oldest.attempt || oldest.waiting) continue
        others.delete(key)
        if (others.size < limit) break
      }
      return others.size < limit + excess
    },
    add(slot) {
      others.set(slot.key, slot)
      return slot
    },
    addOwn(slot) {
      own.set(slot.key, slot)
      return slot
    },
    isOwn: (slot) => own.has(slot.key),
    own: () => own.values(),
    *all() {
      yield* own.values()
      yield* others.values()
    },
  }
}
