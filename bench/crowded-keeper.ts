/**
 * The keeper under a crowd, in a process of its own with its own provider: 10,000 accounts that are due
 * at once. Prints how many requests were in flight at most, and how many accounts were asked for twice.
 *
 *     node --import tsx crowded-keeper.ts COUNT
 */
import { setImmediate as turn } from 'node:timers/promises'
import { createKeeper } from '../src/keeper.ts'
import { createLog } from '../src/log.ts'
import { accountOf, accountsOf } from '../test/fixtures/keeper-place.ts'
import { createMemoryStore } from './soak/memory-store.ts'

const count = Number(process.argv[2])
const hourMs = 3_600_000
let inFlight = 0
let most = 0
const asked = new Map<string, number>()
const provider = {
  authority: 'host.example',
  binding: 'client',
  usesGrant: false,
  tokenKey: ({ mailbox }: { mailbox: string }) => mailbox,
  check: async () => {},
  async refresh(_grant: unknown, { mailbox }: { mailbox: string }, nowMs: number) {
    most = Math.max(most, ++inFlight)
    asked.set(mailbox, (asked.get(mailbox) ?? 0) + 1)
    await turn()
    inFlight--
    const expiresAtMs = nowMs + hourMs
    return { token: { value: mailbox, obtainedAtMs: nowMs, expiresAtMs, expiryKnown: true } }
  },
}
const accounts = Array.from({ length: count }, (_, n) => accountOf(`u${n}@e.example`, provider))
const store = createMemoryStore()
const keeper = createKeeper({ store, log: createLog('error'), now: Date.now, wake: () => {} })
await keeper.adopt(accountsOf(accounts), Date.now())
while (asked.size < count || inFlight > 0) await turn()
// Whatever comes again comes at once.
keeper.tick(Date.now())
for (let turns = 0; turns < 100; turns++) await turn()
const twice = [...asked.values()].filter((times) => times > 1).length
console.log(JSON.stringify({ most, twice }))
process.exit()
