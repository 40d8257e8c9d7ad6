/**
 * All that listens: the sockets and the authentication server, opened, reloaded and closed as one.
 *
 * Promises that a change which fails has changed nothing, as far as that can be undone; that a listener
 * whose place stays is not closed by it, and is opened again where somebody removed its name; and that no
 * change waits for a request that is open.
 */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Accounts } from './accounts.ts'
import { inheritedSockets } from './activation.ts'
import type { SocketService } from './answer.ts'
import type { Audit } from './audit.ts'
import { createConnections } from './connections.ts'
import { createScope, type Credentials } from './credentials.ts'
import { clientLimit, clientShares } from './descriptors.ts'
import { Misconfigured } from './errors.ts'
import type { HttpConfig } from './http-config.ts'
import { canKeep, openHttp, prepareHttp, type HttpListener, type PreparedHttp } from './http.ts'
import type { Log } from './log.ts'
import type { ControlRequest } from './protocol.ts'
import type { ReadSecret } from './secret.ts'
import type { SocketConfig } from './socket-config.ts'
import { defaultSocketPath } from './socket-path.ts'
import { openSocket } from './socket.ts'
import { openSocketmap, type SocketmapService } from './socketmap.ts'
import { checkInherited, type SocketListener } from './unix-listener.ts'

export interface Wanted {
  readonly sockets: readonly SocketConfig[]
  readonly http: HttpConfig | undefined
}

export interface Listeners {
  /**
   * Opens what is new or has lost its name, gives what stays its new rights, and closes what is gone.
   *
   * @param readSecret of the same configuration
   * @rejects Failure when something cannot be opened; then all is as it was
   */
  change(wanted: Wanted, readSecret: ReadSecret): Promise<void>
  /** The paths of the sockets. */
  paths(): string[]
  /** Sockets of systemd that no `[[socket]]` asks for. */
  unclaimed(): string[]
  /** Closes all; open requests are waited for, for a while. */
  close(): Promise<void>
}

export interface ListenersOptions {
  readonly accounts: () => Accounts
  readonly credentials: Credentials
  readonly audit: Audit
  readonly log: Log
  readonly now: () => number
  readonly control: (request: ControlRequest) => Promise<object>
}

type Service = SocketService & SocketmapService

interface Opened {
  /** Of the last change that kept it. */
  config: SocketConfig
  /** Its rights may change. */
  readonly service: { -readonly [Key in keyof Service]: Service[Key] }
  readonly listener: SocketListener
}

interface OpenedHttp {
  prepared: PreparedHttp
  readonly listener: HttpListener
}

export function createListeners(options: ListenersOptions, env: NodeJS.ProcessEnv): Listeners {
  const { log } = options
  const inherited = inheritedSockets(env)
  const most = clientShares(clientLimit())
  const connections = createConnections({ most: most.line, log })
  const sockets = new Map<string, Opened>()
  let http: OpenedHttp | undefined
  const closings = new Set<Promise<void>>()

  async function open(config: SocketConfig): Promise<Opened> {
    // Only this folder is ours to make: systemd and the administrator make the others.
    if (config.path === defaultSocketPath(env))
      await mkdir(dirname(config.path), { mode: 0o700 }).catch(() => undefined)
    const service = { ...options, ...rightsOf(config) }
    const fd = inherited.get(config.path)
    const listener =
      config.protocol === 'line'
        ? await openSocket(config, service, connections, fd)
        : await openSocketmap(config, service, most.socketmap, fd)
    const opened = { config, service, listener }
    sockets.set(config.path, opened)
    return opened
  }

  function rightsOf(config: SocketConfig) {
    const { services = ['smtp'], map } = config
    return {
      scope: createScope(config),
      control: config.control ? options.control : undefined,
      purpose: services.includes('smtp') ? 'smtp' : (services[0] ?? 'smtp'),
      map,
    }
  }

  async function shut({ config: { path }, listener }: Opened): Promise<void> {
    sockets.delete(path)
    // Its descriptor is closed with it, and the number is soon another's.
    inherited.delete(path)
    await leave(path, listener)
  }

  async function openServer(prepared: PreparedHttp): Promise<void> {
    const listener = await openHttp(prepared, options, most.http)
    http = { prepared, listener }
    log.info('listening', { http: listener.address })
  }

  async function shutServer(): Promise<void> {
    const opened = http
    http = undefined
    if (opened) await leave(opened.listener.address, opened.listener)
  }

  /** Its name is free when this resolves; what is open on it ends among the `closings`. */
  async function leave(
    name: string,
    listener: Pick<SocketListener, 'leave' | 'drain'>,
  ): Promise<void> {
    await listener.leave().catch((error: unknown) => {
      log.warn('socket left behind', { socket: name, reason: String(error) })
    })
    const closing = listener.drain().finally(() => closings.delete(closing))
    closings.add(closing)
  }

  /** @param undo takes what restores what was there */
  async function openSockets(wanted: readonly SocketConfig[], undo: Undo): Promise<void> {
    for (const config of wanted) {
      const before = sockets.get(config.path)
      if (before && inherited.has(config.path)) {
        await checkInherited(config)
        if (before.config.protocol !== config.protocol)
          throw new Misconfigured(
            `the protocol of ${config.path}, which systemd opened, is another`,
            {
              hint: 'restart xoauthd',
            },
          )
        continue
      }
      const stays = before && isSamePlace(before.config, config)
      if (stays && (await before.listener.isThere())) continue
      if (before) {
        // The request for this very change may be open on it, and is not waited for.
        await shut(before)
        undo.push(async () => {
          await open(before.config)
        })
      }
      const opened = await open(config)
      undo.push(() => shut(opened))
    }
  }

  async function replaceServer(prepared: PreparedHttp | undefined, undo: Undo): Promise<void> {
    const before = http?.prepared
    const stays = before && prepared && canKeep(before.config, prepared.config)
    if (stays && (await http?.listener.isThere())) return
    if (before) {
      await shutServer()
      undo.push(() => openServer(before))
    }
    if (!prepared) return
    await openServer(prepared)
    undo.push(shutServer)
  }

  return {
    async change(wanted, readSecret) {
      const prepared = wanted.http && (await prepareHttp(wanted.http, readSecret))
      const undo: Undo = []
      try {
        await openSockets(wanted.sockets, undo)
        await replaceServer(prepared, undo)
      } catch (error) {
        for (const step of undo.reverse())
          await step().catch((reason: unknown) => {
            log.error('socket not restored', { reason: String(reason) })
          })
        throw error
      }
      const configs = new Map(wanted.sockets.map((config) => [config.path, config]))
      for (const opened of [...sockets.values()]) {
        const config = configs.get(opened.config.path)
        if (config) {
          Object.assign(opened.service, rightsOf(config))
          opened.config = config
        } else await shut(opened)
      }
      if (http && prepared) {
        http.prepared = prepared
        http.listener.replace(prepared)
      }
    },
    paths: () => [...sockets.keys()],
    unclaimed: () => [...inherited.keys()].filter((path) => !sockets.has(path)),
    async close() {
      await Promise.all([...[...sockets.values()].map(shut), shutServer()])
      await Promise.all(closings)
    },
  }
}

type Undo = (() => Promise<void>)[]

function isSamePlace(a: SocketConfig, b: SocketConfig): boolean {
  return a.mode === b.mode && a.gid === b.gid && a.uid === b.uid && a.protocol === b.protocol
}
