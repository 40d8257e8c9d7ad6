/**
 * A store that forgets at the end: a month's refreshes would take the disk hours, and what the disk does
 * has its own tests. It keeps the contract: a write that was not expected is refused.
 */
import type { Store, StoredGrant, Version } from '../../src/store.ts'

export function createMemoryStore(): Store {
  const grants = new Map<string, { stored: StoredGrant; version: Version }>()
  let versions = 0
  const put = (account: string, stored: StoredGrant): Version => {
    const version = String(++versions)
    grants.set(account, { stored, version })
    return version
  }
  return {
    path: 'memory',
    read: (account) => Promise.resolve(grants.get(account)),
    write: (account, stored, expected) =>
      Promise.resolve(grants.get(account)?.version === expected ? put(account, stored) : undefined),
    replace: (account, stored) => Promise.resolve(put(account, stored)),
    forget: (account) => Promise.resolve(grants.delete(account)),
    // There is one process, whose refreshes of a grant follow each other anyway.
    lock: () => Promise.resolve(() => Promise.resolve()),
    lockForDaemon: () => Promise.resolve(() => Promise.resolve()),
    close: () => Promise.resolve(),
  }
}
