/**
 * Running a program that prints a secret or a token.
 *
 * Promises that no shell reads the command, that the program gets no input and {@link usualTimeoutMs} at
 * most, and that neither its arguments nor what it wrote to stderr (`set -x` prints secrets there) are in
 * what came of it. Says what happened and judges nothing: its callers know what it means.
 */
import { execFile, type ExecFileException } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import { promisify } from 'node:util'

/** What came of a command. */
export type Ran =
  /** All of its standard output. */
  | { readonly kind: 'printed'; readonly text: string }
  /** It was stopped, having run for so long. */
  | { readonly kind: 'late'; readonly afterMs: number }
  /** It ran and did not do what it should; `why` completes "the command …". */
  | { readonly kind: 'failed'; readonly why: string }
  /** It could not be started at all. */
  | { readonly kind: 'not-started'; readonly why: string }

export interface RunOptions {
  /** What its environment has beside the daemon's own. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

/** Never rejects: what went wrong is part of what came of it. */
export type RunCommand = (command: readonly string[], options?: RunOptions) => Promise<Ran>

/** Long enough to type a passphrase, short enough not to look like a hang. */
const usualTimeoutMs = 30_000
/** A service account's key is 2.4 KB, a certificate chain some more. */
export const outputLimit = 64 * 1024

/** @param baseDirectory where the program is started: the folder of the configuration file */
export function createCommandRunner(
  baseDirectory: string,
  env: NodeJS.ProcessEnv,
  timeoutMs = usualTimeoutMs,
): RunCommand {
  return async ([program = '', ...args], options = {}) => {
    try {
      const running = promisify(execFile)(program, args, {
        cwd: baseDirectory,
        env: { ...env, ...options.env },
        timeout: timeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: outputLimit,
        ...(options.signal ? { signal: options.signal } : {}),
      })
      running.child.stdin?.on('error', () => undefined)
      running.child.stdin?.end()
      return { kind: 'printed', text: (await running).stdout }
    } catch (error) {
      // What Node throws or rejects with repeats the arguments; only parts of it go on.
      return outcomeOf(error as ExecFileException, timeoutMs)
    }
  }
}

/**
 * @param baseDirectory where the program would be started
 * @returns whether the system would find a program: by its path, or by its name on the PATH
 */
export function hasProgram(
  program: string,
  baseDirectory: string,
  env: NodeJS.ProcessEnv,
): boolean {
  const folders = program.includes('/') ? ['.'] : (env['PATH'] ?? '').split(delimiter)
  return folders.some((folder) => isExecutable(resolve(baseDirectory, folder, program)))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function outcomeOf({ code, killed, signal }: ExecFileException, timeoutMs: number): Ran {
  // Node's types know of numbers alone, and its errors of how a program could not be started.
  const name: unknown = code
  if (name === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER')
    return { kind: 'failed', why: `failed (${name}): it prints more than ${outputLimit} bytes` }
  if (killed === true || name === 'ABORT_ERR') return { kind: 'late', afterMs: timeoutMs }
  if (name === 'ENOENT') return { kind: 'not-started', why: 'is not installed' }
  if (typeof name === 'string') return { kind: 'not-started', why: `failed (${name})` }
  return { kind: 'failed', why: `failed (${code ?? signal ?? ''})` }
}
