/**
 * The health of the providers' hosts, shared by all accounts of each.
 *
 * Promises at most {@link maxInFlight} requests to a host at a time, and while it is in trouble one
 * probe a tick; nobody else asks before that one has come through.
 */
import { Unavailable } from './errors.ts'

export interface Hosts {
  /** Until when a host is left alone, epoch ms; 0 when it is well. */
  retryAtMs(authority: string): number
  /** Whether a request may start: the host is well, or its next probe is due. */
  mayStart(authority: string, nowMs: number): boolean
  /**
   * Waits for a place among the requests to a host.
   *
   * @returns what to call when the request has ended
   * @rejects Unavailable when the host got into trouble while we waited
   */
  enter(authority: string, now: () => number): Promise<Leave>
}

/** @returns whether the host has just come back from trouble */
export type Leave = (failure: Unavailable | undefined, nowMs: number) => boolean

interface Host {
  inFlight: number
  readonly queue: (() => void)[]
  /** Undefined when all is well. */
  trouble:
    { failure: Unavailable; failures: number; retryAtMs: number; probing: boolean } | undefined
}

/** What providers see of us at once, whatever is due. */
const maxInFlight = 32
/** A first failure is often a blip: a roaming laptop, a restarted proxy. */
const firstRetryMs = 5_000
/** One probe a tick; a little less, so that recovery is seen within one. */
const probeIntervalMs = 29_000

/** @param random 0 to 1, for jitter */
export function createHosts(random: () => number): Hosts {
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
    // Requests that were under way together fail together: that is one failure.
    if (trouble && nowMs < trouble.retryAtMs) {
      trouble.retryAtMs = Math.max(trouble.retryAtMs, nowMs + (failure.retryAfterMs ?? 0))
      return
    }
    const failures = (trouble?.failures ?? 0) + 1
    const backOffMs =
      failures === 1 ? firstRetryMs * (1 + random()) : probeIntervalMs * (1 - random() / 10)
    const retryAtMs = nowMs + Math.max(failure.retryAfterMs ?? 0, backOffMs)
    host.trouble = { failure, failures, retryAtMs, probing: false }
  }

  return {
    retryAtMs: (authority) => hostOf(authority).trouble?.retryAtMs ?? 0,
    mayStart,

    async enter(authority, now) {
      const host = hostOf(authority)
      if (host.inFlight < maxInFlight) host.inFlight++
      else await new Promise<void>((resolve) => host.queue.push(resolve))
      if (!mayStart(authority, now())) {
        leavePlace(host)
        throw host.trouble?.failure ?? new Unavailable(`${authority} is in trouble`)
      }
      if (host.trouble) host.trouble.probing = true
      return (failure, nowMs) => {
        const wasDown = host.trouble !== undefined
        if (failure) blame(host, failure, nowMs)
        else host.trouble = undefined
        leavePlace(host)
        return wasDown && !failure
      }
    },
  }
}
