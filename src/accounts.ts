/**
 * The accounts of one configuration, and which of them answers for a mailbox.
 *
 * Promises that the most exact name wins: an account's own address, then an address in some account's
 * `mailboxes`, then `*@domain` as an account, then as a mailbox. Case never matters.
 */
import { domainOf, foldCase, wildcardDomain } from './address.ts'
import type { AccountConfig } from './account-config.ts'
import type { Config } from './config.ts'
import { SignInNeeded } from './errors.ts'
import { providers } from './providers/index.ts'
import {
  mailServices,
  type Provider,
  type Surroundings,
  type Token,
  type TokenRequest,
} from './providers/provider.ts'
import { suggestion } from './schema-check.ts'

export interface Account {
  /** An address or `*@domain`, as the file spells it. */
  readonly user: string
  readonly id: string
  readonly kind: string
  readonly provider: Provider
  readonly services: readonly string[]
  /** All that its provider can serve with the scopes that the file has. */
  readonly knownServices: readonly string[]
  readonly mailboxes: readonly string[]
  /** Whether it answers for mailboxes that no list names. */
  readonly wildcard: boolean
  readonly maxMailboxes: number
  /** The same for two configurations when nothing that matters to a token differs. */
  fingerprint(): string
  /** The same for two configurations when the provider asks for its tokens in the same way. */
  settingsFingerprint(): string
  /** The name that goes into the SASL string. */
  loginName(request: TokenRequest): string
}

/**
 * A token that several services share may come from a sign-in for some of them.
 *
 * @throws SignInNeeded when it is known to be of no use for this service
 */
export function checkCovered({ provider, user }: Account, service: string, token: Token): void {
  if (!token.scopes || provider.lacks?.(service, token.scopes) !== true) return
  throw new SignInNeeded(`the sign-in of ${user} was not for ${service}`, {
    certain: true,
    hint: `run: xoauthd login ${user}`,
  })
}

export interface Found {
  readonly account: Account
  /** As the file spells it, or in lower case where a wildcard matched. */
  readonly mailbox: string
}

export interface Accounts {
  readonly all: readonly Account[]
  /** @param name a mailbox, in any case */
  find(name: string): Found | undefined
  /** @param name a mailbox, an account's `user` or its `id` */
  findByName(name: string): Found | undefined
}

export function createAccounts(config: Config, surroundings: Surroundings): Accounts {
  const all = config.accounts.map((account) => createAccount(account, surroundings))
  const addresses = new Map<string, Found>()
  const domains = new Map<string, Account>()
  // The first to take a name keeps it, so the exact ones come first.
  for (const account of all) take(account.user, account)
  for (const account of all) for (const mailbox of account.mailboxes) take(mailbox, account)
  const named = new Map(all.flatMap((a) => [a.user, a.id].map((name) => [foldCase(name), a])))

  function take(name: string, account: Account): void {
    const domain = wildcardDomain(name)
    const key = foldCase(domain ?? name)
    if (domain !== undefined) {
      if (!domains.has(key)) domains.set(key, account)
    } else if (!addresses.has(key)) addresses.set(key, { account, mailbox: name })
  }

  function find(name: string): Found | undefined {
    const mailbox = foldCase(name)
    const exact = addresses.get(mailbox)
    if (exact) return exact
    const account = domains.get(domainOf(mailbox))
    return account && { account, mailbox }
  }

  return {
    all,
    find,
    findByName(name) {
      const account = named.get(foldCase(name))
      return account ? { account, mailbox: account.user } : find(name)
    },
  }
}

function createAccount(config: AccountConfig, surroundings: Surroundings): Account {
  const kind = providers[config.provider]
  if (!kind) throw new Error(`the configuration let ${config.provider} through`)
  const identity = { user: config.user, services: config.services, scopes: config.scopes }
  const provider = kind.create(identity, config.settings, surroundings)
  const { mailboxes } = config
  return {
    user: config.user,
    id: config.id,
    kind: config.provider,
    provider,
    services: config.services,
    knownServices: kind.services(config.scopes).known,
    mailboxes,
    wildcard: [config.user, ...mailboxes].some((name) => wildcardDomain(name) !== undefined),
    maxMailboxes: config.maxMailboxes,
    fingerprint: () => JSON.stringify(config),
    settingsFingerprint: () => JSON.stringify(config.settings),
    loginName: ({ service, mailbox }) =>
      config.loginAs[service] === 'person' ? config.user : mailbox,
  }
}

/**
 * @returns the service that was meant, else where in the file one is added that an account does not have,
 *   and what to do then
 */
export function howToAddService(
  service: string,
  { services, knownServices, provider, user }: Account,
): string {
  const isName = mailServices.includes(service) || knownServices.includes(service)
  const meant = isName ? undefined : suggestion(service, [...services, ...knownServices])
  if (meant !== undefined) return meant
  const where = knownServices.includes(service)
    ? 'its services'
    : 'its scopes and, where the file lists them, to its services'
  return `add it to ${where}, then run: xoauthd ${provider.signIn ? `login ${user}` : 'reload'}`
}
