/**
 * `login`, and what it shares with others that change a sign-in: they work on the store themselves, so that
 * they need no daemon, and tell a running one to look again.
 *
 * Promises that a sign-in which fails a check leaves the old grant in place.
 */
import { checkCovered, createAccounts, type Account } from './accounts.ts'
import type { Config } from './config.ts'
import { Misconfigured, NotAllowed, SignInNeeded, StoreLocked, UnknownAccount } from './errors.ts'
import { lifeAfter } from './grant-life.ts'
import { userName } from './identity.ts'
import type {
  Grant,
  Provider,
  SignedIn,
  SignInUi,
  Surroundings,
  Token,
} from './providers/provider.ts'
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
  /** Opens the store, where something in it has to be read or may be. */
  readonly storeKey: StoreKey
}

/** With a browser that can come back to us, or with a code that is typed in on another device. */
export type SignInWay = 'browser' | 'device'

/**
 * Signs a person in, and fetches a token at once, so that what would fail tomorrow fails now. Where the
 * provider says then what it wants to see besides, the person is sent there once more.
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
  if (!isInteractive(provider))
    throw new Misconfigured(
      `nobody signs in for ${account.user}: ${account.kind} needs no sign-in`,
      { hint: `run: xoauthd token ${name.replace(/^\*(?=@)/, 'NAME')}` },
    )
  if (way === 'device' && !provider.signInByDevice)
    throw new Misconfigured(`${account.kind} has no sign-in by device code`, {
      hint: 'run login without --device; a browser on another machine works too: paste its last address',
    })
  // A secret that cannot be read would be noticed only after the person has done everything.
  await provider.check()
  const store = await openOwnStore(context.config.storePath, `login ${name}`, context.storeKey)
  try {
    await unlockQuietly(context)
    const before = await grantIn(store, account)
    const ui = finishing(reach(account), account, store)
    const { warnings } = await travel(provider, way, ui, signal, before).catch((error: unknown) => {
      // What the provider wants to see came with its refusal. Once more is enough, or it never is.
      if (!(error instanceof SignInNeeded) || error.grant === undefined) throw error
      return travel(provider, way, ui, signal, error.grant)
    })
    const told = await tellDaemon(account, context)
    return { account, ...told, warnings: [...warnings, ...told.warnings] }
  } finally {
    await store.close()
  }
}

type Interactive = Provider & Required<Pick<Provider, 'signIn'>>

function isInteractive(provider: Provider): provider is Interactive {
  return provider.signIn !== undefined
}

/** One trip of the person to the provider and back. */
function travel(
  provider: Interactive,
  way: SignInWay,
  ui: SignInUi,
  signal: AbortSignal,
  before: Grant | undefined,
): Promise<SignedIn> {
  return way === 'device' && provider.signInByDevice
    ? provider.signInByDevice(ui, signal, before)
    : provider.signIn(ui, signal, before)
}

/** The page of a sign-in waits until it is tried and stored, so that it says "Signed in" when that is true. */
function finishing(ui: SignInUi, account: Account, store: Store): SignInUi {
  const finish = async (signedIn: SignedIn, signal: AbortSignal) => {
    await tryAndStore(signedIn.grant, account, store, signal)
    return signedIn
  }
  return {
    browse: (trip, signal) =>
      ui.browse(
        { ...trip, redeem: async (...answer) => finish(await trip.redeem(...answer), signal) },
        signal,
      ),
    device: (trip, signal) =>
      ui.device({ redeem: async (...how) => finish(await trip.redeem(...how), signal) }, signal),
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
    for (const { service } of requests.filter((one) => provider.tokenKey(one) === key))
      checkCovered(account, service, issued.token)
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
 * What a new sign-in takes the place of has something to tell where it can be read, and no more than that:
 * a program that prints the key may put a question before the person, so it is not run for this.
 */
export async function unlockQuietly({ config, storeKey }: SignInContext): Promise<void> {
  if (config.storeKey?.kind !== 'command') await storeKey.unlock()
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
