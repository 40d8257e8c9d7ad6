/**
 * Runs the program that tells a person.
 *
 * Promises one at a time, without a shell, with an environment that holds no secret of ours, for at most
 * {@link timeLimitMs}, and that nothing waits for it: whatever it does, mail is served.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from './log.ts'
import type { Notice } from './notices.ts'

export interface Notifier {
  /** Starts to tell; it never fails. */
  tell(notice: Notice): void
  /** Ends the program that runs, and starts none any more. */
  close(): void
}

const timeLimitMs = 30_000
/** Of what fits into an environment, so much is for names. */
const namesInEnvironment = 20
/** What a program needs to find itself, its user and the desktop; nothing else is handed on. */
const handedOn = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'LC_ALL',
  'TZ',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'DISPLAY',
  'WAYLAND_DISPLAY',
]

/** @param options.command what the configuration names now */
export function createNotifier(options: {
  readonly command: () => readonly string[] | undefined
  readonly env: NodeJS.ProcessEnv
  readonly log: Log
  readonly limitMs?: number
}): Notifier {
  const { command, env, log, limitMs = timeLimitMs } = options
  const waiting: Notice[] = []
  let running: ChildProcess | undefined
  let closed = false

  function next(): void {
    const notice = waiting.shift()
    if (!notice || closed) return
    const [program, ...args] = command() ?? desktopCommand(env, notice)
    if (program === undefined) return
    // In a group of its own, so that the limit holds for what it starts as well.
    const child = spawn(program, args, {
      cwd: '/',
      env: environmentOf(notice, env),
      stdio: 'ignore',
      detached: true,
    })
    running = child
    let late = false
    const timer = setTimeout(() => {
      late = true
      kill(child)
    }, limitMs)
    const done = (why: string | undefined): void => {
      if (running !== child) return
      running = undefined
      clearTimeout(timer)
      if (why !== undefined && !closed) log.warn('notification failed', { program, reason: why })
      next()
    }
    child.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'it cannot be run'))
    child.on('exit', (code, signal) => {
      if (late) done(`it took longer than ${limitMs / 1000} s`)
      else done(code === 0 ? undefined : `exit ${code ?? signal ?? ''}`)
    })
  }

  return {
    tell(notice) {
      log.info('notifying', { event: notice.event, accounts: notice.accounts.length })
      waiting.push(notice)
      if (!running) next()
    },
    close() {
      closed = true
      if (running) kill(running)
    },
  }
}

function kill({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended in this very moment.
  }
}

/** notify-send where there is a session to show it; systemd knows the bus before any display. */
function desktopCommand(env: NodeJS.ProcessEnv, { message }: Notice): readonly string[] {
  const runtime = env['XDG_RUNTIME_DIR']
  const bus =
    env['DBUS_SESSION_BUS_ADDRESS'] !== undefined ||
    (runtime !== undefined && existsSync(join(runtime, 'bus')))
  return bus ? ['notify-send', '--app-name=xoauthd', '--', 'xoauthd', escaped(message)] : []
}

/** The body of a desktop's notification is markup (Desktop Notifications Specification, "Markup"). */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function environmentOf(notice: Notice, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const inherited = handedOn.flatMap((name) => {
    const value = env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    ...Object.fromEntries(inherited),
    XOAUTHD_EVENT: notice.event,
    XOAUTHD_ACCOUNT: notice.accounts.slice(0, namesInEnvironment).join(' '),
    XOAUTHD_MESSAGE: notice.message,
  }
}
