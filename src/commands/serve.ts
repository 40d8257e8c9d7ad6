/** `serve`: the daemon in the foreground, its signals and its end. */
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { createAccounts } from '../accounts.ts'
import { complain, wordsOf, type Common, type Define } from '../command-line.ts'
import { configFileFor } from '../config-file.ts'
import { startDaemon, type Daemon } from '../daemon.ts'
import { BadRequest, exitCodes } from '../errors.ts'
import { createLog } from '../log.ts'
import type { SocketConfig } from '../socket-config.ts'
import { defaultSocketPath } from '../socket-path.ts'
import { signInContext } from './context.ts'

/** Less than the 90 s after which systemd kills, unless told otherwise. */
const stopMs = 60_000
/**
 * What an answer leaves behind dies young, so V8's space for the young may stay as small as it begins:
 * that costs no throughput and saves 20 MB under load. On Node's command line every flag of V8 makes Node
 * compile its own modules anew, a seventh of the start; so it is set when they are loaded.
 */
const smallNursery = '--semi-space-growth-factor=1'
/**
 * What runs while we start runs once. With a hundred accounts V8 would think it worth optimising, and keep
 * 4 MB of its optimiser and of what that made; 10,000 accounts take a third longer to start for it. What
 * has run before it is on again is optimised like anything else when it gets busy.
 */
const optimiser = { off: '--no-opt', on: '--opt' }

export function defineServe(define: Define): void {
  define('serve', 'run the daemon in the foreground', [], ['--socket'])
    .option('--check', 'only read the configuration, and what it points to')
    .action(async (options: Common & { check?: boolean }) => {
      if (options.socket !== undefined)
        throw new BadRequest('serve takes no --socket: it listens where its configuration says', {
          hint: `write [[socket]] and below it path = ${JSON.stringify(options.socket)} into ${configFileFor(options.config, process.env)}`,
        })
      await (options.check === true ? checkConfiguration(options) : serve(options))
    })
}

async function serve(options: Common): Promise<void> {
  setFlagsFromString(smallNursery)
  setFlagsFromString(optimiser.off)
  const verbose = options.verbose === true
  const log = createLog(verbose ? 'debug' : 'info')
  // What was asked for here goes before what the file says.
  const daemonLog = verbose ? { ...log, setLevel: () => undefined } : log
  const asked = { reload: false, stop: false }
  const started: { daemon?: Daemon } = {}
  const leave = (code: number): never => {
    log.flush()
    process.exit(code)
  }
  const end = (running: Daemon): void => {
    running.stop().then(
      () => leave(0),
      (error: unknown) => {
        log.error('stop failed', { reason: String(error) })
        leave(1)
      },
    )
  }
  const stop = (signal: string): void => {
    if (asked.stop) {
      log.warn('stopping at once', { signal })
      const lost = started.daemon?.unsaved() ?? []
      if (lost.length > 0) log.error('grants given up', { accounts: lost.join(' ') })
      leave(1)
    }
    asked.stop = true
    log.info('stopping', { signal })
    const late = () => {
      // Nothing that is running keeps it then, but the disk: see `Daemon.stop`.
      if (started.daemon && started.daemon.unsaved().length > 0) return
      log.error('stop took too long', { seconds: stopMs / 1000 })
      leave(1)
    }
    setTimeout(late, stopMs).unref()
    if (started.daemon) end(started.daemon)
  }
  // Before anything else: a signal that nobody handles kills, also while we start.
  process.on('SIGTERM', stop).on('SIGINT', stop)
  process.on('SIGHUP', () => {
    if (started.daemon) void started.daemon.reload()
    else asked.reload = true
  })
  // Node would open its debugger, and with it every token, to whoever may send this.
  process.on('SIGUSR1', () => undefined)
  const daemon = await startDaemon(options.config, process.env, daemonLog)
  started.daemon = daemon
  setFlagsFromString(optimiser.on)
  if (asked.stop) end(daemon)
  else if (asked.reload) void daemon.reload()
}

async function checkConfiguration(options: Common): Promise<void> {
  const context = await signInContext(options)
  const { config, surroundings } = context
  let failed: unknown
  for (const account of createAccounts(config, surroundings).all)
    try {
      await account.provider.check()
    } catch (error) {
      const { message, hint } = wordsOf(error)
      complain(`${account.user}: ${message}`, hint)
      failed = error
    }
  for (const socket of config.sockets) await checkFolder(socket)
  if (failed !== undefined) process.exitCode = exitCodes.config
  else process.stdout.write(`${config.file}: ${config.accounts.length} account(s), all well\n`)
}

/** Where systemd makes the folder, it may rightly be missing now. */
async function checkFolder({ path }: SocketConfig): Promise<void> {
  const folder = dirname(path)
  if (path === defaultSocketPath(process.env)) return
  const there = await stat(folder).catch(() => undefined)
  if (there?.isDirectory() !== true)
    complain(
      `warning: ${folder}, where the socket ${path} is to appear, is no folder`,
      `mkdir -p ${folder}, unless a unit of systemd makes it (RuntimeDirectory=)`,
    )
}
