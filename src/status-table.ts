/** `xoauthd status` for people: a table of accounts, the worst first, and what to do about each. */
import { conditions, type AccountStatus, type DaemonStatus, type StoreStatus } from './status.ts'

const headings = ['ACCOUNT', 'STATE', 'TOKEN', 'REFRESHED', 'SIGNED IN', 'ENDS']

/** @param nowS the wall clock, epoch seconds */
export function statusTable(status: DaemonStatus, nowS: number): string {
  const accounts = [...status.accounts].sort(
    (a, b) => conditions.indexOf(a.state) - conditions.indexOf(b.state),
  )
  const rows = [headings, ...accounts.map((account) => cells(account, nowS))]
  const widths = headings.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd()
  const notes = accounts.flatMap(notesOf)
  return `${[...rows.map(line), ...notes, ...storeNote(status.store)].join('\n')}\n`
}

function storeNote({ path, encrypted, plain_files, message, hint }: StoreStatus): string[] {
  if (message !== '') return ['', message, `  hint: ${hint}`]
  if (!encrypted)
    return [
      '',
      `the store ${path} is not encrypted`,
      '  hint: xoauthd store encrypt; docs/store.md',
    ]
  if (plain_files === 0) return []
  return [
    '',
    `${plain_files} file(s) in ${path} are not encrypted yet`,
    '  hint: xoauthd store encrypt',
  ]
}

function cells(account: AccountStatus, nowS: number): string[] {
  const { expires_at, refreshed_at, signed_in_at } = account
  const left = expires_at === null ? '-' : `${duration(expires_at - nowS)} left`
  const ago = (at: number | null) => (at === null ? '-' : `${duration(nowS - at)} ago`)
  return [
    account.user,
    account.state,
    left,
    ago(refreshed_at),
    ago(signed_in_at),
    ends(account, nowS),
  ]
}

function ends({ ends_at, ends_because }: AccountStatus, nowS: number): string {
  return ends_at === null ? '-' : `in ${duration(ends_at - nowS)} (${ends_because})`
}

function notesOf(account: AccountStatus): string[] {
  const { user, message, hint, ends_warning, too_long_for, xoauth2_bytes } = account
  const agents = too_long_for.join(', ')
  return [
    ...(message === '' ? [] : ['', `${user}: ${message}`]),
    ...(message === '' || hint === '' ? [] : [`  hint: ${hint}`]),
    ...(ends_warning === '' ? [] : ['', `${user}: will end soon: ${ends_warning}`]),
    ...(agents === ''
      ? []
      : ['', `${user}: its credential of ${xoauth2_bytes ?? 0} bytes is too long for ${agents}`]),
  ]
}

/** The largest unit is all that anybody wants to know. */
function duration(seconds: number): string {
  const s = Math.max(0, seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 2 * 86_400) return `${Math.floor(s / 3600)} h`
  return `${Math.floor(s / 86_400)} days`
}
