/**
 * What is looked at with each tick beside the tokens: whether the store's key has come, and whether a
 * person has to be told something.
 */
import type { Keeper } from './keeper.ts'
import type { Log } from './log.ts'
import { planNotices, troublesIn, type Notice, type Told } from './notices.ts'
import type { StoreKey } from './store-key.ts'

export interface Watch {
  /** @param nowMs the wall clock, epoch ms */
  tick(nowMs: number): void
}

export function createWatch(options: {
  readonly keeper: Keeper
  readonly key: StoreKey
  /** The wall clock, epoch ms. */
  readonly now: () => number
  readonly log: Log
  readonly tell: (notice: Notice) => void
}): Watch {
  const { keeper, key, now, log, tell } = options
  let told: Told = new Map()
  let wasLocked = false

  function lookAtKey(): void {
    const trouble = key.trouble()
    if (trouble && !wasLocked)
      log.error('store locked', { reason: trouble.message, hint: trouble.hint })
    if (!trouble && wasLocked) log.info('store unlocked')
    wasLocked = trouble !== undefined
  }

  return {
    tick(nowMs) {
      lookAtKey()
      void key.retry(nowMs).then((asked) => {
        // A person may have taken half a minute to unlock it.
        if (asked && !key.trouble()) keeper.tick(now())
      })
      const troubles = troublesIn(keeper.kept(), key.trouble(), keeper.unsaved(), nowMs)
      const plan = planNotices(told, troubles, nowMs)
      told = plan.told
      for (const notice of plan.notices) tell(notice)
    },
  }
}
