/**
 * From a value and its schema to the sentences that a person reads: what is wrong with which key, and
 * what was probably meant.
 */
import leven from 'leven'
import { startsWith, type KeyPath } from './locate.ts'
import {
  aboutOf,
  isIssueOfUnknownKey,
  isRequired,
  parse,
  unwrapped,
  type Entries,
  type Issue,
  type Output,
  type Schema,
} from './schema.ts'

/** Takes a problem with the key that it is about. */
export type Report = (path: KeyPath, message: string) => void

export type Table = Readonly<Record<string, unknown>>

export function isTable(value: unknown): value is Table {
  const isObject = typeof value === 'object' && value !== null
  return isObject && !Array.isArray(value) && !(value instanceof Date)
}

/** @returns the keys of a table that have an entry */
export function only(table: Table, entries: Entries): Table {
  return Object.fromEntries(Object.entries(table).filter(([key]) => Object.hasOwn(entries, key)))
}

/** A table and where it stands in the file. */
export interface Placed {
  readonly table: Table
  readonly at: KeyPath
}

/** @returns what stands in `[[name]]`s; what is no table is reported and left out */
export function tablesOf(name: string, value: unknown, report: Report): Placed[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) {
    report([name], `must be written in double brackets: [[${name}]]`)
    return []
  }
  return value.flatMap((table: unknown, index) => {
    const at = [name, index]
    if (isTable(table)) return [{ table, at }]
    report(at, `must be a table; write [[${name}]]`)
    return []
  })
}

/**
 * Parses a table key by key, so that what is wrong with one hides nothing about the others.
 *
 * @param at where the table stands in the file
 * @param beside keys that are read elsewhere, to choose from when one is unknown
 * @returns the keys that are as they should be; the others are reported and left out
 */
export function checkTable<E extends Entries>(
  entries: E,
  value: Table,
  at: KeyPath,
  report: Report,
  beside: readonly string[] = [],
): Partial<Output<E>> {
  const sound: Record<string, unknown> = {}
  for (const key of Object.keys(value))
    if (!Object.hasOwn(entries, key)) report([...at, key], unknownKey(key, entries, beside))
  for (const [key, schema] of Object.entries<Schema>(entries)) {
    const path = [...at, key]
    if (isRequired(schema) && !Object.hasOwn(value, key))
      report(path, `is missing; write ${key} = …, ${aboutOf(schema)}`)
    else {
      const parsed = check(schema, value[key], path, report)
      if (parsed !== undefined) sound[key] = parsed
    }
  }
  // Each key has been parsed by its own entry.
  return sound as Partial<Output<E>>
}

function check(schema: Schema, value: unknown, at: KeyPath, report: Report): unknown {
  const misfits: KeyPath[] = []
  findMisfits(schema, value, [], (path, message) => {
    misfits.push(path)
    report([...at, ...path], message)
  })
  const result = parse(schema, value)
  for (const issue of result.issues ?? []) {
    const path = pathOf(issue)
    // A list has properties of its own, such as `pop`, that are nobody's keys.
    if (misfits.some((misfit) => startsWith(path, misfit)) || isIssueOfUnknownKey(issue)) continue
    report([...at, ...path], explain(issue))
  }
  return result.success && misfits.length === 0 ? result.output : undefined
}

/** What valibot does not say: each unknown key, not the first alone, and that a list is no table. */
function findMisfits(schema: Schema, value: unknown, at: KeyPath, complain: Report): void {
  const { entries, item, value: named } = unwrapped(schema)
  if (item && Array.isArray(value))
    value.forEach((each, index) => findMisfits(item, each, [...at, index], complain))
  if (!entries && !named) return
  if (!isTable(value)) {
    if (typeof value === 'object') complain(at, `must be a table, not ${naming(value)}`)
    return
  }
  for (const [key, each] of Object.entries(value)) {
    const known = entries && Object.hasOwn(entries, key) ? entries[key] : named
    if (known) findMisfits(known, each, [...at, key], complain)
    else complain([...at, key], unknownKey(key, entries ?? {}))
  }
}

function pathOf(issue: Issue): KeyPath {
  return (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))
}

function explain(issue: Issue): string {
  if (!issue.message.startsWith('Invalid ')) return issue.message
  const expected = expectations.get(issue.expected ?? '') ?? 'something else'
  return `must be ${expected}, not ${naming(issue.input)}`
}

const expectations = new Map([
  ['string', 'a string in quotes'],
  ['Array', 'a list in brackets'],
  ['Object', 'a table'],
  ['number', 'a number'],
  ['boolean', 'true or false'],
])

/** What stands there. Where a secret is expected, nothing is quoted: its message is its own. */
function naming(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  if (typeof value === 'object') return 'a table'
  return typeof value === 'number' ? String(value) : JSON.stringify(value)
}

/** @returns the sentence about a key that is none of these */
export function unknownKey(
  wrong: string,
  entries: Entries,
  beside: readonly string[] = [],
): string {
  const names = [...Object.keys(entries), ...beside]
  return `is no key that xoauthd knows; ${suggestion(wrong, names) ?? 'remove it'}`
}

/** @returns "did you mean …?" when one of the names is close enough to be meant */
export function suggestion(wrong: string, names: readonly string[]): string | undefined {
  const [best] = names
    .map((name) => ({ name, distance: leven(wrong.toLowerCase(), name) }))
    .sort((a, b) => a.distance - b.distance)
  // Two letters that changed places are a distance of two.
  const near = best && best.distance <= Math.max(1, Math.floor((wrong.length + 2) / 3))
  return near ? `did you mean "${best.name}"?` : undefined
}
