/**
 * What the commands stand on: the configuration, the store's surroundings, and where the daemon listens.
 */
import { dirname } from 'node:path'
import { text } from 'node:stream/consumers'
import type { AccountConfig } from '../account-config.ts'
import { createAccounts, type Account } from '../accounts.ts'
import { XoauthdError, ask, getTokenFrom, socketPaths, strangeAnswer } from '../client.ts'
import type { Common } from '../command-line.ts'
import { readConfig } from '../config-file.ts'
import { UnknownAccount } from '../errors.ts'
import type { AskToken } from '../imap-login.ts'
import { parseObject, type JsonObject } from '../json.ts'
import type { SignInContext } from '../login.ts'
import { createCommandRunner } from '../run-command.ts'
import { createSecretReader } from '../secret.ts'
import type { DaemonStatus } from '../status.ts'
import { createStoreKey, keySourceOf } from '../store-key.ts'
import { createTransport } from '../transport.ts'
import { version } from '../version.ts'

const { env } = process

/** For a command that works on the store itself and tells the daemon afterwards. */
export async function signInContext(options: Common): Promise<SignInContext> {
  const config = await readConfig(options.config, env)
  const folder = dirname(config.file)
  const readSecret = createSecretReader(folder, env)
  const runCommand = createCommandRunner(folder, env)
  const control = config.sockets.filter((socket) => socket.control).map(({ path }) => path)
  return {
    config,
    surroundings: { transport: createTransport(version), readSecret, runCommand },
    sockets: options.socket === undefined ? [...control, ...socketPaths(env)] : [options.socket],
    storeKey: createStoreKey(() => keySourceOf(config, env)),
  }
}

/**
 * Reads a file of secret keys that an option names.
 *
 * @param path `-` for stdin
 * @rejects Misconfigured when others can read it
 */
export async function readKeyFile(path: string): Promise<string> {
  if (path === '-') return text(process.stdin)
  return createSecretReader(process.cwd(), env)({ kind: 'file', path })
}

/** The configuration's control socket comes before the usual places, when it can be read. */
export async function socketsFor(options: Common): Promise<string[]> {
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

/**
 * The account that answers for a mailbox, as the file has it, and made.
 *
 * @rejects UnknownAccount, ConfigError
 */
export async function configured(
  options: Common,
  mailbox: string,
): Promise<{ config: AccountConfig; account: Account }> {
  const { config, surroundings } = await signInContext(options)
  const found = createAccounts(config, surroundings).find(mailbox)
  const own = config.accounts.find(({ user }) => user === found?.account.user)
  surroundings.transport.close()
  if (found && own) return { config: own, account: found.account }
  throw new UnknownAccount(`no account answers for ${mailbox}`, {
    hint: `write one into ${config.file}`,
  })
}

/**
 * How the commands that talk to a mail server themselves get their tokens.
 *
 * @param waitS how long a refresh is waited for
 */
export async function askToken(
  options: Common,
  mailbox: string,
  service: string,
  waitS: number,
): Promise<AskToken> {
  const paths = await socketsFor(options)
  return (refused) => getTokenFrom(paths, mailbox, { service, wait: waitS, refused })
}

/** What needs no network is answered from memory, at once: who takes longer is stuck. */
const statusMs = 10_000

/**
 * Sends a control line to the daemon.
 *
 * @param waitMs how long the answer may take; the default suits a refresh
 * @returns its answer, as text and parsed
 * @rejects XoauthdError
 */
export async function control(
  options: Common,
  line: string,
  waitMs?: number,
): Promise<{ text: string; parsed: JsonObject }> {
  const text = await ask(await socketsFor(options), line, waitMs)
  return { text, parsed: controlReply(text) }
}

/**
 * Asks the daemon how everything is.
 *
 * @returns its answer, as text and parsed
 * @rejects XoauthdError, also when it takes more than 10 s
 */
export async function askStatus(options: Common): Promise<{ text: string; status: DaemonStatus }> {
  const { text, parsed } = await control(options, 'STATUS', statusMs)
  if (!isStatus(parsed)) throw strangeAnswer()
  return { text, status: parsed }
}

/** The version stands for all that is in it. */
function isStatus(parsed: object): parsed is DaemonStatus {
  const { version, store, accounts } = parsed as Partial<Record<keyof DaemonStatus, unknown>>
  return version === 1 && typeof store === 'object' && Array.isArray(accounts)
}

/** A control socket answers in JSON; any other one closes without a word. */
function controlReply(reply: string): JsonObject {
  if (reply === '')
    throw new XoauthdError(
      'not-allowed',
      'this socket gives out tokens and does not control the daemon',
      'name the control socket with --socket',
    )
  // A daemon that is killed while it answers leaves half a line.
  if (!reply.endsWith('\n'))
    throw new XoauthdError('unavailable', 'the daemon broke off in its answer', 'ask again')
  const parsed = parseObject(reply)
  if (!parsed) throw strangeAnswer()
  if (typeof parsed['error'] === 'string')
    throw new XoauthdError(parsed['error'], textOf(parsed['message']), textOf(parsed['hint']))
  return parsed
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
