/** When a token is due, and what a failure makes of what was known. */
import t from 'tap'
import {
  Misconfigured,
  SignInNeeded,
  Unavailable,
  UnknownAccount,
  type Failure,
} from '../src/errors.ts'
import {
  createSlot,
  deferred,
  dueAtMs,
  endWaiting,
  failedState,
  forceWait,
  nextAttempt,
  refreshAtMs,
  remainingMs,
  replanned,
  settled,
  type SlotState,
} from '../src/slot.ts'
import { hourMs, startMs, tokenOf } from './fixtures/keeper-place.ts'

const token = tokenOf('t', startMs)
const live = settled(token, 0)
const idle: SlotState = { kind: 'idle', token: undefined, refreshAtMs: startMs }
const minuteMs = 60_000

void t.test('what is left of a token', (t) => {
  t.equal(remainingMs(token, startMs), hourMs)
  t.equal(remainingMs(token, startMs + hourMs), 0)
  t.equal(remainingMs(token, startMs + hourMs + 1), -1)
  t.equal(remainingMs(token, startMs - 5_000), hourMs + 5_000, 'clocks differ a little')
  t.equal(remainingMs(token, startMs - 5_001), 0, 'set back: it may be of any age')
  t.end()
})

void t.test('when a token is refreshed', (t) => {
  t.equal(refreshAtMs(token, 0) - startMs, 45 * minuteMs)
  t.equal(refreshAtMs(token, 1) - startMs, 40 * minuteMs)
  t.equal(refreshAtMs(tokenOf('t', startMs, 0), 1) - startMs, 1_000, 'never at once')
  t.end()
})

void t.test('how often clients may force', (t) => {
  const slot = createSlot('', { service: 'smtp', mailbox: 'a@b' }, [], startMs)
  const wait = (afterMs: number) => forceWait(slot, startMs + afterMs).waitMs
  t.equal(wait(0), 0, 'without a token')
  slot.state = live
  t.equal(wait(29_999), 1)
  t.equal(wait(30_000), 0)
  for (const afterMs of [0, 3, 1, 2, 4]) slot.forcedAtMs.push(startMs + afterMs)
  t.match(forceWait(slot, startMs), { reason: /^clients had 5 .* within 10 minutes/ })
  t.equal(wait(10 * minuteMs - 1), 1, 'until the first of them is past')
  t.equal(wait(10 * minuteMs), 0)
  t.equal(wait(10 * minuteMs + 4), 0)
  t.same(slot.forcedAtMs, [], 'what is past is forgotten')
  slot.forcedAtMs.push(...Array.from({ length: 5 }, () => startMs + 86_400_000))
  t.equal(wait(minuteMs), 0, 'what a wrong clock noted does not count')
  t.end()
})

void t.test('what a failure makes of a slot', (t) => {
  const down = new Unavailable('down')
  const wrong = new Misconfigured('wrong')
  const dead = new SignInNeeded('dead', { hint: 'sign in' })
  const none = new SignInNeeded('nobody', { certain: true })
  const after = (before: SlotState, failure: Failure, at = 0) =>
    failedState(before, failure, 0, startMs + at)
  const failing = after(live, down)
  t.same(failing, {
    kind: 'failing',
    token,
    failure: down,
    sinceMs: startMs,
    retryAtMs: startMs + 30_000,
  })
  t.match(failedState(live, down, startMs + 7, startMs), { retryAtMs: startMs + 7 }, "the host's")
  t.match(failedState(live, down, startMs - 7, startMs), { retryAtMs: startMs + 30_000 })
  t.match(after(failing, down, minuteMs), { sinceMs: startMs }, 'since the first')
  t.match(after(live, wrong), { kind: 'stopped', token, retryAtMs: startMs + 15 * minuteMs })
  t.match(after(idle, new UnknownAccount('who')), { retryAtMs: startMs + 10 * minuteMs })

  const confirming = after(live, dead)
  t.match(confirming, {
    kind: 'confirming',
    token,
    failure: { code: 'unavailable', hint: 'sign in' },
    retryAtMs: startMs + 30_000,
  })
  t.equal(after(confirming, dead, 29_999), confirming, 'asked too early')
  const stopped = after(confirming, dead, 30_000)
  t.match(stopped, { kind: 'stopped', token, failure: dead, sinceMs: startMs + 30_000 })
  t.match(after(stopped, dead, hourMs), { kind: 'stopped', sinceMs: startMs + 30_000 })
  t.match(after(after(confirming, down), dead, minuteMs), { kind: 'confirming' }, 'from the start')
  t.match(after(after(live, wrong), dead), { kind: 'confirming' })
  t.match(after(live, none), { kind: 'stopped', token: undefined, failure: none })
  t.end()
})

void t.test('other plans', (t) => {
  const slot = createSlot('', { service: 'smtp', mailbox: 'a@b' }, [], startMs)
  t.equal(dueAtMs(slot), startMs)
  slot.state = deferred(live, startMs + 1)
  t.equal(dueAtMs(slot), startMs + 1)
  slot.state = deferred(failedState(live, new Unavailable('down'), 0, startMs), 5)
  t.equal(dueAtMs(slot), 5)
  const confirming = failedState(live, new SignInNeeded('dead'), 0, startMs)
  t.equal(deferred(confirming, 5), confirming)
  t.match(replanned(confirming, 5), { retryAtMs: 30_005 })
  t.match(replanned(live, 5), { refreshAtMs: 5 })
  t.end()
})

void t.test('who waits makes a slot due, and is let go', async (t) => {
  const slot = createSlot('', { service: 'smtp', mailbox: 'a@b' }, [], startMs)
  endWaiting(slot)
  slot.state = live
  const ended = nextAttempt(slot)
  t.equal(nextAttempt(slot), ended)
  t.equal(dueAtMs(slot), 0)
  slot.state = failedState(live, new Unavailable('down'), 0, startMs)
  t.equal(dueAtMs(slot), startMs + 30_000, 'a back-off is kept to all the same')
  endWaiting(slot)
  await ended
  t.equal(slot.waiting, undefined)
})
