/** The `[client.NAME]` tables: registrations at a provider that several accounts share. */
import { clientEntries } from './config-schema.ts'
import type { KeyPath } from './locate.ts'
import { checkTable, isTable, type Report, type Table } from './schema-check.ts'
import type { Output } from './schema.ts'

export interface Client {
  readonly at: KeyPath
  /** As the file has it: an account parses what it takes from here by its provider's schema. */
  readonly table: Table
  readonly parsed: Partial<Output<typeof clientEntries>>
}

/** By name. */
export type Clients = ReadonlyMap<string, Client>

/** @returns the clients; what is wrong with them is reported here, once, whoever uses them */
export function readClients(value: unknown, report: Report): Clients {
  const clients = new Map<string, Client>()
  if (value === undefined) return clients
  if (!isTable(value)) {
    report(['client'], 'must be a table of tables; write [client.NAME]')
    return clients
  }
  for (const [name, table] of Object.entries(value)) {
    const at = ['client', name]
    if (isTable(table))
      clients.set(name, { at, table, parsed: checkTable(clientEntries, table, at, report) })
    else report(at, `must be a table; write [client.${name}]`)
  }
  return clients
}
