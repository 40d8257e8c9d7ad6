/**
 * Homes for the daemon under measurement: so many accounts that are signed in, with living tokens in the
 * store, so that it answers at once and asks nobody.
 */
import { join } from 'node:path'
import { openStore } from '../src/store.ts'
import { createHome, type Home } from '../test/fixtures/daemon.ts'

/** What a measurement's accounts have in common. */
export interface AccountKind {
  /** The keys of an account's table, but its user. */
  readonly keys: string
  /** See `Provider.binding` and `Provider.tokenKey`. */
  readonly binding: string
  readonly tokenKey: string
  /** What its tokens begin with, and how long they are. */
  readonly tokenPrefix: string
  readonly tokenBytes: number
  grant(user: string): string
}

export interface Household {
  readonly home: Home
  /** What the load asks for. */
  readonly request: string
  /** What the daemon answers to it. */
  readonly reply: string
}

const clientId = 'x.apps.googleusercontent.com'
const google: AccountKind = {
  keys: `provider = "google"\nclient_id = "${clientId}"\nclient_secret = "x"\n`,
  binding: `google ${clientId}`,
  tokenKey: '',
  tokenPrefix: 'ya29.',
  // What Google's tokens were seen to grow to; the reply is a few bytes longer.
  tokenBytes: 1500,
  grant: (user) => `grant of ${user}`,
}
const hourMs = 3_600_000

/** A home of so many Google accounts. */
export async function createHousehold(accounts: number): Promise<Household> {
  const users = Array.from({ length: accounts }, (_, index) => `user${index}@example.org`)
  const home = await createSignedInHome(users, google)
  const user = users[Math.floor(accounts / 2)] ?? ''
  return {
    home,
    request: `SMTP ${user}`,
    reply: `user=${user}\x01auth=Bearer ${tokenValue(user, google)}\x01\x01`,
  }
}

/** Writes the file and the store of accounts that have signed in just now. */
export async function createSignedInHome(
  users: readonly string[],
  kind: AccountKind,
): Promise<Home> {
  const { keys, binding, tokenKey } = kind
  const home = createHome(users.map((user) => `[[account]]\nuser = "${user}"\n${keys}`).join('\n'))
  const store = await openStore(join(home.path, 'state', 'xoauthd'))
  const nowMs = Date.now()
  const living = { obtainedAtMs: nowMs, expiresAtMs: nowMs + hourMs, expiryKnown: true }
  for (const user of users)
    await store.replace(user, {
      grant: kind.grant(user),
      binding,
      signedInAtMs: nowMs,
      refreshedAtMs: nowMs,
      tokens: { [tokenKey]: { value: tokenValue(user, kind), ...living } },
    })
  await store.close()
  return home
}

function tokenValue(user: string, { tokenPrefix, tokenBytes }: AccountKind): string {
  return `${tokenPrefix}${user}.`.padEnd(tokenBytes, 'x')
}
