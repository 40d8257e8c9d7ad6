/**
 * The daemon: builds every part, starts them in order, reloads, and stops them in reverse.
 *
 * Promises that a reload which fails changes nothing, and that a stop lets open requests and running
 * refreshes end.
 */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createAccounts, type Accounts } from './accounts.ts'
import { inheritedSockets } from './activation.ts'
import { createAlarm } from './alarm.ts'
import type { SocketService } from './answer.ts'
import { createAudit } from './audit.ts'
import { ConfigError } from './config-error.ts'
import { readConfig } from './config-file.ts'
import type { Config } from './config.ts'
import { createConnections } from './connections.ts'
import { createCredentials, createScope } from './credentials.ts'
import { clientLimit } from './descriptors.ts'
import { Misconfigured, UnknownAccount, asFailure, type Failure } from './errors.ts'
import { createKeeper, type Keeper } from './keeper.ts'
import type { Log } from './log.ts'
import type { ControlRequest } from './protocol.ts'
import { createSecretReader } from './secret.ts'
import type { SocketConfig } from './socket-config.ts'
import { defaultSocketPath } from './socket-path.ts'
import { checkInherited, openSocket, type SocketListener } from './socket.ts'
import { daemonStatus } from './status.ts'
import { openStore } from './store.ts'
import { createTransport } from './transport.ts'
import { version } from './version.ts'

export interface Daemon {
  /** Reads the configuration again; what is broken is logged, and changes nothing. */
  reload(): Promise<void>
  stop(): Promise<void>
}

/**
 * Starts everything; sockets appear last, when the tokens in the store have been read.
 *
 * @param given the path of `--config`, read again by each reload
 * @rejects ConfigError, or a Failure of the store or a socket
 */
export async function startDaemon(
  given: string | undefined,
  env: NodeJS.ProcessEnv,
  log: Log,
): Promise<Daemon> {
  let config = await readConfig(given, env)
  log.setLevel(config.log.level)
  const startedAtMs = Date.now()
  const store = await openStore(config.storePath)
  const releaseStore = await store.lockForDaemon()
  const transport = createTransport(version)
  const alarm = createAlarm((nowMs) => keeper.tick(nowMs))
  const keeper: Keeper = createKeeper({
    store,
    log,
    now: Date.now,
    wake: (delayMs) => alarm.set(delayMs),
  })
  let accounts = accountsOf(config)
  const audit = createAudit((text) => log.line(text), config.log.audit)
  const credentials = createCredentials(() => accounts, keeper)
  const inherited = inheritedSockets(env)
  const connections = createConnections({ most: clientLimit(), log })
  const sockets = new Map<string, Opened>()
  const closings = new Set<Promise<void>>()
  let turn: Promise<void> = Promise.resolve()

  function accountsOf(from: Config): Accounts {
    const readSecret = createSecretReader(dirname(from.file), env)
    return createAccounts(from, { transport, readSecret })
  }

  async function open(socket: SocketConfig): Promise<Opened> {
    // Only this folder is ours to make: systemd and the administrator make the others.
    if (socket.path === defaultSocketPath(env))
      await mkdir(dirname(socket.path), { mode: 0o700 }).catch(() => undefined)
    const service = { credentials, audit, log, now: Date.now, ...rightsOf(socket) }
    const listener = await openSocket(socket, service, connections, inherited.get(socket.path))
    const opened = { config: socket, service, listener }
    sockets.set(socket.path, opened)
    return opened
  }

  /** Its name is free when this resolves; what is open on it ends among the `closings`. */
  async function shut({ config: { path }, listener }: Opened): Promise<void> {
    sockets.delete(path)
    // Its descriptor is closed with it, and the number is soon another's.
    inherited.delete(path)
    await listener.leave().catch((error: unknown) => {
      log.warn('socket left behind', { socket: path, reason: String(error) })
    })
    const closing = listener.drain().finally(() => closings.delete(closing))
    closings.add(closing)
  }

  function rightsOf(socket: SocketConfig): Pick<SocketService, 'scope' | 'control'> {
    return { scope: createScope(socket), control: socket.control ? control : undefined }
  }

  async function control(request: ControlRequest): Promise<object> {
    try {
      return await obey(request)
    } catch (error) {
      throw failureOf(error)
    }
  }

  async function obey(request: ControlRequest): Promise<object> {
    switch (request.kind) {
      case 'status': {
        const { file, storePath } = config
        const paths = [...sockets.keys()]
        const kept = keeper.kept()
        return daemonStatus({ startedAtMs, file, storePath, sockets: paths, kept }, Date.now())
      }
      case 'refresh': {
        const found = accounts.findByName(request.mailbox)
        if (!found) throw new UnknownAccount(`no account answers for ${request.mailbox}`)
        await keeper.refresh(found.account, found.mailbox)
        return { refreshed: found.account.user }
      }
      case 'reload':
        await reload()
        return { reloaded: config.file }
    }
  }

  /** One at a time, and none beside a stop. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    const done = turn.then(work)
    turn = done.catch(() => undefined)
    return done
  }

  function reload(): Promise<void> {
    return inTurn(async () => {
      try {
        await take(await readConfig(given, env))
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        for (const line of reason.split('\n')) log.error('reload failed', { reason: line })
        log.warn('configuration kept', { file: config.file })
        throw error
      }
    })
  }

  /** What can fail comes first and is undone, so that a reload which fails has changed nothing. */
  async function take(next: Config): Promise<void> {
    const nextAccounts = accountsOf(next)
    await openSockets(next.sockets)
    const wanted = new Map(next.sockets.map((socket) => [socket.path, socket]))
    for (const opened of [...sockets.values()]) {
      const socket = wanted.get(opened.config.path)
      if (socket) {
        Object.assign(opened.service, rightsOf(socket))
        opened.config = socket
      } else await shut(opened)
    }
    if (next.storePath !== config.storePath)
      log.warn('store not moved', { store: config.storePath, hint: 'restart xoauthd to move it' })
    config = next
    accounts = nextAccounts
    log.setLevel(next.log.level)
    audit.setAnswers(next.log.audit)
    await keeper.adopt(accounts, Date.now())
    log.info('reloaded', { file: next.file, accounts: next.accounts.length })
  }

  async function openSockets(wanted: readonly SocketConfig[]): Promise<void> {
    const undo: (() => Promise<void>)[] = []
    try {
      for (const socket of wanted) {
        const before = sockets.get(socket.path)
        if (before && inherited.has(socket.path)) {
          await checkInherited(socket)
          continue
        }
        if (before && sameName(before.config, socket)) continue
        if (before) {
          // The request for this very reload may be open on it, and is not waited for.
          await shut(before)
          undo.push(async () => {
            await open(before.config)
          })
        }
        const opened = await open(socket)
        undo.push(() => shut(opened))
      }
    } catch (error) {
      for (const step of undo.reverse())
        await step().catch((reason: unknown) => {
          log.error('socket not restored', { reason: String(reason) })
        })
      throw error
    }
  }

  await keeper.adopt(accounts, Date.now())
  try {
    await openSockets(config.sockets)
  } catch (error) {
    await stop().catch((reason: unknown) => log.error('stop failed', { reason: String(reason) }))
    throw error
  }
  for (const path of inherited.keys())
    if (!sockets.has(path))
      log.warn('socket not configured', { socket: path, hint: 'add a [[socket]] with this path' })
  log.info('ready', { version, accounts: config.accounts.length, sockets: sockets.size })

  async function stop(): Promise<void> {
    await Promise.all([...sockets.values()].map(shut))
    await Promise.all(closings)
    await keeper.close()
    alarm.stop()
    transport.close()
    audit.flush()
    await releaseStore()
    await store.close()
  }

  return {
    reload: () => reload().catch(() => undefined),
    stop: () => inTurn(stop),
  }
}

interface Opened {
  /** Of the last reload that kept it. */
  config: SocketConfig
  /** Its rights may change with a reload. */
  readonly service: { -readonly [Key in keyof SocketService]: SocketService[Key] }
  readonly listener: SocketListener
}

/** Where the file is wrong, the one who asked for the reload is told all of it. */
function failureOf(error: unknown): Failure {
  return error instanceof ConfigError
    ? new Misconfigured(error.message.replaceAll('\n', '; '))
    : asFailure(error)
}

function sameName(a: SocketConfig, b: SocketConfig): boolean {
  return a.mode === b.mode && a.gid === b.gid && a.uid === b.uid
}
