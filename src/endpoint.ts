/** Addresses of servers: their spelling, and which of them a token or a secret may be sent to. Pure. */

export interface HostPort {
  /** An IPv6 address is without its brackets. */
  readonly host: string
  readonly port: number
}

/** @returns the parts of `host:port`, where an IPv6 address stands in brackets */
export function parseHostPort(value: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(value)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host !== undefined && port <= 65535 ? { host, port } : undefined
}

/** @returns a host as it stands before a port: an IPv6 address in brackets */
export function inBrackets(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** @returns `host:port`, which {@link parseHostPort} reads again */
export function nameOf({ host, port }: HostPort): string {
  return `${inBrackets(host)}:${port}`
}

/** @returns whether nobody but this very machine can connect to a `host:port` */
export function isLoopbackHostPort(value: string): boolean {
  const host = parseHostPort(value)?.host
  return host !== undefined && isLoopback(inBrackets(host))
}

/** @returns whether a token or a secret may be sent there */
export function isSafeEndpoint(value: string): boolean {
  if (!URL.canParse(value)) return false
  const url = new URL(value)
  if (url.username !== '' || url.password !== '' || url.hash !== '') return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

/** @returns whether a URL's host name is this machine's own */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)
}
