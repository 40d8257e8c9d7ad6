/**
 * Grants that the disk did not take, until it does.
 *
 * Promises that none is forgotten because a reload removes or changes its account, and that each is
 * written by one attempt at a time.
 */
import type { Kept } from './kept.ts'
import type { Renewal } from './renewal.ts'

export interface Saving {
  /** Whose grant is not on disk. */
  unsaved(): readonly Kept[]
  /** Minds an account that a reload removes or changes, for as long as its grant is not on disk. */
  mind(kept: Kept): void
  /** Tries all of them again, but those that are being tried. */
  retry(): void
  /** Tries each of them once more; never rejects. */
  finish(): Promise<void>
}

/** @param accounts those of the file, as they are when it looks */
export function createSaving(
  accounts: ReadonlyMap<string, Kept>,
  { save }: Pick<Renewal, 'save'>,
): Saving {
  const running = new Set<Kept>()
  const leaving = new Set<Kept>()

  function unsaved(): Kept[] {
    for (const kept of leaving) if (!kept.grant.unsaved) leaving.delete(kept)
    return [...accounts.values(), ...leaving].filter(({ grant }) => grant.unsaved)
  }

  async function saveOnce(kept: Kept): Promise<void> {
    if (running.has(kept)) return
    running.add(kept)
    await save(kept)
    running.delete(kept)
  }

  return {
    unsaved,
    mind: (kept) => leaving.add(kept),
    retry() {
      for (const kept of unsaved()) void saveOnce(kept)
    },
    async finish() {
      for (const kept of unsaved()) await save(kept)
    },
  }
}
