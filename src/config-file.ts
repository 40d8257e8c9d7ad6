/**
 * The configuration file on disk: where it is looked for, and whether it may be trusted.
 *
 * It holds commands, so a file that anybody else can write is refused; it may hold secrets, and then
 * nobody else may read it either.
 */
import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { ConfigError } from './config-error.ts'
import { parseConfig, type Config } from './config.ts'
import { expandPath, exposure } from './secret.ts'

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
  const mode = (stats.mode & 0o777).toString(8).padStart(4, '0')
  if ((stats.mode & 0o022) !== 0)
    throw refusal(
      file,
      `can be written by others than its owner (mode ${mode}), and it may name commands; run: chmod go-w ${file}`,
    )
  const config = await parseConfig(text, file, env)
  const open = config.holdsSecret ? exposure(file, stats) : undefined
  if (open) throw refusal(file, `holds a secret, and ${open.message}; run: ${open.hint}`)
  return { ...config, storePath: storePath(config, env) }
}

async function findFile(given: string | undefined, env: NodeJS.ProcessEnv) {
  const candidates = candidatesFor(given, env)
  for (const file of candidates) {
    try {
      const stats = await stat(file)
      return { file, text: await readFile(file, 'utf8'), stats }
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
      ? 'does not exist; examples/config.toml shows what goes in'
      : `does not exist, nor does ${systemFile}; write one, examples/config.toml shows what goes in`,
  )
}

function candidatesFor(given: string | undefined, env: NodeJS.ProcessEnv): string[] {
  const named = given ?? env['XOAUTHD_CONFIG']
  if (named !== undefined && named !== '') return [resolve(named)]
  const xdg = env['XDG_CONFIG_HOME']
  const base =
    xdg !== undefined && isAbsolute(xdg) ? xdg : join(env['HOME'] ?? homedir(), '.config')
  return [join(base, 'xoauthd', 'config.toml'), systemFile]
}

function refusal(file: string, message: string): ConfigError {
  return new ConfigError(file, [{ line: undefined, key: '', message }])
}

/** systemd's folder for state, else the user's; the system's file means the system's store. */
function storePath(config: Config, env: NodeJS.ProcessEnv): string {
  if (config.storePath !== '') return expandPath(config.storePath, join(config.file, '..'), env)
  const [state] = (env['STATE_DIRECTORY'] ?? '').split(':')
  if (state !== undefined && isAbsolute(state)) return state
  if (config.file.startsWith('/etc/')) return '/var/lib/xoauthd'
  const xdg = env['XDG_STATE_HOME']
  const base =
    xdg !== undefined && isAbsolute(xdg) ? xdg : join(env['HOME'] ?? homedir(), '.local', 'state')
  return join(base, 'xoauthd')
}
