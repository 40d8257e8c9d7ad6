/**
 * The client side: one process that asks a server so many times, the same one for all servers. It is
 * written in C where a compiler is found, and in Node where none is.
 */
import { execFile, execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import type { Server } from './servers.ts'

export interface Load {
  readonly answered: number
  /** Refused, cut off, or answered with anything else than the credential. */
  readonly lost: number
  readonly seconds: number
  readonly p50Us: number
  readonly p99Us: number
}

export interface Client {
  readonly language: 'C' | 'Node'
  /** Sends `count` requests, `inFlight` at a time; where it is one, so long after the one before. */
  run(server: Server, count: number, inFlight: number, pauseUs?: number): Promise<Load>
}

const call = promisify(execFile)
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/**
 * @param folder takes the compiled program
 * @param pinned the words that bind a process to a core
 */
export function createClient(folder: string, pinned: readonly string[]): Client {
  const compiled = compile(join(folder, 'client'))
  const client = compiled === undefined ? [process.execPath, here('client.js')] : [compiled]
  const [program = '', ...before] = [...pinned, ...client]
  return {
    language: compiled === undefined ? 'Node' : 'C',
    async run({ path, request, bytes }, count, inFlight, pauseUs = 0) {
      const args = [path, request, count, inFlight, bytes, pauseUs].map(String)
      const { stdout } = await call(program, [...before, ...args])
      return JSON.parse(stdout) as Load
    },
  }
}

function compile(output: string): string | undefined {
  try {
    execFileSync('cc', ['-O2', '-o', output, here('client.c')], { stdio: 'ignore' })
    return output
  } catch {
    return undefined
  }
}

/**
 * A core for the servers and another for the client, so that they never share one by chance: that
 * chance alone makes a request take half as long or twice.
 */
export function cores(): {
  readonly server: readonly string[]
  readonly client: readonly string[]
} {
  const on = (core: number): string[] => ['taskset', '-c', String(core)]
  try {
    if (availableParallelism() < 2) return { server: [], client: [] }
    execFileSync('taskset', ['-c', '0,1', 'true'], { stdio: 'ignore' })
    return { server: on(0), client: on(1) }
  } catch {
    return { server: [], client: [] }
  }
}
