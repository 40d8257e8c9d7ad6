/** `store encrypt`, `store decrypt` and `store rekey`: how sign-ins are kept on disk. */
import { open } from 'node:fs/promises'
import { newIdentity, readRecipients, recipientOf } from '../age.ts'
import { choiceArgument, complain, type Common, type Define } from '../command-line.ts'
import { Misconfigured, asFailure, exitCodes } from '../errors.ts'
import { openOwnStore } from '../login.ts'
import { decryptStore, encryptStore, rekeyStore, type Conversion } from '../store-conversion.ts'
import { createStoreKey, keySourceOf, type StoreKey } from '../store-key.ts'
import type { Store } from '../store.ts'
import { readKeyFile, signInContext } from './context.ts'

const { env } = process
const actions = ['encrypt', 'decrypt', 'rekey'] as const
type Action = (typeof actions)[number]

interface StoreFlags extends Common {
  readonly to?: string
  readonly identity?: string
  readonly newKey?: string
}

export function defineStore(define: Define): void {
  const key = ['--identity <file>', 'a secret key beside that of [store] key; - for stdin'] as const
  define('store', 'encrypt, decrypt or rekey the sign-ins on disk')
    .addArgument(choiceArgument('<action>', 'what becomes of them', actions))
    .option(
      '--to <recipient>',
      'encrypt: for this recipient, age1…, instead of that of [store] key',
    )
    .option('--new-key <file>', 'encrypt, rekey: make a secret key in this file first')
    .option(...key)
    .action((action: Action, options: StoreFlags) => changeStore(action, options))
}

async function changeStore(action: Action, options: StoreFlags): Promise<void> {
  const { config } = await signInContext(options)
  const made = options.newKey === undefined ? undefined : await makeKey(options.newKey)
  const key = createStoreKey(() => ({
    read: async () => {
      const configured = keySourceOf(config, env)
      const texts = [
        made?.identity,
        // Without a key of its own in reach, as where a systemd credential has it, others may do.
        await configured?.read().catch((error: unknown) => {
          if (options.identity === undefined && options.to === undefined) throw error
          return undefined
        }),
        options.identity === undefined ? undefined : await readKeyFile(options.identity),
      ]
      return texts.filter((text) => text !== undefined).join('\n')
    },
    mayAsk: false,
  }))
  const store = await openOwnStore(config.storePath, `store ${action}`)
  try {
    if (options.identity !== undefined || config.storeKey || made) await key.unlock()
    const named = options.identity !== undefined || config.storeKey !== undefined
    const unread = named && options.to === undefined ? key.failure() : undefined
    if (unread) throw unread
    const done = await run(action, store, key, options.to ?? made?.recipient)
    report(action, done, store.path)
    if (options.newKey !== undefined)
      process.stderr.write(
        `Now write [store] key = { file = "${options.newKey}" } in ${config.file}, and run: xoauthd reload\n`,
      )
  } finally {
    await store.close()
  }
}

function run(
  action: Action,
  store: Store,
  key: StoreKey,
  to: string | undefined,
): Promise<Conversion> {
  if (action === 'decrypt') return decryptStore(store, key)
  if (action === 'rekey') return rekeyStore(store, key)
  const recipient = to === undefined ? undefined : readRecipients(to, '--to')[0]
  return encryptStore(store, key, recipient)
}

async function makeKey(path: string): Promise<{ identity: string; recipient: string }> {
  const identity = await newIdentity()
  const recipient = await recipientOf(identity)
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(`# public key: ${recipient}\n${identity}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new Misconfigured(`${path} could not be made (${code})`, {
      cause: error,
      hint: 'name a file that is not there yet, in a folder that is',
    })
  }
  return { identity, recipient }
}

function report(
  action: Action,
  { converted, unchanged, failures }: Conversion,
  path: string,
): void {
  const form = action === 'decrypt' ? 'not encrypted' : 'encrypted'
  process.stderr.write(`${path}: ${converted} file(s) are ${form} now, ${unchanged} were before.\n`)
  for (const failure of failures) complain(failure.message, failure.hint)
  const [first] = failures
  if (first) process.exitCode = exitCodes[asFailure(first).code]
}
