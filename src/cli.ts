/**
 * The command line: each command is a name, its options and one call.
 *
 * The one door to commander. Nothing but the answer goes to stdout; an error is `xoauthd: what happened`
 * and `hint: what to do` on stderr, with an exit code after sysexits.h.
 */
import { hostname, userInfo } from 'node:os'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { XoauthdError, ask, credentialIn, requestLine, socketPaths } from './client.ts'
import { ConfigError } from './config-error.ts'
import { readConfig } from './config-file.ts'
import { createAccounts } from './accounts.ts'
import { startDaemon, type Daemon } from './daemon.ts'
import { Failure, exitCodes, oneLine } from './errors.ts'
import { createLog } from './log.ts'
import { signIn, signOut, type SignInContext } from './login.ts'
import { formats, parseRequest } from './protocol.ts'
import { createSecretReader } from './secret.ts'
import { createSignInUi, type Person } from './signin.ts'
import type { DaemonStatus } from './status.ts'
import { statusTable } from './status-table.ts'
import { createTransport } from './transport.ts'
import { version } from './version.ts'

interface Common {
  readonly config?: string
  readonly socket?: string
  readonly verbose?: boolean
}

const { env } = process
/** Long enough to find a telephone for the second factor. */
const signInMs = 15 * 60_000
/** Less than the 90 s after which systemd kills, unless told otherwise. */
const stopMs = 60_000

const program = new Command('xoauthd')
  .description('keeps OAuth2 tokens for mail fresh and hands them to mail programs')
  .version(version)
  .helpOption('-h, --help', 'show this help')
  .configureOutput({
    writeErr: (text) =>
      process.stderr.write(
        text.replace(/^error: /, 'xoauthd: ').replace(/\n\((Did you mean .*)\)/, '\nhint: $1'),
      ),
  })
  .exitOverride()

function command(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option('--config <file>', 'the configuration file')
    .option('--socket <path>', "the daemon's socket")
    .option('--verbose', 'say more')
    .exitOverride()
}

command('serve', 'run the daemon in the foreground')
  .option('--check', 'only read the configuration, and what it points to')
  .action((options: Common & { check?: boolean }) =>
    options.check === true ? checkConfiguration(options) : serve(options),
  )

command('login <user>', 'sign in').option('--no-browser', 'do not open a browser').action(login)

command('logout <user>', 'forget a sign-in')
  .option('--revoke', 'end it at the provider too')
  .action(logout)

command('token <user>', 'print a token')
  .option('--service <name>', 'what it is for', 'smtp')
  .addOption(new Option('--format <format>', 'how it is printed').choices(formats).default('token'))
  .option('--no-newline', 'print no newline after it')
  .option('--refused', 'the mail server refused the last one: fetch another')
  .option('--min <seconds>', 'how long it must still live', wholeNumber)
  .option('--wait <seconds>', 'how long to wait for a refresh, at most 60', wholeNumber)
  .action(token)

command('status', 'show the accounts and their tokens').option('--json', 'as JSON').action(status)

command('refresh <user>', 'fetch a token now').action(refresh)

command('reload', 'read the configuration again').action((options: Common) =>
  order(options, 'RELOAD'),
)

async function serve(options: Common): Promise<void> {
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
      leave(1)
    }
    asked.stop = true
    log.info('stopping', { signal })
    const late = () => {
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
  const daemon = await startDaemon(options.config, env, daemonLog)
  started.daemon = daemon
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
  if (failed !== undefined) process.exitCode = exitCodes.config
  else process.stdout.write(`${config.file}: ${config.accounts.length} account(s), all well\n`)
}

async function login(user: string, options: Common & { browser: boolean }): Promise<void> {
  const context = await signInContext(options)
  const remote = env['SSH_CONNECTION'] !== undefined
  const desktop = env['DISPLAY'] !== undefined || env['WAYLAND_DISPLAY'] !== undefined
  const person: Person = {
    say: (line) => process.stderr.write(`${line}\n`),
    typed: typedLines(),
    openBrowser:
      options.browser && (desktop || process.platform === 'darwin') && !remote
        ? openBrowser
        : undefined,
    forwardPort: remote
      ? (port) => `ssh -N -L ${port}:127.0.0.1:${port} ${userInfo().username}@${hostname()}`
      : undefined,
  }
  const signal = AbortSignal.timeout(signInMs)
  try {
    const { account, warnings } = await signIn(user, createSignInUi(person), context, signal)
    for (const warning of warnings) process.stderr.write(`xoauthd: warning: ${warning}\n`)
    process.stderr.write(`Signed in as ${account.user} for ${account.services.join(', ')}.\n`)
  } finally {
    // An open terminal or pipe would keep the process; a file or /dev/null has no unref().
    process.stdin.destroy()
    context.surroundings.transport.close()
  }
}

/** Reads nothing before it is asked to: what came earlier, an end too, would be lost. */
async function* typedLines(): AsyncGenerator<string> {
  yield* createInterface({ input: process.stdin })
}

async function openBrowser(url: string): Promise<void> {
  const { default: open } = await import('open')
  await open(url)
}

async function logout(user: string, options: Common & { revoke?: boolean }): Promise<void> {
  const context = await signInContext(options)
  const signal = AbortSignal.timeout(signInMs)
  const had = await signOut(user, options.revoke === true, context, signal)
  context.surroundings.transport.close()
  process.stderr.write(had ? `Signed out ${user}.\n` : `Nobody was signed in as ${user}.\n`)
}

async function signInContext(options: Common): Promise<SignInContext> {
  const config = await readConfig(options.config, env)
  const readSecret = createSecretReader(dirname(config.file), env)
  const control = config.sockets.filter((socket) => socket.control).map(({ path }) => path)
  return {
    config,
    surroundings: { transport: createTransport(version), readSecret },
    sockets: options.socket === undefined ? [...control, ...socketPaths(env)] : [options.socket],
  }
}

interface TokenFlags extends Common {
  readonly service: string
  readonly format: string
  readonly newline: boolean
  readonly refused?: boolean
  readonly min?: number
  readonly wait?: number
}

async function token(user: string, options: TokenFlags): Promise<void> {
  const line = requestLine(user, options.format, options)
  const reply = credentialIn(await ask(await socketsFor(options), line)).replace(/\n$/, '')
  process.stdout.write(options.newline ? `${reply}\n` : reply)
}

async function status(options: Common & { json?: boolean }): Promise<void> {
  const reply = await ask(await socketsFor(options), 'STATUS')
  const parsed = controlReply(reply) as unknown as DaemonStatus
  const nowS = Math.floor(Date.now() / 1000)
  process.stdout.write(options.json === true ? reply : statusTable(parsed, nowS))
}

async function refresh(user: string, options: Common): Promise<void> {
  const line = `REFRESH ${user}`
  const request = parseRequest(line)
  if (request.kind === 'malformed') throw request.failure
  await order(options, line)
}

async function order(options: Common, line: string): Promise<void> {
  controlReply(await ask(await socketsFor(options), line))
}

/** A control socket answers in JSON; any other one closes without a word. */
function controlReply(reply: string): Record<string, unknown> {
  if (reply === '')
    throw new XoauthdError(
      'not-allowed',
      'this socket gives out tokens and does not control the daemon',
      'name the control socket with --socket',
    )
  // A daemon that is killed while it answers leaves half a line.
  if (!reply.endsWith('\n'))
    throw new XoauthdError('unavailable', 'the daemon broke off in its answer', 'ask again')
  const parsed = JSON.parse(reply) as Record<string, unknown>
  if (typeof parsed['error'] === 'string')
    throw new XoauthdError(parsed['error'], textOf(parsed['message']), textOf(parsed['hint']))
  return parsed
}

/** The configuration's control socket comes before the usual places, when it can be read. */
async function socketsFor(options: Common): Promise<string[]> {
  if (options.socket !== undefined) return [options.socket]
  const usual = socketPaths(env)
  if ((env['XOAUTHD_SOCKET'] ?? '') !== '') return usual
  try {
    const config = await readConfig(options.config, env)
    return [...config.sockets.filter(({ control }) => control).map(({ path }) => path), ...usual]
  } catch (error) {
    // A mail program's user may not read the system's configuration, and need not.
    if (options.config !== undefined) throw error
    return usual
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function wholeNumber(text: string): number {
  if (!/^\d{1,8}$/.test(text)) throw new InvalidArgumentError('It must be a number of seconds.')
  return Number(text)
}

function wordsOf(error: unknown): { message: string; hint: string | undefined; code: number } {
  if (error instanceof Failure)
    return { message: error.message, hint: error.hint, code: exitCodes[error.code] }
  if (error instanceof XoauthdError) {
    const code = (exitCodes as Record<string, number>)[error.code] ?? 1
    return { message: error.message, hint: error.hint, code }
  }
  if (error instanceof ConfigError)
    return { message: error.message, hint: undefined, code: exitCodes.config }
  throw error
}

function complain(message: string, hint: string | undefined): void {
  for (const line of message.split('\n')) process.stderr.write(`xoauthd: ${oneLine(line)}\n`)
  if (hint !== undefined && hint !== '') process.stderr.write(`hint: ${hint}\n`)
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? 0 : exitCodes['bad-request']
  else {
    const { message, hint, code } = wordsOf(error)
    complain(message, hint)
    process.exitCode = code
  }
}
