/** `serve`: the daemon in the foreground, its signals and its end. */
import { setFlagsFromString } from 'node:v8'
import { checkStart } from '../check-start.ts'
import { complain, type Common, type Define } from '../command-line.ts'
import { configFileFor } from '../config-file.ts'
import { startDaemon, type Daemon } from '../daemon.ts'
import { BadRequest } from '../errors.ts'
import { exitStatus } from '../findings.ts'
import { createLog } from '../log.ts'
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
  const rows = await checkStart(context, process.env)
  surroundings.transport.close()
  for (const { verdict, account, saw, hint } of rows) {
    const warning = verdict === 'warning' ? 'warning: ' : ''
    complain(`${warning}${account === null ? '' : `${account}: `}${saw}`, hint)
  }
  process.exitCode = exitStatus(rows)
  if (process.exitCode !== 0) return
  const how = rows.length === 0 ? 'all well' : 'well but for the above'
  process.stdout.write(`${config.file}: ${config.accounts.length} account(s), ${how}\n`)
}
