/** The same work on many things: never more at once than was said, each of them once, also beside one that fails. */
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { eachOf } from '../src/each-of.ts'

const numbers = Array.from({ length: 50 }, (_, index) => index)

void t.test('a few at a time, in their order', async (t) => {
  const begun: number[] = []
  let running = 0
  let most = 0
  await eachOf(numbers, 16, async (number) => {
    begun.push(number)
    most = Math.max(most, ++running)
    await turn()
    running--
  })
  t.same(begun, numbers)
  t.equal(most, 16)
})

void t.test('fewer things than may be worked on, and none', async (t) => {
  const done: string[] = []
  const work = (name: string) => {
    done.push(name)
    return Promise.resolve()
  }
  await eachOf(['one', 'two'], 16, work)
  await eachOf([], 16, work)
  t.same(done, ['one', 'two'])
})

void t.test('some that fail, one at a time and as many at once as there may be', async (t) => {
  for (const atOnce of [1, 4]) {
    const done: number[] = []
    const fails = (number: number) => number % 10 < 4
    const work = async (number: number) => {
      await turn()
      if (fails(number)) throw new Error(`number ${number}`)
      done.push(number)
    }
    await t.rejects(eachOf(numbers, atOnce, work), { message: 'number 0' })
    t.same(
      done,
      numbers.filter((number) => !fails(number)),
      'the others have been worked on',
    )
  }
})
