/**
 * `status`: once, or again and again.
 *
 * Promises that what is no terminal gets neither colours nor codes, and an account a line.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { complain, wordsOf, type Common, type Define } from '../command-line.ts'
import { statusTable } from '../status-table.ts'
import { askStatus } from './context.ts'

/** Often enough to see a sign-in arrive. */
const watchMs = 2_000
const { stdout } = process

export function defineStatus(define: Define): void {
  define('status', 'show the accounts and their tokens', [
    'xoauthd status',
    'xoauthd status --watch',
    'xoauthd status --json | jq -r \'.accounts[] | select(.state != "fresh").user\'',
  ])
    .option('--json', 'as JSON, in one line')
    .option('--watch', 'show it again every 2 seconds, until Ctrl-C; with --json, a line a time')
    .action(status)
}

interface StatusFlags extends Common {
  readonly json?: boolean
  readonly watch?: boolean
}

async function status(options: StatusFlags): Promise<void> {
  const first = await read(options)
  if (options.watch === true) await watch(first, options)
  else stdout.write(first)
}

/** What is printed now. */
async function read(options: StatusFlags): Promise<string> {
  const { text, status } = await askStatus(options)
  if (options.json === true) return text
  const nowS = Math.floor(Date.now() / 1000)
  return statusTable(status, nowS, {
    columns: stdout.isTTY ? stdout.columns : undefined,
    colours: stdout.isTTY && stdout.hasColors(),
  })
}

/** A daemon that is restarted meanwhile is waited for. */
async function watch(first: string, options: StatusFlags): Promise<void> {
  const gone = new AbortController()
  // Whoever read has left: `xoauthd status --watch --json | head -1`.
  stdout.on('error', () => gone.abort())
  const isScreen = stdout.isTTY && options.json !== true
  for (let text: string | undefined = first; ; text = await readOrComplain(options, isScreen)) {
    if (text !== undefined) stdout.write(isScreen ? screen(text, stdout) : text)
    await pause(watchMs, undefined, { signal: gone.signal }).catch(() => undefined)
    if (gone.signal.aborted) return
  }
}

async function readOrComplain(
  options: StatusFlags,
  isScreen: boolean,
): Promise<string | undefined> {
  try {
    return await read(options)
  } catch (error) {
    const { message, hint } = wordsOf(error)
    if (isScreen) return `xoauthd: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`
    complain(message, hint)
    return undefined
  }
}

/** Drawn over what is there, so that nothing flickers; what does not fit below is the least bad. */
function screen(text: string, { rows, columns }: { rows: number; columns: number }): string {
  const lines = text.trimEnd().split('\n')
  const shown: string[] = []
  // The last row is the cursor's.
  let free = rows - 1
  for (const line of lines) {
    free -= Math.max(1, Math.ceil(line.length / columns))
    if (free < 0) break
    shown.push(line)
  }
  if (shown.length < lines.length) shown.splice(-1, 1, '…')
  return `\x1b[H${shown.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`
}
