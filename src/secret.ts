/**
 * Secrets of the configuration: read when they are needed, from where the file says.
 *
 * Promises that a secret appears in no error, that a file others can read is refused with the `chmod`
 * that cures it, and that a program that prints a secret is run once.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { Failure, Misconfigured, Unavailable } from './errors.ts'
import { octal } from './octal.ts'
import { createCommandRunner, outputLimit, type Ran } from './run-command.ts'

export type Secret =
  | { readonly kind: 'inline'; readonly value: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'env'; readonly variable: string }
  | { readonly kind: 'command'; readonly command: readonly string[] }
  | { readonly kind: 'credential'; readonly name: string }

/**
 * Reads a secret, without the white space around it.
 *
 * @rejects Misconfigured when it is missing, empty or readable by others; Unavailable when the program
 *   that prints it takes too long
 */
export type ReadSecret = (secret: Secret) => Promise<string>

const onlyASecret = 'name a file that holds the secret and nothing else'

/**
 * @param baseDirectory what a relative path starts from: the folder of the configuration file
 * @returns a reader that remembers what commands printed, so that a password manager is asked once
 */
export function createSecretReader(
  baseDirectory: string,
  env: NodeJS.ProcessEnv,
  commandTimeoutMs?: number,
): ReadSecret {
  const run = createCommandRunner(baseDirectory, env, commandTimeoutMs)
  const printed = new Map<string, Promise<string>>()

  return async (secret) => {
    switch (secret.kind) {
      case 'inline':
        return secret.value
      case 'file':
        return nonEmpty(await readPrivateFile(expandPath(secret.path, baseDirectory, env)), secret)
      case 'env':
        return nonEmpty(env[secret.variable] ?? '', secret)
      case 'credential':
        return nonEmpty(await readCredential(secret.name, env), secret)
      case 'command': {
        const key = JSON.stringify(secret.command)
        let output = printed.get(key)
        if (!output) {
          output = run(secret.command).then((ran) => nonEmpty(printedBy(ran, secret), secret))
          printed.set(key, output)
          output.catch(() => printed.delete(key))
        }
        return output
      }
    }
  }
}

/** Where a secret comes from, in words that can stand in a message. */
export function describeSecret(secret: Secret): string {
  switch (secret.kind) {
    case 'inline':
      return 'the configuration file'
    case 'file':
      return `the file ${secret.path}`
    case 'env':
      return `the environment variable ${secret.variable}`
    case 'command':
      return `the command ${JSON.stringify(secret.command[0])}`
    case 'credential':
      return `the systemd credential ${secret.name}`
  }
}

/** `~/` is the home directory; anything else relative starts at the configuration file. */
export function expandPath(path: string, baseDirectory: string, env: NodeJS.ProcessEnv): string {
  if (path.startsWith('~/')) return join(env['HOME'] ?? homedir(), path.slice(2))
  return isAbsolute(path) ? path : resolve(baseDirectory, path)
}

/**
 * What is wrong with the mode of a file that holds a secret.
 *
 * @returns a sentence and the cure, or undefined when nobody can read it who should not
 */
export function exposure(
  path: string,
  stat: { readonly mode: number; readonly gid: number },
): { message: string; hint: string } | undefined {
  const mode = octal(stat.mode)
  if ((stat.mode & 0o007) !== 0)
    return { message: `${path} is open to others (mode ${mode})`, hint: `chmod o= ${path}` }
  if ((stat.mode & 0o020) !== 0)
    return {
      message: `${path} can be written by its group (mode ${mode})`,
      hint: `chmod g-w ${path}`,
    }
  if ((stat.mode & 0o040) !== 0 && !ownGroups().includes(stat.gid))
    return {
      message: `${path} can be read by group ${stat.gid}, which is not a group of this process (mode ${mode})`,
      hint: `chmod g= ${path}`,
    }
  return undefined
}

function ownGroups(): number[] {
  return [process.getgid?.() ?? -1, ...(process.getgroups?.() ?? [])]
}

function nonEmpty(value: string, secret: Secret): string {
  const trimmed = value.trim()
  if (trimmed === '')
    throw new Misconfigured(`${describeSecret(secret)} is empty or not set`, {
      hint: 'put the secret there, then run: xoauthd reload',
    })
  return trimmed
}

async function readPrivateFile(path: string): Promise<string> {
  try {
    // Opening a pipe would wait for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const stat = await file.stat()
      if (!stat.isFile()) throw new Misconfigured(`${path} is not a file`, { hint: onlyASecret })
      const problem = exposure(path, stat)
      if (problem) throw new Misconfigured(problem.message, { hint: problem.hint })
      if (stat.size > outputLimit)
        throw new Misconfigured(`${path} is too large for a secret`, { hint: onlyASecret })
      return await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (error) {
    throw error instanceof Failure ? error : unreadable(path, error)
  }
}

async function readCredential(name: string, env: NodeJS.ProcessEnv): Promise<string> {
  const directory = env['CREDENTIALS_DIRECTORY']
  if (directory === undefined || !/^[^/]+$/.test(name) || name === '..')
    throw new Misconfigured(`there is no systemd credential ${JSON.stringify(name)}`, {
      hint: `add LoadCredential=${name}:/path/to/file to the unit`,
    })
  // systemd sets the modes of this folder itself, for this service alone.
  const path = join(directory, name)
  try {
    const file = await open(path, 'r')
    try {
      return await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (error) {
    throw unreadable(path, error)
  }
}

function unreadable(path: string, error: unknown): Misconfigured {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
  const why =
    code === 'ENOENT'
      ? 'does not exist'
      : code === 'EACCES'
        ? 'may not be read by this user'
        : `cannot be read (${code})`
  return new Misconfigured(`${path} ${why}`, {
    cause: error,
    hint: 'correct the path or its permissions',
  })
}

function printedBy(ran: Ran, secret: Secret): string {
  switch (ran.kind) {
    case 'printed':
      return firstOf(ran.text)
    case 'late':
      throw new Unavailable(
        `${describeSecret(secret)} printed no secret within ${ran.afterMs / 1000} s`,
        { hint: 'run it by hand; it may be waiting for a passphrase' },
      )
    case 'failed':
    case 'not-started':
      throw new Misconfigured(`${describeSecret(secret)} ${ran.why}`, {
        hint: 'run it by hand as the user of xoauthd, then run: xoauthd reload',
      })
  }
}

/** `pass` and its like keep notes below the first line; a key or certificate spans many on purpose. */
function firstOf(stdout: string): string {
  const whole = stdout.trim()
  return /^(?:\{|-----BEGIN )/.test(whole) ? whole : (whole.split(/\r?\n/, 1)[0] ?? '')
}
