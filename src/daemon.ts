/**
 * The daemon: builds every part, starts them in order, reloads, and stops them in reverse.
 *
 * Promises that a reload which fails changes nothing, and that a stop lets open requests and running
 * refreshes end.
 */
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAccounts, type Accounts } from './accounts.ts'
import { createAlarm } from './alarm.ts'
import { createAudit } from './audit.ts'
import { ConfigError } from './config-error.ts'
import { readConfig } from './config-file.ts'
import type { Config } from './config.ts'
import { createCredentials } from './credentials.ts'
import { Misconfigured, UnknownAccount, asFailure, type Failure } from './errors.ts'
import { createExpiryWatch } from './expiry.ts'
import { createKeeper, type Keeper } from './keeper.ts'
import { createListeners } from './listeners.ts'
import type { Log } from './log.ts'
import { createNotifier } from './notifier.ts'
import type { ControlRequest } from './protocol.ts'
import { createCommandRunner } from './run-command.ts'
import { createSecretReader, type ReadSecret } from './secret.ts'
import { daemonStatus } from './status.ts'
import { isSameFolder } from './store-disk.ts'
import { storeStatus } from './store-status.ts'
import { openStore } from './store.ts'
import { recipientsOf } from './store-encryption.ts'
import { createStoreKey, keySourceOf } from './store-key.ts'
import { createTransport } from './transport.ts'
import { version } from './version.ts'
import { createWatch } from './watch.ts'

export interface Daemon {
  /** Reads the configuration again; what is broken is logged, and changes nothing. */
  reload(): Promise<void>
  /** Resolves when all is on disk that must be, however long that takes. */
  stop(): Promise<void>
  /** The accounts whose grants would be lost now. */
  unsaved(): readonly string[]
}

/** A key that takes longer to read than this comes later; until then what needs it is told so. */
const keyPatienceMs = 2_000
/** How often a stop tries to write what the disk does not take. */
const saveAgainMs = 1_000

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
  const key = createStoreKey(() => keySourceOf(config, env))
  const store = await openStore(config.storePath, key)
  const releaseStore = await store.lockForDaemon()
  const transport = createTransport(version)
  const alarm = createAlarm((nowMs) => {
    keeper.tick(nowMs)
    expiryWatch.tick(nowMs)
    watch.tick(nowMs)
  })
  const keeper: Keeper = createKeeper({
    store,
    log,
    now: Date.now,
    wake: (delayMs) => alarm.set(delayMs),
  })
  const expiryWatch = createExpiryWatch(() => keeper.kept(), log)
  const notifier = createNotifier({ command: () => config.notifyCommand, env, log })
  const watch = createWatch({
    ...{ keeper, key, now: Date.now, log },
    tell: (notice) => notifier.tell(notice),
  })
  let accounts = accountsOf(config)
  const audit = createAudit((text) => log.line(text), config.log.audit)
  const credentials = createCredentials(() => accounts, keeper)
  const parts = { accounts: () => accounts, credentials, audit, log, now: Date.now, control }
  const listeners = createListeners(parts, env)
  let turn: Promise<void> = Promise.resolve()

  function readerOf({ file }: Config): ReadSecret {
    return createSecretReader(dirname(file), env)
  }

  function accountsOf(from: Config): Accounts {
    const runCommand = createCommandRunner(dirname(from.file), env)
    return createAccounts(from, { transport, readSecret: readerOf(from), runCommand })
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
        const { file } = config
        const kept = keeper.kept()
        const sockets = listeners.paths()
        const inStore = await storeStatus(store, key, keeper.unsaved())
        return daemonStatus({ startedAtMs, file, store: inStore, sockets, kept }, Date.now())
      }
      case 'refresh': {
        const found = accounts.findByName(request.mailbox)
        if (!found)
          throw new UnknownAccount(`no account answers for ${request.mailbox}`, {
            hint: 'xoauthd status lists the accounts; a new one is there after: xoauthd reload',
          })
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
    if (!(await isSameFolder(next.storePath, store.path)))
      throw new Misconfigured(
        `${next.file} names the store ${next.storePath} instead of ${store.path}, and it cannot be moved while xoauthd runs: restart xoauthd`,
        { hint: 'until then it goes on with the configuration and the store that it had' },
      )
    const nextAccounts = accountsOf(next)
    await listeners.change(next, readerOf(next))
    config = next
    accounts = nextAccounts
    await unlock()
    log.setLevel(next.log.level)
    audit.setAnswers(next.log.audit)
    await keeper.adopt(accounts, Date.now())
    await expiryWatch.look(Date.now())
    log.info('reloaded', { file: next.file, accounts: next.accounts.length })
  }

  /** Only where something is encrypted: reading a key may put a question before a person. */
  async function unlock(): Promise<void> {
    const recipients = await recipientsOf(store.path).catch(() => undefined)
    if (recipients?.length === 0 && !key.trouble()) return
    await Promise.race([key.unlock(), sleep(keyPatienceMs, undefined, { ref: false })])
  }

  await unlock()
  await keeper.adopt(accounts, Date.now())
  watch.tick(Date.now())
  try {
    await listeners.change(config, readerOf(config))
  } catch (error) {
    await stop().catch((reason: unknown) => log.error('stop failed', { reason: String(reason) }))
    throw error
  }
  for (const path of listeners.unclaimed())
    log.warn('socket not configured', { socket: path, hint: 'add a [[socket]] with this path' })
  // What is found to end soon is told at once, and not a tick later.
  void expiryWatch.look(Date.now()).then(() => watch.tick(Date.now()))
  const { length } = listeners.paths()
  log.info('ready', { version, accounts: config.accounts.length, sockets: length })

  async function stop(): Promise<void> {
    await listeners.close()
    notifier.close()
    await keeper.close()
    alarm.stop()
    if (keeper.unsaved().length > 0) await insist()
    transport.close()
    audit.flush()
    await releaseStore()
    await store.close()
  }

  /** A rotated grant that is in memory alone would be gone with us, and the old one may be dead. */
  async function insist(): Promise<void> {
    log.error('stop waits', {
      accounts: keeper.unsaved().join(' '),
      reason: 'the disk does not take a new grant',
      hint: 'make the store writable again; a second signal gives the grant up',
    })
    while (keeper.unsaved().length > 0) {
      await sleep(saveAgainMs)
      await keeper.close()
    }
  }

  return {
    reload: () => reload().catch(() => undefined),
    stop: () => inTurn(stop),
    unsaved: () => keeper.unsaved(),
  }
}

/** Where the file is wrong, the one who asked for the reload is told all of it. */
function failureOf(error: unknown): Failure {
  return error instanceof ConfigError
    ? new Misconfigured(error.message.replaceAll('\n', '; '), {
        hint: 'the daemon goes on with the configuration that it had; correct the file and reload again',
      })
    : asFailure(error)
}
