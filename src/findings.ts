/** What `check` found: one row a check, for people and as JSON. The form of the JSON is documented. */
import { XoauthdError } from './client.ts'
import { Failure, exitCodes, type FailureCode } from './errors.ts'
import { wrapped } from './wrap.ts'

export type ProblemCode = FailureCode | 'no-daemon'

export type Verdict = 'ok' | 'warning' | 'problem' | 'skipped'

export interface Finding {
  readonly verdict: Verdict
  /** The account it is about; null where it is about the machine. */
  readonly account: string | null
  /** What was looked at, e.g. `clock`. */
  readonly check: string
  /** What was seen. */
  readonly saw: string
  /** What to do; empty where there is nothing. */
  readonly hint: string
  /** For a problem: the exit status it stands for. */
  readonly code: ProblemCode | null
}

type Words = Partial<Pick<Finding, 'hint' | 'account' | 'code'>>

/** A row; about the machine, with nothing to do, unless it says otherwise. */
export function finding(verdict: Verdict, check: string, saw: string, words: Words = {}): Finding {
  const code = verdict === 'problem' ? 'misconfigured' : null
  return { verdict, account: null, check, saw, hint: '', code, ...words }
}

/**
 * A problem's row about a failure.
 *
 * @throws the error itself when it is a bug
 */
export function failedFinding(check: string, error: unknown, account: string | null = null) {
  if (!(error instanceof Failure) && !(error instanceof XoauthdError)) throw error
  const { message, hint = '', code } = error
  return finding('problem', check, message, { account, hint, code: problemCode(code) })
}

/** A daemon of another version may have codes that are not known here. */
function problemCode(code: string): ProblemCode {
  return Object.hasOwn(exitCodes, code) && code !== 'config' ? (code as ProblemCode) : 'unavailable'
}

/** 0 when no row is a problem, else what the first one stands for. */
export function exitStatus(findings: readonly Finding[]): number {
  const first = findings.find(({ verdict }) => verdict === 'problem')
  return first ? exitCodes[first.code ?? 'misconfigured'] : 0
}

const colours: Readonly<Record<Verdict, string>> = {
  ok: '32',
  warning: '33',
  problem: '31',
  skipped: '2',
}

/**
 * A row a check, in the order they were made, under the account that they are about, and how many of them
 * are bad.
 *
 * @param columns how wide the terminal is
 * @param coloured only where somebody looks
 */
export function findingsText(
  findings: readonly Finding[],
  { columns, coloured }: { columns: number; coloured: boolean },
): string {
  const lines: string[] = []
  let about: string | null = null
  for (const { verdict, account, check, saw, hint } of findings) {
    if (account !== about) lines.push('', account ?? '')
    about = account
    const word = verdict.padEnd(8)
    const shown = coloured ? `\x1b[${colours[verdict]}m${word}\x1b[0m` : word
    const [first = '', ...rest] = wrapped(saw, columns - 25)
    lines.push(`${shown} ${check.padEnd(14)}  ${first}`.trimEnd())
    lines.push(...rest.map((line) => `${' '.repeat(25)}${line}`))
    lines.push(
      ...wrapped(hint, columns - 27).map(
        (line, at) => `${' '.repeat(25)}${at === 0 ? '→' : ' '} ${line}`,
      ),
    )
  }
  return `${lines.join('\n').trim()}\n\n${summary(findings)}\n`.trimStart()
}

/** Where there are many accounts, the problems have left the screen by now. */
function summary(findings: readonly Finding[]): string {
  const counted = (verdict: Verdict) => {
    const count = findings.filter((each) => each.verdict === verdict).length
    return `${count === 0 ? 'no' : count} ${verdict}${count === 1 ? '' : 's'}`
  }
  return `${counted('problem')}, ${counted('warning')}`
}
