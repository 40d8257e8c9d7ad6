/**
 * Keys that stand in a table which is not theirs, as those that were appended to a file whose last table is
 * another one: which table they belong to. That a key belongs nowhere is said where its table is read.
 */
import {
  accountEntries,
  clientEntries,
  fileEntries,
  httpEntries,
  socketEntries,
} from './config-schema.ts'
import type { KeyPath } from './locate.ts'
import { providers } from './providers/index.ts'
import { isTable, type Report, type Table } from './schema-check.ts'
import { unwrapped, type Entries, type Schema } from './schema.ts'

interface Kind {
  /** How it is named in a sentence. */
  readonly words: string
  readonly entries: Entries
}

const single = (name: string, schema: Schema): Kind => ({
  words: `[${name}]`,
  entries: unwrapped(schema).entries ?? {},
})

const kinds: Readonly<Record<string, Kind>> = {
  account: {
    words: 'an [[account]]',
    entries: Object.assign(
      {},
      ...Object.values(providers).map(({ settings }) => settings),
      accountEntries,
    ) as Entries,
  },
  client: { words: 'a [client.NAME]', entries: clientEntries },
  socket: { words: 'a [[socket]]', entries: socketEntries },
  http: { words: '[http]', entries: httpEntries },
  store: single('store', fileEntries.store),
  log: single('log', fileEntries.log),
  notify: single('notify', fileEntries.notify),
}

/** @returns the file's tables without the keys of others; those are reported */
export function withoutMisplaced(file: Table, report: Report): Table {
  const placed = without(file, kinds, 'stands above every table', [], report)
  return mapped(placed, (value, name) => {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined
    if (!kind) return value
    const clean = (table: unknown, at: KeyPath, title: string): unknown =>
      isTable(table) ? without(table, kind.entries, `is no key of ${title}`, at, report) : table
    if (Array.isArray(value))
      return value.map((table, index) => clean(table, [name, index], `[[${name}]]`))
    if (name !== 'client' || !isTable(value)) return clean(value, [name], `[${name}]`)
    return mapped(value, (table, own) => clean(table, [name, own], `[client.${own}]`))
  })
}

/** @param own what may stand there */
function without(
  table: Table,
  own: Readonly<Record<string, unknown>>,
  where: string,
  at: KeyPath,
  report: Report,
): Table {
  const stays = ([key]: [string, unknown]): boolean => {
    const home = Object.hasOwn(own, key) ? undefined : homeOf(key)
    if (home !== undefined)
      report([...at, key], `${where}; it belongs to ${home}: move it there, below that line`)
    return home === undefined
  }
  return Object.fromEntries(Object.entries(table).filter(stays))
}

/** Where an account may have a key, it is meant: there are more of its keys than of all others. */
function homeOf(key: string): string | undefined {
  const homes = Object.values(kinds).filter(({ entries }) => Object.hasOwn(entries, key))
  const [first, ...others] = homes.map(({ words }) => words)
  if (first === undefined || first === kinds['account']?.words) return first
  return [first, ...others].join(' or ')
}

function mapped(table: Table, map: (value: unknown, key: string) => unknown): Table {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [key, map(value, key)]))
}
