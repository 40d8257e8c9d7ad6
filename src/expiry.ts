/**
 * Looks ahead at what ends by itself and is renewed by hand: sign-ins, and certificates and secrets of clients.
 *
 * Promises a line in the log for each end of a sign-in that is foreseen; and for those of clients one at
 * start, after each reload and once a day, from 30 days before the end on, and the date in the status.
 * Nothing depends on it: what has ended, the provider refuses.
 */
import { durationInWords } from './duration.ts'
import { predictionFor, type Kept } from './kept.ts'
import type { Log } from './log.ts'
import { credentialWarningMs } from './prediction.ts'
import type { Expiry } from './providers/provider.ts'

export interface ExpiryWatch {
  /** Looks when a day has passed. */
  tick(nowMs: number): void
  /** Looks now; never rejects. */
  look(nowMs: number): Promise<void>
}

const dayMs = 86_400_000

/** @param kept the accounts, as they are when it looks */
export function createExpiryWatch(kept: () => Iterable<Kept>, log: Log): ExpiryWatch {
  // Never, so far: the first look is the owner's to start.
  let lookedAtMs = NaN

  async function look(nowMs: number): Promise<void> {
    lookedAtMs = nowMs
    // One registration may be that of a thousand accounts.
    const said = new Set<string>()
    for (const each of kept()) {
      // That it cannot be read, the next refresh says.
      const expiry = await each.account.provider.expiry?.().catch(() => undefined)
      each.credential = expiry
      const near = expiry !== undefined && expiry.atMs - nowMs < credentialWarningMs
      if (!near || said.has(expiry.what)) continue
      said.add(expiry.what)
      log.warn('ends soon', {
        account: each.account.user,
        reason: sentence(expiry, nowMs),
        hint: expiry.hint,
      })
    }
  }

  return {
    look,
    tick(nowMs) {
      // The clock may have been set back.
      if (Math.abs(nowMs - lookedAtMs) >= dayMs) void look(nowMs)
    },
  }
}

/** Says in the log that a sign-in will end, when it is time to: once for each end that is foreseen. */
export function warnAhead(kept: Kept, log: Log, nowMs: number): void {
  const end = predictionFor(kept)
  // That of a client is said for all of its accounts at once.
  if (!end || end.because === 'secret-expired') return
  if (nowMs < end.warnAtMs || kept.grant.warnedOfMs === end.atMs) return
  kept.grant.warnedOfMs = end.atMs
  log.warn('ends soon', {
    account: kept.account.user,
    in: durationInWords(end.atMs - nowMs),
    reason: end.sentence,
    hint: end.next,
  })
}

function sentence({ what, atMs }: Expiry, nowMs: number): string {
  const date = new Date(atMs).toISOString().slice(0, 10)
  if (atMs <= nowMs) return `${what} ended on ${date}`
  const days = Math.floor((atMs - nowMs) / dayMs)
  return `${what} ends on ${date}, in ${days} ${days === 1 ? 'day' : 'days'}`
}
