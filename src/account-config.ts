/**
 * The `[[account]]` tables: who signs in and how.
 *
 * Promises that no two accounts answer for one name, that every service an account has is one its
 * provider knows, and that a provider's own checks have passed.
 */
import { foldCase, wildcardDomain } from './address.ts'
import type { Client, Clients } from './client-config.ts'
import { accountEntries, clientEntries } from './config-schema.ts'
import { keyName, type KeyPath } from './locate.ts'
import { providers } from './providers/index.ts'
import type { LoginAs, MailHosts, ProviderKind, Scopes } from './providers/provider.ts'
import {
  checkTable,
  only,
  suggestion,
  unknownKey,
  type Placed,
  type Report,
  type Table,
} from './schema-check.ts'
import type { Output } from './schema.ts'

export interface AccountConfig {
  readonly user: string
  readonly provider: string
  readonly id: string
  readonly mailboxes: readonly string[]
  readonly services: readonly string[]
  readonly loginAs: LoginAs
  readonly scopes: Scopes
  /** Where its mail is: what the file says, else what the provider knows. */
  readonly hosts: MailHosts
  readonly send: 'smtp' | 'gmail' | 'graph' | undefined
  readonly maxMailboxes: number
  /** The keys that belong to the provider, as its own schema parsed them. */
  readonly settings: Readonly<Record<string, unknown>>
}

type Common = Output<typeof accountEntries>

/** @returns the accounts that are as they should be; the problems of all are reported */
export function readAccounts(
  tables: readonly Placed[],
  clients: Clients,
  report: Report,
): AccountConfig[] {
  reportSharedNames(tables, report)
  return tables.flatMap((placed) => readAccount(placed, clients, report) ?? [])
}

/** Whatever else is wrong with an account, no two may answer for one name. */
function reportSharedNames(tables: readonly Placed[], report: Report): void {
  const owners = new Map<string, Placed>()
  for (const placed of tables)
    for (const { name, key } of namesOf(placed.table)) {
      const owner = owners.get(foldCase(name)) ?? placed
      owners.set(foldCase(name), owner)
      if (owner !== placed)
        report(
          [...placed.at, ...key],
          `"${name}" is a name of ${keyName(owner.at)} already; give it to one of them (case does not matter)`,
        )
    }
}

/** @returns every name by which an account is found, with the key that gives it */
export function namesOf({ user, id, mailboxes }: Table): { name: string; key: KeyPath }[] {
  const others: readonly unknown[] = Array.isArray(mailboxes) ? mailboxes : []
  return [
    { name: user, key: ['user'] },
    { name: id, key: ['id'] },
    ...others.map((name, index) => ({ name, key: ['mailboxes', index] })),
  ].flatMap(({ name, key }) => (typeof name === 'string' ? [{ name, key }] : []))
}

function readAccount(
  { table, at }: Placed,
  clients: Clients,
  reportTo: Report,
): AccountConfig | undefined {
  const kind = kindOf(table['provider'], at, reportTo)
  const client = clientOf(table['client'], at, clients, reportTo)
  const faulty = new Set<unknown>()
  const report: Report = (path, message) => {
    faulty.add(path[0])
    const place = placeOf(String(path[0]), table, at, client)
    if (place) reportTo([...place, ...path], message)
  }
  const common = checkTable(accountEntries, only(table, accountEntries), [], report)
  // Which other keys may stand there, only the provider knows.
  if (!kind) return undefined
  reportUnknown(table, kind, report)
  const borrowed = client === undefined || client === 'missing' ? {} : client.table
  const own = only({ ...borrowed, ...table }, kind.settings)
  const settings = checkTable(kind.settings, own, [], report)
  const { user, scopes = {} } = common
  const { known, usual } = kind.services(scopes)
  const services = common.services ?? withService(usual, common.send)
  if (!faulty.has('scopes')) reportServices(common, known, report)
  const complete = Object.keys(kind.settings).every((key) => !faulty.has(key))
  if (user !== undefined && complete)
    for (const problem of kind.problems?.({ user, services, scopes }, settings) ?? [])
      report([problem.key], problem.message)
  if (faulty.size > 0 || client === 'missing') return undefined
  // Nothing is faulty, so nothing was left out.
  return resolved(common as Common, kind, services, settings)
}

function resolved(
  common: Common,
  kind: ProviderKind,
  services: readonly string[],
  settings: AccountConfig['settings'],
): AccountConfig {
  return {
    user: common.user,
    provider: common.provider,
    id: common.id ?? common.user,
    mailboxes: common.mailboxes,
    services,
    loginAs: { ...kind.loginAs, ...common.login_as },
    scopes: common.scopes,
    hosts: { ...kind.mailHosts?.(settings), ...common.hosts },
    send: common.send,
    maxMailboxes: common.max_mailboxes,
    settings,
  }
}

function kindOf(name: unknown, at: KeyPath, report: Report): ProviderKind | undefined {
  // Of another type, or missing: that is said where every key is checked.
  if (typeof name !== 'string' || name === '') return undefined
  if (Object.hasOwn(providers, name)) return providers[name]
  const meant = providerMeantBy(name)
  report([...at, 'provider'], `"${name}" is no provider that xoauthd knows; ${meant}`)
  return undefined
}

/** @returns what to write instead of a name that no provider has */
export function providerMeantBy(name: string): string {
  const known = Object.keys(providers)
  const called = known.find((each) => providers[each]?.alsoCalled?.includes(name.toLowerCase()))
  if (called !== undefined) return `did you mean ${quoted(called)}?`
  return suggestion(name, known) ?? `write one of ${known.map(quoted).join(', ')}`
}

function clientOf(
  name: unknown,
  at: KeyPath,
  clients: Clients,
  report: Report,
): Client | 'missing' | undefined {
  if (typeof name !== 'string' || name === '') return undefined
  const client = clients.get(name)
  if (client) return client
  const meant = suggestion(name, [...clients.keys()]) ?? 'write that table, or remove the key'
  report([...at, 'client'], `names "${name}", and there is no [client.${name}]; ${meant}`)
  return 'missing'
}

/** @returns the table that a key of an account is to be corrected in, if that can be known */
function placeOf(
  key: string,
  table: Table,
  at: KeyPath,
  client: Client | 'missing' | undefined,
): KeyPath | undefined {
  if (client === undefined || Object.hasOwn(table, key)) return at
  if (client === 'missing') return Object.hasOwn(clientEntries, key) ? undefined : at
  return Object.hasOwn(client.table, key) ? client.at : at
}

function reportUnknown(table: Table, kind: ProviderKind, report: Report): void {
  const entries = { ...accountEntries, ...kind.settings }
  for (const key of Object.keys(table)) {
    if (Object.hasOwn(entries, key)) continue
    // A preset's keys are those of the kind that it is a preset of.
    const owners = Object.keys(providers).filter(
      (name) => providers[name]?.preset !== true && hasSetting(name, key),
    )
    report(
      [key],
      owners.length > 0
        ? `belongs to provider = ${owners.map(quoted).join(' or ')}; remove it`
        : unknownKey(key, entries),
    )
  }
}

function hasSetting(provider: string, key: string): boolean {
  return Object.hasOwn(providers[provider]?.settings ?? {}, key)
}

function reportServices(common: Partial<Common>, known: readonly string[], report: Report): void {
  const remedy = `which this account has no scopes for; it knows ${known.join(', ')}`
  common.services?.forEach((service, index) => {
    if (!known.includes(service)) report(['services', index], `names "${service}", ${remedy}`)
  })
  const wildcard = wildcardDomain(common.user ?? '') !== undefined
  for (const [service, who] of Object.entries(common.login_as ?? {})) {
    if (!known.includes(service)) report(['login_as', service], `is for "${service}", ${remedy}`)
    if (wildcard && who === 'person')
      report(
        ['login_as', service],
        'cannot be "person", since nobody signs in for a whole domain; write "mailbox"',
      )
  }
  const { send } = common
  if (send === undefined) return
  if (!known.includes(send)) report(['send'], `needs the service "${send}", ${remedy}`)
  else if (common.services && !common.services.includes(send))
    report(['send'], `needs the service "${send}"; add it to services`)
}

/** Whoever sends through an API needs its tokens, and should not have to say so twice. */
function withService(usual: readonly string[], send: string | undefined): readonly string[] {
  return send === undefined || usual.includes(send) ? usual : [...usual, send]
}

const quoted = (word: string): string => `"${word}"`
