/**
 * What a mailbox of a wildcard costs in memory: fills a keeper with them, in a process of its own, and
 * prints KB a mailbox.
 *
 *     node --expose-gc --import tsx mailboxes.ts COUNT
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Account, Accounts } from '../src/accounts.ts'
import { createKeeper } from '../src/keeper.ts'
import { createLog } from '../src/log.ts'
import { openStore } from '../src/store.ts'

const count = Number(process.argv[2])
const tokenBytes = 1500
const hourMs = 3_600_000

const account: Account = {
  user: '*@example.org',
  id: '*@example.org',
  kind: 'of the bench',
  provider: {
    authority: 'localhost',
    binding: 'of the bench',
    usesGrant: false,
    tokenKey: ({ mailbox }) => mailbox,
    check: async () => {},
    refresh: (_grant, { mailbox }, nowMs) => {
      // As flat as one that came out of JSON.
      const value = Buffer.alloc(tokenBytes, `${mailbox}.`).toString('latin1')
      const token = { value, obtainedAtMs: nowMs, expiresAtMs: nowMs + hourMs, expiryKnown: true }
      return Promise.resolve({ token })
    },
  },
  services: ['smtp'],
  knownServices: ['smtp'],
  mailboxes: [],
  wildcard: true,
  maxMailboxes: count,
  fingerprint: () => '',
  settingsFingerprint: () => '',
  loginName: ({ mailbox }) => mailbox,
}
const accounts: Accounts = {
  all: [account],
  find: (mailbox) => ({ account, mailbox }),
  findByName: (mailbox) => ({ account, mailbox }),
}

const folder = mkdtempSync(join(tmpdir(), 'xo-'))
const store = await openStore(join(folder, 'store'))
const keeper = createKeeper({ store, log: createLog('error'), now: Date.now, wake: () => {} })
await keeper.adopt(accounts, Date.now())
await ask('warm-up@example.org')
const before = residentBytes()
for (let index = 0; index < count - 1; index++) await ask(`user${index}@example.org`)
const after = residentBytes()
console.log((after - before) / 1024 / count)
await keeper.close()
await store.close()
rmSync(folder, { recursive: true })

async function ask(mailbox: string): Promise<void> {
  const nowMs = Date.now()
  const wanted = { minMs: undefined, untilMs: nowMs + 4000, refused: false }
  await keeper.token(account, { service: 'smtp', mailbox }, wanted, nowMs)
}

function residentBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().rss
}
