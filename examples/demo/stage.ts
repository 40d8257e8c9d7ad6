/**
 * What is around the story: numbered steps on stdout, and an end that leaves nothing behind, whether the
 * story ends well, fails, takes too long, or is stopped with Ctrl-C.
 */
import { constants } from 'node:os'

export interface Stage {
  /** Begins the next step with a line that explains it. */
  readonly step: (explanation: string) => void
  /** Shows what happened, below that line. */
  readonly show: (text: string) => void
  /** What to undo at the end; the last thing first. */
  readonly atEnd: (undo: () => unknown) => void
}

/** It takes about 12 s; a machine on which it takes this long has another problem. */
const longestMs = 25_000

/** Never resolves: it ends the process. */
export async function perform(story: (stage: Stage) => Promise<void>): Promise<never> {
  const startedAtMs = performance.now()
  const seconds = () => ((performance.now() - startedAtMs) / 1000).toFixed(1)
  const stop = new AbortController()
  const stopped = new Promise<never>((_resolve, reject) => {
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason as Error))
  })
  const undo: (() => unknown)[] = []
  let steps = 0
  let exitCode = 0

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      exitCode = 128 + constants.signals[signal]
      stop.abort(new Error(`stopped by ${signal}`))
    })
  process.stdout.on('error', () => stop.abort(new Error('nobody reads what it shows')))
  setTimeout(() => stop.abort(new Error(`not done after ${seconds()} s`)), longestMs).unref()

  const stage: Stage = {
    step(explanation) {
      stop.signal.throwIfAborted()
      console.log(`\n${bold(`${++steps}. ${explanation}`)}`)
    },
    show: (text) => console.log(text.trimEnd().replace(/^(?=.)/gm, '     ')),
    atEnd: (action) => undo.push(action),
  }

  try {
    await Promise.race([story(stage), stopped])
  } catch (error) {
    exitCode ||= 1
    const reason = error instanceof Error ? error.message : String(error)
    console.error(`\ndemo: ${steps === 0 ? '' : `step ${steps}: `}${reason}`)
  }
  for (const action of undo.reverse())
    try {
      await action()
    } catch (error) {
      exitCode ||= 1
      console.error(`demo: not cleaned up: ${String(error)}`)
    }
  if (exitCode === 0)
    console.log(`\nDone in ${seconds()} s. Processes, sockets and files are gone.`)
  process.exit(exitCode)
}

function bold(text: string): string {
  const plain = !process.stdout.isTTY || process.env['NO_COLOR'] !== undefined
  return plain ? text : `\x1b[1m${text}\x1b[22m`
}
