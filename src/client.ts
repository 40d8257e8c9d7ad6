/**
 * The other end of the socket: what the commands use, and what Node programs import.
 *
 *     import { getToken } from 'xoauthd'
 *     const { user, access_token } = await getToken('me@example.org', { service: 'smtp' })
 */
import { createConnection } from 'node:net'
import { parseObject } from './json.ts'
import { defaultSocketPath } from './socket-path.ts'

/** A failure as the daemon told it, or `no-daemon`. */
export class XoauthdError extends Error {
  override readonly name = 'XoauthdError'
  readonly code: string
  readonly hint: string

  constructor(code: string, message: string, hint: string) {
    super(message)
    this.code = code
    this.hint = hint
  }
}

/** The reply to a request in the format `json`. */
export interface TokenReply {
  readonly mailbox: string
  /** The name to sign in with. */
  readonly user: string
  readonly service: string
  readonly access_token: string
  /** Whole epoch seconds. */
  readonly expires_at: number
  readonly expires_in: number
  readonly xoauth2: string
}

export interface TokenOptions {
  /** `smtp` unless set. */
  readonly service?: string | undefined
  /** The socket to ask; found by itself unless set. */
  readonly socket?: string | undefined
  /** How many seconds the token must still live. */
  readonly min?: number | undefined
  /** How many seconds to wait for a refresh, at most 60; 4 unless set. */
  readonly wait?: number | undefined
  /** The mail server refused the token that was given last: fetch another. */
  readonly refused?: boolean | undefined
}

/** Beyond the longest wait that the protocol has, so that only a hanging daemon meets it. */
const deadlineMs = 70_000
const hangingHint =
  'restart it: systemctl --user restart xoauthd (for a whole machine without --user)'

/**
 * Asks the daemon for a token.
 *
 * @rejects XoauthdError
 */
export async function getToken(mailbox: string, options: TokenOptions = {}): Promise<TokenReply> {
  const paths = options.socket === undefined ? socketPaths(process.env) : [options.socket]
  return getTokenFrom(paths, mailbox, options)
}

/** The same from the first of some sockets that is there. */
export async function getTokenFrom(
  paths: readonly string[],
  mailbox: string,
  options: TokenOptions,
): Promise<TokenReply> {
  const line = requestLine(mailbox, 'json', options)
  return tokenReplyIn(credentialIn(await ask(paths, line)))
}

/** What listens on a socket may be anything: no more is believed than was looked at. */
function tokenReplyIn(reply: string): TokenReply {
  if (!reply.endsWith('\n')) throw halfAnswer()
  const found = parseObject(reply) ?? {}
  const { mailbox, user, service, access_token, expires_at, expires_in, xoauth2 } = found
  if (
    !isText(mailbox) ||
    !isText(user) ||
    !isText(service) ||
    !isText(access_token) ||
    typeof expires_at !== 'number' ||
    typeof expires_in !== 'number' ||
    !isText(xoauth2)
  )
    throw strangeAnswer()
  return { ...found, mailbox, user, service, access_token, expires_at, expires_in, xoauth2 }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** The line that asks for a credential in some format, and to be told about a failure. */
export function requestLine(mailbox: string, format: string, options: TokenOptions): string {
  const words = [options.service ?? 'smtp', format, 'explain']
  if (options.min !== undefined) words.push(`min=${options.min}`)
  if (options.wait !== undefined) words.push(`wait=${options.wait}`)
  if (options.refused === true) words.push('refused')
  return `${words.join(',')} ${mailbox}`
}

/**
 * The credential in a reply to a request with `explain`.
 *
 * @throws XoauthdError when it is a failure
 */
export function credentialIn(reply: string): string {
  const match = /^ERR (\S+) (.*?)(?: \| (.*))?\n$/.exec(reply)
  if (match) throw new XoauthdError(match[1] ?? '', match[2] ?? '', match[3] ?? '')
  if (reply === '')
    throw new XoauthdError('unavailable', 'the daemon closed the connection without an answer', '')
  // A failure without its end; no credential begins like that.
  if (reply.startsWith('ERR ')) throw halfAnswer()
  return reply
}

/** A daemon that is killed while it answers leaves half of it. */
function halfAnswer(): XoauthdError {
  return new XoauthdError('unavailable', 'the daemon broke off its answer', 'ask again')
}

/** An answer that no xoauthd gives. */
export function strangeAnswer(): XoauthdError {
  return new XoauthdError(
    'unavailable',
    'what answers is not xoauthd, or another version of it',
    'name its socket with --socket or XOAUTHD_SOCKET; after an update, restart the daemon',
  )
}

/** Where the daemon may be, the likeliest first. */
export function socketPaths(env: NodeJS.ProcessEnv): string[] {
  const named = env['XOAUTHD_SOCKET']
  if (named !== undefined && named !== '') return [named]
  return [defaultSocketPath(env), '/run/xoauthd/socket']
}

/**
 * Sends one line and reads the whole reply.
 *
 * @param paths the sockets to try, one after another, until one is there
 * @param waitMs how long a daemon that is there may be silent
 * @rejects XoauthdError when none is
 */
export async function ask(
  paths: readonly string[],
  line: string,
  waitMs = deadlineMs,
): Promise<string> {
  const tried = [...new Set(paths)]
  let forbidden: string | undefined
  for (const path of tried) {
    try {
      return await exchange(path, line, waitMs)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EACCES' || code === 'EPERM') forbidden = path
      else if (code !== 'ENOENT' && code !== 'ECONNREFUSED' && code !== 'ENOTDIR')
        throw brokenOff(path, error)
    }
  }
  if (forbidden !== undefined)
    throw new XoauthdError(
      'not-allowed',
      `this user may not use the socket ${forbidden}`,
      'become a member of its group, or name another socket with --socket',
    )
  throw new XoauthdError(
    'no-daemon',
    `no xoauthd answers on ${tried.join(' or ')}`,
    'start it: systemctl --user start xoauthd (for a whole machine without --user), or: xoauthd serve; if it listens elsewhere, name its socket with --socket or $XOAUTHD_SOCKET',
  )
}

function brokenOff(path: string, error: unknown): XoauthdError {
  if (error instanceof XoauthdError) return error
  const { code } = error as NodeJS.ErrnoException
  return new XoauthdError(
    'unavailable',
    `the daemon on ${path} broke off (${code ?? String(error)})`,
    'its log tells why',
  )
}

function exchange(path: string, line: string, waitMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let reply = ''
    const socket = createConnection(path, () => socket.end(`${line}\n`))
    socket.setEncoding('utf8')
    socket.setTimeout(waitMs, () => {
      const silence = `the daemon on ${path} does not answer within ${waitMs / 1000} s`
      socket.destroy(new XoauthdError('unavailable', silence, hangingHint))
    })
    socket.on('data', (text: string) => (reply += text))
    socket.on('error', reject)
    socket.on('close', () => resolve(reply))
  })
}
