/**
 * The health of the providers' hosts, shared by all accounts of each.
 *
 * Promises at most {@link maxConnectionsPerHost} requests to a host at a time, and while it is in trouble one
 * probe a tick; nobody else asks before that one has come through.
 */
import type { Unavailable } from './errors.ts'
import { maxConnectionsPerHost } from './transport.ts'

export interface Hosts {
  /** What is wrong with a host, and until when it is left alone; undefined when it is well. */
  trouble(authority: string): Trouble | undefined
  /** Whether a request may start: the host is well, or its next probe is due. */
  mayStart(authority: string, nowMs: number): boolean
  /**
   * Waits for a place among the requests to a host.
   *
   * @returns what to call when the request has ended
   * @rejects Unavailable when the host got into trouble while we waited
   */
  enter(authority: string, now: () => number): Promise<Leave>
  /** Whether so many wait for a place that nobody new should join them. */
  isCrowded(authority: string): boolean
  /** What was planned by a clock that was wrong is due. */
  clockSetBack(nowMs: number): void
}

export interface Trouble {
  readonly failure: Unavailable
  /** Epoch ms. */
  readonly retryAtMs: number
}

/** What the host did: it answered, it was not asked after all, or it failed. */
export type Outcome = 'answered' | 'unasked' | Unavailable

export type Leave = (outcome: Outcome, nowMs: number) => void

interface Host {
  inFlight: number
  readonly queue: (() => void)[]
  trouble: OwnTrouble | undefined
}

interface OwnTrouble {
  readonly failure: Unavailable
  readonly failures: number
  retryAtMs: number
  /** Until when the provider asked to be left alone; 0 when it did not. */
  askedUntilMs: number
  probing: boolean
}

/** What may wait for a place: at a third of a second each, the last one is served within ten or so. */
const maxQueued = 1_000
/** A first failure is often a blip: a roaming laptop, a restarted proxy. */
const firstRetryMs = 5_000
/** One probe a tick; a little less, so that recovery is seen within one. */
const probeIntervalMs = 29_000
const probeJitterMs = 1_000

/**
 * @param options.random 0 to 1, for jitter
 * @param options.recovered is told of a host that has come back from trouble
 */
export function createHosts(options: {
  readonly random: () => number
  readonly recovered: (authority: string) => void
}): Hosts {
  const { random, recovered } = options
  const hosts = new Map<string, Host>()

  function hostOf(authority: string): Host {
    let host = hosts.get(authority)
    if (!host) {
      host = { inFlight: 0, queue: [], trouble: undefined }
      hosts.set(authority, host)
    }
    return host
  }

  function mayStart(authority: string, nowMs: number): boolean {
    const { trouble } = hostOf(authority)
    return trouble === undefined || (nowMs >= trouble.retryAtMs && !trouble.probing)
  }

  /** A place that becomes free goes to whoever waits longest. */
  function leavePlace(host: Host): void {
    const next = host.queue.shift()
    if (next) next()
    else host.inFlight--
  }

  function blame(host: Host, failure: Unavailable, nowMs: number): void {
    const { trouble } = host
    const probeMs = probeIntervalMs + probeJitterMs * random()
    const askedUntilMs = failure.retryAfterMs === undefined ? 0 : nowMs + failure.retryAfterMs
    // Requests that were under way together fail together: that is one failure. A probe is another,
    // although a clock that was set back a little says that it is not due yet.
    if (trouble && nowMs < trouble.retryAtMs && !trouble.probing) {
      trouble.askedUntilMs = Math.max(trouble.askedUntilMs, askedUntilMs)
      trouble.retryAtMs = Math.max(
        trouble.askedUntilMs,
        Math.min(trouble.retryAtMs, nowMs + probeMs),
      )
      return
    }
    const failures = (trouble?.failures ?? 0) + 1
    const backOffMs = failures === 1 ? firstRetryMs * (1 + random()) : probeMs
    const retryAtMs = Math.max(askedUntilMs, nowMs + backOffMs)
    host.trouble = { failure, failures, retryAtMs, askedUntilMs, probing: false }
  }

  return {
    trouble: (authority) => hostOf(authority).trouble,
    mayStart,
    isCrowded: (authority) => hostOf(authority).queue.length > maxQueued,

    async enter(authority, now) {
      const host = hostOf(authority)
      if (host.inFlight < maxConnectionsPerHost) host.inFlight++
      else await new Promise<void>((resolve) => host.queue.push(resolve))
      const { trouble } = host
      if (trouble && !mayStart(authority, now())) {
        leavePlace(host)
        throw trouble.failure
      }
      if (trouble) trouble.probing = true
      return (outcome, nowMs) => {
        const wasDown = host.trouble !== undefined
        if (outcome === 'answered') host.trouble = undefined
        else if (outcome !== 'unasked') blame(host, outcome, nowMs)
        else if (trouble) trouble.probing = false
        leavePlace(host)
        if (wasDown && outcome === 'answered') recovered(authority)
      }
    },

    clockSetBack(nowMs) {
      for (const { trouble } of hosts.values()) {
        if (!trouble) continue
        trouble.retryAtMs = Math.min(trouble.retryAtMs, nowMs)
        trouble.askedUntilMs = Math.min(trouble.askedUntilMs, nowMs)
      }
    },
  }
}
