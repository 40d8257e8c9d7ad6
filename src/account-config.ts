/**
 * The `[[account]]` and `[client.NAME]` tables: who signs in and how.
 *
 * Promises that no two accounts answer for one name, that every service an account has is one its
 * provider knows, and that a provider's own checks have passed.
 */
import { foldCase, wildcardDomain } from './address.ts'
import { accountEntries, accountTable, clientTable } from './config-schema.ts'
import type { KeyPath } from './locate.ts'
import { providers } from './providers/index.ts'
import type { ProviderKind, Scopes } from './providers/provider.ts'
import { check, suggestion, type Report } from './schema-check.ts'

export interface AccountConfig {
  readonly user: string
  readonly provider: string
  readonly id: string
  readonly mailboxes: readonly string[]
  readonly services: readonly string[]
  readonly loginAs: Readonly<Record<string, 'mailbox' | 'person'>>
  readonly scopes: Scopes
  readonly hosts: Readonly<Partial<Record<'smtp' | 'imap' | 'pop', string | undefined>>>
  readonly send: 'smtp' | 'gmail' | 'graph' | undefined
  readonly maxMailboxes: number
  /** The keys that belong to the provider, as its own schema parsed them. */
  readonly settings: Readonly<Record<string, unknown>>
}

type Table = Record<string, unknown>

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** @returns the registrations that accounts share, by name */
export function readClients(value: unknown, report: Report): Map<string, Table> {
  const clients = new Map<string, Table>()
  if (value === undefined) return clients
  if (!isTable(value)) {
    report(['client'], 'must be a table of tables: write [client.NAME]')
    return clients
  }
  for (const [name, entries] of Object.entries(value)) {
    check(clientTable, entries, ['client', name], report)
    if (isTable(entries)) clients.set(name, entries)
  }
  return clients
}

/** @returns the accounts that could be read, with every problem of the others reported */
export function readAccounts(
  value: unknown,
  clients: Map<string, Table>,
  report: Report,
): AccountConfig[] {
  if (!Array.isArray(value) || value.length === 0) {
    const hint = 'is missing; write at least one [[account]] with user and provider'
    report(
      ['account'],
      value === undefined || Array.isArray(value) ? hint : 'must be written as [[account]]',
    )
    return []
  }
  const accounts: AccountConfig[] = []
  const taken = new Map<string, string>()
  value.forEach((entry: unknown, index) => {
    const account = readAccount(entry, ['account', index], clients, report)
    if (!account) return
    accounts.push(account)
    for (const name of new Set([account.user, account.id, ...account.mailboxes])) {
      const other = taken.get(foldCase(name))
      if (other !== undefined)
        report(['account', index, 'user'], `${name} is taken by the account ${other} already`)
      taken.set(foldCase(name), account.user)
    }
  })
  return accounts
}

function readAccount(
  value: unknown,
  at: KeyPath,
  clients: Map<string, Table>,
  report: Report,
): AccountConfig | undefined {
  if (!isTable(value)) {
    report(at, 'must be a table: write [[account]]')
    return undefined
  }
  const kind = kindOf(value['provider'], at, report)
  if (!kind) return undefined
  const merged = withClient(value, at, clients, kind, report)
  const schema = accountTable(kind)
  const common = check(schema, merged, at, report, otherKeys(merged, schema))
  if (!common) return undefined
  const names = new Set(Object.keys(accountEntries))
  const settings = Object.fromEntries(Object.entries(common).filter(([key]) => !names.has(key)))
  const { known, usual } = kind.services(common.scopes)
  const services = common.services ?? usual
  for (const service of services)
    if (!known.includes(service))
      report(
        [...at, 'services'],
        `names "${service}", which this account has no scopes for; it knows ${known.join(', ')}`,
      )
  const wildcard = wildcardDomain(common.user) !== undefined
  for (const [service, who] of Object.entries(common.login_as))
    if (wildcard && who === 'person')
      report([...at, 'login_as', service], 'cannot be "person": nobody signs in for a whole domain')
  const identity = { user: common.user, services, scopes: common.scopes }
  for (const problem of kind.problems?.(identity, settings) ?? [])
    report([...at, problem.key], problem.message)
  return {
    user: common.user,
    provider: common.provider,
    id: common.id ?? common.user,
    mailboxes: common.mailboxes,
    services,
    loginAs: common.login_as,
    scopes: common.scopes,
    hosts: common.hosts,
    send: common.send,
    maxMailboxes: common.max_mailboxes,
    settings,
  }
}

function kindOf(name: unknown, at: KeyPath, report: Report): ProviderKind | undefined {
  const known = Object.keys(providers)
  if (typeof name !== 'string') {
    report([...at, 'provider'], `is missing; write provider = "…", one of ${known.join(', ')}`)
    return undefined
  }
  const kind = providers[name]
  if (!kind)
    report(
      [...at, 'provider'],
      `"${name}" is no provider that xoauthd knows${suggestion(name, known).replace('; remove it', '')}; it knows ${known.join(', ')}`,
    )
  return kind
}

/** An account's own keys win over those of its client; keys that its provider has no use for are left. */
function withClient(
  account: Table,
  at: KeyPath,
  clients: Map<string, Table>,
  kind: ProviderKind,
  report: Report,
): Table {
  const name = account['client']
  if (typeof name !== 'string') return account
  const client = clients.get(name)
  if (!client) {
    report([...at, 'client'], `names "${name}", and there is no [client.${name}]`)
    return account
  }
  const usable = Object.entries(client).filter(([key]) => key in kind.settings)
  return { ...Object.fromEntries(usable), ...account }
}

/** The keys of other providers that the account has, so that no far-fetched name is suggested for them. */
function otherKeys(account: Table, schema: { entries: Table }): string[] {
  const foreign = Object.values(providers).flatMap((kind) => Object.keys(kind.settings))
  return foreign.filter((key) => key in schema.entries && key in account)
}
