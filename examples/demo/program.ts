/**
 * xoauthd as you have it: the installed program, each command a process of its own, in a home folder
 * that is not yours.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../bin/xoauthd.js', import.meta.url))
const built = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export interface Running {
  /** The next line on stderr that matches; those before it are passed over. */
  says(pattern: RegExp): Promise<string>
  /** All of stdout, when the command has ended well. */
  readonly output: Promise<string>
  /** Ends it, unless it has ended. */
  stop(): Promise<void>
}

/** How long a process may take to end before it is ended. */
const patienceMs = 3_000

/** @throws when there is no program to run, with what to do */
export function checkBuild(): void {
  if (!existsSync(built)) throw new Error('xoauthd is not built yet; run: npm run build')
}

/** @param home has the configuration, the store and, in `xoauthd/`, the socket */
export function xoauthd(home: string, ...args: readonly string[]): Running {
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env['PATH'], HOME: home, XDG_RUNTIME_DIR: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  const lines = createInterface({ input: child.stderr })[Symbol.asyncIterator]()
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (part: string) => (errors += part))
  const problem = () => new Error(`xoauthd ${args[0] ?? ''} failed:\n${errors.trim()}`)

  async function outputOf(): Promise<string> {
    const output = await text(child.stdout)
    await closed
    if (child.exitCode !== 0) throw problem()
    return output
  }
  const output = outputOf()
  // Who waits for something else learns of a failure there.
  output.catch(() => undefined)

  return {
    output,
    async says(pattern) {
      for (;;) {
        const line = await lines.next()
        if (line.done === true) throw problem()
        if (pattern.test(line.value)) return line.value
      }
    },
    async stop() {
      child.kill('SIGTERM')
      const lastResort = setTimeout(() => child.kill('SIGKILL'), patienceMs)
      await closed
      clearTimeout(lastResort)
    },
  }
}
