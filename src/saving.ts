/**
 * Grants that the disk did not take, until it does.
 *
 * Promises that none is forgotten because a reload removes or changes its account, and that each is
 * written by one attempt at a time.
 */
import { foldCase } from './address.ts'
import type { Kept } from './kept.ts'
import type { Renewal } from './renewal.ts'
import { allSlots } from './slot-table.ts'

export interface Saving {
  /** Whose grant is not on disk. */
  unsaved(): readonly Kept[]
  /** Minds an account that a reload removes or changes, for as long as its grant is not on disk. */
  mind(kept: Kept): void
  /**
   * Hands an account back that a reload brings again, in any spelling.
   *
   * @param binding what its grant has to belong to
   * @returns undefined when none is minded
   */
  giveBack(user: string, binding: string): Kept | undefined
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
    for (const kept of leaving) if (!kept.grant.unsaved && !isAsking(kept)) leaving.delete(kept)
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
    giveBack(user, binding) {
      for (const kept of leaving) {
        const { account } = kept
        if (foldCase(account.user) !== foldCase(user)) continue
        if (account.provider.binding !== binding) continue
        leaving.delete(kept)
        return kept
      }
      return undefined
    },
    retry() {
      for (const kept of unsaved()) void saveOnce(kept)
    },
    async finish() {
      for (const kept of unsaved()) await save(kept)
    },
  }
}

/** What it brings may be a new grant. */
function isAsking({ slots }: Kept): boolean {
  for (const { attempt } of allSlots(slots)) if (attempt) return true
  return false
}
