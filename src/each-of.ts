/** The same work on many things, a few of them at a time. */

/**
 * @param atOnce how many are worked on side by side; each is begun in its turn
 * @rejects what the first one did that failed; the others are worked on all the same
 */
export async function eachOf<Item>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = [...items].values()
  const worker = async () => {
    for (const item of left) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
