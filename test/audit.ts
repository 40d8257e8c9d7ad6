/** The line that each answer leaves, and how repeats are summed up. */
import t from 'tap'
import { createAudit } from '../src/audit.ts'
import { until } from './fixtures/keeper-place.ts'

void t.test('answers', (t) => {
  const lines: string[] = []
  const audit = createAudit((text) => lines.push(text), true)
  audit.answered('/run/x', 'smtp', 'me@example.com', 'ok', 0)
  audit.answered('/run/x', 'smtp', 'you@example.com', 'ok', 12)
  audit.answered('/run/a b', 'smtp', 'a=b@example.com', 'unavailable', 0, 'it is down')
  audit.answered('/run/x', '-', '-', 'bad-request', 0, 'an option is unknown')
  t.same(lines.splice(0), [
    'info answered socket=/run/x service=smtp mailbox=me@example.com result=ok',
    'info answered socket=/run/x service=smtp mailbox=you@example.com result=ok wait_ms=12',
    'info answered socket="/run/a b" service=smtp mailbox="a=b@example.com" result=unavailable reason="it is down"',
    'info answered socket=/run/x service=- mailbox=- result=bad-request reason="an option is unknown"',
  ])
  audit.flush()
  t.same(lines, [], 'nothing was repeated')
  t.end()
})

void t.test('repeats are summed up', async (t) => {
  const lines: string[] = []
  const audit = createAudit((text) => lines.push(text), true)
  for (let times = 0; times < 5; times++)
    audit.answered('/run/x', 'smtp', 'me@example.com', 'ok', times)
  audit.answered('/run/x', 'smtp', 'me@example.com', 'unavailable', 0, 'one')
  audit.answered('/run/x', 'smtp', 'me@example.com', 'unavailable', 0, 'another')
  const first = 'info answered socket=/run/x service=smtp mailbox=me@example.com result=ok'
  t.equal(lines.length, 3, 'other reasons are no repeats')
  t.equal(lines[0], first)
  await until(() => lines.length > 3)
  t.equal(lines[3], `${first} repeated=4`, 'a second later')
  audit.answered('/run/x', 'smtp', 'me@example.com', 'ok', 0)
  t.equal(lines[4], first, 'a new second')
  audit.flush()
  t.equal(lines.length, 5)
})

void t.test('good answers may go without', (t) => {
  const lines: string[] = []
  const audit = createAudit((text) => lines.push(text), false)
  audit.answered('/run/x', 'smtp', 'me@example.com', 'ok', 0)
  t.equal(lines.length, 0)
  audit.answered('/run/x', 'smtp', 'me@example.com', 'unavailable', 0, 'down')
  t.equal(lines.length, 1)
  audit.setAnswers(true)
  audit.answered('/run/x', 'smtp', 'me@example.com', 'ok', 0)
  t.equal(lines.length, 2)
  audit.flush()
  t.end()
})

void t.test('a bounded number of sums', (t) => {
  let count = 0
  const audit = createAudit(() => count++, true)
  for (let twice = 0; twice < 2; twice++)
    for (let n = 0; n < 10_001; n++) audit.answered('/run/x', 'smtp', `u${n}@example.com`, 'ok', 0)
  t.equal(count, 10_002, 'the last one has a line each time')
  audit.flush()
  t.equal(count, 20_002)
  t.end()
})
