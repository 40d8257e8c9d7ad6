/**
 * A pipe to an IMAP server that is signed in already: for clients that know no OAuth, and read from a
 * command instead of a socket.
 *
 * The client is told `* PREAUTH` and what the server can do; a login of its own is answered here. What
 * goes wrong before that is told as `* BYE`, which every client shows.
 */
import type { Readable, Writable } from 'node:stream'
import type { HostPort } from './endpoint.ts'
import { asFailure, Unavailable, oneLine } from './errors.ts'
import { createImapGuard, type ImapGuard } from './imap-guard.ts'
import { signInToImap, type AskToken, type ImapConnection } from './imap-login.ts'

/** The client's side: our standard input and output. */
export interface Pipe {
  readonly input: Readable
  readonly output: Writable
}

/** From the first byte to being signed in: clients wait for a greeting for half a minute or more. */
const signInMs = 25_000
/** What is still under way when the client has closed its side. */
const lastWordsMs = 5_000
const ownLogout = 'xoauthd LOGOUT\r\n'
/** A network that is gone is noticed although nobody speaks (IDLE lasts half an hour). */
const keepAliveMs = 60_000
/** What a client must not think of: it is signed in, and its bytes are looked at. */
const hidden = /^(?:AUTH=.*|SASL-IR|LOGINDISABLED|STARTTLS|COMPRESS=.*)$/i

/**
 * Serves one client to its end.
 *
 * @param ask gives tokens for the server
 * @rejects LoginRefused, Unavailable, or what `ask` rejects with; the client has been told
 */
export async function tunnelImap(at: HostPort, ask: AskToken, pipe: Pipe): Promise<void> {
  let connection: ImapConnection
  try {
    connection = await signInToImap(at, ask, AbortSignal.timeout(signInMs))
  } catch (error) {
    sayBye(pipe.output, error)
    throw error
  }
  const { capabilities } = connection
  const words = capabilities.filter((word) => !hidden.test(word)).join(' ')
  pipe.output.write(`* PREAUTH [CAPABILITY ${words}] signed in by xoauthd\r\n`)
  await pump(connection, at, pipe)
}

/** Tells the client why there is no session for it. */
export function sayBye(output: Writable, error: unknown): void {
  const { message } = error instanceof Error ? error : asFailure(error)
  output.write(`* BYE xoauthd: ${oneLine(message)}\r\n`)
}

/** Carries bytes both ways, as fast as the slower side takes them, until the server closes. */
function pump(connection: ImapConnection, at: HostPort, { input, output }: Pipe): Promise<void> {
  const { socket, readAhead } = connection.detach()
  socket.setKeepAlive(true, keepAliveMs)
  return new Promise((resolve, reject) => {
    let ending: NodeJS.Timeout | undefined
    let clientLeft = false
    let broken: Error | undefined

    const guard: ImapGuard = createImapGuard({
      server(bytes) {
        if (!socket.write(bytes)) input.pause()
      },
      client(bytes) {
        if (!output.write(bytes)) socket.pause()
      },
    })
    const leave = () => {
      clientLeft = true
      socket.destroy()
    }

    socket.on('drain', () => input.resume())
    output.on('drain', () => socket.resume())
    input.on('data', (bytes: Buffer) => {
      try {
        guard.fromClient(bytes)
      } catch (error) {
        socket.destroy(error as Error)
      }
    })
    input.on('end', () => {
      clientLeft = true
      // Servers drop what is still to be answered when they see the end of the connection first.
      if (guard.clientIs === 'between commands') socket.write(ownLogout)
      else if (guard.clientIs === 'inside a command') socket.end()
      ending = setTimeout(() => socket.destroy(), lastWordsMs)
    })
    // A client that has closed the pipe wants no more.
    input.on('error', leave)
    output.on('error', leave)
    socket.on('data', (bytes: Buffer) => guard.fromServer(bytes))
    socket.on('error', (error: Error) => {
      broken = error
    })
    socket.on('close', () => {
      clearTimeout(ending)
      input.destroy()
      if (clientLeft || guard.saidBye) resolve()
      else
        reject(
          new Unavailable(
            `${at.host} broke off: ${broken?.message ?? 'it closed the connection'}`,
            { trouble: 'network', cause: broken },
          ),
        )
    })
    if (readAhead.length > 0) guard.fromServer(readAhead)
    input.resume()
    socket.resume()
  })
}
