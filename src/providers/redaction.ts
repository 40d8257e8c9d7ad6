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

/** @returns a text with each of the secrets replaced by `***` */
export function redact(text: string, secrets: readonly string[]): string {
  const telling = secrets.filter((secret) => secret !== '')
  // One secret may be a part of another, which must not remain in pieces.
  const longestFirst = [...telling].sort((a, b) => b.length - a.length)
  const whole = longestFirst.reduce(
    (rest, secret) => rest.replace(anyFormOf(secret), '***'),
    text.slice(0, longestText),
  )
  return withoutPieces(whole, telling)
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

/** Servers quote what was sent as they read it, as it travelled, or encoded once more by themselves. */
function anyFormOf(secret: string): RegExp {
  const spelled = Array.from(secret, anyFormOfLetter).join('')
  return new RegExp([spelled, ...base64FormsOf(secret).map(anyAlphabet)].join('|'), 'g')
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

const anyAlphabet = (form: string): string => form.replace(/-/g, '[-+]').replace(/_/g, '[_/]')

function anyFormOfLetter(letter: string): string {
  const itself = escaped(letter)
  const bytes = [...Buffer.from(letter)].map((byte) => `%${eitherCase(byte)}`).join('')
  const forms = [itself, bytes]
  if (letter === ' ') forms.push('\\+')
  if (!/[a-z0-9]/i.test(letter)) forms.push(...quotedFormsOf(letter))
  return `(?:${forms.join('|')})`
}

/** In JSON a sign may have a backslash or be a number, in HTML a number or a name. */
function quotedFormsOf(letter: string): string[] {
  const code = letter.charCodeAt(0)
  const hex = `${eitherCase(code >> 8)}${eitherCase(code & 0xff)}`
  const names: Record<string, string> = {
    '&': 'amp',
    '"': 'quot',
    '<': 'lt',
    '>': 'gt',
    "'": 'apos',
  }
  return [
    `\\\\${escaped(letter)}`,
    `\\\\u${hex}`,
    `&#0*${code};`,
    `&#[xX]0*${code.toString(16).replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)};`,
    ...(names[letter] === undefined ? [] : [`&${names[letter]};`]),
  ]
}

function escaped(letter: string): string {
  return letter.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
}

function eitherCase(byte: number): string {
  const digits = byte.toString(16).padStart(2, '0')
  return digits.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)
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
