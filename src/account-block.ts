/**
 * A new `[[account]]` at the end of the configuration file, and what is wrong with it before it is there.
 *
 * Promises that the whole file is checked with the new account in it before a byte is written, that what
 * was in it stays as it was, and that the file is replaced at once or not at all.
 */
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { chown, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ConfigError, type Problem } from './config-error.ts'
import { refuseExposed, refuseUntrusted } from './config-file.ts'
import { parseConfig, parseValue, type Value } from './config.ts'
import { BadRequest, Misconfigured } from './errors.ts'

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

/** A value as it is written into the file, on one line. */
export function toml(value: Value): string {
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

/** What keeps an account out of the file. */
export interface AccountProblem {
  /** E.g. `client_id`, or `scopes.smtp`. */
  readonly key: string
  readonly message: string
}

/**
 * Looks whether an account could be added, as far as its keys are known yet.
 *
 * @param file which need not exist
 * @returns what is wrong with the account itself
 * @rejects ConfigError for what is wrong with the rest of the file, or when it may not be trusted with this
 */
export async function accountProblems(
  file: string,
  settings: Readonly<Record<string, Value>>,
  env: NodeJS.ProcessEnv,
): Promise<readonly AccountProblem[]> {
  return problemsOf(await draftOf(file, settings), env)
}

/**
 * @param file which need not exist
 * @rejects ConfigError or Misconfigured with what {@link accountProblems} finds; the file is left as it was
 */
export async function appendAccount(
  file: string,
  settings: Readonly<Record<string, Value>>,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const draft = await draftOf(file, settings)
  const problems = await problemsOf(draft, env)
  if (problems.length > 0) throw refusalOf(problems, file)
  const { there, target, text } = draft
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

/** @returns the problem in words; no line is named, since none was written */
export function sentenceOf({ key, message }: AccountProblem): string {
  return `${key} ${message}`
}

/** The words of all that keeps an account out. */
export function refusalOf(problems: readonly AccountProblem[], file: string): Misconfigured {
  const sentences = problems.map(sentenceOf).join('; and ')
  return new Misconfigured(`the account was not added: ${sentences}`, {
    hint: `nothing was written to ${file}`,
  })
}

/** The file as it would be. */
interface Draft {
  readonly file: string
  /** As it is now. */
  readonly there: Stats | undefined
  readonly target: string
  readonly text: string
  /** Of the new block. */
  readonly firstLine: number
}

async function draftOf(file: string, settings: Readonly<Record<string, Value>>): Promise<Draft> {
  const there = await stat(file).catch(() => undefined)
  // A link, as those who keep their configuration in a repository have, stays one.
  const target = there ? await realpath(file) : file
  const found = there
    ? await readFile(target, 'utf8')
    : '# The configuration of xoauthd: xoauthd.toml(5).\n'
  const before = found.endsWith('\n') || found === '' ? found : `${found}\n`
  const firstLine = before.split('\n').length
  return { file, there, target, text: `${before}${accountBlock(settings)}`, firstLine }
}

async function problemsOf(
  { file, there, text, firstLine }: Draft,
  env: NodeJS.ProcessEnv,
): Promise<readonly AccountProblem[]> {
  if (there) refuseUntrusted(file, there)
  try {
    const { holdsSecret } = await parseConfig(text, file, env)
    if (there && holdsSecret)
      refuseExposed(file, there, 'would hold a secret (nothing was written)')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const isOwn = ({ line, key }: Problem) => key !== '' && line !== undefined && line >= firstLine
    const others = error.problems.filter((problem) => !isOwn(problem))
    if (others.length > 0) throw new ConfigError(file, others)
    return error.problems.map(({ key, message }) => ({
      key: key.replace(/^account\[\d+\]\.?/, ''),
      message,
    }))
  }
}
