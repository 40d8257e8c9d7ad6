/**
 * `login` and `logout`: they work on the store themselves, so that they need no daemon, and tell a
 * running one to look again.
 *
 * Promises that a sign-in which fails a check leaves the old grant in place.
 */
import { createAccounts, type Account } from './accounts.ts'
import type { Config } from './config.ts'
import {
  Misconfigured,
  NotAllowed,
  StoreLocked,
  Unavailable,
  UnknownAccount,
  asFailure,
} from './errors.ts'
import { lifeAfter } from './grant-life.ts'
import { userName } from './identity.ts'
import type { Grant, SignInUi, Surroundings, Token } from './providers/provider.ts'
import { openStore, type Store } from './store.ts'
import { ownerOf } from './store-disk.ts'
import type { StoreKey } from './store-key.ts'
import type { StoredRecord } from './store-record.ts'
import { tellDaemon, type Told } from './tell-daemon.ts'

export interface SignInContext {
  readonly config: Config
  readonly surroundings: Surroundings
  /** Where the daemon may be, to be told. */
  readonly sockets: readonly string[]
  /** Opens the store, when something in it has to be read. */
  readonly storeKey: StoreKey
}

/** With a browser that can come back to us, or with a code that is typed in on another device. */
export type SignInWay = 'browser' | 'device'

/**
 * Signs a person in, and fetches a token at once, so that what would fail tomorrow fails now.
 *
 * @param reach how the person of the account is reached
 * @returns the account, what its person should know, and what a daemon made of it
 * @rejects Failure
 */
export async function signIn(
  name: string,
  way: SignInWay,
  reach: (account: Account) => SignInUi,
  context: SignInContext,
  signal: AbortSignal,
): Promise<{ account: Account } & Told> {
  const account = accountOf(name, context)
  const { provider } = account
  if (!provider.signIn)
    throw new Misconfigured(
      `nobody signs in for ${account.user}: ${account.kind} needs no sign-in`,
      { hint: `run: xoauthd token ${name.replace(/^\*(?=@)/, 'NAME')}` },
    )
  if (way === 'device' && !provider.signInByDevice)
    throw new Misconfigured(`${account.kind} has no sign-in by device code`, {
      hint: 'run login without --device; a browser on another machine works too: paste its last address',
    })
  const store = await openOwnStore(context.config.storePath, `login ${name}`)
  try {
    const before = await grantIn(store, account)
    const ui = reach(account)
    const finishing: SignInUi = {
      browse: (trip, tripSignal) =>
        ui.browse(
          {
            ...trip,
            // The page waits for this, so that it says "Signed in" when that is true.
            async redeem(...answer) {
              const signedIn = await trip.redeem(...answer)
              await tryAndStore(signedIn.grant, account, store, tripSignal)
              return signedIn
            },
          },
          tripSignal,
        ),
      device: (trip, tripSignal) =>
        ui.device(
          {
            async redeem(...how) {
              const signedIn = await trip.redeem(...how)
              await tryAndStore(signedIn.grant, account, store, tripSignal)
              return signedIn
            },
          },
          tripSignal,
        ),
    }
    const { warnings } =
      way === 'device' && provider.signInByDevice
        ? await provider.signInByDevice(finishing, signal, before)
        : await provider.signIn(finishing, signal, before)
    const told = await tellDaemon(account, context)
    return { account, ...told, warnings: [...warnings, ...told.warnings] }
  } finally {
    await store.close()
  }
}

/** @returns the grant that a sign-in is to take the place of; none that is damaged or another client's */
async function grantIn(store: Store, account: Account): Promise<Grant | undefined> {
  const found = await store.read(account.user).catch(() => undefined)
  return found?.stored.binding === account.provider.binding ? found.stored.grant : undefined
}

/**
 * Fetches a token for each that the services need, since a service that would fail tomorrow fails now,
 * and puts all in the place of what is there.
 *
 * A grant whose first refresh fails is forgotten and not revoked: at some providers (Google is one) a
 * revocation ends all that the person ever consented to for this client, and so the good grant that is
 * still in the store.
 *
 * @returns whether the server said that it is this account's
 * @rejects Failure of a refresh; what is there stays then
 */
export async function tryAndStore(
  grant: Grant,
  account: Account,
  store: Store,
  signal: AbortSignal,
  signedInAtMs = Date.now(),
): Promise<{ readonly ownerNamed: boolean }> {
  const { provider, user } = account
  const nowMs = Date.now()
  const requests = account.services.map((service) => ({ service, mailbox: user }))
  const distinct = new Map(requests.map((request) => [provider.tokenKey(request), request]))
  const tokens: Record<string, Token> = {}
  let last = grant
  let ownerNamed = false
  for (const [key, request] of distinct) {
    const issued = await provider.refresh(last, request, Date.now(), signal)
    last = issued.grant ?? last
    ownerNamed ||= issued.ownerNamed === true
    if (issued.token.expiryKnown) tokens[key] = issued.token
  }
  await store.locked(user, async () => {
    // What cannot be read has nothing to tell; it is kept aside.
    const before = await store.read(user).catch(() => undefined)
    await store.replace(user, {
      grant: last,
      binding: provider.binding,
      signedInAtMs,
      refreshedAtMs: nowMs,
      tokens,
      life: lifeAfter(before?.stored),
    })
  })
  return { ownerNamed }
}

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

/** Asks for the store's key when it is needed, and not before. */
export async function readWithKey(
  store: Store,
  key: StoreKey,
  account: string,
): Promise<StoredRecord | undefined> {
  try {
    return await store.read(account)
  } catch (error) {
    if (!(error instanceof StoreLocked)) throw error
    await key.unlock()
    return store.read(account)
  }
}

/** @throws UnknownAccount */
export function accountOf(name: string, { config, surroundings }: SignInContext): Account {
  const accounts = createAccounts(config, surroundings)
  const found = accounts.findByName(name)
  if (found) return found.account
  throw new UnknownAccount(`no account answers for ${name}`, {
    hint: `${config.file} has ${accounts.all.map(({ user }) => user).join(', ')}`,
  })
}

/** Another user's files in the store would lock its owner out. */
export async function openOwnStore(path: string, command: string, key?: StoreKey): Promise<Store> {
  const owner = await ownerOf(path)
  if (owner !== undefined && owner !== process.getuid?.()) {
    const name = userName(owner)
    throw new NotAllowed(`the store ${path} belongs to ${name}`, {
      hint: `run: runuser -u ${name} -- xoauthd ${command}`,
    })
  }
  return openStore(path, key)
}
