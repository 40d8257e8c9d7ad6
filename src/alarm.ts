/**
 * The one timer of the daemon: of all wishes the earliest counts. Node's timers do not jump with the
 * wall clock, so it is only ever late by a suspend.
 */

export interface Alarm {
  /** Rings in so many milliseconds, unless it is to ring before. */
  set(delayMs: number): void
  /** Never rings again. */
  stop(): void
}

/** @param ring is given the wall clock, epoch ms */
export function createAlarm(ring: (nowMs: number) => void): Alarm {
  let timer: NodeJS.Timeout | undefined
  let ringsAtMs = Infinity
  return {
    set(delayMs) {
      const atMs = performance.now() + delayMs
      if (atMs >= ringsAtMs) return
      clearTimeout(timer)
      ringsAtMs = atMs
      timer = setTimeout(() => {
        ringsAtMs = Infinity
        ring(Date.now())
      }, delayMs)
    },
    stop() {
      clearTimeout(timer)
      ringsAtMs = -Infinity
    },
  }
}
