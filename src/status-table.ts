/** `xoauthd status` for people: a table of accounts, the worst first, and what to do about each. */
import { conditions, type AccountStatus, type DaemonStatus } from './status.ts'

const headings = ['ACCOUNT', 'STATE', 'TOKEN', 'REFRESHED', 'SIGNED IN']

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
  const notes = accounts.filter(({ message }) => message !== '').flatMap(note)
  const warnings = accounts.filter(({ too_long_for }) => too_long_for.length > 0).flatMap(warning)
  return `${[...rows.map(line), ...notes, ...warnings].join('\n')}\n`
}

function cells(account: AccountStatus, nowS: number): string[] {
  const { expires_at, refreshed_at, signed_in_at } = account
  const left = expires_at === null ? '-' : `${duration(expires_at - nowS)} left`
  const ago = (at: number | null) => (at === null ? '-' : `${duration(nowS - at)} ago`)
  return [account.user, account.state, left, ago(refreshed_at), ago(signed_in_at)]
}

function note({ user, message, hint }: AccountStatus): string[] {
  return ['', `${user}: ${message}`, ...(hint === '' ? [] : [`  hint: ${hint}`])]
}

function warning({ user, xoauth2_bytes, too_long_for }: AccountStatus): string[] {
  const who = too_long_for.join(', ')
  return ['', `${user}: its credential of ${xoauth2_bytes ?? 0} bytes is too long for ${who}`]
}

/** The largest unit is all that anybody wants to know. */
function duration(seconds: number): string {
  const s = Math.max(0, seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 2 * 86_400) return `${Math.floor(s / 3600)} h`
  return `${Math.floor(s / 86_400)} days`
}
