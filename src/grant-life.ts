/**
 * What is remembered of how the sign-ins of an account ended, so that the end of the next one can be told
 * before it comes. Pure.
 */
import { asObject } from './json.ts'

export interface GrantLife {
  /** When the provider first called this grant dead; gone again when it proves alive. Epoch ms. */
  readonly endedAtMs?: number | undefined
  /** Why, in one word of the explanations, where that is known. */
  readonly endedBecause?: string | undefined
  /** How long the sign-in before this one lived, and why it ended. */
  readonly lastLivedMs?: number | undefined
  readonly lastBecause?: string | undefined
}

/** @param value what the store's file has, from whatever version of this program */
export function readLife(value: unknown): GrantLife | undefined {
  const life = asObject(value)
  if (!life) return undefined
  const { endedAtMs, endedBecause, lastLivedMs, lastBecause } = life
  return {
    endedAtMs: numberOf(endedAtMs),
    endedBecause: textOf(endedBecause),
    lastLivedMs: numberOf(lastLivedMs),
    lastBecause: textOf(lastBecause),
  }
}

/** @returns the same for the sign-in that takes the place of one; of one that was alive, what it knew */
export function lifeAfter(
  before: { readonly signedInAtMs: number; readonly life?: GrantLife | undefined } | undefined,
): GrantLife | undefined {
  const life = before?.life
  if (!before || !life) return undefined
  const { endedAtMs, endedBecause, lastLivedMs, lastBecause } = life
  if (endedAtMs === undefined) return { lastLivedMs, lastBecause }
  return { lastLivedMs: endedAtMs - before.signedInAtMs, lastBecause: endedBecause }
}

/** @returns the same for a grant that has just brought a token */
export function lifeGoesOn(life: GrantLife | undefined): GrantLife | undefined {
  return life && { lastLivedMs: life.lastLivedMs, lastBecause: life.lastBecause }
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
