/**
 * What a server says, made fit for a message: one short line without what we sent it in confidence.
 *
 * Promises that a secret does not come back in a message as it is, nor as any mixture of itself and of
 * what a form or a URL makes of it (RFC 3986 2.1 takes hex digits in either case).
 */
import { oneLine } from '../errors.ts'

/** What a message may quote of a server's text: enough for a number and a sentence or two. */
const longest = 200

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
  return longestFirst.reduce((rest, secret) => rest.replace(anyFormOf(secret), '***'), text)
}

/** Servers quote what was sent as they read it, as it travelled, or encoded once more by themselves. */
function anyFormOf(secret: string): RegExp {
  return new RegExp(Array.from(secret, anyFormOfLetter).join(''), 'g')
}

function anyFormOfLetter(letter: string): string {
  const itself = letter.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
  const bytes = [...Buffer.from(letter)].map((byte) => `%${eitherCase(byte)}`).join('')
  return `(?:${itself}|${bytes}${letter === ' ' ? '|\\+' : ''})`
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
