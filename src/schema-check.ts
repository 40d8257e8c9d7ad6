/**
 * From a value and its schema to the sentences that a person reads: what is wrong with which key, and
 * what was probably meant.
 */
import leven from 'leven'
import type { KeyPath } from './locate.ts'
import {
  aboutOf,
  isIssueOfUnknownKey,
  isRequired,
  isServed,
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

/**
 * Parses a table key by key, so that what is wrong with one hides nothing about the others.
 *
 * @param at where the table stands in the file
 * @param unknown the sentence about a key that has no place there
 * @returns the keys that are as they should be; the others are reported and left out
 */
export function checkTable<E extends Entries>(
  entries: E,
  value: Table,
  at: KeyPath,
  report: Report,
  unknown = (key: string) => unknownKey(key, entries),
): Partial<Output<E>> {
  const sound: Record<string, unknown> = {}
  for (const key of Object.keys(value))
    if (!Object.hasOwn(entries, key)) report([...at, key], unknown(key))
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
  let sound = true
  const complain: Report = (path, message) => {
    sound = false
    report([...at, ...path], message)
  }
  findMisfits(schema, value, [], complain)
  const result = parse(schema, value)
  for (const issue of result.issues ?? [])
    if (!isIssueOfUnknownKey(issue)) complain(pathOf(issue), explain(issue))
  return sound ? result.output : undefined
}

/** What valibot does not say: each unknown key, not the first alone, and that a list is no table. */
function findMisfits(schema: Schema, value: unknown, at: KeyPath, complain: Report): void {
  const { entries, item, value: named } = unwrapped(schema)
  if (item && Array.isArray(value))
    value.forEach((each, index) => findMisfits(item, each, [...at, index], complain))
  if (!entries && !named) return
  if (!isTable(value)) {
    if (typeof value === 'object') complain(at, `must be a table, not ${article(kindOf(value))}`)
    return
  }
  for (const [key, each] of Object.entries(value)) {
    const known = entries && Object.hasOwn(entries, key) ? entries[key] : named
    if (known) findMisfits(known as Schema, each, [...at, key], complain)
    else complain([...at, key], unknownKey(key, entries ?? {}))
  }
}

function pathOf(issue: Issue): KeyPath {
  return (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))
}

function explain(issue: Issue): string {
  if (!issue.message.startsWith('Invalid ')) return issue.message
  const expected = article(issue.expected ?? 'something else')
  return `must be ${expected}, not ${article(issue.received)}`
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'Array' : 'Date'
}

function article(kind: string): string {
  const names = new Map([
    ['string', 'a string in quotes'],
    ['Array', 'a list in brackets'],
    ['Object', 'a table'],
    ['Date', 'a date'],
    ['number', 'a number'],
    ['boolean', 'true or false'],
  ])
  return names.get(kind) ?? kind
}

/** @returns the sentence about a key that is none of these */
export function unknownKey(wrong: string, entries: Entries): string {
  const served = Object.keys(entries).filter((key) => isServed(entries[key] as Schema))
  return `is no key that xoauthd knows; ${suggestion(wrong, served) ?? 'remove it'}`
}

/** @returns "did you mean …?" when one of the names is close enough to be meant */
export function suggestion(wrong: string, names: readonly string[]): string | undefined {
  const [best] = names
    .map((name) => ({ name, distance: leven(wrong.toLowerCase(), name) }))
    .sort((a, b) => a.distance - b.distance)
  const near = best && best.distance <= Math.max(1, Math.floor(wrong.length / 3))
  return near ? `did you mean "${best.name}"?` : undefined
}
