/**
 * The `[http]` table: where the authentication server listens, who may ask it, and what it serves.
 *
 * Promises that a listener which others than this machine can reach has TLS, and that whoever can reach
 * one over TCP needs credentials.
 */
import { BlockList, isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { httpEntries } from './config-schema.ts'
import { isLoopbackHostPort, parseHostPort } from './endpoint.ts'
import { groupId } from './identity.ts'
import { checkTable, isTable, type Report } from './schema-check.ts'
import type { Output } from './schema.ts'
import { expandPath, type Secret } from './secret.ts'
import { isTooLong, reportScope, tooLong, type Complain, type Served } from './socket-config.ts'

export type HttpListen =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'unix'
      readonly path: string
      readonly mode: number
      readonly gid: number | undefined
    }

export interface HttpConfig {
  readonly listen: HttpListen
  /** The only path that is answered; undefined: any. */
  readonly path: string | undefined
  /** Undefined where nobody has to prove who he is: on a UNIX socket. */
  readonly login: { readonly user: string; readonly password: Secret } | undefined
  /** The networks that may ask; undefined: all that can reach us. */
  readonly allow: readonly string[] | undefined
  /** Host names that requests may carry beside our own, as a URL spells them. */
  readonly hosts: readonly string[]
  readonly accounts: readonly string[] | undefined
  readonly services: readonly string[] | undefined
  /** A certificate, or its chain, and its key, in PEM. */
  readonly tls: { readonly cert: Secret; readonly key: Secret } | undefined
}

type Entry = Partial<Output<typeof httpEntries>>
type Lacks = (key: string) => boolean

/**
 * @param value what stands in `[http]`; undefined when there is none
 * @param served what the accounts offer
 * @param taken the paths of the sockets
 * @param report takes each problem with the path of its key
 */
export function readHttp(
  value: unknown,
  served: Served,
  taken: readonly string[],
  file: string,
  env: NodeJS.ProcessEnv,
  report: Report,
): HttpConfig | undefined {
  if (value === undefined) return undefined
  if (!isTable(value)) {
    report(['http'], 'must be a table; write [http]')
    return undefined
  }
  const complain: Complain = (key, message) =>
    report(['http', ...(typeof key === 'string' ? [key] : key)], message)
  const entry = checkTable(httpEntries, value, ['http'], report)
  if (entry.listen === undefined) return undefined
  // What is there and wrong is not missing as well.
  const lacks: Lacks = (key) => !Object.hasOwn(value, key)
  const inFolder = (path: string) => expandPath(path, dirname(file), env)
  const listen = /^[/~.]/.test(entry.listen)
    ? unixListen(entry, resolve(inFolder(entry.listen)), taken, lacks, complain)
    : tcpListen(entry, entry.listen, lacks, complain)
  reportScope(entry, served, complain)
  entry.allow?.forEach((network, index) => {
    if (!addNetwork(new BlockList(), network))
      complain(
        ['allow', index],
        `is no network: "${network}"; write an address or a block, e.g. "192.0.2.7" or "10.0.0.0/8"`,
      )
  })
  const hosts = (entry.hosts ?? []).map((host, index) => {
    const name = hostNameOf(host)
    if (name === undefined || parseHostPort(host))
      complain(['hosts', index], 'is no host name; write it alone, e.g. "tokens.example.org"')
    return name ?? host
  })
  return {
    listen,
    path: entry.path,
    login: loginOf(entry, listen, lacks, complain),
    allow: entry.allow,
    hosts,
    accounts: entry.accounts,
    services: entry.services,
    tls: tlsOf(entry, inFolder, lacks, complain),
  }
}

function loginOf(
  entry: Entry,
  listen: HttpListen,
  lacks: Lacks,
  complain: Complain,
): HttpConfig['login'] {
  const { user, password } = entry
  if (user !== undefined && password !== undefined) return { user, password }
  const isOpen = listen.kind === 'unix' && lacks('user') && lacks('password')
  for (const key of ['user', 'password'] as const)
    if (lacks(key) && !isOpen)
      complain(
        key,
        listen.kind === 'tcp'
          ? 'is missing; every program that reaches a TCP port may try, so it needs user and password (a UNIX path needs none)'
          : 'is missing; user and password belong together',
      )
  return undefined
}

function tlsOf(
  { cert, key }: Entry,
  inFolder: (path: string) => string,
  lacks: Lacks,
  complain: Complain,
): HttpConfig['tls'] {
  if (lacks('cert') !== lacks('key'))
    complain(lacks('cert') ? 'cert' : 'key', 'is missing; cert and key belong together')
  if (cert === undefined || key === undefined) return undefined
  // What is not the PEM itself is where to find it.
  const located = (secret: Secret): Secret => {
    if (secret.kind === 'file') return { kind: 'file', path: inFolder(secret.path) }
    return secret.kind === 'inline' && !secret.value.startsWith('-----BEGIN ')
      ? { kind: 'file', path: inFolder(secret.value) }
      : secret
  }
  return { cert: located(cert), key: located(key) }
}

function tcpListen(entry: Entry, text: string, lacks: Lacks, complain: Complain): HttpListen {
  for (const key of ['mode', 'group'] as const)
    if (entry[key] !== undefined)
      complain(key, 'belongs to a UNIX path, and listen is host:port; remove it')
  const address = parseHostPort(text)
  if (!address) {
    complain(
      'listen',
      'must be "host:port", e.g. "127.0.0.1:8025", or the absolute path of a UNIX socket',
    )
    return { kind: 'tcp', host: '127.0.0.1', port: 0 }
  }
  const { host } = address
  if (!isLoopbackHostPort(text) && lacks('cert'))
    complain(
      'listen',
      `is ${host}, which others can reach, and tokens would travel in clear; set cert and key, or listen on 127.0.0.1, [::1] or a UNIX path`,
    )
  return { kind: 'tcp', ...address }
}

function unixListen(
  entry: Entry,
  path: string,
  taken: readonly string[],
  lacks: Lacks,
  complain: Complain,
): HttpListen {
  const { mode = 0o600, group } = entry
  if (isTooLong(path)) complain('listen', `${tooLong(path)}; choose a shorter one`)
  if (taken.includes(path))
    complain('listen', `is the path of a [[socket]]: ${path}; write another`)
  if (entry.allow)
    complain('allow', 'belongs to host:port; who may open a UNIX path is said by mode and group')
  for (const key of ['accounts', 'services'] as const)
    if ((mode & 0o077) !== 0 && lacks(key))
      complain(key, 'is missing; a socket that others may open must say what it serves')
  const gid = group === undefined ? undefined : groupId(group)
  if (group !== undefined && gid === undefined)
    complain('group', `"${group}" is no group of this machine; choose one of: getent group`)
  return { kind: 'unix', path, mode, gid }
}

/** @returns false when `network` is neither an address nor a CIDR block */
export function addNetwork(list: BlockList, network: string): boolean {
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(network) ?? []
  const version = isIP(address)
  if (version === 0 || Number(bits ?? 0) > (version === 4 ? 32 : 128)) return false
  const family = version === 4 ? 'ipv4' : 'ipv6'
  if (bits === undefined) list.addAddress(address, family)
  else list.addSubnet(address, Number(bits), family)
  return true
}

/**
 * The name in a Host header, as a URL spells it, without its port and brackets.
 *
 * @returns undefined when it is none
 */
export function hostNameOf(authority: string): string | undefined {
  const base = `http://${authority}`
  if (authority === '' || !URL.canParse(base)) return undefined
  const { hostname, username, password, pathname, search, hash } = new URL(base)
  const isBare = username + password + search + hash === '' && pathname === '/'
  return isBare && !authority.endsWith('/') ? hostname.replace(/^\[|\]$/g, '') : undefined
}
