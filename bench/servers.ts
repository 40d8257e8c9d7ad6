/**
 * The processes that are measured: the built daemon, a bare Node server that writes the same bytes, and
 * `node -e`. Each is started the way a user starts it; nothing here is faster or slower than life.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Household } from './household.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const program = join(root, 'bin', 'xoauthd.js')
const startDeadlineMs = 20_000

/** Something that listens on a socket. */
export interface Server {
  readonly name: string
  readonly path: string
  readonly request: string
  /** The length of its answer; 0 when it is not known. */
  readonly bytes: number
  /** Undefined for a peer that somebody else started. */
  readonly pid: number | undefined
  stop(): Promise<void>
}

/** Makes dist/ when it is missing. */
export function ensureBuilt(): void {
  if (!existsSync(join(root, 'dist', 'cli.js')))
    execFileSync('npm', ['run', '-s', 'build'], { cwd: root, stdio: 'inherit' })
}

/**
 * @param pinned the words that bind a process to a core, before the program
 * @param env beside the household's own
 */
export async function startXoauthd(
  { home, request, reply }: Household,
  pinned: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<Server> {
  const child = launch([...pinned, program, 'serve'], { ...home.env, ...env })
  return listening('xoauthd', child, home.socket, request, reply)
}

export async function startBare(
  { home, request, reply }: Household,
  pinned: readonly string[],
): Promise<Server> {
  const path = join(home.path, 'bare.sock')
  const file = join(home.path, 'reply')
  writeFileSync(file, reply)
  const bare = fileURLToPath(new URL('bare-server.js', import.meta.url))
  const child = launch([...pinned, process.execPath, bare, path, file], process.env)
  return listening('bare Node', child, path, request, reply)
}

/** Node with nothing to do. */
export async function startIdleNode(): Promise<{ pid: number; stop(): Promise<void> }> {
  const child = launch([process.execPath, '-e', 'setInterval(() => {}, 1e6)'], process.env)
  await sleep(500)
  return { pid: child.pid ?? 0, stop: () => stop(child) }
}

/** How long `node -e 0` takes, ms. */
export async function timeNode(): Promise<number> {
  const startedMs = performance.now()
  await once(launch([process.execPath, '-e', '0'], process.env), 'close')
  return performance.now() - startedMs
}

/** How long a program takes, ms. */
export async function timeProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const startedMs = performance.now()
  const [code] = (await once(launch([program, ...args], env), 'close')) as [number]
  if (code !== 0) throw new Error(`${program} ended with ${code}`)
  return performance.now() - startedMs
}

/** How long `xoauthd-token` takes, ms; @param env beside the household's own */
export function timeToken({ home, request }: Household, env: NodeJS.ProcessEnv = {}) {
  const mailbox = request.replace(/^SMTP /, '')
  return timeProgram(join(root, 'bin', 'xoauthd-token'), [mailbox], { ...home.env, ...env })
}

/** @returns a PATH with nothing but one program of /usr/bin; undefined when that is not there */
export function alone(name: string, { home }: Household): NodeJS.ProcessEnv | undefined {
  const file = join('/usr/bin', name)
  if (!existsSync(file)) return undefined
  const folder = join(home.path, name)
  mkdirSync(folder, { recursive: true })
  if (!existsSync(join(folder, name))) symlinkSync(file, join(folder, name))
  return { PATH: folder }
}

/** How long it takes from the start of the daemon to its first answer, ms. */
export async function timeStart(household: Household): Promise<number> {
  const startedMs = performance.now()
  const server = await startXoauthd(household)
  const tookMs = performance.now() - startedMs
  // Killed at once it would leave its socket behind, and the next start would have that to clear away.
  await sleep(100)
  await server.stop()
  return tookMs
}

function launch([command = '', ...args]: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  return spawn(command, args, { env, stdio: 'ignore' })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill()
  await closed
}

/** Waits for the first right answer. */
async function listening(
  name: string,
  child: ChildProcess,
  path: string,
  request: string,
  reply: string,
): Promise<Server> {
  const deadlineMs = performance.now() + startDeadlineMs
  // Looking costs the machine less than asking, which would take part of what is measured.
  while (!existsSync(path) || (await ask(path, request)) !== reply) {
    if (child.exitCode !== null || performance.now() > deadlineMs) {
      await stop(child)
      throw new Error(`${name} did not answer ${request}`)
    }
    await sleep(1)
  }
  return {
    name,
    path,
    request,
    bytes: Buffer.byteLength(reply),
    pid: child.pid,
    stop: () => stop(child),
  }
}

/** @returns what a server answers; nothing when nobody listens */
export function ask(path: string, request: string): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const socket = createConnection({ path, allowHalfOpen: true }, () => socket.end(request))
    socket.setEncoding('utf8')
    socket.on('error', () => undefined)
    socket.on('data', (chunk: string) => (text += chunk))
    socket.on('close', () => resolve(text))
  })
}

/** Resident memory, MB. */
export function residentMb(pid: number): number {
  return status(pid, 'VmRSS') / 1024
}

/** Processor time of all threads so far, microseconds. */
export function processorUs(pid: number): number {
  const tasks = `/proc/${pid}/task`
  return readdirSync(tasks)
    .map((task) => Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]) / 1000)
    .reduce((sum, us) => sum + us, 0)
}

/** How often a process went to sleep and was woken again. */
export function wakeUps(pid: number): number {
  return status(pid, 'voluntary_ctxt_switches')
}

function status(pid: number, key: string): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1])
}
