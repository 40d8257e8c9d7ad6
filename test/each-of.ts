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

void t.test('one that fails', async (t) => {
  const done: number[] = []
  const work = async (number: number) => {
    if (number === 3) throw new Error('number 3')
    await turn()
    done.push(number)
  }
  await t.rejects(eachOf(numbers, 4, work), { message: 'number 3' })
  while (done.length < numbers.length - 1) await turn()
  t.same(
    done,
    numbers.filter((number) => number !== 3),
    'the others are worked on all the same',
  )
})
