/** The same work on many things, a few of them at a time. */

/**
 * @param atOnce how many are worked on side by side; each is begun in its turn
 * @rejects what the first one did that failed, when all others have been worked on
 */
export async function eachOf<Item>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = [...items].values()
  let failed: Promise<void> | undefined
  const worker = async () => {
    for (const item of left) {
      const done = work(item)
      await done.catch(() => {
        failed ??= done
      })
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  await failed
}
