/** What STATUS tells of each state that an account can be in. */
import t from 'tap'
import {
  Misconfigured,
  SignInNeeded,
  Unavailable,
  UnknownAccount,
  type Failure,
} from '../src/errors.ts'
import { createKept, type Kept } from '../src/kept.ts'
import { createSlot, failedState, settled, type SlotState } from '../src/slot.ts'
import { addOwnSlot, addSlot } from '../src/slot-table.ts'
import { daemonStatus, type AccountStatus } from '../src/status.ts'
import { version } from '../src/version.ts'
import { accountOf, createProvider, hourMs, startMs, tokenOf } from './fixtures/keeper-place.ts'

const live = settled(tokenOf('a secret', startMs), 0)
const idle: SlotState = { kind: 'idle', token: undefined, refreshAtMs: startMs }

function keptWith(user: string, own: SlotState[], others: SlotState[] = []): Kept {
  const kept = createKept(accountOf(user, createProvider()))
  const slot = (state: SlotState, n: number) => {
    const made = createSlot(String(n), { service: 'smtp', mailbox: user }, [], startMs)
    made.state = state
    return made
  }
  own.forEach((state, n) => addOwnSlot(kept.slots, slot(state, n)))
  others.forEach((state, n) => addSlot(kept.slots, slot(state, 100 + n)))
  return kept
}

const store = {
  path: '/s',
  encrypted: true,
  plain_files: 0,
  locked: false,
  unsaved: [],
  message: '',
  hint: '',
}

function statusOf(kept: Kept, nowMs = startMs): AccountStatus | undefined {
  const daemon = { startedAtMs: startMs, file: '/etc/c', store, sockets: ['/run/x'] }
  return daemonStatus({ ...daemon, kept: [kept] }, nowMs).accounts[0]
}

const failed = (failure: Failure) => failedState(live, failure, 0, startMs)

void t.test('the daemon', (t) => {
  const daemon = {
    startedAtMs: startMs + 999,
    file: '/etc/c',
    store,
    sockets: ['/run/x'],
  }
  t.same(daemonStatus({ ...daemon, kept: [] }, startMs), {
    version: 1,
    program: version,
    pid: process.pid,
    started_at: startMs / 1000,
    configuration: '/etc/c',
    store,
    sockets: ['/run/x'],
    accounts: [],
  })
  t.end()
})

void t.test('an account that is well', (t) => {
  const kept = keptWith('me@example.com', [live])
  kept.grant.signedInAtMs = startMs - 5_000
  const status = statusOf(kept)
  t.same(status, {
    user: 'me@example.com',
    id: 'me@example.com',
    provider: 'memory',
    services: ['smtp'],
    mailboxes: [],
    state: 'fresh',
    expires_at: (startMs + hourMs) / 1000,
    refreshed_at: startMs / 1000,
    signed_in_at: startMs / 1000 - 5,
    next_refresh_at: (startMs + 45 * 60_000) / 1000,
    ends_at: null,
    ends_because: '',
    ends_warning: '',
    scopes: {},
    tokens: 1,
    xoauth2_bytes: 20 + 'me@example.com'.length + 'a secret'.length,
    too_long_for: [],
    message: '',
    hint: '',
  })
  t.notMatch(JSON.stringify(status), /secret/)
  t.end()
})

void t.test('states', (t) => {
  const dead = new SignInNeeded('dead', { certain: true, hint: 'sign in' })
  const states: readonly [string, SlotState[], Partial<AccountStatus>][] = [
    ['nothing yet', [idle], { state: 'starting', tokens: 0, next_refresh_at: null }],
    ['no slot', [], { state: 'starting', expires_at: null }],
    [
      'failing',
      [failed(new Unavailable('down'))],
      { state: 'failing', message: 'down', tokens: 1 },
    ],
    ['confirming', [failed(new SignInNeeded('dead'))], { state: 'failing' }],
    [
      'signed out',
      [failed(dead)],
      { state: 'sign-in-needed', message: 'dead', hint: 'sign in', tokens: 0, refreshed_at: null },
    ],
    ['wrong', [failed(new Misconfigured('wrong'))], { state: 'misconfigured' }],
    ['its own name unknown', [failed(new UnknownAccount('who'))], { state: 'misconfigured' }],
    ['the worst counts', [live, failed(dead), idle], { state: 'sign-in-needed', tokens: 1 }],
    ['a later one', [live, failed(new Unavailable('down'))], { state: 'failing', tokens: 2 }],
  ]
  for (const [name, own, expected] of states)
    t.match(statusOf(keptWith('me@example.com', own)), expected, name)
  t.match(statusOf(keptWith('me@example.com', [live]), startMs + hourMs), { tokens: 0 }, 'expired')
  t.end()
})

void t.test('a whole domain', (t) => {
  t.match(statusOf(keptWith('*@example.com', [])), { state: 'idle', message: '' })
  const unknown = failed(new UnknownAccount('no such user'))
  t.match(statusOf(keptWith('*@example.com', [], [unknown])), { state: 'idle', message: '' })
  t.match(
    statusOf(keptWith('*@example.com', [], [unknown, live])),
    { state: 'fresh', message: '', tokens: 1 },
    'an unknown mailbox is not held against it',
  )
  const refused = failedState(idle, new Misconfigured('not delegated'), 0, startMs)
  const domain = keptWith('*@example.com', [], [refused, live])
  t.match(statusOf(domain), { state: 'misconfigured', message: 'not delegated' })
  t.match(
    statusOf(domain, startMs + hourMs),
    { state: 'fresh', message: '' },
    'nor one that nobody asks for any more',
  )
  t.end()
})
