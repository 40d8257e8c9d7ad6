/**
 * A month in minutes: the real keeper, whose time is an argument, with hosts that fail by a seed, clients
 * that ask all day, and a machine that is suspended now and then.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { createKeeper, type Keeper } from '../../src/keeper.ts'
import { createLog } from '../../src/log.ts'
import { accountOf, accountsOf } from '../../test/fixtures/keeper-place.ts'
import { createFaultyHost, createRandom, endOf } from './faulty-host.ts'
import { createMemoryStore } from './memory-store.ts'

export interface Simulation {
  readonly days: number
  readonly accounts: number
  readonly seed: number
  /** How many times a day each account is asked for. */
  readonly asksADay?: number
}

export interface Figures {
  readonly requests: number
  readonly answered: number
  /** Told that there is none, while their provider was down. */
  readonly refused: number
  readonly expiredServed: number
  readonly grants: number
  readonly grantsLost: number
  readonly refreshes: number
  readonly refreshesAGrant: number
  readonly failures: number
  readonly suspends: number
  /** Of the second half, by day; NaN where the run was too short to tell. */
  readonly memoryMbADay: number
}

const startMs = 1_800_000_000_000
const dayMs = 86_400_000
/** Providers; more than one, so that one that is down is not all there is. */
const hostCount = 4
/** A laptop's lid, twice a day, for up to eight hours of which the first is the likeliest. */
const suspendsADay = 2
const longestSuspendMs = 8 * 3_600_000

export async function simulate(options: Simulation): Promise<Figures> {
  const { days, accounts: size, seed, asksADay = 24 } = options
  const random = createRandom(seed)
  const hosts = Array.from({ length: hostCount }, (_, n) =>
    createFaultyHost(`host${n}.example`, createRandom(seed + n + 1)),
  )
  const store = createMemoryStore()
  const list = Array.from({ length: size }, (_, n) => {
    const host = hosts[n % hosts.length]!
    return { host, account: accountOf(`user${n}@host.example`, host.provider) }
  })
  let nowMs = startMs
  for (const { host, account } of list)
    await store.replace(account.user, {
      grant: host.signIn(account.user),
      binding: host.provider.binding,
      signedInAtMs: nowMs,
      refreshedAtMs: nowMs,
      tokens: {},
    })

  let wakeAtMs = nowMs
  const keeper: Keeper = createKeeper({
    store,
    // What fails here was made to fail.
    log: { ...createLog('error'), error: () => undefined },
    now: () => nowMs,
    wake(delayMs) {
      wakeAtMs = Math.min(wakeAtMs, nowMs + delayMs)
    },
    random,
  })
  const tally = { requests: 0, answered: 0, refused: 0, expired: 0, suspends: 0 }

  function ask(): void {
    const { account } = list[Math.floor(random() * size)]!
    const wanted = { minMs: undefined, untilMs: nowMs + 4_000, refused: random() < 0.001 }
    tally.requests++
    const served = ({ value }: { readonly value: string }) => {
      tally.answered++
      if (endOf(value) <= nowMs) tally.expired++
    }
    try {
      const token = keeper.token(account, { service: 'smtp', mailbox: account.user }, wanted, nowMs)
      if (token instanceof Promise) void token.then(served, () => tally.refused++)
      else served(token)
    } catch {
      tally.refused++
    }
  }

  await keeper.adopt(accountsOf(list.map(({ account }) => account)), nowMs)
  // They are the same to the end.
  const slots = [...keeper.kept()].flatMap((kept) => [...kept.slots.own.values()])
  const quiet = async (): Promise<void> => {
    do await turn()
    while (slots.some(({ attempt }) => attempt !== undefined))
  }
  await quiet()
  const endMs = startMs + days * dayMs
  const askEveryMs = dayMs / (asksADay * size)
  const memory: { readonly day: number; readonly mb: number }[] = []
  let askAtMs = nowMs
  while (nowMs < endMs) {
    const day = Math.floor((nowMs - startMs) / dayMs)
    if (memory.length <= day) memory.push({ day, mb: usedMb() })
    const nextMs = Math.min(Math.max(wakeAtMs, nowMs), endMs)
    const suspended = random() < ((nextMs - nowMs) / dayMs) * suspendsADay
    for (; askAtMs < nextMs; askAtMs += askEveryMs) {
      nowMs = askAtMs
      ask()
    }
    nowMs = nextMs
    if (suspended) {
      tally.suspends++
      nowMs += random() ** 2 * longestSuspendMs
      askAtMs = nowMs
      // Clients wake up before the timer does.
      for (let count = 0; count < 10; count++) ask()
    }
    wakeAtMs = Infinity
    keeper.tick(nowMs)
    await quiet()
  }
  await keeper.close()

  let grantsLost = 0
  for (const { host, account } of list) {
    const found = await store.read(account.user)
    if (!found || !host.takes(account.user, found.stored.grant)) grantsLost++
  }
  const refreshes = hosts.reduce((sum, { counts }) => sum + counts.refreshes, 0)
  return {
    requests: tally.requests,
    answered: tally.answered,
    refused: tally.refused,
    expiredServed: tally.expired,
    grants: size,
    grantsLost,
    refreshes,
    refreshesAGrant: refreshes / size,
    failures: hosts.reduce((sum, { counts }) => sum + counts.failures, 0),
    suspends: tally.suspends,
    memoryMbADay: slopeOf(memory.slice(memory.length >> 1)),
  }
}

function usedMb(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

/** Least squares. */
export function slopeOf(points: readonly { readonly day: number; readonly mb: number }[]): number {
  const mean = (of: (point: (typeof points)[number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [day, mb] = [mean((point) => point.day), mean((point) => point.mb)]
  const above = mean((point) => (point.day - day) * (point.mb - mb))
  const below = mean((point) => (point.day - day) ** 2)
  return below === 0 ? 0 : above / below
}
