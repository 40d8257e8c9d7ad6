/**
 * What the configuration of a mail agent is made of: the account's side of it, and the agent's.
 *
 * The examples, `xoauthd setup` and the tests of the clients all render the same templates.
 */

export type MailService = 'smtp' | 'imap' | 'pop'

/** One mail server of an account, and how one signs in there. */
export interface Door {
  readonly mailbox: string
  /** The name to sign in with; the person, for SMTP through a shared mailbox of Microsoft's. */
  readonly login: string
  readonly host: string
  readonly port: number
  /** TLS by STARTTLS rather than from the first byte. */
  readonly startTls: boolean
  /** The program that prints the bare token, and its arguments. None of them needs quoting. */
  readonly tokenArguments: readonly [string, ...string[]]
  /** The same as one line. */
  readonly tokenCommand: string
  /** The command `xoauthd` itself, for agents that read and send through it. */
  readonly program: string
  /** The certificates to trust, for agents that must be told. */
  readonly caFile: string
  /** The socket that an agent with {@link Agent.asks} asks through; empty for all others. */
  readonly socket: string
}

/** A door's address with or without TLS from the first byte: `smtps://`, or `smtp://` with STARTTLS. */
export function schemeOf(service: MailService, { startTls }: Door): string {
  return startTls ? service : `${service}s`
}

/**
 * The account that a template is filled with.
 *
 * @throws Misconfigured when the account has no such server
 */
export type At = (service: MailService) => Door

export interface ConfigurationFile {
  /** Below `examples/AGENT/`, and the name under which `setup --folder` writes it. */
  readonly name: string
  /** Where the agent looks for it. */
  readonly path: string
  readonly text: string
  /** A program rather than a configuration. */
  readonly executable?: true
}

/** What has to be there: a program on the PATH, or a plugin of Cyrus SASL, by the name of its file. */
export interface Requirement {
  readonly kind: 'program' | 'SASL plugin'
  readonly name: string
  /** Debian's package; where to get it when Debian has none. */
  readonly from: { readonly debianPackage: string } | { readonly source: string }
}

/** A program of a Debian package, which mostly has its name. */
export function program(name: string, debianPackage = name): Requirement {
  return { kind: 'program', name, from: { debianPackage } }
}

/** The longest credential that an agent can send, as it was measured. */
export interface TokenLimit {
  /** Of the bare token, or of the whole XOAUTH2 string before base64. */
  readonly of: 'token' | 'string'
  readonly bytes: number
}

export interface Agent {
  readonly name: string
  /** What it is, in a few words. */
  readonly summary: string
  /** The version that the tests run. */
  readonly version: string
  readonly services: readonly MailService[]
  readonly requires: readonly Requirement[]
  /** None where none is known; the page in examples/ says what was tried. */
  readonly limit?: TokenLimit
  /** Whether one configuration can serve all mailboxes of a domain. */
  readonly takesDomains?: true
  /** For a mail server, which runs as a user of its own: the socket that its group may open. */
  readonly asks?: { readonly protocol: 'line' | 'socketmap'; readonly usualPath: string }
  files(at: At): readonly ConfigurationFile[]
}
