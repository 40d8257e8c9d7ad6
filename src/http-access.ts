/**
 * Who may ask the authentication server: browsers never, others by address, by the name that they use
 * for us, and by credentials.
 *
 * Promises that credentials are compared in constant time, and that nothing which a client says about
 * its own address, such as `X-Forwarded-For`, is believed.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { inBrackets, isLoopback } from './endpoint.ts'
import { addNetwork, hostNameOf, type HttpConfig } from './http-config.ts'

/** Where a connection came from and where it arrived; both undefined on a UNIX socket. */
export interface Ends {
  readonly remoteAddress?: string | undefined
  readonly localAddress?: string | undefined
}

/**
 * Browsers send Origin or Sec-Fetch-Site with everything; nothing that has a right to a token does.
 * Sec-Fetch-Mode alone comes from the fetch of Node, with which EmailEngine asks.
 */
export function isBrowser(headers: IncomingHttpHeaders): boolean {
  return 'origin' in headers || 'sec-fetch-site' in headers
}

/**
 * Whether a request calls us by a name of ours. The page of a stranger whose own name was made to point
 * here (DNS rebinding) still sends that name.
 *
 * @param authority of the Host header, or of an absolute URL
 */
export function isOwnName(
  authority: string | undefined,
  { localAddress }: Ends,
  { listen, hosts }: HttpConfig,
): boolean {
  // Nobody's page reaches a file name, and clients write there what they like.
  if (listen.kind === 'unix') return true
  const name = hostNameOf(authority ?? '')
  if (name === undefined) return false
  if (isLoopback(name) || name === '::1' || hosts.includes(name)) return true
  return name === listen.host.toLowerCase() || name === hostNameOf(inBrackets(plain(localAddress)))
}

/** Of an IPv4 client of an IPv6 listener the IPv4 address; the scope (fe80::1%eth0) is ours, and in no name. */
function plain(address = ''): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
}

/** @returns whether a connection is from a network of `allow` */
export function networkCheck({ allow }: HttpConfig): (ends: Ends) => boolean {
  if (!allow) return () => true
  const list = new BlockList()
  for (const network of allow) addNetwork(list, network)
  return ({ remoteAddress }) => {
    const address = plain(remoteAddress)
    const version = isIP(address)
    return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6')
  }
}

export type Proof = 'right' | 'wrong' | 'missing'

/** @param login undefined where nobody has to prove who he is */
export function credentialCheck(
  login: { readonly user: string; readonly password: string } | undefined,
): (headers: IncomingHttpHeaders) => Proof {
  if (!login) return () => 'right'
  // Hashes have one length, so that not even that of the password shows in the time.
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const wanted = digest(`${login.user}:${login.password}`)
  return ({ authorization }) => {
    if (authorization === undefined) return 'missing'
    const encoded = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(authorization)?.[1] ?? ''
    const given = Buffer.from(encoded, 'base64').toString('utf8')
    // EmailEngine sends what stands in its URL as it stands there, percent-encoded.
    const raw = timingSafeEqual(digest(given), wanted)
    const decoded = timingSafeEqual(digest(percentDecoded(given)), wanted)
    return raw || decoded ? 'right' : 'wrong'
  }
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
