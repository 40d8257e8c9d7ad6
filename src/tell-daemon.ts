/**
 * Telling a running daemon that a sign-in in the store has changed, and its person when that daemon goes by
 * another store.
 */
import type { Account } from './accounts.ts'
import { ask } from './client.ts'
import type { Config } from './config.ts'
import { asObject, parseObject } from './json.ts'
import { storeElsewhere } from './store-status.ts'

export interface Told {
  /** There is none, it was told, or it looks at another store until it is restarted. */
  readonly daemon: 'absent' | 'told' | 'elsewhere'
  /** What the person should know of it. */
  readonly warnings: readonly string[]
}

/** What needs no network is answered from memory, at once: who takes longer is stuck. */
const statusMs = 10_000

/**
 * Without a daemon there is nobody to tell; a running one would find out by itself, only later. Never rejects.
 *
 * @param context.config names the store that has changed
 * @param context.sockets where the daemon may be
 */
export async function tellDaemon(
  account: Account,
  { config, sockets }: { readonly config: Config; readonly sockets: readonly string[] },
): Promise<Told> {
  try {
    await ask(sockets, `REFRESH ${account.user}`)
  } catch {
    return { daemon: 'absent', warnings: [] }
  }
  const status = parseObject(await ask(sockets, 'STATUS', statusMs).catch(() => ''))
  const elsewhere = await storeElsewhere(config, {
    configuration: status?.['configuration'],
    path: asObject(status?.['store'])?.['path'],
  })
  if (elsewhere === undefined) return { daemon: 'told', warnings: [] }
  const consequence = 'it goes on with the sign-ins that are there until you restart it'
  return { daemon: 'elsewhere', warnings: [`${elsewhere}: ${consequence}`] }
}
