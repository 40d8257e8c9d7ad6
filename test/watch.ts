/** What is looked at with each tick: a key that a person took their time for. */
import t from 'tap'
import { createStoreKey } from '../src/store-key.ts'
import { createWatch } from '../src/watch.ts'
import {
  accountOf,
  accountsOf,
  createPlace,
  createSignedIn,
  until,
} from './fixtures/keeper-place.ts'

void t.test('a key that comes late is no clock that was set back', async (t) => {
  const place = await createPlace(t)
  await place.keeper.adopt(accountsOf([accountOf('me@example.com', createSignedIn())]), place.nowMs)
  await place.quiet()
  let come: (asked: boolean) => void = () => {}
  const key = {
    ...createStoreKey(() => undefined),
    retry: () => new Promise<boolean>((resolve) => (come = resolve)),
  }
  const watch = createWatch({
    ...{ keeper: place.keeper, key, now: () => place.nowMs },
    log: { ...console, line: () => {}, setLevel: () => {}, flush: () => {} },
    tell: () => {},
  })
  watch.tick(place.nowMs)
  place.tick(30_000)
  const { length } = place.wakes
  come(true)
  await until(() => place.wakes.length > length)
  t.same(
    place.lines.filter((line) => line.includes('clock')),
    [],
  )
})
