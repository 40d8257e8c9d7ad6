/** Who is told what, and when: few notices, however many are in trouble, and none for what heals. */
import t from 'tap'
import {
  Misconfigured,
  SignInNeeded,
  StoreLocked,
  Unavailable,
  UnknownAccount,
  type Failure,
} from '../src/errors.ts'
import { createKept, type Kept } from '../src/kept.ts'
import { predictEnd } from '../src/prediction.ts'
import { planNotices, troublesIn, type Notice, type Told, type Trouble } from '../src/notices.ts'
import { createSlot, failedState, settled, type SlotState } from '../src/slot.ts'
import { addOwnSlot, addSlot } from '../src/slot-table.ts'
import { accountOf, createProvider, hourMs, startMs, tokenOf } from './fixtures/keeper-place.ts'

const minute = 60_000
const day = 86_400_000

function trouble(account: string | undefined, given: Partial<Trouble> = {}): Trouble {
  const about = { event: 'sign-in-needed', group: 'host.example', message: 'dead' } as const
  return { ...about, account, hint: `run: xoauthd login ${account ?? ''}`, ...given }
}

/** Plans again and again, as the daemon does with its ticks. */
function person() {
  let told: Told = new Map()
  return (troubles: readonly Trouble[], nowMs: number): readonly Notice[] => {
    const plan = planNotices(told, troubles, nowMs)
    told = plan.told
    return plan.notices
  }
}

void t.test('one account, again and again with growing gaps', (t) => {
  const tell = person()
  const toldAt: number[] = []
  for (let atMs = 0; atMs < 5 * day; atMs += minute / 2)
    if (tell([trouble('me@x')], startMs + atMs).length > 0) toldAt.push(atMs / minute)
  t.same(toldAt, [0, 15, 45, 105, 225, 465, 945, 1905, 3345, 4785, 6225])
  t.end()
})

void t.test('what a notice says', (t) => {
  t.same(person()([trouble('me@x')], startMs), [
    {
      event: 'sign-in-needed',
      accounts: ['me@x'],
      message: 'me@x: dead; run: xoauthd login me@x',
    },
  ])
  const many = Array.from({ length: 100 }, (_, n) => trouble(`u${n}@x`))
  const [one, ...more] = person()(many, startMs)
  t.same(more, [])
  t.equal(one?.accounts.length, 100)
  t.equal(one?.message, 'u0@x, u1@x, u2@x and 97 more: dead; xoauthd status has them all')
  const locked = trouble(undefined, { event: 'store-locked', message: 'locked', hint: undefined })
  t.same(person()([locked], startMs), [{ event: 'store-locked', accounts: [], message: 'locked' }])
  t.end()
})

void t.test('many in trouble one after another are no storm', (t) => {
  const tell = person()
  const all: Trouble[] = []
  let notices = 0
  for (let n = 0; n < 1000; n++) {
    all.push(trouble(`u${n}@x`))
    notices += tell(all, startMs + n * 1000).length
  }
  t.equal(notices, 2, 'in 1000 seconds')
  t.equal(tell(all, startMs + 30 * minute).length, 1, 'with those who joined last')
  t.equal(tell(all, startMs + 44 * minute).length, 0)
  t.same(
    tell([...all, trouble('other@y', { group: 'other.example' })], startMs + 44 * minute).map(
      ({ accounts }) => accounts,
    ),
    [['other@y']],
    'another provider has its own',
  )
  t.end()
})

void t.test('what heals is forgotten, and what comes and goes is no storm either', (t) => {
  const tell = person()
  const one = [trouble('me@x')]
  t.equal(tell(one, startMs).length, 1)
  t.equal(tell([], startMs + minute).length, 0)
  t.equal(tell(one, startMs + 2 * minute).length, 0, 'only just told')
  t.equal(tell(one, startMs + 15 * minute).length, 1)
  t.equal(tell([], startMs + 16 * minute).length, 0)
  t.equal(tell([], startMs + 40 * minute).length, 0)
  t.equal(tell(one, startMs + 41 * minute).length, 1, 'at once, since it had healed')
  t.equal(tell(one, startMs + 56 * minute).length, 1, 'with the first gap')
  t.equal(tell(one, startMs - day).length, 1, 'a clock that was set back silences nobody')
  t.end()
})

const live = settled(tokenOf('secret', startMs), 0)
const idle: SlotState = { kind: 'idle', token: undefined, refreshAtMs: startMs }

function keptWith(user: string, state: SlotState): Kept {
  const kept = createKept(accountOf(user, createProvider()))
  const slot = createSlot('', { service: 'smtp', mailbox: user }, [], startMs)
  slot.state = state
  addOwnSlot(kept.slots, slot)
  return kept
}

void t.test('what is a trouble', (t) => {
  const seen = (state: SlotState, laterMs: number) =>
    troublesIn([keptWith('me@x', state)], undefined, [], startMs + laterMs).map(
      ({ event }) => event,
    )
  const after = (state: SlotState, failure: Failure) => failedState(state, failure, 0, startMs)
  const down = new Unavailable('down', { trouble: 'network' })
  t.same(seen(live, 0), [])
  t.same(seen(idle, hourMs), [])
  t.same(seen(after(live, down), 59 * minute), [], 'a token lives')
  t.same(seen(after(live, down), 69 * minute), [], 'not for long')
  t.same(seen(after(live, down), 70 * minute), ['failing'])
  t.same(seen(after(idle, down), 9 * minute), [])
  t.same(seen(after(idle, down), 10 * minute), ['failing'])
  t.same(seen(after(live, new SignInNeeded('maybe')), 0), [], 'not confirmed')
  t.same(seen(after(live, new SignInNeeded('dead', { certain: true })), 0), ['sign-in-needed'])
  t.same(seen(after(live, new Misconfigured('wrong')), 0), ['misconfigured'])
  t.same(seen(after(live, new UnknownAccount('who')), 0), [])
  t.same(seen(after(live, new StoreLocked('locked')), hourMs), [], 'the store speaks for all')
  const locked = new StoreLocked('the store is locked', { hint: 'the key' })
  t.match(troublesIn([keptWith('me@x', live)], locked, ['a@x', 'b@x'], startMs), [
    { event: 'store-locked', account: undefined, hint: 'the key' },
    { event: 'store-trouble', account: 'a@x' },
    { event: 'store-trouble', account: 'b@x' },
  ])
  t.notMatch(JSON.stringify(troublesIn([keptWith('me@x', live)], locked, [], startMs)), 'secret')
  t.end()
})

void t.test('a mailbox of a wildcard is a trouble while somebody asks for it', (t) => {
  const kept = createKept(accountOf('*@x', createProvider()))
  const slot = createSlot('a', { service: 'smtp', mailbox: 'a@x' }, [], startMs)
  addSlot(kept.slots, slot).state = failedState(idle, new Misconfigured('wrong'), 0, startMs)
  const seen = (atMs: number) => troublesIn([kept], undefined, [], atMs).map(({ event }) => event)
  t.same(seen(startMs + hourMs - 1), ['misconfigured'])
  t.same(seen(startMs + hourMs), [])
  slot.askedAtMs += hourMs
  t.same(seen(startMs + hourMs), ['misconfigured'])
  t.end()
})

const ending = (kept: Kept, atMs: number, what = 'the certificate') => {
  kept.credential = { what, atMs, hint: 'make a new one' }
  return kept
}

void t.test('what will end', (t) => {
  const seen = (kept: readonly Kept[], nowMs = startMs) =>
    troublesIn(kept, undefined, [], nowMs).map(({ event, account }) => `${event} ${account ?? ''}`)
  const me = ending(keptWith('me@x', live), startMs + 31 * day)
  t.same(seen([me]), [], 'later than a warning is worth')
  t.same(seen([me], startMs + day), ['sign-in-ending me@x'])
  // A sign-in that ended after ten days the last time, warned of a quarter before.
  const person = keptWith('person@x', live)
  person.grant.signedInAtMs = startMs
  person.grant.life = { lastLivedMs: 10 * day, lastBecause: 'sign-in-frequency' }
  t.same(seen([person], startMs + 7 * day), [])
  t.same(seen([person], startMs + 7.5 * day), ['sign-in-ending person@x'])
  const down = failedState(live, new Unavailable('down', { trouble: 'network' }), 0, startMs)
  t.same(seen([ending(keptWith('me@x', down), startMs + 3 * day)], startMs + 2 * day), [
    'failing me@x',
    'sign-in-ending me@x',
  ])
  const wrong = failedState(live, new Misconfigured('ended'), 0, startMs)
  t.same(seen([ending(keptWith('me@x', wrong), startMs - day)]), ['misconfigured me@x'])
  t.end()
})

void t.test('what will end is told once, in the words of the status', (t) => {
  const tell = person()
  const endsAtMs = startMs + 12 * day
  const both = [keptWith('a@x', live), keptWith('b@x', live)]
  const told = (nowMs: number) => tell(troublesIn(both, undefined, [], nowMs), nowMs)
  const words = predictEnd({
    signedInAtMs: undefined,
    refreshedAtMs: undefined,
    life: undefined,
    ends: [],
    credential: { what: 'the certificate', atMs: endsAtMs, hint: 'make a new one' },
  })
  both.slice(0, 1).forEach((kept) => ending(kept, endsAtMs))
  const message = `a@x: ${words?.sentence ?? ''}; make a new one`
  t.same(told(startMs), [{ event: 'sign-in-ending', accounts: ['a@x'], message }])
  for (let atMs = minute; atMs < 11 * day; atMs += hourMs) t.same(told(startMs + atMs), [])
  both.slice(1).forEach((kept) => ending(kept, endsAtMs))
  t.match(told(startMs + 11 * day), [{ accounts: ['a@x', 'b@x'] }], 'with the one who joined')
  t.same(told(startMs + 11.5 * day), [])
  both.forEach((kept) => ending(kept, endsAtMs + 365 * day))
  t.same(told(startMs + 12 * day), [], 'renewed')
  t.equal(told(startMs + 350 * day).length, 1, 'the next one')
  both.forEach((kept) => ending(kept, startMs + 360 * day, 'another certificate'))
  t.equal(told(startMs + 350 * day).length, 1, 'another end is another matter')
  t.end()
})
