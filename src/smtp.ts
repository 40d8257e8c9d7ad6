/**
 * Sending by SMTP with a token, and the reading of address lists. The one door to nodemailer.
 *
 * Promises that a credential is sent only over TLS, and that a token which the server refuses is
 * replaced once. The message goes as it is, but for the dots that SMTP doubles (RFC 5321 4.5.2).
 */
import { once } from 'node:events'
import addressparser from 'nodemailer/lib/addressparser'
import SMTPConnection, {
  type SMTPConnectionCustomAuthContext,
} from 'nodemailer/lib/smtp-connection'
import { XoauthdError, type TokenReply } from './client.ts'
import {
  Failure,
  LoginRefused,
  NotAllowed,
  Unavailable,
  UnknownAccount,
  oneLine,
} from './errors.ts'
import type { AskToken } from './imap-login.ts'
import { openPlain, openTls, type HostPort } from './mail-connection.ts'

export interface Envelope {
  /** Empty for the sender of a bounce. */
  readonly from: string
  readonly to: readonly string[]
}

/** Where TLS comes first; everywhere else STARTTLS is needed (RFC 8314 3.3). */
const tlsPort = 465
const connectMs = 30_000
/**
 * Our way to sign in, under a name that no server has: of one that is called XOAUTH2 the library thinks
 * that any other which the server lists first (LOGIN, PLAIN) will do as well, with the token as password.
 */
const ourMethod = 'TOKEN'
/** RFC 5321 4.5.3.2 allows more; a server that is silent for so long is gone. */
const patience = { greetingTimeout: 30_000, socketTimeout: 300_000 }

/** @returns the bare addresses of a header's value or an argument, without names, groups and comments */
export function addressesIn(text: string): string[] {
  return addressparser(text, { flatten: true }).flatMap(({ address, name }) =>
    address === '' ? name.split(/\s+/).slice(0, 1).filter(Boolean) : [address],
  )
}

/**
 * Hands a message over.
 *
 * @param message header and body, with CRLF
 * @rejects Unavailable when it may be tried again; LoginRefused, NotAllowed, UnknownAccount
 */
export async function sendBySmtp(
  at: HostPort,
  ask: AskToken,
  envelope: Envelope,
  message: Buffer,
): Promise<void> {
  const connection = await signedIn(at, ask)
  try {
    const { from, to } = envelope
    const use8BitMime = message.some((byte) => byte > 127)
    const info = await step<SentInfo>(connection, at, (done) =>
      connection.send({ from, to: [...to], use8BitMime }, message, done),
    )
    connection.quit()
    reportRejected(info?.rejectedErrors ?? [], info?.accepted ?? [], at)
  } catch (error) {
    connection.close()
    throw error
  }
}

/**
 * Connects, signs in and leaves, without sending anything.
 *
 * @param signal ends it at any time
 * @rejects Unavailable, LoginRefused, or what `ask` rejects with
 */
export async function tryLoginToSmtp(
  at: HostPort,
  ask: AskToken,
  signal: AbortSignal,
): Promise<void> {
  const connection = await signedIn(at, ask, signal)
  connection.quit()
  // The login was good, however the server takes the goodbye.
  await once(connection, 'end', { signal }).catch(() => undefined)
  connection.close()
}

/** @param signal ends it at any time; without one only the connecting has a limit of ours */
async function signedIn(
  at: HostPort,
  ask: AskToken,
  signal?: AbortSignal,
): Promise<SMTPConnection> {
  // Before the server is asked: without a token there is nothing to say to it.
  const token = await ask(false)
  const connection = await open(at, token, ask, signal ?? AbortSignal.timeout(connectMs))
  const stop = () => {
    const cause = new Unavailable(`${at.host} does not answer`, { trouble: 'network' })
    connection.emit('error', new Error('ended', { cause }))
  }
  signal?.addEventListener('abort', stop)
  try {
    await step(connection, at, (done) => connection.connect(done))
    const login = { user: token.user, pass: token.access_token, method: ourMethod }
    await step(connection, at, (done) => connection.login(login, done))
    return connection
  } catch (error) {
    connection.close()
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

interface Rejection {
  readonly message: string
  readonly responseCode?: number | undefined
  readonly response?: string | undefined
  readonly recipient?: string | undefined
}

interface SentInfo {
  readonly accepted: readonly unknown[]
  readonly rejectedErrors?: readonly Rejection[] | undefined
}

/** The library would look up names by itself, without what the system knows beside the DNS. */
async function open(
  at: HostPort,
  first: TokenReply,
  ask: AskToken,
  signal: AbortSignal,
): Promise<SMTPConnection> {
  const secure = at.port === tlsPort
  const socket = await (secure ? openTls : openPlain)(at, signal)
  return new SMTPConnection({
    ...at,
    secure,
    secured: secure,
    connection: socket,
    requireTLS: true,
    ...patience,
    customAuth: {
      async [ourMethod](server) {
        try {
          await authenticate(server)
        } catch (error) {
          // The library writes on the errors that it gets, so ours is wrapped.
          throw new Error('no login', { cause: error })
        }
      },
    },
  })

  async function authenticate(server: SMTPConnectionCustomAuthContext): Promise<void> {
    if (!server.authMethods.includes('XOAUTH2'))
      throw new Unavailable(`${at.host} does not offer XOAUTH2`, {
        hint: 'is SMTP AUTH on for this mailbox, and is it the right server?',
      })
    for (const refused of [false, true]) {
      const { xoauth2 } = refused ? await ask(true) : first
      const credential = Buffer.from(xoauth2).toString('base64')
      let reply = await server.sendCommand(`AUTH XOAUTH2 ${credential}`)
      // The reason, which wants an answer before the refusal itself.
      if (reply.status === 334) reply = await server.sendCommand('')
      if (reply.status === 235) return
      if (reply.status < 500 || refused) throw refusalOf(reply.status, reply.response, at, 'login')
    }
  }
}

/** Runs one call of the library, and puts its errors into our words. */
function step<Result>(
  connection: SMTPConnection,
  at: HostPort,
  call: (done: (error?: Error | null, result?: Result) => void) => void,
): Promise<Result | undefined> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(explain(error, at))
    connection.once('error', fail)
    call((error, result) => {
      connection.off('error', fail)
      // What it says after the end of this step is no concern of ours.
      connection.on('error', () => undefined)
      if (error) fail(error)
      else resolve(result)
    })
  })
}

function explain(error: Error, at: HostPort): Error {
  const { cause } = error
  if (cause instanceof Failure || cause instanceof XoauthdError) return cause
  const { responseCode, response, code, rejectedErrors } = error as Error &
    Rejection & { code?: string; rejectedErrors?: readonly Rejection[] }
  const rejected = rejectedErrors?.[0]
  if (rejected)
    return refusalOf(rejected.responseCode ?? 0, rejected.response ?? '', at, 'recipient')
  if (responseCode !== undefined && responseCode > 0)
    return refusalOf(responseCode, response ?? error.message, at, 'message')
  const certificate = /certificate|altnames/i.test(error.message)
  return new Unavailable(
    `no connection to ${at.host}: ${certificate ? error.message : (code ?? error.message)}`,
    {
      trouble: 'network',
      cause: error,
    },
  )
}

/** What a reply of the server means for whoever asked us to send (RFC 5321 4.2.1, RFC 3463). */
function refusalOf(
  status: number,
  text: string,
  at: HostPort,
  of: 'login' | 'recipient' | 'message',
) {
  const words = `${at.host} says: ${oneLine(text)}`
  if (status < 500) return new Unavailable(words, { trouble: 'provider' })
  if (of === 'login')
    return new LoginRefused(words, {
      hint: 'check that the account may send here, and that SMTP AUTH is on for it',
    })
  if (of === 'recipient' && [550, 551, 553].includes(status)) return new UnknownAccount(words)
  return new NotAllowed(words)
}

/** There is no queue, and nobody writes a bounce: whoever called us has to know. */
function reportRejected(
  rejected: readonly Rejection[],
  accepted: readonly unknown[],
  at: HostPort,
): void {
  const [first] = rejected
  if (!first) return
  const names = rejected.map(({ recipient, message }) => recipient ?? message).join(', ')
  const { message } = refusalOf(550, first.response ?? first.message, at, 'recipient')
  throw new UnknownAccount(`not sent to ${names}: ${message}`, {
    hint: `it was sent to ${accepted.map(String).join(', ')}; do not send it to them again`,
  })
}
