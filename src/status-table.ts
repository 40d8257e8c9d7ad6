/**
 * `xoauthd status` for people: a table of accounts, the worst first, and what to do about each.
 *
 * Promises that all of it fits the columns that there are wherever it can, with every address whole: it is
 * what one copies.
 */
import { shortDuration } from './duration.ts'
import { docsPath } from './shipped.ts'
import {
  conditions,
  type AccountCondition,
  type AccountStatus,
  type DaemonStatus,
} from './status.ts'
import { unsavedTrouble, type StoreStatus } from './store-status.ts'
import { wrapped } from './wrap.ts'

export interface Page {
  /** Of the terminal; unset where a line may be of any length. */
  readonly columns?: number | undefined
  /** Whether trouble is coloured. */
  readonly colours?: boolean
}

type Paint = (text: string) => string

/** Row by row, of the widths that the longest cells have. */
interface Layout {
  /** Whether the address stands above the rest of its row. */
  readonly twoLines: boolean
  /** Whether it is said why a sign-in will end; `status --json` always says it. */
  readonly reasons: boolean
}

const headings = ['ACCOUNT', 'STATE', 'TOKEN', 'REFRESHED', 'SIGNED IN', 'ENDS']
/** The first that fits is taken. */
const layouts: readonly Layout[] = [
  { twoLines: false, reasons: true },
  { twoLines: false, reasons: false },
  { twoLines: true, reasons: true },
]
const tightest: Layout = { twoLines: true, reasons: false }
const red: Paint = (text) => `\x1b[31m${text}\x1b[39m`
const yellow: Paint = (text) => `\x1b[33m${text}\x1b[39m`
const plain: Paint = (text) => text

/** @param nowS the wall clock, epoch seconds */
export function statusTable(status: DaemonStatus, nowS: number, page: Page = {}): string {
  const { columns = Infinity, colours = false } = page
  const accounts = [...status.accounts].sort(
    (a, b) => conditions.indexOf(a.state) - conditions.indexOf(b.state),
  )
  const paints = colours ? [plain, ...accounts.map(({ state }) => paintOf(state))] : []
  const fits = (layout: Layout) =>
    linesOf(accounts, nowS, layout, []).every((line) => line.length <= columns)
  const layout = layouts.find(fits) ?? tightest
  const notes = [
    ...accounts.flatMap(notesOf),
    ...unsavedNote(status.store),
    ...storeNote(status.store),
  ]
  const lines = [
    ...linesOf(accounts, nowS, layout, paints),
    ...notes.flatMap((note) => noteLines(note, columns, colours)),
  ]
  return `${lines.join('\n')}\n`
}

/** @param paints what a row is painted with; none leaves all of them as they are */
function linesOf(
  accounts: readonly AccountStatus[],
  nowS: number,
  { twoLines, reasons }: Layout,
  paints: readonly Paint[],
): string[] {
  const rows = [headings, ...accounts.map((account) => cells(account, nowS, reasons))]
  const aligned = twoLines ? rows.map(([, ...others]) => others) : rows
  const widths = rows[0]?.map((_, at) => Math.max(...aligned.map((row) => row[at]?.length ?? 0)))
  return aligned.flatMap((row, each) => {
    const paint = paints[each] ?? plain
    const line = row
      .map((cell, at) => cell.padEnd(widths?.[at] ?? 0))
      .join('  ')
      .trimEnd()
    return twoLines ? [paint(rows[each]?.[0] ?? ''), paint(`  ${line}`)] : [paint(line)]
  })
}

function paintOf(state: AccountCondition): Paint {
  switch (state) {
    case 'store-locked':
    case 'sign-in-needed':
    case 'misconfigured':
      return red
    case 'failing':
      return yellow
    case 'starting':
    case 'idle':
    case 'fresh':
      return plain
  }
}

interface Note {
  readonly text: string
  readonly paint: Paint
}

/** What follows the first line of a note stands below it, further in. */
function noteLines({ text, paint }: Note, columns: number, colours: boolean): string[] {
  const indent = /^ */.exec(text)?.[0] ?? ''
  const lines = wrapped(text, columns - indent.length - 4)
  if (lines.length === 0) return ['']
  return lines
    .map((line, at) => `${indent}${at === 0 ? '' : '    '}${line}`)
    .map((line) => (colours ? paint(line) : line))
}

function unsavedNote(store: StoreStatus): Note[] {
  const trouble = unsavedTrouble(store)
  return trouble ? note(red, trouble.message, `hint: ${trouble.hint}`) : []
}

function storeNote({ path, encrypted, plain_files, message, hint }: StoreStatus): Note[] {
  if (message !== '') return note(red, message, `hint: ${hint}`)
  if (!encrypted)
    return note(
      plain,
      `the store ${path} is not encrypted`,
      `hint: xoauthd store encrypt --new-key FILE; more in ${docsPath('store.md')}`,
    )
  if (plain_files === 0) return []
  const still = `${plain_files} file(s) in ${path} are not encrypted yet`
  return note(yellow, still, 'hint: xoauthd store encrypt')
}

function note(paint: Paint, text: string, hint?: string): Note[] {
  const more = hint === undefined ? [] : [{ text: `  ${hint}`, paint: plain }]
  return [{ text: '', paint: plain }, { text, paint }, ...more]
}

function cells(account: AccountStatus, nowS: number, reasons: boolean): string[] {
  const { expires_at, refreshed_at, signed_in_at } = account
  const left = expires_at === null ? '-' : `${shortDuration(1000 * (expires_at - nowS))} left`
  const ago = (at: number | null) =>
    at === null ? '-' : `${shortDuration(1000 * (nowS - at))} ago`
  return [
    account.user,
    account.state,
    left,
    ago(refreshed_at),
    ago(signed_in_at),
    ends(account, nowS, reasons),
  ]
}

function ends({ ends_at, ends_because }: AccountStatus, nowS: number, reasons: boolean): string {
  if (ends_at === null) return '-'
  return `in ${shortDuration(1000 * (ends_at - nowS))}${reasons ? ` (${ends_because})` : ''}`
}

function notesOf(account: AccountStatus): Note[] {
  const { user, state, message, hint, ends_warning, too_long_for, xoauth2_bytes } = account
  const agents = too_long_for.join(', ')
  const tooLong = `its credential of ${xoauth2_bytes ?? 0} bytes is too long for ${agents}`
  return [
    ...(message === ''
      ? []
      : note(
          paintOf(state),
          message.includes(user) ? message : `${user}: ${message}`,
          hint === '' ? undefined : `hint: ${hint}`,
        )),
    ...(ends_warning === '' ? [] : note(yellow, `${user}: will end soon: ${ends_warning}`)),
    ...(agents === '' ? [] : note(yellow, `${user}: ${tooLong}`)),
  ]
}
