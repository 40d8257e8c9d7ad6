/** `export` and `import`: a sign-in moves, as from a desktop with a browser to a server without one. */
import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { isAddress } from '../address.ts'
import { readRecipients } from '../age.ts'
import type { Common, Define } from '../command-line.ts'
import { Misconfigured } from '../errors.ts'
import type { SignInContext } from '../login.ts'
import { exportSignIn, importSignIn, openArrival, readArrival } from '../transfer.ts'
import { readKeyFile, signInContext } from './context.ts'

/** One refresh, and the wait for another one that runs. */
const importMs = 120_000

export function defineMove(define: Define): void {
  define('export <user>', 'print a sign-in, encrypted, to import it elsewhere')
    .requiredOption('--to <recipient>', 'whom it is for: age1…, or a file of such')
    .action(exportTo)
  define('import [file]', 'take in a sign-in; from stdin unless there is a file')
    .option('--user <user>', 'the account, where what comes in does not say')
    .option('--identity <file>', 'the secret key that opens it, unless that of the store does')
    .action(importFrom)
}

async function exportTo(user: string, options: Common & { to: string }): Promise<void> {
  const recipients = options.to.startsWith('age1')
    ? readRecipients(options.to, '--to')
    : readRecipients(await readText(options.to), options.to)
  const context = await signInContext(options)
  try {
    process.stdout.write(await exportSignIn(user, recipients, context))
    process.stderr.write(
      `Two daemons must not use one sign-in: when it has arrived, run here: xoauthd logout ${user}\n`,
    )
  } finally {
    context.surroundings.transport.close()
  }
}

interface ImportFlags extends Common {
  readonly user?: string
  readonly identity?: string
}

async function importFrom(file: string | undefined, options: ImportFlags): Promise<void> {
  const context = await signInContext(options)
  try {
    const bytes =
      file === undefined || file === '-'
        ? await buffer(process.stdin)
        : await read(file, isAddress(file) ? accountByOption(file) : undefined)
    const text = await openArrival(bytes, () => identitiesFor(options, context))
    const signal = AbortSignal.timeout(importMs)
    const arrival = readArrival(text)
    const { account, warnings } = await importSignIn(arrival, options.user, context, signal)
    for (const warning of warnings) process.stderr.write(`xoauthd: warning: ${warning}\n`)
    process.stderr.write(`Signed in as ${account.user} for ${account.services.join(', ')}.\n`)
  } finally {
    context.surroundings.transport.close()
  }
}

async function identitiesFor(
  { identity }: ImportFlags,
  { storeKey }: SignInContext,
): Promise<readonly string[]> {
  if (identity !== undefined) {
    const lines = (await readKeyFile(identity)).split(/\r?\n/).map((line) => line.trim())
    return lines.filter((line) => line !== '' && !line.startsWith('#'))
  }
  await storeKey.unlock()
  const failure = storeKey.failure()
  if (failure)
    throw new Misconfigured('what was brought is encrypted, and no key is there to open it', {
      cause: failure,
      hint: 'name the secret key with --identity FILE, or set [store] key',
    })
  return storeKey.identities().map(({ text }) => text)
}

const accountByOption = (address: string) =>
  `the argument is a file; an account is named with: xoauthd import --user ${address}`

async function readText(path: string): Promise<string> {
  return (await read(path)).toString('utf8')
}

/** @param missing what to do when it is not there */
async function read(path: string, missing?: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new Misconfigured(`${path} cannot be read (${code})`, {
      cause: error,
      hint: (code === 'ENOENT' ? missing : undefined) ?? 'correct the path or its permissions',
    })
  }
}
