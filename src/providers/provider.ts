/**
 * The contract between the keeper of tokens and the many kinds of server that issue them.
 *
 * A provider is stateless: in goes a grant, out come a token and a grant. It rejects with
 * {@link SignInNeeded} when only a person can help, {@link Misconfigured} when only the administrator
 * can, {@link UnknownAccount} when the server does not know the mailbox, and {@link Unavailable} when
 * waiting can help. Anything else is a bug.
 */
import type { Entries, Output } from '../schema.ts'
import type { RunCommand } from '../run-command.ts'
import type { ReadSecret } from '../secret.ts'
import type { Transport } from '../transport.ts'

/** What lets us ask for more tokens. Opaque to all but the provider that issued it. */
export type Grant = string

/** An access token. */
export interface Token {
  readonly value: string
  readonly obtainedAtMs: number
  readonly expiresAtMs: number
  /** False where the server did not say how long the token lives: kept briefly, never stored. */
  readonly expiryKnown: boolean
  /**
   * The name that goes with it into the SASL string, where the server that issued it said so; else the
   * account's rule holds.
   */
  readonly login?: string | undefined
  /** The scopes that it has, where the server said so. */
  readonly scopes?: readonly string[] | undefined
}

export interface TokenRequest {
  /** Lower case, e.g. `smtp`. */
  readonly service: string
  /** As the file spells it, or in lower case where a wildcard matched. */
  readonly mailbox: string
}

export interface Issued {
  readonly token: Token
  /** What to ask with next time; the same as before where the server does not rotate. */
  readonly grant?: Grant | undefined
  /** Whether the answer said whose it is, and that is the account's user. */
  readonly ownerNamed?: boolean
}

export interface SignedIn {
  readonly grant: Grant
  /** Things that the person should know and that did not stop the sign-in. */
  readonly warnings: readonly string[]
}

/** One trip of the browser to the provider and back to us (RFC 8252). */
export interface BrowserTrip {
  /** Where the registration wants the answer sent, or the form of it with any free port. */
  readonly redirectUri: string
  /** `host:port` to listen on when it is not where the redirect URI points. */
  readonly listen: string | undefined
  /** @returns the URL to open. `state` comes back with the answer and is checked before `redeem`. */
  authorizationUrl(redirectUri: string, state: string): string | Promise<string>
  /** Turns the answer's parameters into a grant; the page in the browser waits for it. */
  redeem(answer: URLSearchParams, redirectUri: string, signal: AbortSignal): Promise<SignedIn>
}

/** A code that the person types in on any device (RFC 8628 3.2). */
export interface DeviceCode {
  readonly userCode: string
  readonly verificationUri: string
  /** The same address with the code in it, where the server has one. */
  readonly verificationUriComplete: string | undefined
  readonly expiresAtMs: number
}

/** A sign-in without a browser on this machine (RFC 8628). */
export interface DeviceTrip {
  /** Asks for a code, hands it to `show`, and polls until the person is done. */
  redeem(show: (code: DeviceCode) => void, signal: AbortSignal): Promise<SignedIn>
}

/** How a provider reaches the person who signs in. */
export interface SignInUi {
  /** Shows a code to type in elsewhere, and waits. */
  device(trip: DeviceTrip, signal: AbortSignal): Promise<SignedIn>
  /** Opens the browser, listens on loopback, takes a pasted URL: whichever comes first. */
  browse(trip: BrowserTrip, signal: AbortSignal): Promise<SignedIn>
}

/** The end of something that is renewed by hand. */
export interface Expiry {
  /** E.g. `the certificate of client 1234`. */
  readonly what: string
  readonly atMs: number
  /** How it is renewed. */
  readonly hint: string
}

export interface Provider {
  /** The host that answers for tokens. Accounts that share one share its health. */
  readonly authority: string
  /** Whether the authority is a program of this machine, and no host that could be reached. */
  readonly authorityIsProgram?: boolean
  /** What a grant belongs to (client and issuer): a grant stored for another one is not sent here. */
  readonly binding: string
  /** Whether tokens come from a sign-in and are kept in the store. */
  readonly usesGrant: boolean
  /** How its sign-ins end by themselves, as far as that is known. */
  readonly grantEnds?: readonly GrantEnd[]
  /** Requests with the same key are served by one token. */
  tokenKey(request: TokenRequest): string
  /**
   * Fetches a token.
   *
   * @param grant what the last sign-in or refresh left; undefined where the provider uses none
   * @param nowMs the wall clock, epoch ms
   */
  refresh(
    grant: Grant | undefined,
    request: TokenRequest,
    nowMs: number,
    signal: AbortSignal,
  ): Promise<Issued>
  /**
   * Reads what the account needs from this machine (secrets, keys) without asking the network.
   *
   * @rejects Failure, the same as a refresh would
   */
  check(): Promise<void>
  /**
   * What a token has to be granted for a service, and was not.
   *
   * @param granted the scopes of a token, as the server spelled them
   * @returns the missing ones, as the configuration spells them
   */
  missingScopes?(service: string, granted: readonly string[]): readonly string[]
  /**
   * Whether a token that several services share is of no use for one of them, which came after the sign-in.
   *
   * @param granted the scopes of the token, as the server spelled them
   */
  lacks?(service: string, granted: readonly string[]): boolean
  /**
   * What ends by itself and has to be renewed by hand: the client's certificate or secret.
   *
   * @returns undefined where that is not known
   * @rejects Failure, when it cannot be read
   */
  expiry?(): Promise<Expiry | undefined>
  /**
   * Lets a person consent. The grant has passed the provider's checks (scopes, user, refresh token).
   *
   * @param before the grant that the new one takes the place of: it may say what to prove this time
   */
  signIn?(ui: SignInUi, signal: AbortSignal, before?: Grant): Promise<SignedIn>
  /** The same without a browser on this machine, by {@link SignInUi.device}. */
  signInByDevice?(ui: SignInUi, signal: AbortSignal, before?: Grant): Promise<SignedIn>
  /** Makes a grant of a refresh token that another program had; it has not been tried then. */
  grantFromRefreshToken?(refreshToken: string, signal: AbortSignal): Promise<Grant>
  /** Ends the grant at the provider (RFC 7009). */
  revoke?(grant: Grant, signal: AbortSignal): Promise<void>
}

/** A way in which a provider ends sign-ins by itself. */
export interface GrantEnd {
  /** One word that stays the same, e.g. `inactivity`. */
  readonly because: string
  /** From when on it runs: the sign-in, or the last use of the grant. */
  readonly counts: 'age' | 'idle'
  /** An end within this span has, by all appearance, this reason. */
  readonly fromMs: number
  readonly toMs: number
  /** What happens, and what to do about it. */
  readonly sentence: string
  readonly next: string
}

/** What every provider gets of its account, whatever its own settings are. */
export interface AccountIdentity {
  /** The configured `user`: an address or `*@domain`. */
  readonly user: string
  /** The services it is asked for: those that the file names, else the usual ones. */
  readonly services: readonly string[]
  /** What the file says in `scopes`. */
  readonly scopes: Scopes
}

export type Scopes = Readonly<Record<string, readonly string[]>>

/** Whose name goes into the string of a shared mailbox, by service. */
export type LoginAs = Readonly<Record<string, 'mailbox' | 'person'>>

/** What a provider works with. */
export interface Surroundings {
  readonly transport: Transport
  readonly readSecret: ReadSecret
  readonly runCommand: RunCommand
}

/**
 * The mail servers, as `host:port`: smtp speaks TLS at once on 465 and after STARTTLS on any other port,
 * imap after STARTTLS on 143 and at once on any other. `graph` is the host of Microsoft Graph.
 */
export type MailHosts = Readonly<
  Partial<Record<'smtp' | 'imap' | 'pop' | 'graph', string | undefined>>
>

/** One line of the registry: the settings of a kind of account, and how to make a provider of them. */
export interface ProviderKind<E extends Entries = Entries> {
  /** The keys of `[[account]]` that belong to this kind alone. */
  readonly settings: E
  /** Whether it is another kind with its server's values filled in, so that its keys are that one's. */
  readonly preset?: boolean
  /**
   * The services that such an account can be asked for.
   *
   * @param scopes what the file says; a service that it names is known, whatever it is
   */
  services(scopes: Scopes): { readonly known: readonly string[]; readonly usual: readonly string[] }
  /** Whose name goes into the string, where it is not the mailbox's. */
  readonly loginAs?: LoginAs
  /** The mail servers of such accounts, where they are known. */
  mailHosts?(settings: Output<E>): MailHosts
  /** Other names that people know it by, in lower case. */
  readonly alsoCalled?: readonly string[]
  /** What an address of this kind is recognised by; nothing where that cannot be. */
  readonly recognised?: {
    /** Domains of addresses, e.g. `gmail.com`, in lower case. */
    readonly domains: readonly string[]
    /** The ends of the names of hosts that take the mail of other domains (MX). */
    readonly mx: readonly string[]
    /** Whether this kind is for whole domains instead of one person. */
    readonly wholeDomains?: boolean
  }
  /** What `add` asks for beside the keys that it cannot do without. */
  readonly offered?: readonly string[]
  /** The file of docs/providers/ that tells what to register. */
  readonly page?: string
  /** Combinations that cannot be; empty when all is well. Runs before `create`. */
  problems?(identity: AccountIdentity, settings: Output<E>): Problem[]
  create(identity: AccountIdentity, settings: Output<E>, surroundings: Surroundings): Provider
}

/** The services by their usual names: one of these is not another one misspelt. */
export const mailServices: readonly string[] = ['smtp', 'imap', 'pop', 'gmail', 'graph', 'ews']

/** What a server of any kind may be asked for: by its usual name, or by one that the file has scopes for. */
export function anyMailService(scopes: Scopes): ReturnType<ProviderKind['services']> {
  const named = Object.keys(scopes).filter((service) => service !== 'login')
  return { known: [...new Set([...mailServices, ...named])], usual: ['smtp', 'imap'] }
}

/** A sentence about one key: what is wrong with it and what to write. */
export interface Problem {
  readonly key: string
  readonly message: string
}

/** Gives a kind of provider its types: `create` sees exactly what its `settings` let through. */
export function providerKind<const E extends Entries>(kind: ProviderKind<E>): ProviderKind {
  // Only what these very settings have parsed is ever passed back to `problems` and `create`.
  return kind
}
