/** How long something lasts, in one unit: nobody wants to know more than that. */

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** For a sentence: in the largest unit of which there is more than one. */
export function durationInWords(ms: number): string {
  if (ms >= 2 * dayMs) return `${Math.round(ms / dayMs)} days`
  if (ms >= 2 * hourMs) return `${Math.round(ms / hourMs)} hours`
  return `${Math.max(1, Math.round(ms / minuteMs))} minutes`
}

/** For a column: to the second at the end, and never more than there is. */
export function shortDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  if (ms < hourMs) return `${Math.floor(ms / minuteMs)} min`
  if (ms < 2 * dayMs) return `${Math.floor(ms / hourMs)} h`
  return `${Math.floor(ms / dayMs)} days`
}
