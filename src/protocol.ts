/**
 * The line protocol: what a request means and what a reply looks like. Pure, and total: every string is
 * a request or a failure.
 *
 *     request = service *( "," option ) SP mailbox
 *
 * A superset of what cloud_mdir_sync's clients send. A failure is silent unless the client said that it
 * checks what it reads: a mail agent sends whatever it gets to the server, as a credential.
 */
import { isAddress } from './address.ts'
import { BadRequest, type Failure } from './errors.ts'

export const formats = ['xoauth2', 'base64', 'oauthbearer', 'token', 'json'] as const
export type Format = (typeof formats)[number]

export interface CredentialRequest {
  readonly kind: 'credential'
  /** Lower case. */
  readonly service: string
  /** As the client wrote it. */
  readonly mailbox: string
  readonly format: Format
  readonly explain: boolean
  readonly refused: boolean
  readonly minMs: number | undefined
  readonly waitMs: number
}

/** What only a control socket answers. */
export type ControlRequest =
  | { readonly kind: 'status' }
  | { readonly kind: 'refresh'; readonly mailbox: string }
  | { readonly kind: 'reload' }

/** A request that cannot be served, and how its client wants to be told. */
export interface Malformed {
  readonly kind: 'malformed'
  readonly failure: BadRequest
  readonly format: Format
  readonly explain: boolean
}

export type Request = CredentialRequest | ControlRequest | Malformed

/** The longest request, without its end of line. */
export const requestMaxBytes = 1024
/** exim gives up after 5 s. */
const defaultWaitMs = 4_000
const maxWaitS = 60
/** Beyond this no token lives, and it keeps the arithmetic exact: more is taken for this much. */
const maxMinS = 10_000_000

const servicePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/
/** cloud_mdir_sync's name for the token of Microsoft's to-do lists. */
const aliases: ReadonlyMap<string, string> = new Map([['todo', 'graph']])
/** What a control socket is asked; no account has such a service. */
const reserved: ReadonlySet<string> = new Set(['status', 'refresh', 'reload'])

/**
 * Reads one request.
 *
 * @param line without its end of line; U+FFFD stands for bytes that are not UTF-8
 */
export function parseRequest(line: string): Request {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line
  const control = parseControl(text)
  if (control) return control
  const space = text.indexOf(' ')
  const head = space < 0 ? text : text.slice(0, space)
  const comma = head.indexOf(',')
  const verb = comma < 0 ? head : head.slice(0, comma)
  const read = comma < 0 ? noOptions : readOptions(head.slice(comma + 1).split(','))
  if (Buffer.byteLength(text) > requestMaxBytes)
    return malformed(read, `a request has at most ${requestMaxBytes} bytes`)
  if (space < 0) return malformed(read, 'a request is a service, a space, and a mailbox')
  if (!servicePattern.test(verb) || reserved.has(verb.toLowerCase()))
    return malformed(read, 'the service has no such name')
  if (read.problem !== undefined) return malformed(read, read.problem)
  const mailbox = text.slice(space + 1)
  if (!isAddress(mailbox) || mailbox.includes('\ufffd'))
    // It is not repeated: what is no address may be a secret that went astray.
    return malformed(read, 'the mailbox is no address', noAddressHint)
  // RFC 5322 allows it, but here it is the name of an account, and no mailbox.
  if (mailbox.startsWith('*@')) return malformed(read, 'a wildcard is no mailbox')
  const service = verb.toLowerCase()
  return {
    kind: 'credential',
    service: aliases.get(service) ?? service,
    mailbox,
    format: read.format ?? 'xoauth2',
    explain: read.explain,
    refused: read.refused,
    minMs: read.minMs,
    waitMs: read.waitMs ?? defaultWaitMs,
  }
}

const noAddressHint = 'write name@domain; xoauthd status lists the accounts'

function malformed(read: Readonly<Options>, message: string, hint?: string): Malformed {
  return {
    kind: 'malformed',
    failure: new BadRequest(message, { hint }),
    format: read.format ?? 'xoauth2',
    explain: read.explain,
  }
}

function parseControl(text: string): ControlRequest | undefined {
  if (text === 'STATUS') return { kind: 'status' }
  if (text === 'RELOAD') return { kind: 'reload' }
  if (!text.startsWith('REFRESH ')) return undefined
  const mailbox = text.slice('REFRESH '.length)
  const named =
    isAddress(mailbox) || (mailbox.startsWith('*@') && isAddress(`x${mailbox.slice(1)}`))
  return named ? { kind: 'refresh', mailbox } : undefined
}

interface Options {
  format: Format | undefined
  explain: boolean
  refused: boolean
  minMs: number | undefined
  waitMs: number | undefined
  /** What is wrong with them; the rest is read all the same, to know how to say so. */
  problem: string | undefined
}

const noOptions: Readonly<Options> = {
  format: undefined,
  explain: false,
  refused: false,
  minMs: undefined,
  waitMs: undefined,
  problem: undefined,
}

function readOptions(options: readonly string[]): Options {
  const read = { ...noOptions }
  for (const option of options) {
    const problem = readOption(option, read)
    read.problem ??= problem
  }
  return read
}

function readOption(option: string, read: Options): string | undefined {
  if (option === 'explain' || option === 'refused') {
    if (read[option]) return `the option ${option} stands twice`
    read[option] = true
    return undefined
  }
  const format = formats.find((name) => name === option)
  if (format !== undefined) {
    if (read.format !== undefined) return 'a request has one format'
    read.format = format
    return undefined
  }
  const match = /^(min|wait)=(\d+)$/.exec(option)
  const seconds = Number(match?.[2])
  if (match?.[1] === 'min') {
    if (read.minMs !== undefined) return 'the option min stands twice'
    read.minMs = Math.min(seconds, maxMinS) * 1000
    return undefined
  }
  if (match?.[1] === 'wait') {
    if (read.waitMs !== undefined) return 'the option wait stands twice'
    if (seconds > maxWaitS) return `wait is at most ${maxWaitS} seconds`
    read.waitMs = seconds * 1000
    return undefined
  }
  return 'an option is unknown'
}

/** What a reply is made of. */
export interface Credential {
  /** The mailbox that was asked for, as the file spells it. */
  readonly mailbox: string
  /** The name that goes into the string. */
  readonly user: string
  readonly service: string
  readonly accessToken: string
  readonly expiresAtMs: number
}

/**
 * The reply to a request that can be served: one function a format.
 *
 * @param nowMs the wall clock, epoch ms
 */
export const replies: Readonly<Record<Format, (credential: Credential, nowMs: number) => string>> =
  {
    xoauth2,
    base64: (credential) => Buffer.from(xoauth2(credential)).toString('base64'),
    oauthbearer: ({ user, accessToken }) =>
      `n,a=${saslName(user)},\x01auth=Bearer ${accessToken}\x01\x01`,
    token: ({ accessToken }) => accessToken,
    json: (credential, nowMs) =>
      `${JSON.stringify({
        mailbox: credential.mailbox,
        user: credential.user,
        service: credential.service,
        access_token: credential.accessToken,
        expires_at: Math.floor(credential.expiresAtMs / 1000),
        expires_in: Math.max(0, Math.floor((credential.expiresAtMs - nowMs) / 1000)),
        xoauth2: xoauth2(credential),
      })}\n`,
  }

/** Google's and Microsoft's mechanism: developers.google.com/workspace/gmail/imap/xoauth2-protocol */
function xoauth2({ user, accessToken }: Credential): string {
  return `user=${user}\x01auth=Bearer ${accessToken}\x01\x01`
}

/** RFC 5801 4: `=` and `,` mean something in a GS2 header. */
function saslName(user: string): string {
  return user.replaceAll('=', '=3D').replaceAll(',', '=2C')
}

/** The reply to a request that cannot be served; empty unless the client asked to be told. */
export function failureReply(
  failure: Failure,
  { format, explain }: { readonly format: Format; readonly explain: boolean },
): string {
  if (explain) {
    const hint = failure.hint === undefined ? '' : ` | ${failure.hint}`
    return `ERR ${failure.code} ${failure.message}${hint}\n`
  }
  return format === 'json' ? `${JSON.stringify(describeFailure(failure))}\n` : ''
}

/** A failure as JSON, without anything that is not for the client. */
export function describeFailure(failure: Failure): Record<string, string | number> {
  const retryAfterMs = 'retryAfterMs' in failure ? failure.retryAfterMs : undefined
  return {
    error: failure.code,
    message: failure.message,
    hint: failure.hint ?? '',
    ...(typeof retryAfterMs === 'number' ? { retry_after: Math.ceil(retryAfterMs / 1000) } : {}),
  }
}
