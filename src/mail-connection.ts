/**
 * A TLS connection to a mail server, and its lines.
 *
 * Promises that nothing is read or written before the certificate was found good for the host's name,
 * that a wait ends with the signal, and that what was read ahead is handed on with the socket.
 */
import { once } from 'node:events'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { nameOf, parseHostPort, type HostPort } from './endpoint.ts'
import { Misconfigured, Unavailable } from './errors.ts'

/** Lines of a conversation in turns, each at most {@link lineLimit} bytes. */
export interface Lines {
  /**
   * @returns the next line, without its end; bytes that are not ASCII one by one (latin1)
   * @rejects Unavailable when there is none to come
   */
  next(): Promise<string>
  /** Sends one line. */
  send(line: string): void
  /** Ends the reading of lines. @returns what has been read beyond the last one */
  detach(): Buffer
}

/** Far more than a greeting or a list of capabilities; a server that sends more is none of mail. */
const lineLimit = 64 * 1024

/**
 * Reads where a mail server is.
 *
 * @throws Misconfigured when nobody has said so
 */
export function hostPortOf(
  value: string | undefined,
  service: 'smtp' | 'imap',
  user: string,
): HostPort {
  const found = value === undefined ? undefined : parseHostPort(value)
  if (found) return found
  throw new Misconfigured(`where the ${service} server of ${user} is, is not known`, {
    hint: `write hosts = { ${service} = "host:port" } into its account, or give --host host:port`,
  })
}

/**
 * Opens TLS to a server.
 *
 * @param beforeTls what is said on the plain connection first (STARTTLS); without it TLS comes at once
 * @rejects Unavailable
 */
export async function openTls(
  at: HostPort,
  signal: AbortSignal,
  beforeTls?: (lines: Lines) => Promise<void>,
): Promise<TLSSocket> {
  const servername = isIP(at.host) === 0 ? { servername: at.host } : {}
  let plain: Socket | undefined
  let socket: TLSSocket | undefined
  try {
    if (beforeTls) {
      plain = connectTcp(at)
      await once(plain, 'connect', { signal })
      const lines = linesOf(plain, at, signal)
      await beforeTls(lines)
      // Whatever came before the handshake nobody has signed (CVE-2021-33515).
      if (lines.detach().length > 0) throw new Error('it spoke before TLS was there')
      socket = connectTls({ socket: plain, host: at.host, ...servername })
    } else socket = connectTls({ ...at, ...servername })
    await once(socket, 'secureConnect', { signal })
    return socket
  } catch (error) {
    socket?.destroy()
    plain?.destroy()
    throw error instanceof Unavailable ? error : unreachable(at, error)
  }
}

/**
 * Opens a plain connection, for a program that speaks STARTTLS on it itself.
 *
 * @rejects Unavailable
 */
export async function openPlain(at: HostPort, signal: AbortSignal): Promise<Socket> {
  const socket = connectTcp(at)
  try {
    await once(socket, 'connect', { signal })
    return socket
  } catch (error) {
    socket.destroy()
    throw unreachable(at, error)
  }
}

/** Reads and writes lines on a socket that nobody else reads. */
export function linesOf(socket: Socket, at: HostPort, signal: AbortSignal): Lines {
  let read: Buffer = Buffer.alloc(0)
  let broken: Error | undefined
  const note = (error: Error) => {
    broken = error
  }
  socket.on('error', note)

  return {
    async next() {
      for (;;) {
        const end = read.indexOf('\n')
        if ((end < 0 ? read.length : end) > lineLimit)
          throw new Unavailable(`${at.host} does not speak as a mail server`)
        if (end >= 0) {
          const line = read.toString('latin1', 0, end).replace(/\r$/, '')
          read = read.subarray(end + 1)
          return line
        }
        const more: unknown = socket.read()
        if (Buffer.isBuffer(more)) read = Buffer.concat([read, more])
        else await readable(socket, at, signal, broken)
      }
    },
    send: (line) => void socket.write(`${line}\r\n`, 'latin1'),
    detach() {
      socket.off('error', note)
      return read
    },
  }
}

async function readable(
  socket: Socket,
  at: HostPort,
  signal: AbortSignal,
  broken: Error | undefined,
): Promise<void> {
  if (broken) throw unreachable(at, broken)
  if (socket.readableEnded || socket.destroyed)
    throw new Unavailable(`${at.host} closed the connection`, { trouble: 'provider' })
  const settled = new AbortController()
  const either = { signal: AbortSignal.any([signal, settled.signal]) }
  try {
    await Promise.race(['readable', 'end', 'close'].map((event) => once(socket, event, either)))
  } catch (error) {
    throw unreachable(at, error)
  } finally {
    settled.abort()
  }
}

/** What to ask oneself where a server cannot be reached, or is none of this kind. */
export function whereToLook({ port }: HostPort): string {
  return `is it the right server (hosts in the account, unless --host names it), and may port ${port} be used from here?`
}

function unreachable(at: HostPort, error: unknown): Unavailable {
  const { code, message, name } = error as NodeJS.ErrnoException
  const trouble = 'network'
  const server = nameOf(at)
  const hint = whereToLook(at)
  if (name === 'AbortError' || name === 'TimeoutError')
    return new Unavailable(`${server} does not answer`, { trouble, hint })
  const certificate = /CERT|SELF_SIGNED|UNABLE_TO_/.test(code ?? '')
  return new Unavailable(`no connection to ${server}: ${code ?? message}`, {
    trouble,
    cause: error,
    hint: certificate
      ? 'something between here and the server answers in its place, or its authority is not known here: name the file of that in NODE_EXTRA_CA_CERTS'
      : hint,
  })
}
