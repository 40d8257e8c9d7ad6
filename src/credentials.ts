/**
 * From a request to a credential: which account answers, whether this listener may hand it out, and how
 * long the client waits. Every listener asks here, so that the rules are the same for all.
 */
import { checkCovered, howToAddService, type Account, type Accounts } from './accounts.ts'
import { domainOf, foldCase, wildcardDomain } from './address.ts'
import { NotAllowed, Unavailable, UnknownAccount } from './errors.ts'
import type { Keeper } from './keeper.ts'
import type { Credential } from './protocol.ts'
import type { Token, TokenRequest } from './providers/provider.ts'

/** What a listener serves. */
export interface Scope {
  allowsService(service: string): boolean
  allowsMailbox(account: Account, mailbox: string): boolean
}

export interface CredentialWish {
  readonly service: string
  readonly mailbox: string
  readonly minMs: number | undefined
  readonly waitMs: number
  readonly refused: boolean
}

export interface Credentials {
  /**
   * A credential; at once, and not as a promise, when its token is there.
   *
   * @param nowMs the wall clock, epoch ms
   * @throws Failure; the promise is rejected with one, at the latest after `waitMs`
   */
  get(wish: CredentialWish, scope: Scope, nowMs: number): Credential | Promise<Credential>
}

/** @param accounts the present list: a reload replaces it */
export function createCredentials(accounts: () => Accounts, keeper: Keeper): Credentials {
  return {
    get(wish, scope, nowMs) {
      const { service } = wish
      const found = accounts().find(wish.mailbox)
      if (!found)
        throw new UnknownAccount(`no account answers for ${wish.mailbox}`, {
          hint: 'xoauthd status lists the accounts; a new one is there after: xoauthd reload',
        })
      const { account, mailbox } = found
      if (!scope.allowsService(service) || !scope.allowsMailbox(account, mailbox))
        throw new NotAllowed(`this socket does not serve ${service} for ${mailbox}`)
      if (!account.services.includes(service))
        throw new NotAllowed(
          `the account ${account.user} has no service ${service}; it has ${account.services.join(', ')}`,
          { hint: howToAddService(service, account) },
        )
      const request = { service, mailbox }
      const wanted = {
        minMs: wish.minMs,
        untilMs: nowMs + wish.waitMs,
        refused: wish.refused,
      }
      const token = keeper.token(account, request, wanted, nowMs)
      return token instanceof Promise
        ? within(wish.waitMs, token).then((fetched) => credentialOf(account, request, fetched))
        : credentialOf(account, request, token)
    },
  }
}

function credentialOf(account: Account, request: TokenRequest, token: Token): Credential {
  checkCovered(account, request.service, token)
  return {
    mailbox: request.mailbox,
    user: token.login ?? account.loginName(request),
    service: request.service,
    accessToken: token.value,
    expiresAtMs: token.expiresAtMs,
  }
}

/** The refresh goes on when the client has gone: the next one will be glad of it. */
async function within<Result>(waitMs: number, work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Unavailable(`no token came within ${waitMs / 1000} s`))
    }, waitMs)
  })
  try {
    return await Promise.race([work, deadline])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * @param limits the accounts and services of a listener; undefined means all. The name of an account
 *   means all of its mailboxes, `*@domain` the mailboxes of that domain and no others.
 */
export function createScope(limits: {
  readonly accounts: readonly string[] | undefined
  readonly services: readonly string[] | undefined
}): Scope {
  const { accounts, services } = limits
  const isDomain = (name: string) => wildcardDomain(name) !== undefined
  const names = new Set((accounts ?? []).filter((name) => !isDomain(name)).map(foldCase))
  const domains = new Set(
    (accounts ?? []).map((name) => foldCase(wildcardDomain(name) ?? '')).filter(Boolean),
  )
  return {
    allowsService: (service) => services === undefined || services.includes(service),
    allowsMailbox: (account, mailbox) =>
      accounts === undefined ||
      names.has(foldCase(account.user)) ||
      names.has(foldCase(mailbox)) ||
      domains.has(foldCase(domainOf(mailbox))),
  }
}
