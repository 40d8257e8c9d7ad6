/** Tokens of those who say no more of them than they like: a program, another authentication server. */
import { Unavailable } from '../errors.ts'
import { longestLifetimeMs, tokenPattern } from './answers.ts'
import type { Token } from './provider.ts'

/** How long a token serves of which nobody said how long it lives: about as long as one delivery. */
const briefMs = 60_000

/**
 * @param said.expiresAtMs undefined when it was not said; anything that is no time is refused
 * @param said.from who it came from, for the message, which does not repeat what came
 * @throws Unavailable when it is no token, or one that has expired
 */
export function readPlainToken(said: {
  readonly value: unknown
  readonly expiresAtMs?: number | undefined
  readonly nowMs: number
  readonly from: string
}): Token {
  const { value, expiresAtMs, nowMs, from } = said
  if (typeof value !== 'string' || !tokenPattern.test(value))
    throw new Unavailable(`${from} gave no token, or something beside it`, {
      hint: 'a token is one word; try the same by hand',
    })
  if (expiresAtMs === undefined)
    return { value, obtainedAtMs: nowMs, expiresAtMs: nowMs + briefMs, expiryKnown: false }
  if (!(expiresAtMs > nowMs))
    throw new Unavailable(`${from} gave a token that has expired already`, {
      hint: 'check the clocks of both machines, or why it keeps old tokens',
    })
  return {
    value,
    obtainedAtMs: nowMs,
    expiresAtMs: Math.min(expiresAtMs, nowMs + longestLifetimeMs),
    expiryKnown: true,
  }
}
