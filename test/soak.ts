/** A few simulated days of the soak that `npm run soak` runs for a month. */
import t from 'tap'
import { slopeOf, simulate } from '../bench/soak/simulated.ts'

const own = Number(process.env['SOAK_SEED'] ?? Math.floor(Math.random() * 1e9))

for (const seed of [1, own])
  void t.test(`three days of 100 accounts, SOAK_SEED=${seed}`, async (t) => {
    const figures = await simulate({ days: 3, accounts: 100, seed })
    t.comment(JSON.stringify(figures))
    t.equal(figures.expiredServed, 0, 'no expired token was handed out')
    t.equal(figures.grantsLost, 0, 'no grant was lost')
    t.equal(figures.answered + figures.refused, figures.requests, 'each had its answer')
    t.ok(figures.answered > figures.requests * 0.5)
    t.ok(figures.failures > 0 && figures.refreshesAGrant > 20)
  })

void t.test('a slope', (t) => {
  t.equal(slopeOf([{ day: 0, mb: 5 }]), 0)
  const points = [0, 1, 2].map((day) => ({ day, mb: 10 + 2 * day }))
  t.equal(slopeOf(points), 2)
  t.end()
})
