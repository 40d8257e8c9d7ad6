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

/** How it is, a second row when it will end soon, and what it covers. */
export function toldSignIn(account: Account, status: AccountStatus): Finding[] {
  const { user, ends_warning } = status
  const soon = `will end soon: ${ends_warning}`
  return [
    stateFinding(status),
    ...(ends_warning === '' ? [] : [finding('warning', check, soon, { account: user })]),
    // A daemon of an earlier version does not tell.
    ...scopesFinding(account, (status as Partial<AccountStatus>).scopes ?? {}),
  ]
}

/** What the services need and what was granted: no row before there is a token to tell it. */
function scopesFinding(
  { user, provider, services }: Account,
  granted: AccountStatus['scopes'],
): Finding[] {
  const known = services.flatMap((service) => {
    const scopes = granted[service]
    return scopes && provider.missingScopes
      ? [{ service, missing: provider.missingScopes(service, scopes) }]
      : []
  })
  const lacking = known.filter(({ missing }) => missing.length > 0)
  if (lacking.length > 0) {
    const words = lacking.map(({ service, missing }) => `${service} needs ${missing.join(' ')}`)
    return [
      finding('problem', 'scopes', `${words.join('; ')}: not granted at the sign-in`, {
        account: user,
        hint: `allow it in the registration, run: xoauthd login ${user}, and agree to all that is asked for`,
        code: 'sign-in-needed',
      }),
    ]
  }
  const silent = services.filter((service) => granted[service] === null)
  if (silent.length > 0)
    return [
      finding('skipped', 'scopes', 'the server does not say what it granted', { account: user }),
    ]
  if (known.length === 0) return []
  const names = known.map(({ service }) => service).join(', ')
  return [finding('ok', 'scopes', `what ${names} need was granted`, { account: user })]
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
