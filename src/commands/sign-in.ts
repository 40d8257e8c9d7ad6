/** `login` and `logout`: a person at a terminal. */
import { hostname, userInfo } from 'node:os'
import { createInterface } from 'node:readline'
import type { Common, Define } from '../command-line.ts'
import { signIn } from '../login.ts'
import { signOut } from '../logout.ts'
import { createSignInUi, type Person } from '../signin.ts'
import { signInContext } from './context.ts'

const { env } = process
/** Long enough to find a telephone for the second factor. */
const signInMs = 15 * 60_000

export function defineSignIn(define: Define): void {
  define('login <user>', 'sign in', [
    'xoauthd login me@gmail.com',
    'xoauthd login me@uni.example --device',
  ])
    .option('--no-browser', 'do not open a browser')
    .option('--device', 'show a code to type in on any other device')
    .action(login)
  define('logout <user>', 'forget a sign-in')
    .option('--revoke', 'end it at the provider too')
    .action(logout)
}

/** What comes before the first `check`. */
const before = {
  absent: 'xoauthd serve (or xoauthd install-service), then ',
  told: '',
  elsewhere: 'restart xoauthd, then ',
}

interface LoginFlags extends Common {
  readonly browser: boolean
  readonly device?: boolean
}

export async function login(user: string, options: LoginFlags): Promise<void> {
  const context = await signInContext(options)
  const remote = env['SSH_CONNECTION'] !== undefined
  const desktop = env['DISPLAY'] !== undefined || env['WAYLAND_DISPLAY'] !== undefined
  const person: Person = {
    say: (line) => process.stderr.write(`${line}\n`),
    typed: typedLines(),
    openBrowser:
      options.browser && (desktop || process.platform === 'darwin') && !remote
        ? openBrowser
        : undefined,
    forwardPort: remote
      ? (port) => `ssh -N -L ${port}:127.0.0.1:${port} ${userInfo().username}@${hostname()}`
      : undefined,
  }
  const signal = AbortSignal.timeout(signInMs)
  try {
    const { account, warnings, daemon } = await signIn(
      user,
      options.device === true ? 'device' : 'browser',
      (subject) => createSignInUi(person, subject),
      context,
      signal,
    )
    warn(warnings)
    process.stderr.write(`Signed in as ${account.user} for ${account.services.join(', ')}.\n`)
    process.stderr.write(`Next: ${before[daemon]}xoauthd check ${account.user}\n`)
  } finally {
    // An open terminal or pipe would keep the process; a file or /dev/null has no unref().
    process.stdin.destroy()
    context.surroundings.transport.close()
  }
}

function warn(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`xoauthd: warning: ${warning}\n`)
}

/** Reads nothing before it is asked to: what came earlier, an end too, would be lost. */
async function* typedLines(): AsyncGenerator<string> {
  yield* createInterface({ input: process.stdin })
}

async function openBrowser(url: string): Promise<void> {
  const { default: open } = await import('open')
  await open(url)
}

async function logout(user: string, options: Common & { revoke?: boolean }): Promise<void> {
  const context = await signInContext(options)
  const signal = AbortSignal.timeout(signInMs)
  try {
    const { had, warnings } = await signOut(user, options.revoke === true, context, signal)
    process.stderr.write(had ? `Signed out ${user}.\n` : `Nobody was signed in as ${user}.\n`)
    warn(warnings)
  } finally {
    context.surroundings.transport.close()
  }
}
