/** Netstrings (cr.yp.to/proto/netstrings.txt): `5:hello,`. Pure. */

export interface Netstring {
  /** U+FFFD stands for bytes that are not UTF-8. */
  readonly text: string
  /** How long it is with its length and its comma. */
  readonly bytes: number
}

/**
 * Reads the first netstring of what has come so far.
 *
 * @param maxBytes the longest content that is taken
 */
export function readNetstring(
  received: Buffer,
  maxBytes: number,
): Netstring | 'incomplete' | 'malformed' {
  const digitsLimit = String(maxBytes).length
  const colon = received.subarray(0, digitsLimit + 1).indexOf(':')
  const digits = received.toString('latin1', 0, colon < 0 ? digitsLimit + 1 : colon)
  if (!/^(?:0|[1-9]\d*)?$/.test(digits) || digits.length > digitsLimit) return 'malformed'
  if (colon < 0) return 'incomplete'
  const end = colon + 1 + Number(digits)
  if (digits === '' || Number(digits) > maxBytes) return 'malformed'
  if (received.length <= end) return 'incomplete'
  if (received[end] !== ','.charCodeAt(0)) return 'malformed'
  return { text: received.toString('utf8', colon + 1, end), bytes: end + 1 }
}

export function writeNetstring(text: string): string {
  return `${Buffer.byteLength(text)}:${text},`
}
