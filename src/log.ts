/**
 * The log: one event is one line on stderr, `level event key=value …`.
 *
 * Promises that no line ever blocks an answer: lines go through a bounded buffer and an asynchronous
 * write, and when the reader of stderr stalls, lines are dropped and counted, never waited for. There
 * are no timestamps: systemd's journal and every supervisor add their own. Secrets are unprintable
 * because nothing that holds one is ever passed here; a test greps for them.
 */
import { write, writeSync } from 'node:fs'
import { oneLine } from './errors.ts'

export const levels = ['error', 'warn', 'info', 'debug'] as const
export type Level = (typeof levels)[number]

export type Fields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  error(event: string, fields?: Fields): void
  warn(event: string, fields?: Fields): void
  info(event: string, fields?: Fields): void
  debug(event: string, fields?: Fields): void
  /** A finished line that is written whatever the level is: the audit of the sockets. */
  line(text: string): void
  /** Lets a reload change what is written from now on. */
  setLevel(level: Level): void
  /** Writes what is buffered, waiting for the reader if it must: for the end of the process. */
  flush(): void
}

/** Enough for some thousand lines; a reader that lags further behind than that has lost interest. */
const bufferLimit = 1 << 20
/** A shared, non-blocking stderr answers EAGAIN when it is full. */
const retryWriteMs = 50
/** How long the end of the process waits for a reader that stalls, and how often it tries. */
const flushMs = 1_000
const flushPauseMs = 10

/**
 * @param level the least important level that is still written
 * @param fd where lines go: 2, stderr
 */
export function createLog(level: Level, fd = 2): Log {
  let threshold = levels.indexOf(level)
  let pending = ''
  let dropped = 0
  let writing = false
  /** What stderr did not take, and the timer that tries again. */
  let stalled: { rest: Buffer; timer: NodeJS.Timeout } | undefined

  function line(text: string): void {
    if (pending.length + text.length > bufferLimit) dropped++
    else pending += `${text}\n`
    if (!writing && pending !== '') {
      writing = true
      setImmediate(drain)
    }
  }

  function drain(): void {
    if (pending === '') {
      writing = false
      return
    }
    send(takePending())
  }

  function takePending(): Buffer {
    if (dropped > 0) pending += `warn lines dropped count=${dropped}\n`
    dropped = 0
    const chunk = Buffer.from(pending)
    pending = ''
    return chunk
  }

  function send(chunk: Buffer): void {
    stalled = undefined
    write(fd, chunk, (error, written) => {
      if (error?.code === 'EAGAIN')
        stalled = { rest: chunk, timer: setTimeout(send, retryWriteMs, chunk).unref() }
      else if (!error && written < chunk.length) send(chunk.subarray(written))
      // Any other error means that nobody can read us; serving mail goes on without a log.
      else drain()
    })
  }

  function flush(): void {
    clearTimeout(stalled?.timer)
    let rest = Buffer.concat([stalled?.rest ?? Buffer.alloc(0), takePending()])
    if (stalled) writing = false
    stalled = undefined
    const giveUpAtMs = performance.now() + flushMs
    while (rest.length > 0 && performance.now() < giveUpAtMs)
      try {
        rest = rest.subarray(writeSync(fd, rest))
      } catch (error) {
        // The same as above: a log without a reader is no reason to fail.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, flushPauseMs)
      }
  }

  const at =
    (name: Level) =>
    (event: string, fields: Fields = {}): void => {
      if (levels.indexOf(name) <= threshold) line(`${name} ${event}${format(fields)}`)
    }

  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    line,
    setLevel: (next) => {
      threshold = levels.indexOf(next)
    },
    flush,
  }
}

/** Nearly every word there is. */
const plainWord = /^[\w@.,:/*+-]+$/

/** `key=value` pairs, quoted where a value would not read as one word. */
export function format(fields: Fields): string {
  let text = ''
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue
    text += ` ${key}=${word(String(value))}`
  }
  return text
}

/** A value as one word. */
export function word(value: string): string {
  if (plainWord.test(value)) return value
  const line = oneLine(value)
  return /^[^\s"=]+$/.test(line) ? line : JSON.stringify(line)
}
