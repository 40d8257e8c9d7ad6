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
  /** The certificates to trust, for agents that must be told. */
  readonly caFile: string
  /** The socket that exim may use. */
  readonly eximSocket: string
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

/** What has to be there: a program on the PATH, or a file of a plugin. */
export interface Requirement {
  readonly debianPackage: string
  readonly program?: string
  /** A plugin of Cyrus SASL, by the name of its file. */
  readonly saslPlugin?: string
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
  files(at: At): readonly ConfigurationFile[]
}
