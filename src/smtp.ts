/**
 * Sending by SMTP with a token, and the reading of address lists. The one door to nodemailer.
 *
 * Promises that a credential is sent only over TLS, that a token which the server refuses is replaced
 * once, and that whoever has to know that a message may have been sent is told so. The message goes as
 * it is, but for the dots that SMTP doubles (RFC 5321 4.5.2).
 */
import { once } from 'node:events'
import { Readable } from 'node:stream'
import addressparser from 'nodemailer/lib/addressparser'
import SMTPConnection, {
  type SMTPConnectionCustomAuthContext,
} from 'nodemailer/lib/smtp-connection'
import type { TokenReply } from './client.ts'
import { nameOf, type HostPort } from './endpoint.ts'
import { Unavailable } from './errors.ts'
import type { AskToken } from './imap-login.ts'
import { openPlain, openTls, whereToLook } from './mail-connection.ts'
import { redact } from './providers/redaction.ts'
import {
  explain,
  refusalOf,
  reportRejected,
  withoutAnswer,
  type SentInfo,
} from './smtp-failures.ts'

export interface Envelope {
  /** Empty for the sender of a bounce. */
  readonly from: string
  readonly to: readonly string[]
}

/** Where TLS comes first; everywhere else STARTTLS is needed (RFC 8314 3.3). */
const tlsPort = 465
/**
 * What our way to sign in is called to the library. Told XOAUTH2, it would send the token as a password to
 * a server that offers PLAIN or LOGIN first.
 */
const method = 'XOAUTHD'
const connectMs = 30_000
/** RFC 5321 4.5.3.2 allows more; a server that is silent for so long is gone. */
const patience = { greetingTimeout: 30_000, socketTimeout: 300_000 }
/** Small pieces, so that the last one is handed on only when nearly all before it has left. */
const pieceBytes = 65_536

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
 * @rejects Unavailable when it may be tried again, which says so when the message may have been sent all the
 * same; LoginRefused, NotAllowed, UnknownAccount
 */
export async function sendBySmtp(
  at: HostPort,
  ask: AskToken,
  envelope: Envelope,
  message: Buffer,
): Promise<void> {
  const connection = await signedIn(at, ask)
  const pieces = Readable.from(piecesOf(message), { objectMode: false })
  try {
    const { from, to } = envelope
    const use8BitMime = message.some((byte) => byte > 127)
    const info = await step<SentInfo>(connection, at, (done) =>
      connection.send({ from, to: [...to], use8BitMime }, pieces, done),
    ).catch((error: unknown) => {
      throw pieces.readableEnded ? withoutAnswer(error, at) : error
    })
    connection.quit()
    reportRejected(info?.rejectedErrors ?? [], info?.accepted ?? [], at)
  } catch (error) {
    connection.close()
    throw error
  }
}

function* piecesOf(message: Buffer): Generator<Buffer> {
  for (let start = 0; start < message.length; start += pieceBytes)
    yield message.subarray(start, start + pieceBytes)
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
    const cause = new Unavailable(`${nameOf(at)} does not answer`, {
      trouble: 'network',
      hint: whereToLook(at),
    })
    connection.emit('error', new Error('ended', { cause }))
  }
  signal?.addEventListener('abort', stop)
  try {
    await step(connection, at, (done) => connection.connect(done))
    const login = { user: token.user, pass: token.access_token, method }
    await step(connection, at, (done) => connection.login(login, done))
    return connection
  } catch (error) {
    connection.close()
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
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
      async [method](server) {
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
      const { xoauth2, access_token } = refused ? await ask(true) : first
      const credential = Buffer.from(xoauth2).toString('base64')
      let reply = await server.sendCommand(`AUTH XOAUTH2 ${credential}`)
      // The reason, which wants an answer before the refusal itself.
      if (reply.status === 334) reply = await server.sendCommand('')
      if (reply.status === 235) return
      if (reply.status < 500 || refused)
        throw refusalOf(reply.status, redact(reply.response, [xoauth2, access_token]), at, 'login')
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
