/**
 * What a person has to be told, and when. Pure.
 *
 * Promises few notices: the accounts of one provider that are in the same trouble share one, it is
 * repeated with growing gaps, what joins it waits for the shortest of them, and what heals is forgotten. What
 * will end is told once, when it is time to do something about it.
 */
import { SignInNeeded, StoreLocked, UnknownAccount, type Failure } from './errors.ts'
import { predictionFor, type Kept } from './kept.ts'
import { speaksForAccount } from './plan.ts'
import { remainingMs, type Slot } from './slot.ts'
import { allSlots } from './slot-table.ts'

/** What `XOAUTHD_EVENT` can be. */
export type NoticeEvent =
  | 'sign-in-needed'
  /** A sign-in will end soon, and why is known. */
  | 'sign-in-ending'
  | 'misconfigured'
  /** No valid token for long, and waiting has not helped. */
  | 'failing'
  | 'store-locked'
  /** A grant is in memory alone, since the disk does not take it. */
  | 'store-trouble'

export interface Trouble {
  readonly event: NoticeEvent
  /** Accounts of one group share their notices: the provider's host, or the store. */
  readonly group: string
  /** None where it is about all of them. */
  readonly account: string | undefined
  readonly message: string
  readonly hint: string | undefined
  /** Epoch ms: of what is told before it happens, and so once for each end. */
  readonly endsAtMs?: number
}

export interface Notice {
  readonly event: NoticeEvent
  readonly accounts: readonly string[]
  /** One line for a person. */
  readonly message: string
}

/** What has been told of one group, by event and group. */
export type Told = ReadonlyMap<
  string,
  { readonly matters: ReadonlySet<string>; readonly atMs: number; readonly gapMs: number }
>

/** So long without a valid token is no passing trouble any more. */
export const failingMs = 10 * 60_000
const firstGapMs = 15 * 60_000
const longestGapMs = 86_400_000
/** More names than this nobody reads. */
const namesShown = 3

/**
 * @param locked why the store cannot be opened
 * @param unsaved the accounts whose grants are not on disk
 * @param nowMs the wall clock, epoch ms
 */
export function troublesIn(
  all: Iterable<Kept>,
  locked: StoreLocked | undefined,
  unsaved: readonly string[],
  nowMs: number,
): readonly Trouble[] {
  const troubles: Trouble[] = []
  if (locked)
    troubles.push({
      event: 'store-locked',
      group: 'store',
      account: undefined,
      message: locked.message,
      hint: locked.hint,
    })
  for (const account of unsaved)
    troubles.push({
      event: 'store-trouble',
      group: 'store',
      account,
      message: 'the disk does not take its grant, which would be lost with this process',
      hint: 'check the disk and the permissions of the store; the log has the reason',
    })
  for (const kept of all) {
    const trouble = troubleOf(kept, nowMs)
    if (trouble) troubles.push(trouble)
    // Of what has ended already nobody is warned, and what passes has nothing to do with the end.
    const ending = !trouble || trouble.event === 'failing' ? endingOf(kept, nowMs) : undefined
    if (ending) troubles.push(ending)
  }
  return troubles
}

/** With the words of the status; those who share a registration are told of its end together. */
function endingOf(kept: Kept, nowMs: number): Trouble | undefined {
  const end = predictionFor(kept)
  if (!end || nowMs < end.warnAtMs) return undefined
  const { user, provider } = kept.account
  const { because, sentence } = end
  return {
    event: 'sign-in-ending',
    group: because === 'secret-expired' ? sentence : `${provider.authority} ${because}`,
    account: user,
    message: sentence,
    hint: end.next,
    endsAtMs: end.atMs,
  }
}

function troubleOf(kept: Kept, nowMs: number): Trouble | undefined {
  const { account, slots } = kept
  for (const slot of allSlots(slots)) {
    const event = speaksForAccount(kept, slot, nowMs) ? eventOf(slot, nowMs) : undefined
    if (event === undefined || !('failure' in slot.state)) continue
    const { message, hint }: Failure = slot.state.failure
    const group = account.provider.authority
    return { event, group, account: account.user, message, hint }
  }
  return undefined
}

function eventOf({ state }: Slot, nowMs: number): NoticeEvent | undefined {
  if (!('failure' in state)) return undefined
  const { failure, token } = state
  // A locked store is one trouble, and not one of each account; a mistyped mailbox is none.
  if (failure instanceof StoreLocked || failure instanceof UnknownAccount) return undefined
  if (state.kind === 'stopped')
    return failure instanceof SignInNeeded ? 'sign-in-needed' : 'misconfigured'
  if (token && remainingMs(token, nowMs) > 0) return undefined
  const sinceMs = Math.max(state.sinceMs, token?.expiresAtMs ?? 0)
  return nowMs - sinceMs >= failingMs ? 'failing' : undefined
}

/**
 * @param told what the last call returned; an empty map at first
 * @param nowMs the wall clock, epoch ms
 * @returns what to tell now, and what has been told then
 */
export function planNotices(
  told: Told,
  troubles: readonly Trouble[],
  nowMs: number,
): { readonly notices: readonly Notice[]; readonly told: Told } {
  const next = new Map(told)
  const notices: Notice[] = []
  const groups = grouped(troubles)
  for (const [key, { atMs }] of told) {
    if (groups.has(key)) continue
    // It healed. Should it come back at once, it is told after the shortest gap.
    if (isOver(atMs, firstGapMs, nowMs)) next.delete(key)
    else next.set(key, { matters: new Set(), atMs, gapMs: firstGapMs })
  }
  for (const [key, members] of groups) {
    const matters = new Set(members.map(matterOf))
    const before = told.get(key)
    const joined = before && ![...matters].every((matter) => before.matters.has(matter))
    const gapMs = !before || joined ? firstGapMs : before.gapMs
    if (before && !isOver(before.atMs, gapMs, nowMs)) continue
    notices.push(noticeOf(members))
    const repeated = before !== undefined && !joined
    const nextGapMs = repeated ? Math.min(2 * gapMs, longestGapMs) : firstGapMs
    const once = members.some(({ endsAtMs }) => endsAtMs !== undefined)
    next.set(key, { matters, atMs: nowMs, gapMs: once ? Infinity : nextGapMs })
  }
  return { notices, told: next }
}

/** What is told once is another matter when it has another end. */
function matterOf({ account = '', endsAtMs }: Trouble): string {
  return `${account} ${endsAtMs ?? ''}`
}

function grouped(troubles: readonly Trouble[]): ReadonlyMap<string, readonly Trouble[]> {
  const groups = new Map<string, Trouble[]>()
  for (const trouble of troubles) {
    const key = `${trouble.event} ${trouble.group}`
    const members = groups.get(key)
    if (members) members.push(trouble)
    else groups.set(key, [trouble])
  }
  return groups
}

/** A clock that was set back ends the wait as well: better a notice too many than none. */
function isOver(atMs: number, gapMs: number, nowMs: number): boolean {
  return nowMs - atMs >= gapMs || nowMs < atMs
}

function noticeOf(members: readonly Trouble[]): Notice {
  const [first] = members
  if (!first) throw new Error('a notice of nothing')
  const accounts = members.flatMap(({ account }) => account ?? [])
  const names = accounts.slice(0, namesShown).join(', ')
  const more = accounts.length - namesShown
  const who = more > 0 ? `${names} and ${more} more` : names
  const hint = members.length > 1 ? 'xoauthd status has them all' : first.hint
  const parts = [who === '' ? first.message : `${who}: ${first.message}`, hint ?? '']
  return {
    event: first.event,
    accounts,
    message: parts.filter((part) => part !== '').join('; '),
  }
}
