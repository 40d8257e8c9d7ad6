/**
 * What a server says, made fit for a message: one short line without what we sent it in confidence.
 *
 * Promises that a secret does not come back in a message as it is, nor as any mixture of itself and of
 * what a form, a URL (RFC 3986 2.1 takes hex digits in either case), JSON or HTML makes of it, nor within
 * something in base64; and of a token not even a piece.
 */
import { oneLine } from '../errors.ts'

/** What a message may quote of a server's text: enough for a number and a sentence or two. */
const longest = 200
/** Far more than anybody reads of a server's words. */
const longestText = 16_384
/** What HTML makes of a letter at the most; a letter of two bytes has no longer form than two of these. */
const longestForm = 10
/** What random letters are made of, and sentences and addresses are not. */
const tokenPattern = /^[\w.~+/=-]{24,}$/
/** Of a token; shorter pieces tell nobody anything. */
const pieceLength = 16
/** Of base64: shorter ones may stand in any text. */
const shortestForm = 8

/** @returns what a token request's form holds that no message may repeat */
export function secretsIn(form: URLSearchParams): string[] {
  const names = [
    'refresh_token',
    'code',
    'code_verifier',
    'client_secret',
    'client_assertion',
    'assertion',
    'token',
    'device_code',
  ]
  return names.map((name) => form.get(name) ?? '')
}

/**
 * @returns the beginning of a text, at most 16,384 characters of it, with each of the secrets replaced by `***`
 */
export function redact(text: string, secrets: readonly string[]): string {
  const telling = secrets.filter((secret) => secret !== '')
  // One secret may be a part of another, which must not remain in pieces.
  const longestFirst = [...telling].sort((a, b) => b.length - a.length)
  const whole = withoutPieces(longestFirst.reduce(without, text.slice(0, longestText)), telling)
  if (text.length <= longestText) return whole
  // What the cut went through is not recognised any more.
  const cut = longestForm * (longestFirst[0]?.length ?? 0)
  return whole.slice(0, Math.max(0, whole.length - cut))
}

/** Servers cut short what they quote, and a good part of a token is a part too much. */
function withoutPieces(text: string, secrets: readonly string[]): string {
  const pieces = new Set<string>()
  for (const secret of secrets.filter((one) => tokenPattern.test(one)))
    for (const form of [secret, ...base64FormsOf(secret)])
      for (const spelled of [form, form.replaceAll('-', '+').replaceAll('_', '/')])
        for (let at = 0; at + pieceLength <= spelled.length; at++)
          pieces.add(spelled.slice(at, at + pieceLength))
  if (pieces.size === 0) return text
  let left = ''
  for (let at = 0; at < text.length;) {
    let end = at
    while (pieces.has(text.slice(end, end + pieceLength))) end++
    if (end === at) left += text.charAt(at++)
    else {
      left += '***'
      at = end + pieceLength - 1
    }
  }
  return left
}

interface Letter {
  readonly itself: string
  /** What forms, URLs, JSON and HTML make of it, in small letters. */
  readonly encoded: readonly string[]
}

/** Servers quote what was sent as they read it, as it travelled, or encoded once more by themselves. */
function without(text: string, secret: string): string {
  const letters = Array.from(secret, letterOf)
  let rest = ''
  let from = 0
  for (let at = 0; at < text.length;) {
    const end = endOf(text, at, letters)
    if (end === undefined) {
      at++
    } else {
      rest += `${text.slice(from, at)}***`
      at = from = end
    }
  }
  const inBase64 = base64FormsOf(secret).flatMap(inBothAlphabets)
  return inBase64.reduce((left, form) => left.replaceAll(form, '***'), rest + text.slice(from))
}

/** A percent sign may be the letter itself or begin another's code: both ways are followed. */
function endOf(text: string, at: number, letters: readonly Letter[]): number | undefined {
  let ends = [at]
  for (const { itself, encoded } of letters) {
    const next = new Set<number>()
    for (const end of ends) {
      if (text.startsWith(itself, end)) next.add(end + itself.length)
      for (const form of encoded)
        if (text.slice(end, end + form.length).toLowerCase() === form) next.add(end + form.length)
    }
    if (next.size === 0) return undefined
    ends = [...next]
  }
  return Math.max(...ends)
}

/**
 * What base64 makes of a text that stands somewhere in a longer one: three things, by where it begins. The
 * letters at both ends belong in part to the neighbours and are left out.
 *
 * @returns none of a text that is too short to be told from chance
 */
export function base64FormsOf(text: string): string[] {
  const bytes = Buffer.from(text)
  return [0, 1, 2]
    .map((before) => {
      const whole = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64url')
      const after = (before + bytes.length) % 3
      return whole.slice([0, 2, 3][before], after === 0 ? undefined : -1)
    })
    .filter((form) => form.length >= shortestForm)
}

const inBothAlphabets = (form: string): string[] => [
  form,
  form.replaceAll('-', '+').replaceAll('_', '/'),
]

/** In JSON a sign may have a backslash or be a number, in HTML a number or a name. */
function letterOf(itself: string): Letter {
  const bytes = [...Buffer.from(itself)].map((byte) => `%${hex(byte, 2)}`).join('')
  const units = Array.from({ length: itself.length }, (_, at) => itself.charCodeAt(at))
  const code = itself.codePointAt(0) ?? 0
  const encoded = [bytes, units.map((unit) => `\\u${hex(unit, 4)}`).join('')]
  for (const zeros of ['', '0', '00'])
    encoded.push(`&#${zeros}${code};`, `&#x${zeros}${code.toString(16)};`)
  if (!/[a-z0-9]/i.test(itself)) encoded.push(`\\${itself}`)
  if (itself === ' ') encoded.push('+')
  const name = htmlNames[itself]
  if (name !== undefined) encoded.push(`&${name};`)
  return { itself, encoded }
}

const htmlNames: Readonly<Record<string, string>> = {
  '&': 'amp',
  '"': 'quot',
  '<': 'lt',
  '>': 'gt',
  "'": 'apos',
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

/** @returns a value as a form has it (application/x-www-form-urlencoded) */
export function formEncode(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1)
}

/** @returns a text of the server as one short line in quotes */
export function quote(text: string): string {
  return JSON.stringify(shorten(text))
}

/** @returns a text of the server as one short line */
export function shorten(text: string): string {
  const line = oneLine(text)
  return line.length > longest ? `${line.slice(0, longest)}…` : line
}
