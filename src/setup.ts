/**
 * The configuration of a mail agent for one account: the agent's template filled with this account's
 * names and servers and this machine's paths, and what stands in the way of its working here.
 */
import type { AccountConfig } from './account-config.ts'
import { matches } from './address.ts'
import type { Agent, At, Door, MailService, Requirement } from './agents/agent.ts'
import { isTooLong, tooLong } from './agents/lengths.ts'
import { howToAddService, type Found } from './accounts.ts'
import { Misconfigured } from './errors.ts'
import type { SocketConfig } from './socket-config.ts'

/** What a template names of the machine that it is for. */
export type Place = Pick<Door, 'program' | 'caFile' | 'socket'> & { readonly tokenProgram: string }

export const usualCaFile = '/etc/ssl/certs/ca-certificates.crt'

/** @returns the place on a machine of Debian's; the examples have the same */
export function usualPlaceOf({ asks }: Agent): Place {
  return {
    program: 'xoauthd',
    tokenProgram: 'xoauthd-token',
    caFile: usualCaFile,
    socket: asks?.usualPath ?? '',
  }
}

/** Whose configuration it is. */
export interface Customer {
  readonly mailbox: string
  readonly login: (service: MailService) => string
  /** What to do about a service that no tokens are given out for; undefined when they are. */
  readonly remedyFor: (service: MailService) => string | undefined
  /** `host:port` of each mail server. */
  readonly hosts: AccountConfig['hosts']
}

/** Whether a port begins in plain text and changes over by STARTTLS (RFC 8314 3 and 7.3), as with our own connections. */
const startsPlain: Readonly<Record<MailService, (port: number) => boolean>> = {
  smtp: (port) => port !== 465,
  imap: (port) => port === 143,
  pop: (port) => port === 110,
}
/** All templates quote their values somehow, each in its own way, and none needs to quote these. */
const plain = /^(?:\*@)?[\p{L}\p{N}@/.:+=_-]+$/u

/** @throws Misconfigured when a name cannot stand in every agent's configuration as it is */
export function doorsOf({ mailbox, login, hosts }: Customer, place: Place): At {
  const { program, caFile, socket } = place
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
      startTls: startsPlain[service](port),
      ...tokenCommandOf(mailbox, service, place),
      ...{ program, caFile, socket },
    }
    for (const value of [door.login, door.host, program, socket, ...door.tokenArguments])
      if (value !== '' && !plain.test(value))
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
    remedyFor: (service) =>
      account.services.includes(service) ? undefined : howToAddService(service, account),
    hosts: config?.hosts ?? {},
  }
}

/** @returns the socket of the configuration by which a group may ask, in this protocol, to send as this mailbox */
export function socketFor(
  protocol: SocketConfig['protocol'],
  sockets: readonly SocketConfig[],
  mailbox: string,
): string | undefined {
  return sockets.find(
    ({ mode, accounts = [], services = [], ...socket }) =>
      (mode & 0o060) === 0o060 &&
      socket.protocol === protocol &&
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
  { login, remedyFor, mailbox }: Customer,
  findings: Findings,
): string[] {
  const missing = agent.requires.filter((requirement) => !findings.isInstalled(requirement))
  const { credentialBytes } = findings
  const long =
    credentialBytes !== undefined &&
    agent.services.some((service) => isTooLong(agent, login(service), credentialBytes))
  return [
    ...missing.map(({ name, from }) =>
      'debianPackage' in from
        ? `no ${name} here: apt install ${from.debianPackage}`
        : `no ${name} here, and no package of Debian's has it: ${from.source}`,
    ),
    ...agent.services.flatMap((service) => {
      const remedy = remedyFor(service)
      return remedy === undefined
        ? []
        : [`the account of ${mailbox} has no service ${service}: ${remedy}`]
    }),
    ...(long ? [tooLong(agent, credentialBytes)] : []),
  ]
}
