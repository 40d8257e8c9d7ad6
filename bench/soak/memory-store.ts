/**
 * A store that forgets at the end: a month's refreshes would take the disk hours, and what the disk does
 * has its own tests. It keeps the contract: a write that was not expected is refused.
 */
import type { Store } from '../../src/store.ts'
import type { StoredGrant, StoredRecord, Version } from '../../src/store-record.ts'

export function createMemoryStore(): Store {
  const grants = new Map<string, StoredRecord>()
  let versions = 0
  const put = (account: string, stored: StoredGrant): Version => {
    const version = String(++versions)
    grants.set(account, { account, stored, version })
    return version
  }
  return {
    path: 'memory',
    mustBeInPlace: () => Promise.resolve(),
    read: (account) => Promise.resolve(grants.get(account)),
    write: (account, stored, expected) =>
      Promise.resolve(grants.get(account)?.version === expected ? put(account, stored) : undefined),
    replace: (account, stored) => Promise.resolve(put(account, stored)),
    sortUnread: () => Promise.resolve([]),
    forget: (account) => Promise.resolve(grants.delete(account)),
    // There is one process, whose refreshes of a grant follow each other anyway.
    locked: (_account, work) => work(),
    lockForDaemon: () => Promise.resolve(() => Promise.resolve()),
    close: () => Promise.resolve(),
  }
}
