/**
 * What a server says, made fit for a message: one short line without what we sent it in confidence.
 *
 * Promises that a secret does not come back in a message as it is, nor as any mixture of itself and of
 * what a form or a URL makes of it (RFC 3986 2.1 takes hex digits in either case).
 */
import { oneLine } from '../errors.ts'

/** What a message may quote of a server's text: enough for a number and a sentence or two. */
const longest = 200

/** A message quotes a text's beginning: more of it is not looked at, however long it is. */
const examined = 20_000

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
 * @returns the beginning of a text, 20,000 characters less the longest secret at least, with each of the secrets
 *   replaced by `***`
 */
export function redact(text: string, secrets: readonly string[]): string {
  const telling = secrets.filter((secret) => secret !== '')
  // One secret may be a part of another, which must not remain in pieces.
  const longestFirst = [...telling].sort((a, b) => b.length - a.length)
  const redacted = longestFirst.reduce(without, text.slice(0, examined))
  if (text.length <= examined) return redacted
  // What the cut went through is not recognised any more.
  const longestForm = 3 * Math.max(0, ...telling.map((secret) => Buffer.byteLength(secret)))
  return redacted.slice(0, Math.max(0, redacted.length - longestForm))
}

interface Letter {
  readonly itself: string
  /** As a URL or a form has it, in small letters. */
  readonly encoded: string
}

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
  return rest + text.slice(from)
}

/** Servers quote what was sent as they read it, as it travelled, or encoded once more by themselves. */
function endOf(text: string, at: number, letters: readonly Letter[]): number | undefined {
  // A percent sign may be the letter itself or begin another's code: both ways are followed.
  let ends = [at]
  for (const { itself, encoded } of letters) {
    ends = ends.flatMap((end) => [
      ...(text.startsWith(itself, end) || (itself === ' ' && text[end] === '+')
        ? [end + itself.length]
        : []),
      ...(text.slice(end, end + encoded.length).toLowerCase() === encoded
        ? [end + encoded.length]
        : []),
    ])
    if (ends.length === 0) return undefined
  }
  return Math.max(...ends)
}

function letterOf(itself: string): Letter {
  const bytes = [...Buffer.from(itself)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`)
  return { itself, encoded: bytes.join('') }
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
