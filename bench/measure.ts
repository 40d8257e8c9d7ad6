/**
 * The measurements. Whatever is compared is measured in turns within one run, and a figure is the median
 * of its rounds, a ratio the median of the rounds' ratios: what disturbs the machine hits all alike.
 */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import type { Household } from './household.ts'
import type { Client } from './load.ts'
import {
  alone,
  processorUs,
  residentMb,
  startIdleNode,
  startXoauthd,
  timeNode,
  timeProgram,
  timeStart,
  timeToken,
  wakeUps,
  type Server,
} from './servers.ts'

/** One figure of one round for each server, in the order of the servers. */
export type Rounds = readonly (readonly number[])[]

/** How a server is asked. */
export interface Pattern {
  readonly inFlight: number
  /** Between two requests, where one is in flight. */
  readonly pauseUs?: number
}

export interface LoadFigures {
  readonly pattern: Pattern
  readonly p50Us: Rounds
  readonly p99Us: Rounds
  readonly perSecond: Rounds
  /** Processor time a request, microseconds; NaN for a peer. */
  readonly processorUs: Rounds
  /** By server. */
  readonly lost: readonly number[]
}

/** What the shell client can ask with; it takes the first that is there. */
export const shellTools = ['nc', 'perl', 'socat']

const warmUp = 5_000
/** One request after the other is disturbed the most by what else the machine does: more, shorter rounds. */
const requests = { sequential: 1_000, parallel: 5_000 }
const sequentialRounds = 5

export async function warm(client: Client, servers: readonly Server[]): Promise<void> {
  for (const server of servers) {
    const { answered } = await client.run(server, warmUp, 1)
    if (answered === 0) throw new Error(`${server.path} did not answer ${server.request}`)
    await client.run(server, warmUp, 16)
  }
}

export async function measureLoad(
  client: Client,
  servers: readonly Server[],
  pattern: Pattern,
  rounds: number,
): Promise<LoadFigures> {
  const { inFlight, pauseUs } = pattern
  const p50Us: number[][] = []
  const p99Us: number[][] = []
  const perSecond: number[][] = []
  const processor: number[][] = []
  const lost = servers.map(() => 0)
  const count = inFlight === 1 ? requests.sequential : requests.parallel
  const times = inFlight === 1 ? rounds * sequentialRounds : rounds
  for (let round = 0; round < times; round++) {
    const row = [p50Us, p99Us, perSecond, processor].map((figures) => {
      const values = servers.map(() => NaN)
      figures.push(values)
      return values
    })
    // Every other round backwards, so that nobody always comes after the same one.
    const turns = [...servers.entries()]
    for (const [index, server] of round % 2 === 0 ? turns : turns.reverse()) {
      const beforeUs = server.pid === undefined ? NaN : processorUs(server.pid)
      const load = await client.run(server, count, inFlight, pauseUs)
      const spentUs = server.pid === undefined ? NaN : processorUs(server.pid) - beforeUs
      const values = [load.p50Us, load.p99Us, load.answered / load.seconds, spentUs / count]
      for (const [figure, value] of values.entries()) row[figure]![index] = value
      lost[index] = (lost[index] ?? 0) + load.lost
    }
  }
  return { pattern, p50Us, p99Us, perSecond, processorUs: processor, lost }
}

/** @returns ms of the daemon and of `node -e 0`, by round */
export async function measureStart(household: Household, rounds: number): Promise<Rounds> {
  const figures: number[][] = []
  for (let round = 0; round < rounds; round++)
    figures.push([await timeStart(household), await timeNode()])
  return figures
}

/** @returns ms of the shell client with each of its tools alone, NaN where one is missing; of /bin/true */
export async function measureShell(household: Household, rounds: number): Promise<Rounds> {
  const server = await startXoauthd(household)
  const paths = shellTools.map((tool) => alone(tool, household))
  try {
    const figures: number[][] = []
    // Ten times as many: a round takes milliseconds, and the first warm the file cache.
    for (let round = 0; round < rounds * 10; round++) {
      const row: number[] = []
      for (const path of paths) row.push(path ? await timeToken(household, path) : NaN)
      figures.push([...row, await timeProgram('/bin/true', [], process.env)])
    }
    return figures
  } finally {
    await server.stop()
  }
}

export interface MemoryFigures {
  readonly idleMb: number
  readonly bareMb: number
  /** In so long. */
  readonly wakeUps: number | undefined
  readonly wakeUpsS: number
}

const settleMs = 2_000
/** V8 tidies up once, some seconds after the last work. */
const settleForWatchMs = 15_000
const watchS = 10

/** A daemon that has answered once, and Node with nothing to do. */
export async function measureIdle(household: Household, full: boolean): Promise<MemoryFigures> {
  const [daemon, bare] = [await startXoauthd(household), await startIdleNode()]
  await sleep(settleMs)
  const pid = daemon.pid ?? 0
  const figures = { idleMb: residentMb(pid), bareMb: residentMb(bare.pid), wakeUpsS: watchS }
  let woken: number | undefined
  if (full) {
    await sleep(settleForWatchMs)
    const before = wakeUps(pid)
    await sleep(watchS * 1000)
    woken = wakeUps(pid) - before
  }
  await daemon.stop()
  await bare.stop()
  return { ...figures, wakeUps: woken }
}

/** @returns KB a mailbox of a wildcard */
export async function measureMailboxes(count: number): Promise<number> {
  const program = fileURLToPath(new URL('mailboxes.ts', import.meta.url))
  const args = ['--expose-gc', '--import', 'tsx', program, String(count)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return Number(stdout)
}

/** @returns requests in flight at most, and accounts that were asked for twice */
export async function measureDue(count: number): Promise<{ most: number; twice: number }> {
  const program = fileURLToPath(new URL('crowded-keeper.ts', import.meta.url))
  const args = ['--import', 'tsx', program, String(count)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout) as { most: number; twice: number }
}

export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}

/** The median of a server's figures. */
export function figure(rounds: Rounds, server: number): number {
  return median(rounds.map((round) => round[server] ?? NaN))
}

/** The median of the rounds' ratios of one server to another. */
export function ratio(rounds: Rounds, server: number, to: number): number {
  return median(rounds.map((round) => (round[server] ?? NaN) / (round[to] ?? NaN)))
}
