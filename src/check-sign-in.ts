/**
 * What `check` tells of an account's sign-in: what the daemon knows of it, or what the store has where no
 * daemon tells.
 */
import type { Account } from './accounts.ts'
import { NotAllowed } from './errors.ts'
import { failedFinding, finding, type Finding } from './findings.ts'
import { openOwnStore, readWithKey, type SignInContext } from './login.ts'
import type { AccountStatus } from './status.ts'
import { ownerOf } from './store-disk.ts'

const check = 'sign-in'

/** How it is, and a second row when it will end soon. */
export function toldSignIn(status: AccountStatus): Finding[] {
  const { user: account, ends_warning } = status
  if (ends_warning === '') return [stateFinding(status)]
  return [
    stateFinding(status),
    finding('warning', check, `will end soon: ${ends_warning}`, { account }),
  ]
}

function stateFinding({ user, state, message, hint, signed_in_at }: AccountStatus): Finding {
  const words = { account: user, hint }
  switch (state) {
    case 'sign-in-needed':
      return finding('problem', check, message, { ...words, code: 'sign-in-needed' })
    case 'store-locked':
      return finding('problem', check, message, { ...words, code: 'unavailable' })
    case 'misconfigured':
    case 'failing':
      // Whether there is a token in spite of it, the rows after this one tell.
      return finding('warning', check, message, words)
    case 'starting':
    case 'idle':
    case 'fresh': {
      const atMs = signed_in_at === null ? undefined : signed_in_at * 1000
      return finding('ok', check, atMs === undefined ? 'there is one' : dated(atMs), {
        account: user,
      })
    }
  }
}

/** Never rejects: a store that cannot be read is a row too. */
export async function storedSignIn(account: Account, context: SignInContext): Promise<Finding> {
  const { user, provider } = account
  const { storePath } = context.config
  const login = {
    account: user,
    hint: `run: xoauthd login ${user}`,
    code: 'sign-in-needed',
  } as const
  try {
    // Opening it would make it.
    if ((await ownerOf(storePath)) === undefined)
      return finding('problem', check, 'nobody has signed in yet', login)
    const store = await openOwnStore(storePath, `check ${user}`, context.storeKey)
    try {
      const found = await readWithKey(store, context.storeKey, user)
      if (!found) return finding('problem', check, 'nobody has signed in yet', login)
      if (found.stored.binding !== provider.binding)
        return finding('problem', check, 'it was made with another client or server', login)
      const saw = `${dated(found.stored.signedInAtMs)}; whether it still works, the daemon finds out`
      return finding('ok', check, saw, { account: user })
    } finally {
      await store.close()
    }
  } catch (error) {
    const row = failedFinding(check, error, user)
    return error instanceof NotAllowed ? { ...row, verdict: 'skipped', code: null } : row
  }
}

function dated(atMs: number): string {
  return `of ${new Date(atMs).toISOString().slice(0, 10)}`
}
