/** How the sign-ins at the large providers end by themselves. */
import type { GrantEnd } from './provider.ts'

const dayMs = 86_400_000
/** An application whose consent screen is "in testing": support.google.com/cloud/answer/15549945 */
const testing: GrantEnd = {
  because: 'testing',
  counts: 'age',
  fromMs: 6 * dayMs,
  toMs: 8 * dayMs,
  sentence: 'the sign-in ended after a week, as Google ends those of an application in testing',
  next: 'publish the application in the Google Cloud console (Audience, Publish app), then sign in again: the old sign-in keeps its week',
}

/** How sign-ins at Google end by themselves. */
export const googleEnds: readonly GrantEnd[] = [
  testing,
  {
    because: 'inactivity',
    counts: 'idle',
    fromMs: 180 * dayMs,
    toMs: Infinity,
    sentence: 'a sign-in ends when it is not used for six months',
    next: 'leave xoauthd running',
  },
]

/** How sign-ins at Microsoft end by themselves. */
export const microsoftEnds: readonly GrantEnd[] = [
  {
    because: 'inactivity',
    counts: 'idle',
    fromMs: 90 * dayMs,
    toMs: Infinity,
    sentence: 'a sign-in ends when it is not used for 90 days',
    next: 'leave xoauthd running',
  },
]
