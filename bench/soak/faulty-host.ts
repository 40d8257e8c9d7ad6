/**
 * An authorization server in this process that fails the way real ones do, by a seed: outages of hours,
 * single failures, answers that are lost after the grant was rotated, and a grant called dead that is not.
 *
 * It rotates each grant and ends one that is used again after its successor was: losing the only good
 * grant shows at the next refresh.
 */
import { SignInNeeded, Unavailable } from '../../src/errors.ts'
import type { Provider, Token } from '../../src/providers/provider.ts'

export interface FaultyHost {
  readonly provider: Provider
  readonly counts: {
    /** Requests that were answered with a token. */
    refreshes: number
    failures: number
  }
  /** Grants that the server takes, by account; the first is what a sign-in leaves. */
  signIn(user: string): string
  /** Whether a grant would still be taken. */
  takes(user: string, grant: string): boolean
}

const hourMs = 3_600_000
const lifetimeMs = hourMs
/** What of requests fails on a good day. */
const shares = { failure: 0.01, lostAnswer: 0.003, calledDead: 0.002 }
/** An outage about every third day, of up to five hours: longer than a token lives. */
const outage = { everyMs: 72 * hourMs, mostMs: 5 * hourMs }

interface Account {
  /** The number of the grant that was given last. */
  given: number
  /** The highest number that has been used. */
  used: number
  calledDead: boolean
  dead: boolean
}

/** Seeded and short: mulberry32. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function createFaultyHost(authority: string, random: () => number): FaultyHost {
  const accounts = new Map<string, Account>()
  const counts = { refreshes: 0, failures: 0 }
  let outageAtMs = 0
  let outageEndsMs = 0

  function isDown(nowMs: number): boolean {
    if (outageAtMs === 0 || nowMs >= outageEndsMs) {
      outageAtMs = nowMs + random() * outage.everyMs * (outageAtMs === 0 ? 1 : 2)
      outageEndsMs = outageAtMs + random() * outage.mostMs
    }
    return nowMs >= outageAtMs
  }

  function fail(error: Error): never {
    counts.failures++
    throw error
  }

  function answer(user: string, grant: string, nowMs: number): { token: Token; grant: string } {
    if (isDown(nowMs)) fail(down('the host is down'))
    const account = accounts.get(user)
    const number = Number(grant.split(' ').at(-1))
    const draw = random()
    if (draw < shares.failure) fail(draw < shares.failure / 2 ? busy() : down('reset'))
    if (!account || account.dead || number < account.used) {
      // Used after its successor: that is what a stolen one looks like, and ends them all.
      if (account) account.dead = true
      fail(new SignInNeeded('the grant is dead'))
    }
    const mayCallDead = !account.calledDead
    account.calledDead = mayCallDead && random() < shares.calledDead
    if (account.calledDead) fail(new SignInNeeded('the grant is dead, it says'))
    account.used = number
    account.given++
    if (random() < shares.lostAnswer) fail(down('the answer was lost'))
    counts.refreshes++
    const expiresAtMs = nowMs + lifetimeMs
    const value = `token ${account.given} of ${user} until ${expiresAtMs}`
    return {
      token: { value, obtainedAtMs: nowMs, expiresAtMs, expiryKnown: true },
      grant: `grant of ${user} ${account.given}`,
    }
  }

  return {
    counts,
    provider: {
      authority,
      binding: 'client',
      usesGrant: true,
      tokenKey: () => '',
      check: async () => {},
      refresh: (grant, { mailbox }, nowMs) =>
        Promise.resolve().then(() => answer(mailbox, String(grant), nowMs)),
    },
    signIn(user) {
      accounts.set(user, { given: 0, used: 0, calledDead: false, dead: false })
      return `grant of ${user} 0`
    },
    takes(user, grant) {
      const account = accounts.get(user)
      return account?.dead === false && Number(grant.split(' ').at(-1)) >= account.used
    },
  }
}

function down(message: string): Unavailable {
  return new Unavailable(message, { trouble: 'network' })
}

function busy(): Unavailable {
  return new Unavailable('too many requests', { trouble: 'provider', retryAfterMs: 120_000 })
}

/** When a token of a faulty host ends, by what the host itself wrote into it. */
export function endOf(token: string): number {
  return Number(token.split(' ').at(-1))
}
