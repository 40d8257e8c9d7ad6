/**
 * A home for the daemon under measurement: so many Google accounts that are signed in, with living
 * tokens in the store, so that it answers at once and asks nobody.
 */
import { join } from 'node:path'
import { openStore } from '../src/store.ts'
import { createHome, type Home } from '../test/fixtures/daemon.ts'

/** What Google's tokens were seen to grow to; the reply is a few bytes longer. */
const tokenBytes = 1500
const hourMs = 3_600_000
const clientId = 'x.apps.googleusercontent.com'

export interface Household {
  readonly home: Home
  /** What the load asks for. */
  readonly request: string
  /** What the daemon answers to it. */
  readonly reply: string
}

export async function createHousehold(accounts: number): Promise<Household> {
  const users = Array.from({ length: accounts }, (_, index) => `user${index}@example.org`)
  const home = createHome(users.map(accountToml).join('\n'))
  const store = await openStore(join(home.path, 'state', 'xoauthd'))
  const nowMs = Date.now()
  await Promise.all(
    users.map((user) =>
      store.replace(user, {
        grant: `grant of ${user}`,
        binding: `google ${clientId}`,
        signedInAtMs: nowMs,
        refreshedAtMs: nowMs,
        tokens: { '': tokenOf(user, nowMs) },
      }),
    ),
  )
  await store.close()
  const user = users[Math.floor(accounts / 2)] ?? ''
  return {
    home,
    request: `SMTP ${user}`,
    reply: `user=${user}\x01auth=Bearer ${tokenOf(user, nowMs).value}\x01\x01`,
  }
}

function accountToml(user: string): string {
  return `[[account]]
user = "${user}"
provider = "google"
client_id = "${clientId}"
client_secret = "x"
`
}

function tokenOf(user: string, nowMs: number) {
  return {
    value: `ya29.${user}.`.padEnd(tokenBytes, 'x'),
    obtainedAtMs: nowMs,
    expiresAtMs: nowMs + hourMs,
    expiryKnown: true,
  }
}
