/**
 * A sign-in on its way: out of this store for another one, and into it from there or from another program.
 *
 * Promises that nothing leaves unencrypted, and that what comes in is tried before it takes the place of
 * the sign-in that is there.
 */
import type { Account } from './accounts.ts'
import { foldCase } from './address.ts'
import { armored, decryptWith, encryptTo, isArmored } from './age.ts'
import { isAgeFile } from './age-file.ts'
import { Misconfigured, SignInNeeded } from './errors.ts'
import { parseObject } from './json.ts'
import {
  accountOf,
  openOwnStore,
  readWithKey,
  tryAndStore,
  unlockQuietly,
  type SignInContext,
} from './login.ts'
import type { Grant } from './providers/provider.ts'
import { formatRecord, newRecord, parseRecord } from './store-record.ts'
import { tellDaemon } from './tell-daemon.ts'

/** What was brought. */
export type Arrival =
  /** From another xoauthd. */
  | {
      readonly kind: 'sign-in'
      readonly user: string
      readonly grant: Grant
      readonly binding: string
      readonly signedInAtMs: number
    }
  /** From another program; it does not always say whose it is. */
  | {
      readonly kind: 'refresh-token'
      readonly user: string | undefined
      readonly refreshToken: string
    }

/**
 * @param recipients of age, at least one
 * @returns the sign-in as armored text, without the token beside it
 * @rejects SignInNeeded when there is none
 */
export async function exportSignIn(
  name: string,
  recipients: readonly string[],
  context: SignInContext,
): Promise<string> {
  const account = accountOf(name, context)
  const { config, storeKey } = context
  const store = await openOwnStore(config.storePath, `export ${name}`, storeKey)
  try {
    const found = await readWithKey(store, storeKey, account.user)
    if (!found)
      throw new SignInNeeded(`nobody has signed in for ${account.user}`, {
        hint: `run: xoauthd login ${account.user}`,
      })
    const record = newRecord(account.user, { ...found.stored, tokens: {} })
    return await armored(await encryptTo(recipients, formatRecord(record)))
  } finally {
    await store.close()
  }
}

/**
 * Takes in what was brought, after one refresh with it; the old sign-in stays when that fails.
 *
 * @param name the account, where it is not the one that was brought
 * @returns the account and what its person should know
 * @rejects Failure
 */
export async function importSignIn(
  arrival: Arrival,
  name: string | undefined,
  context: SignInContext,
  signal: AbortSignal,
): Promise<{ readonly account: Account; readonly warnings: readonly string[] }> {
  const wanted = name ?? arrival.user
  if (wanted === undefined)
    throw new Misconfigured('a refresh token alone does not say whose it is', {
      hint: 'name the account with --user ADDRESS',
    })
  const account = accountOf(wanted, context)
  const { config, storeKey } = context
  const store = await openOwnStore(config.storePath, 'import FILE', storeKey)
  try {
    const grant = await grantFrom(arrival, account, signal)
    await unlockQuietly(context)
    const signedInAtMs = arrival.kind === 'sign-in' ? arrival.signedInAtMs : Date.now()
    const { ownerNamed } = await tryAndStore(grant, account, store, signal, signedInAtMs)
    const told = await tellDaemon(account, context)
    // Another xoauthd has looked whose it is when the person signed in.
    const known = arrival.kind === 'sign-in' && foldCase(arrival.user) === foldCase(account.user)
    const warnings =
      known || ownerNamed
        ? []
        : [
            `the server did not say whose sign-in this is; ${account.user} is assumed, and xoauthd check ${account.user} tries it`,
          ]
    return { account, warnings: [...warnings, ...told.warnings] }
  } finally {
    await store.close()
  }
}

async function grantFrom(arrival: Arrival, account: Account, signal: AbortSignal): Promise<Grant> {
  const { provider } = account
  if (!provider.usesGrant)
    throw new Misconfigured(`nobody signs in for ${account.user}: ${account.kind} needs no sign-in`)
  if (arrival.kind === 'sign-in') {
    if (arrival.binding === provider.binding) return arrival.grant
    throw new Misconfigured(
      `the sign-in is for "${arrival.binding}", and ${account.user} is "${provider.binding}" here`,
      { hint: 'a sign-in belongs to its client registration: write the same one in both files' },
    )
  }
  if (!provider.grantFromRefreshToken)
    throw new Misconfigured(`${account.kind} takes no refresh token from elsewhere`, {
      hint: `run: xoauthd login ${account.user}`,
    })
  return provider.grantFromRefreshToken(arrival.refreshToken, signal)
}

/**
 * Decrypts what was brought, where it is encrypted.
 *
 * @param identities `AGE-SECRET-KEY-…`, asked for only when they are needed
 */
export async function openArrival(
  bytes: Buffer,
  identities: () => Promise<readonly string[]>,
): Promise<string> {
  if (!isAgeFile(bytes) && !isArmored(bytes.toString('latin1'))) return bytes.toString('utf8')
  return Buffer.from(await decryptWith(bytes, await identities())).toString('utf8')
}

/** What goes into a form, a header or a file of one line, and is no sentence. */
const refreshTokenPattern = /^[!-~]{8,16384}$/

/**
 * Reads what was brought: our own export, the JSON of mutt_oauth2.py or oama (both have `email` and
 * `refresh_token`), or a refresh token alone.
 *
 * @throws Misconfigured when it is nothing of these
 */
export function readArrival(text: string): Arrival {
  const object = parseObject(text)
  if (object && 'format' in object) {
    const { account, stored } = parseRecord(text, 'what was brought')
    const { grant, binding, signedInAtMs } = stored
    return { kind: 'sign-in', user: account, grant, binding, signedInAtMs }
  }
  const refreshToken = object ? object['refresh_token'] : text.trim()
  const user = object?.['email']
  if (typeof refreshToken !== 'string' || !refreshTokenPattern.test(refreshToken))
    throw new Misconfigured('what was brought holds no sign-in and no refresh token', {
      hint: 'give it what xoauthd export printed, the JSON of mutt_oauth2.py or oama, or a refresh token',
    })
  return { kind: 'refresh-token', user: typeof user === 'string' ? user : undefined, refreshToken }
}
