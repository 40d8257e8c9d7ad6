/**
 * From a value and its schema to the sentences that a person reads: what is wrong with which key, and
 * what was probably meant.
 */
import leven from 'leven'
import type { KeyPath } from './locate.ts'
import {
  isIssueOfMissingKey,
  isIssueOfUnknownKey,
  parse,
  type Issue,
  type Schema,
} from './schema.ts'

/** Takes a problem with the key that it is about. */
export type Report = (path: KeyPath, message: string) => void

/**
 * Parses one value by its schema and reports each issue under the key that it is about.
 *
 * @param at where the value stands in the file
 * @param alsoKnown keys that may stand there too, for "did you mean"
 * @returns the parsed value, or undefined when there was an issue
 */
export function check<S extends Schema>(
  schema: S,
  value: unknown,
  at: KeyPath,
  report: Report,
  alsoKnown: readonly string[] = [],
) {
  const result = parse(schema, value)
  if (result.success) return result.output
  for (const issue of result.issues) {
    const path = [...at, ...(issue.path ?? []).map(({ key }) => key as string | number)]
    report(path, explain(issue, schema, alsoKnown))
  }
  return undefined
}

function explain(issue: Issue, schema: Schema, alsoKnown: readonly string[]): string {
  if (isIssueOfUnknownKey(issue)) {
    const known = [...keysAround(schema, issue), ...alsoKnown]
    return `is no key that xoauthd knows${suggestion(String(issue.path?.at(-1)?.key), known)}`
  }
  if (isIssueOfMissingKey(issue)) return 'is missing'
  const inner = issue.issues?.at(-1)
  if (issue.kind === 'schema' && !/^(?:must|is) /.test(issue.message))
    return `must be ${article(inner?.expected ?? issue.expected ?? 'something else')}, not ${issue.received}`
  return issue.message
}

/** The keys that could have stood where an unknown one does. */
function keysAround(schema: Schema, issue: Issue): string[] {
  let here: unknown = schema
  for (const { key } of issue.path?.slice(0, -1) ?? []) {
    const step = unwrapped(here)
    here = step?.entries?.[String(key)] ?? step?.item
  }
  return Object.keys(unwrapped(here)?.entries ?? {})
}

interface Walkable {
  readonly entries?: Record<string, unknown>
  readonly item?: unknown
  readonly wrapped?: unknown
}

function unwrapped(schema: unknown): Walkable | undefined {
  const step = schema as Walkable | undefined
  return step?.wrapped === undefined ? step : unwrapped(step.wrapped)
}

function article(expected: string): string {
  const names: Record<string, string> = {
    string: 'a string in quotes',
    Array: 'a list in brackets',
    Object: 'a table',
    number: 'a number',
    boolean: 'true or false',
  }
  return names[expected] ?? expected
}

/** @returns "; did you mean …?" when one of the names is close enough to be meant */
export function suggestion(wrong: string, names: readonly string[]): string {
  const [best] = names
    .map((name) => ({ name, distance: leven(wrong, name) }))
    .sort((a, b) => a.distance - b.distance)
  const near = best && best.distance <= Math.max(1, Math.floor(wrong.length / 3))
  return near ? `; did you mean "${best.name}"?` : '; remove it'
}
