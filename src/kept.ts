/** What the keeper knows of one account. */
import type { Account } from './accounts.ts'
import { createSlotTable, type SlotTable } from './slot-table.ts'
import type { StoredGrant, Version } from './store.ts'

export interface Kept {
  /** Replaced by a reload that changed nothing of it. */
  account: Account
  readonly slots: SlotTable
  /** Of the grant that was read or written last; undefined when there was none. */
  version: Version | undefined
  signedInAtMs: number | undefined
  /** A rotated grant that the disk did not take. It is written again before anything else. */
  unsaved: StoredGrant | undefined
  /** The end of the last refresh that was queued: those of one grant follow each other. */
  turn: Promise<void>
  /** When clients forced a refresh of the grant; shared by its slots. */
  readonly forcedAtMs: number[]
}

export function createKept(account: Account): Kept {
  return {
    account,
    slots: createSlotTable(account.wildcard ? account.maxMailboxes : Infinity),
    version: undefined,
    signedInAtMs: undefined,
    unsaved: undefined,
    turn: Promise.resolve(),
    forcedAtMs: [],
  }
}
