/**
 * The audit: each answer leaves a line that tells which socket gave what for whom. Repeats of a line
 * within a second are counted and summed up, so that a busy relay does not drown its own log.
 */
import { format, word } from './log.ts'

export interface Audit {
  /**
   * @param socket the path of the listener
   * @param result `ok` or a failure's code
   * @param waitMs how long the client waited; 0 when the answer came from memory
   * @param reason of a failure
   */
  answered(
    socket: string,
    service: string,
    mailbox: string,
    result: string,
    waitMs: number,
    reason?: string,
  ): void
  /** Whether good answers leave a line too. */
  setAnswers(wanted: boolean): void
  /** Writes the sums that are still open. */
  flush(): void
}

const sumMs = 1_000
/** Different clients within one second; beyond it each has its line. */
const openSumsLimit = 10_000

/**
 * @param line takes a finished line
 * @param answers whether good answers leave a line too; failures always do
 */
export function createAudit(line: (text: string) => void, answers: boolean): Audit {
  let all = answers
  const repeats = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    for (const [text, count] of repeats) if (count > 0) line(`${text} repeated=${count}`)
    repeats.clear()
  }

  return {
    setAnswers(wanted) {
      all = wanted
    },
    answered(socket, service, mailbox, result, waitMs, reason) {
      if (!all && reason === undefined) return
      // The key is the line itself but for its wait: a string is cheap to build and to compare.
      const text =
        `info answered socket=${word(socket)} service=${service} mailbox=${word(mailbox)}` +
        ` result=${result}${reason === undefined ? '' : format({ reason })}`
      const count = repeats.get(text)
      if (count !== undefined) {
        repeats.set(text, count + 1)
        return
      }
      if (repeats.size < openSumsLimit) repeats.set(text, 0)
      timer ??= setTimeout(flush, sumMs)
      line(waitMs > 0 ? `${text} wait_ms=${waitMs}` : text)
    },
    flush,
  }
}
