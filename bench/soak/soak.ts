/**
 * `npm run soak`: does the promise hold for a month? Ends with counts, and with 1 when an expired token
 * was served or a grant was lost.
 *
 *     --days N        simulate so many days, 30 unless told; a month of 1,000 accounts takes minutes
 *     --minutes N     instead: the real daemon, in real time
 *     --accounts N    1,000 unless told; 20 in real time
 *     --seed N        repeats the faults of a run
 *     --json          print JSON
 */
import { parseArgs } from 'node:util'
import { soak } from './real.ts'
import { simulate } from './simulated.ts'

const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '30' },
    minutes: { type: 'string' },
    accounts: { type: 'string' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    json: { type: 'boolean', default: false },
  },
})
const seed = Number(values.seed)
const figures =
  values.minutes === undefined
    ? await simulate({
        days: Number(values.days),
        accounts: Number(values.accounts ?? 1_000),
        seed,
      })
    : await soak({ minutes: Number(values.minutes), accounts: Number(values.accounts ?? 20), seed })

const rows: readonly (readonly [string, number])[] = [
  ['requests', figures.requests],
  ['answered with a token', figures.answered],
  ['told that there is none now', figures.refused],
  ['expired tokens served', figures.expiredServed],
  ['grants', figures.grants],
  ['grants lost', figures.grantsLost],
  ['refreshes', figures.refreshes],
  ['refreshes per grant', figures.refreshesAGrant],
  ['failures met', figures.failures],
  ['suspends', figures.suspends],
  ['memory, MB a day', figures.memoryMbADay],
]
if (values.json) console.log(JSON.stringify({ seed, ...figures }, null, 2))
else {
  for (const [what, value] of rows) {
    const rounded = Math.round(value * 100) / 100 + 0
    console.log(what.padEnd(30), Number.isNaN(rounded) ? 'too short to tell' : rounded)
  }
  console.log('seed'.padEnd(30), seed)
}
if (figures.expiredServed > 0 || figures.grantsLost > 0) process.exitCode = 1
process.exit()
