/**
 * Signing in to an IMAP server with a token: XOAUTH2, or OAUTHBEARER where it is the only one offered,
 * with an initial response or without (RFC 4959).
 *
 * Promises that a credential is sent only over TLS, and that a token which the server refuses is
 * replaced once.
 * Facts: developers.google.com/workspace/gmail/imap/xoauth2-protocol, RFC 7628, RFC 9051
 */
import type { TLSSocket } from 'node:tls'
import type { TokenReply } from './client.ts'
import type { HostPort } from './endpoint.ts'
import { LoginRefused, Unavailable, oneLine } from './errors.ts'
import { linesOf, openTls, type Lines } from './mail-connection.ts'
import { redact } from './providers/redaction.ts'

/** Asks the daemon for a token; `refused` when the server did not take the last one. */
export type AskToken = (refused: boolean) => Promise<TokenReply>

export interface ImapConnection {
  /** What the server can do, once somebody has signed in. */
  readonly capabilities: readonly string[]
  /**
   * Sends a command that has no literals, in the state after the sign-in.
   *
   * @returns the untagged lines of the answer, without `* `
   * @rejects LoginRefused when the server says NO, e.g. to `EXAMINE INBOX` of somebody else's mailbox
   */
  command(text: string): Promise<readonly string[]>
  /** Gives the socket away, with what has been read from it ahead. */
  detach(): { readonly socket: TLSSocket; readonly readAhead: Buffer }
  close(): void
}

/** The port where a server waits for STARTTLS (RFC 8314 3). */
const starttlsPort = 143
/** Answers that time may change (RFC 5530); all others are about the token. */
const transient = /\[(?:UNAVAILABLE|SERVERBUG|INUSE|LIMIT|OVERQUOTA)\]/i

/**
 * Connects and signs in, a second time with another token when the server refuses the first.
 *
 * @param signal ends it at any time before it resolves
 * @rejects LoginRefused, Unavailable, or what `ask` rejects with
 */
export async function signInToImap(
  at: HostPort,
  ask: AskToken,
  signal: AbortSignal,
): Promise<ImapConnection> {
  // Before the server is asked: without a token there is nothing to say to it.
  const token = await ask(false)
  try {
    return await attempt(at, token, signal)
  } catch (error) {
    if (!(error instanceof LoginRefused)) throw error
    return attempt(at, await ask(true), signal)
  }
}

async function attempt(
  at: HostPort,
  token: TokenReply,
  signal: AbortSignal,
): Promise<ImapConnection> {
  const starttls = at.port === starttlsPort ? (lines: Lines) => startTls(lines, at) : undefined
  const socket = await openTls(at, signal, starttls)
  try {
    const lines = linesOf(socket, at, signal)
    const talk = conversation(lines, at, token)
    // After STARTTLS the greeting is not said again (RFC 9051 6.2.1).
    const greeted = starttls ? [] : await greeting(lines, at)
    const offered = greeted.length > 0 ? greeted : await talk.capability()
    await authenticate(talk, lines, at, token, offered)
    // What it offers may be more now, and whether it says so unasked differs.
    const capabilities = await talk.capability()
    return {
      capabilities,
      command: talk.command,
      detach: () => ({ socket, readAhead: lines.detach() }),
      close: () => socket.destroy(),
    }
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** @returns the capabilities, where the greeting has them; else none */
async function greeting(lines: Lines, at: HostPort): Promise<readonly string[]> {
  const line = await lines.next()
  if (/^\* OK\b/i.test(line)) return /\[CAPABILITY ([^\]]*)\]/i.exec(line)?.[1]?.split(' ') ?? []
  throw new Unavailable(`${at.host} does not let us in: ${oneLine(line)}`, { trouble: 'provider' })
}

async function startTls(lines: Lines, at: HostPort): Promise<void> {
  await greeting(lines, at)
  lines.send('x STARTTLS')
  for (;;) {
    const line = await lines.next()
    if (/^x OK\b/i.test(line)) return
    if (line.startsWith('x '))
      throw new Unavailable(`${at.host} has no STARTTLS: ${oneLine(line)}`, { trouble: 'provider' })
  }
}

/** What a command has beside its text. */
interface Turn {
  readonly onContinue?: (text: string) => void
  /** To what a refusal is the answer, as words after "says". */
  readonly to?: string
}

type Conversation = ReturnType<typeof conversation>

function conversation(lines: Lines, { host }: HostPort, { access_token, xoauth2 }: TokenReply) {
  let count = 0

  async function untilTagged(tag: string, { onContinue, to }: Turn): Promise<string[]> {
    const untagged: string[] = []
    for (;;) {
      const line = await lines.next()
      if (line.startsWith('+')) onContinue?.(line.slice(1).trim())
      else if (line.startsWith('* ')) {
        untagged.push(line.slice(2))
        if (/^BYE\b/i.test(line.slice(2))) throw refusal(line.slice(2), to)
      } else if (line.startsWith(`${tag} `)) {
        if (!/^OK\b/i.test(line.slice(tag.length + 1)))
          throw refusal(line.slice(tag.length + 1), to)
        return untagged
      }
    }
  }

  function refusal(text: string, to = ''): LoginRefused | Unavailable {
    const words = `${host} says${to}: ${redact(oneLine(text), [xoauth2, access_token])}`
    return transient.test(text)
      ? new Unavailable(words, { trouble: 'provider' })
      : new LoginRefused(words)
  }

  async function command(text: string, turn: Turn = {}): Promise<readonly string[]> {
    const tag = `x${++count}`
    lines.send(`${tag} ${text}`)
    return untilTagged(tag, turn)
  }

  return {
    command,
    async capability(): Promise<readonly string[]> {
      const untagged = await command('CAPABILITY').catch((error: unknown) => {
        // Nobody is refused here: the server is going down, or too busy.
        throw error instanceof LoginRefused
          ? new Unavailable(error.message, { trouble: 'provider' })
          : error
      })
      return untagged.flatMap((line) => /^CAPABILITY (.*)/i.exec(line)?.[1]?.split(' ') ?? [])
    },
  }
}

async function authenticate(
  talk: Conversation,
  lines: Lines,
  { host }: HostPort,
  token: TokenReply,
  offered: readonly string[],
): Promise<void> {
  const has = (word: string) => offered.some((each) => each.toUpperCase() === word)
  const bearer = !has('AUTH=XOAUTH2') && has('AUTH=OAUTHBEARER')
  if (!bearer && !has('AUTH=XOAUTH2'))
    throw new Unavailable(`${host} offers neither XOAUTH2 nor OAUTHBEARER`, {
      trouble: 'provider',
      hint: 'is it the right server? A proxy or another service may answer in its place',
    })
  const response = Buffer.from(bearer ? oauthbearer(token) : token.xoauth2).toString('base64')
  const mechanism = bearer ? 'OAUTHBEARER' : 'XOAUTH2'
  const initial = has('SASL-IR')
  let sent = initial
  let challenge = ''
  const onContinue = (text: string) => {
    if (sent) {
      // The reason of a refusal, which wants an answer before the refusal itself (RFC 7628 3.2.3).
      challenge = text
      lines.send(bearer ? 'AQ==' : '')
    } else lines.send(response)
    sent = true
  }
  try {
    await talk.command(`AUTHENTICATE ${mechanism}${initial ? ` ${response}` : ''}`, {
      onContinue,
      to: ` to the token for ${token.user}`,
    })
  } catch (error) {
    if (!(error instanceof LoginRefused)) throw error
    const reason = reasonIn(challenge, [token.xoauth2, token.access_token])
    throw new LoginRefused(`${error.message}${reason === '' ? '' : ` (${reason})`}`, {
      hint: 'check that the account may use this server, and that IMAP is on for it',
    })
  }
}

/** RFC 7628 3.1, with the name escaped after RFC 5801 4. */
function oauthbearer({ user, access_token: value }: TokenReply): string {
  return `n,a=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},\x01auth=Bearer ${value}\x01\x01`
}

/** What the server's JSON says. */
function reasonIn(challenge: string, secrets: readonly string[]): string {
  return redact(oneLine(Buffer.from(challenge, 'base64').toString('utf8')), secrets).slice(0, 200)
}
