/**
 * `logout`: forgets a sign-in in the store and, where that is wanted, has the provider forget it first.
 *
 * Promises that a sign-in which the provider was to end, and did not, stays.
 */
import type { Account } from './accounts.ts'
import { Misconfigured, Unavailable, asFailure } from './errors.ts'
import { accountOf, openOwnStore, readWithKey, type SignInContext } from './login.ts'
import type { Store } from './store.ts'
import type { StoreKey } from './store-key.ts'
import { tellDaemon, type Told } from './tell-daemon.ts'

/**
 * Forgets a grant here, and with `revoke` at the provider first.
 *
 * @returns whether there was one, and what a daemon made of it
 * @rejects Failure; when the provider does not revoke, the grant stays
 */
export async function signOut(
  name: string,
  revoke: boolean,
  context: SignInContext,
  signal: AbortSignal,
): Promise<{ readonly had: boolean } & Told> {
  const account = accountOf(name, context)
  const store = await openOwnStore(context.config.storePath, `logout ${name}`, context.storeKey)
  let told: Told
  let had: boolean
  try {
    had = await store.locked(account.user, async () => {
      if (revoke) await revokeGrant(account, store, context.storeKey, signal)
      return store.forget(account.user)
    })
  } finally {
    await store.close()
    told = await tellDaemon(account, context)
  }
  return { had, ...told }
}

async function revokeGrant(
  account: Account,
  store: Store,
  key: StoreKey,
  signal: AbortSignal,
): Promise<void> {
  if (!account.provider.revoke)
    throw new Misconfigured(`${account.kind} cannot revoke`, {
      hint: "run logout without --revoke, and end the sign-in on the provider's own pages",
    })
  const found = await readWithKey(store, key, account.user)
  if (!found) return
  try {
    await account.provider.revoke(found.stored.grant, signal)
  } catch (error) {
    const failure = asFailure(error)
    const Kind = failure instanceof Unavailable ? Unavailable : Misconfigured
    throw new Kind(`${account.user} is still signed in: ${failure.message}`, {
      cause: error,
      hint: failure.hint ?? 'try again, or run logout without --revoke',
    })
  }
}
