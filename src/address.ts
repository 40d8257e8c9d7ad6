/**
 * What a mailbox address, a domain and an account's pattern look like, and when two are the same.
 *
 * Pure. The socket, the file and the sign-in all ask here, so that a name means the same everywhere.
 */

/** RFC 5321 4.5.3.1.3 allows a path of 256 octets with its angle brackets. */
export const addressMaxBytes = 254

/** atext of RFC 5322 3.2.3, with the UTF-8 of RFC 6532. */
const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-\\u0080-\\u{10ffff}]+"
const label =
  '[A-Za-z0-9\\u0080-\\u{10ffff}](?:[A-Za-z0-9\\-\\u0080-\\u{10ffff}]*[A-Za-z0-9\\u0080-\\u{10ffff}])?'
const domainPattern = new RegExp(`^${label}(?:\\.${label})*$`, 'u')
const addressPattern = new RegExp(`^${atom}(?:\\.${atom})*@${label}(?:\\.${label})*$`, 'u')
/** The C1 controls, spaces that nobody sees and halves of letters are in the range above, and in no address. */
const noLetter = /[\u0080-\u009f\s\ud800-\udfff]/u
/** Nearly every request there is; saves the expressions above on the way that has to be fast. */
const plainAddress = /^[a-zA-Z0-9_-]+(?:\.[a-zA-Z0-9_-]+)*@[a-zA-Z0-9]+(?:[.-][a-zA-Z0-9]+)*$/

/** @returns whether `text` is a dot-atom, `@`, and a domain, at most 254 bytes in all */
export function isAddress(text: string): boolean {
  if (text.length <= addressMaxBytes && plainAddress.test(text)) return true
  return (
    addressPattern.test(text) && !noLetter.test(text) && Buffer.byteLength(text) <= addressMaxBytes
  )
}

/** @returns whether `text` can stand after the `@` */
export function isDomain(text: string): boolean {
  return domainPattern.test(text) && !noLetter.test(text)
}

/** @returns the domain when `text` is `*@domain`, every mailbox of that domain */
export function wildcardDomain(text: string): string | undefined {
  if (!text.startsWith('*@')) return undefined
  const domain = text.slice(2)
  return isDomain(domain) ? domain : undefined
}

/** Addresses that are equal after this are the same mailbox. */
export function foldCase(text: string): string {
  return text.toLowerCase()
}

/** The part after the last `@`. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1)
}

/** @returns whether `address` matches an address or a `*@domain` */
export function matches(pattern: string, address: string): boolean {
  const domain = wildcardDomain(pattern)
  return domain === undefined
    ? foldCase(pattern) === foldCase(address)
    : foldCase(domain) === foldCase(domainOf(address))
}
