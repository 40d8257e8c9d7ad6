/**
 * The configuration of a mail agent for one account: the agent's template filled with this account's
 * names and servers and this machine's paths, and what stands in the way of its working here.
 */
import type { AccountConfig } from './account-config.ts'
import { matches } from './address.ts'
import type { Agent, At, Door, MailService, Requirement } from './agents/agent.ts'
import { isTooLong, tooLong } from './agents/lengths.ts'
import type { Found } from './accounts.ts'
import { Misconfigured } from './errors.ts'
import type { SocketConfig } from './socket-config.ts'

/** What the templates name on a machine of Debian's; the examples have the same. */
export const usualPlace = {
  tokenProgram: 'xoauthd-token',
  caFile: '/etc/ssl/certs/ca-certificates.crt',
  eximSocket: '/run/xoauthd/exim.sock',
} as const

export type Place = Readonly<Record<keyof typeof usualPlace, string>>

/** Whose configuration it is. */
export interface Customer {
  readonly mailbox: string
  readonly login: (service: MailService) => string
  /** What tokens are given out for. */
  readonly services: readonly string[]
  /** `host:port` of each mail server. */
  readonly hosts: AccountConfig['hosts']
}

/** These begin in plain text and change over by STARTTLS (RFC 8314 3.3 and 7.3); all others are TLS at once. */
const startTlsPorts = [25, 110, 143, 587]
/** All templates quote their values somehow, each in its own way, and none needs to quote these. */
const plain = /^(?:\*@)?[\p{L}\p{N}@/.:+=_-]+$/u

/** @throws Misconfigured when a name cannot stand in every agent's configuration as it is */
export function doorsOf({ mailbox, login, hosts }: Customer, place: Place): At {
  return (service) => {
    const address = hosts[service]
    if (address === undefined)
      throw new Misconfigured(`the ${service} server of ${mailbox} is not known`, {
        hint: `add hosts = { ${service} = "host:port" } to the account`,
      })
    const port = Number(/\d+$/.exec(address)?.[0])
    const door: Door = {
      mailbox,
      login: login(service),
      host: address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1'),
      port,
      startTls: startTlsPorts.includes(port),
      ...tokenCommandOf(mailbox, service, place),
      caFile: place.caFile,
      eximSocket: place.eximSocket,
    }
    for (const value of [door.login, door.host, door.eximSocket, ...door.tokenArguments])
      if (!plain.test(value))
        throw new Misconfigured(
          `${value} has a character that configurations give a meaning of its own`,
          {
            hint: 'write the configuration by hand, after the one in examples/',
          },
        )
    return door
  }
}

/** How a mail agent asks for a bare token: one place for all templates. */
function tokenCommandOf(mailbox: string, service: MailService, { tokenProgram }: Place) {
  const tokenArguments = [tokenProgram, mailbox, '--service', service] as const
  return { tokenArguments, tokenCommand: tokenArguments.join(' ') }
}

/** @returns the account's side of a template; a wildcard's mailbox is one of its addresses */
export function customerOf(
  { account, mailbox }: Found,
  accounts: readonly AccountConfig[],
): Customer {
  const config = accounts.find(({ user }) => user === account.user)
  return {
    mailbox,
    login: (service) => account.loginName({ service, mailbox }),
    services: account.services,
    hosts: config?.hosts ?? {},
  }
}

/** @returns the socket of the configuration that a group may use to send as this mailbox */
export function eximSocketOf(
  sockets: readonly SocketConfig[],
  mailbox: string,
): string | undefined {
  return sockets.find(
    ({ mode, accounts = [], services = [] }) =>
      (mode & 0o060) === 0o060 &&
      services.includes('smtp') &&
      accounts.some((pattern) => matches(pattern, mailbox)),
  )?.path
}

/** What is known of this machine. */
export interface Findings {
  readonly isInstalled: (requirement: Requirement) => boolean
  /** Of the XOAUTH2 string, as the daemon tells; undefined when it does not. */
  readonly credentialBytes: number | undefined
}

/** @returns what a person has to do or to know before it works, one sentence each */
export function obstacles(
  agent: Agent,
  { login, services, mailbox }: Customer,
  findings: Findings,
): string[] {
  const missing = agent.requires.filter((requirement) => !findings.isInstalled(requirement))
  const { credentialBytes } = findings
  const long =
    credentialBytes !== undefined &&
    agent.services.some((service) => isTooLong(agent, login(service), credentialBytes))
  return [
    ...missing.map(
      ({ program, saslPlugin, debianPackage }) =>
        `no ${program ?? saslPlugin ?? ''} here: apt install ${debianPackage}`,
    ),
    ...agent.services
      .filter((service) => !services.includes(service))
      .map(
        (service) => `the account of ${mailbox} has no service ${service}: add it to its services`,
      ),
    ...(long ? [tooLong(agent, credentialBytes)] : []),
  ]
}
