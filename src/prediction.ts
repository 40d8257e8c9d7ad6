/**
 * When a sign-in will end, why, and when it is time to say so. Pure.
 *
 * What ended the last one after a while ends the next one after the same while, where that is a rule and
 * no accident; beside that providers tell their limits. Nothing here is more than a good guess: a sign-in
 * ends when the provider says so.
 */
import { durationInWords } from './duration.ts'
import { SignInNeeded } from './errors.ts'
import type { GrantLife } from './grant-life.ts'
import type { Expiry, GrantEnd } from './providers/provider.ts'

export interface Prediction {
  /** Epoch ms. */
  readonly atMs: number
  /** One word of the explanations. */
  readonly because: string
  readonly sentence: string
  readonly next: string
  /** Epoch ms: from then on it is worth a warning. */
  readonly warnAtMs: number
}

export interface Foreknown {
  readonly signedInAtMs: number | undefined
  readonly refreshedAtMs: number | undefined
  readonly life: GrantLife | undefined
  /** What the provider is known to do. */
  readonly ends: readonly GrantEnd[]
  /** When the registration's secret or certificate ends. */
  readonly credential: Expiry | undefined
}

const dayMs = 86_400_000
/** A new secret takes an administrator, and they take their time. */
export const credentialWarningMs = 30 * dayMs
/** A person who is warned has a working day at least, even over a weekend. */
const longestWarningMs = 3 * dayMs

/** Ends that come again after the same while. A changed password does not. */
const repeating: Readonly<Record<string, { readonly sentence: string; readonly next: string }>> = {
  'sign-in-frequency': {
    sentence: 'the organization wants the sign-in repeated, the last time after {life}',
    next: 'sign in again before that',
  },
  'session-policy': {
    sentence: 'the session control of the organization ended the last sign-in after {life}',
    next: 'sign in again before that',
  },
  testing: {
    sentence: 'the application is in testing, by all appearance: the last sign-in lived {life}',
    next: 'publish the application in the console of the provider, then sign in again',
  },
}

/** @returns what will come first; undefined where nothing is known */
export function predictEnd(known: Foreknown): Prediction | undefined {
  const all = [learnt(known), ...idle(known), credentialEnd(known)].filter(
    (one) => one !== undefined,
  )
  return all.reduce<Prediction | undefined>(
    (first, one) => (first && first.atMs <= one.atMs ? first : one),
    undefined,
  )
}

function learnt({ signedInAtMs, life }: Foreknown): Prediction | undefined {
  const { lastLivedMs, lastBecause = '' } = life ?? {}
  const words = repeating[lastBecause]
  if (signedInAtMs === undefined || lastLivedMs === undefined || lastLivedMs <= 0 || !words)
    return undefined
  return {
    atMs: signedInAtMs + lastLivedMs,
    because: lastBecause,
    sentence: words.sentence.replace('{life}', durationInWords(lastLivedMs)),
    next: words.next,
    warnAtMs: signedInAtMs + lastLivedMs - Math.min(longestWarningMs, lastLivedMs / 4),
  }
}

function idle({ refreshedAtMs, ends }: Foreknown): Prediction[] {
  if (refreshedAtMs === undefined) return []
  return ends
    .filter(({ counts }) => counts === 'idle')
    .map(({ because, fromMs, sentence, next }) => {
      const atMs = refreshedAtMs + fromMs
      return { atMs, because, sentence, next, warnAtMs: atMs - fromMs / 4 }
    })
}

function credentialEnd({ credential }: Foreknown): Prediction | undefined {
  if (credential === undefined) return undefined
  const { what, atMs, hint } = credential
  return {
    atMs,
    because: 'secret-expired',
    sentence: `${what} ends on ${new Date(atMs).toISOString().slice(0, 10)}`,
    next: hint,
    warnAtMs: atMs - credentialWarningMs,
  }
}

/**
 * Adds to a failure what the age of the sign-in tells, where the provider itself said nothing better.
 *
 * @param livedMs how long ago somebody signed in
 */
export function explainEnd(
  failure: SignInNeeded,
  ends: readonly GrantEnd[],
  livedMs: number,
): SignInNeeded {
  if (failure.certain || (failure.because ?? 'ended') !== 'ended') return failure
  const end = ends.find(
    ({ counts, fromMs, toMs }) => counts === 'age' && livedMs >= fromMs && livedMs <= toMs,
  )
  if (!end) return failure
  const { because, sentence, next } = end
  return new SignInNeeded(`${sentence}: ${failure.message}`, {
    cause: failure,
    hint: next,
    because,
  })
}
