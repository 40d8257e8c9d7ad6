/**
 * A new `[[account]]` at the end of the configuration file.
 *
 * Promises that the whole file is checked with the new account in it before a byte is written, that what
 * was in it stays as it was, and that the file is replaced at once or not at all.
 */
import { randomBytes } from 'node:crypto'
import { chown, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { refuseExposed, refuseUntrusted } from './config-file.ts'
import { parseConfig, parseValue, type Value } from './config.ts'
import { BadRequest } from './errors.ts'

/**
 * Reads `key=value` as it is given on the command line. The value is TOML; what is not, is a string.
 *
 * @throws BadRequest when there is no key
 */
export function parseSetting(text: string): [string, Value] {
  const [, key, value] = /^([a-z_]+)=(.*)$/s.exec(text) ?? []
  if (key === undefined || value === undefined)
    throw new BadRequest(`--set takes key=value, and ${JSON.stringify(text)} is not`, {
      hint: `e.g. --set client_id=… --set 'client_secret={ file = "…" }'`,
    })
  return [key, parseValue(value) ?? value]
}

/** The block as it is written, with an empty line before it. */
export function accountBlock(settings: Readonly<Record<string, Value>>): string {
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${toml(value)}\n`)
  return `\n[[account]]\n${lines.join('')}`
}

function toml(value: Value): string {
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'bigint') return String(value)
  // A string of JSON is one of TOML.
  if (typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`
  const pairs = Object.entries(value).map(([key, each]) => `${keyOf(key)} = ${toml(each)}`)
  return `{ ${pairs.join(', ')} }`
}

function keyOf(key: string): string {
  return /^[\w-]+$/.test(key) ? key : JSON.stringify(key)
}

/**
 * @param file which need not exist
 * @rejects ConfigError when the file would have a problem with the block in it, or may not be trusted with
 *   it; it is left as it was
 */
export async function appendAccount(
  file: string,
  settings: Readonly<Record<string, Value>>,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const there = await stat(file).catch(() => undefined)
  // A link, as those who keep their configuration in a repository have, stays one.
  const target = there ? await realpath(file) : file
  const before = there
    ? await readFile(target, 'utf8')
    : '# The configuration of xoauthd: xoauthd.toml(5).\n'
  const text = `${before.endsWith('\n') || before === '' ? before : `${before}\n`}${accountBlock(settings)}`
  const config = await parseConfig(text, file, env)
  if (there) {
    refuseUntrusted(file, there)
    if (config.holdsSecret) refuseExposed(file, there, 'would hold a secret (nothing was written)')
  }
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  const temporary = `${target}.${randomBytes(6).toString('hex')}`
  const mode = (there?.mode ?? 0o600) & 0o777
  const handle = await open(temporary, 'wx', mode)
  try {
    await handle.writeFile(text)
    await handle.chmod(mode)
    await handle.sync()
    if (there) await chown(temporary, there.uid, there.gid)
    await rename(temporary, target)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}
