/**
 * The configuration file on disk: where it is looked for, and whether it may be trusted.
 *
 * It holds commands, so a file that anybody else but root owns or can write is refused; it may hold
 * secrets, and then nobody else may read it either.
 */
import { existsSync, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { ConfigError } from './config-error.ts'
import { parseConfig, type Config } from './config.ts'
import { octal } from './octal.ts'
import { expandPath, exposure, type Secret } from './secret.ts'

const systemFile = '/etc/xoauthd/config.toml'

/**
 * Finds, reads and checks the configuration.
 *
 * @param given the path of `--config`, if there was one
 * @rejects ConfigError with all problems
 */
export async function readConfig(
  given: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<Config> {
  const { file, text, stats } = await findFile(given, env)
  refuseUntrusted(file, stats)
  const config = await parseConfig(text, file, env)
  if (config.holdsSecret) refuseExposed(file, stats, 'holds a secret')
  const storeKey = config.storeKey ?? storeKeyCredential(env)
  return { ...config, storePath: storePath(config, env), storeKey }
}

/**
 * It may name commands, so its owner and those who can write it decide what is run.
 *
 * @throws ConfigError
 */
export function refuseUntrusted(file: string, stats: Stats): void {
  const self = process.geteuid?.() ?? stats.uid
  if (stats.uid !== 0 && stats.uid !== self)
    throw refusal(
      file,
      `belongs to user ${stats.uid}, who is neither root nor this user (${self}), and it may name commands; run as root: chown ${self} ${file}`,
    )
  if ((stats.mode & 0o022) !== 0)
    throw refusal(
      file,
      `can be written by others than its owner (mode ${octal(stats.mode)}), and it may name commands; run: chmod go-w ${file}`,
    )
}

/**
 * @param why its content needs a private file
 * @throws ConfigError when it is open to others
 */
export function refuseExposed(file: string, stats: Stats, why: string): void {
  const exposed = exposure(file, stats)
  if (exposed) throw refusal(file, `${why}, and ${exposed.message}; run: ${exposed.hint}`)
}

async function findFile(given: string | undefined, env: NodeJS.ProcessEnv) {
  const candidates = candidatesFor(given, env)
  for (const file of candidates) {
    try {
      return await readFile(file)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ENOENT' || code === 'ENOTDIR') continue
      const why =
        code === 'EACCES' ? 'this user may not' : code === 'EISDIR' ? 'it is a folder' : code
      throw refusal(file, `cannot be read: ${why ?? String(error)}`)
    }
  }
  throw refusal(
    candidates[0] ?? systemFile,
    candidates.length === 1
      ? `does not exist; make it with: xoauthd add ADDRESS --config ${candidates[0] ?? ''}`
      : `does not exist, nor does ${systemFile}; make one with: xoauthd add ADDRESS`,
  )
}

/** What is checked is the very file that is read, whatever its name stands for a moment later. */
async function readFile(file: string): Promise<{ file: string; text: string; stats: Stats }> {
  const handle = await open(file)
  try {
    return { file, stats: await handle.stat(), text: await handle.readFile('utf8') }
  } finally {
    await handle.close()
  }
}

function candidatesFor(given: string | undefined, env: NodeJS.ProcessEnv): string[] {
  const named = given ?? env['XOAUTHD_CONFIG']
  if (named !== undefined && named !== '') return [resolve(named)]
  return [join(configHome(env), 'xoauthd', 'config.toml'), systemFile]
}

/**
 * Where the configuration is, or where it is to be written when there is none.
 *
 * @param given the path of `--config`, if there was one
 */
export function configFileFor(given: string | undefined, env: NodeJS.ProcessEnv): string {
  const candidates = candidatesFor(given, env)
  return candidates.find((file) => existsSync(file)) ?? candidates[0] ?? systemFile
}

/** Where a person's configuration lies (XDG Base Directory Specification). */
export function configHome(env: NodeJS.ProcessEnv): string {
  return absolute(env['XDG_CONFIG_HOME']) ?? join(homeOf(env), '.config')
}

function refusal(file: string, message: string): ConfigError {
  return new ConfigError(file, [{ line: undefined, key: '', message }])
}

/** systemd's folder for state, else the user's; the system's file means the system's store. */
function storePath(config: Config, env: NodeJS.ProcessEnv): string {
  if (config.storePath !== '')
    return resolve(expandPath(config.storePath, dirname(config.file), env))
  const [state] = (env['STATE_DIRECTORY'] ?? '').split(':')
  if (state !== undefined && isAbsolute(state)) return state
  if (config.file.startsWith('/etc/')) return '/var/lib/xoauthd'
  return join(absolute(env['XDG_STATE_HOME']) ?? join(homeOf(env), '.local', 'state'), 'xoauthd')
}

const storeKeyName = 'xoauthd-store-key'

/** What the unit hands over under our name needs no word in the file. */
function storeKeyCredential(env: NodeJS.ProcessEnv): Secret | undefined {
  const folder = env['CREDENTIALS_DIRECTORY']
  return folder !== undefined && existsSync(join(folder, storeKeyName))
    ? { kind: 'credential', name: storeKeyName }
    : undefined
}

function homeOf(env: NodeJS.ProcessEnv): string {
  return absolute(env['HOME']) ?? homedir()
}

/** A relative path in such a variable counts as none (XDG Base Directory Specification). */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined
}
