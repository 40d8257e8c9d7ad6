/**
 * What STATUS answers and `xoauthd status` shows: the state of the daemon and of each account, without
 * anything secret. The JSON is documented and stable: within a version, keys are only added.
 */
import { wildcardDomain } from './address.ts'
import { agents } from './agents/index.ts'
import { isTooLong, xoauth2Bytes } from './agents/lengths.ts'
import { StoreLocked } from './errors.ts'
import { predictionFor, type Kept } from './kept.ts'
import { speaksForAccount } from './plan.ts'
import { isUnknown, remainingMs, type Slot } from './slot.ts'
import { allSlots, askedSlot } from './slot-table.ts'
import type { StoreStatus } from './store-status.ts'
import { version } from './version.ts'

export type AccountCondition =
  'fresh' | 'starting' | 'idle' | 'failing' | 'store-locked' | 'sign-in-needed' | 'misconfigured'

/** Times are whole epoch seconds. */
export interface AccountStatus {
  readonly user: string
  readonly id: string
  readonly provider: string
  readonly services: readonly string[]
  readonly mailboxes: readonly string[]
  readonly state: AccountCondition
  /** The expiry of the token that is handed out; null when there is none. */
  readonly expires_at: number | null
  readonly refreshed_at: number | null
  readonly signed_in_at: number | null
  /** When the provider is asked next; null when nobody needs it. */
  readonly next_refresh_at: number | null
  /** When the sign-in, or the registration's secret, will end; null where nothing is known. */
  readonly ends_at: number | null
  /** Why, in one word; empty where nothing is known. */
  readonly ends_because: string
  /** What to do about it, from when on it is time to; else empty. */
  readonly ends_warning: string
  /**
   * By service, the scopes of its token as the server said them; null where it did not. A service without a
   * token is not in it, nor is any of an account that nobody signs in to.
   */
  readonly scopes: Readonly<Record<string, readonly string[] | null>>
  /** How many tokens are held: more than one for services with scopes of their own, or a wildcard. */
  readonly tokens: number
  /** The longest XOAUTH2 string of these, in bytes before base64; null when there is none. */
  readonly xoauth2_bytes: number | null
  /** The mail agents that cannot send so long a one, each with its version. */
  readonly too_long_for: readonly string[]
  readonly message: string
  readonly hint: string
}

export interface DaemonStatus {
  readonly version: 1
  readonly program: string
  readonly pid: number
  readonly started_at: number
  readonly configuration: string
  readonly store: StoreStatus
  readonly sockets: readonly string[]
  readonly accounts: readonly AccountStatus[]
}

/** Worst first, which is also how they are shown. */
export const conditions: readonly AccountCondition[] = [
  'store-locked',
  'sign-in-needed',
  'misconfigured',
  'failing',
  'starting',
  'idle',
  'fresh',
]

/** @param nowMs the wall clock, epoch ms */
export function daemonStatus(
  daemon: {
    readonly startedAtMs: number
    readonly file: string
    readonly store: StoreStatus
    readonly sockets: readonly string[]
    readonly kept: Iterable<Kept>
  },
  nowMs: number,
): DaemonStatus {
  return {
    version: 1,
    program: version,
    pid: process.pid,
    started_at: seconds(daemon.startedAtMs),
    configuration: daemon.file,
    store: daemon.store,
    sockets: daemon.sockets,
    accounts: [...daemon.kept].map((kept) => accountStatus(kept, nowMs)),
  }
}

/** An account is as bad as the worst of its tokens. */
function accountStatus(kept: Kept, nowMs: number): AccountStatus {
  const { account } = kept
  let worst: Slot | undefined
  let refreshedAtMs = 0
  let expiresAtMs = Infinity
  let tokens = 0
  let longest = { login: '', bytes: 0 }
  for (const slot of allSlots(kept.slots)) {
    const counts = !('failure' in slot.state) || speaksForAccount(kept, slot, nowMs)
    // What the provider does not know has no token that anybody needs.
    if (!counts && isUnknown(slot)) continue
    if (counts && (!worst || rankOf(slot) < rankOf(worst))) worst = slot
    const { token } = slot.state
    if (!token || remainingMs(token, nowMs) <= 0) continue
    tokens++
    longest = longer(longest, account.loginName(slot.request), token.value)
    refreshedAtMs = Math.max(refreshedAtMs, token.obtainedAtMs)
    expiresAtMs = Math.min(expiresAtMs, token.expiresAtMs)
  }
  const failure = worst && 'failure' in worst.state ? worst.state.failure : undefined
  return {
    user: account.user,
    id: account.id,
    provider: account.kind,
    services: account.services,
    mailboxes: account.mailboxes,
    state: worst ? conditionOf(worst) : emptyCondition(account.user),
    expires_at: tokens > 0 ? seconds(expiresAtMs) : null,
    refreshed_at: tokens > 0 ? seconds(refreshedAtMs) : null,
    signed_in_at: kept.grant.signedInAtMs === undefined ? null : seconds(kept.grant.signedInAtMs),
    next_refresh_at: nextRefreshAt(worst),
    ...endOf(kept, nowMs),
    scopes: scopesOf(kept, nowMs),
    tokens,
    xoauth2_bytes: tokens > 0 ? longest.bytes : null,
    too_long_for: tooShortAgents(longest),
    message: failure?.message ?? '',
    hint: failure?.hint ?? '',
  }
}

function scopesOf({ account, slots }: Kept, nowMs: number): AccountStatus['scopes'] {
  const { user: mailbox, provider, services } = account
  if (!provider.usesGrant) return {}
  const granted: Record<string, readonly string[] | null> = {}
  for (const service of services) {
    const token = askedSlot(slots, provider.tokenKey({ service, mailbox }))?.state.token
    if (token && remainingMs(token, nowMs) > 0) granted[service] = token.scopes ?? null
  }
  return granted
}

function endOf(
  kept: Kept,
  nowMs: number,
): Pick<AccountStatus, 'ends_at' | 'ends_because' | 'ends_warning'> {
  const end = predictionFor(kept)
  if (!end) return { ends_at: null, ends_because: '', ends_warning: '' }
  const { atMs, because, sentence, next, warnAtMs } = end
  return {
    ends_at: seconds(atMs),
    ends_because: because,
    ends_warning: nowMs < warnAtMs ? '' : `${sentence}; ${next}`,
  }
}

export interface Credential {
  readonly login: string
  /** Of the XOAUTH2 string. */
  readonly bytes: number
}

function longer(before: Credential, login: string, token: string): Credential {
  const bytes = xoauth2Bytes(login, Buffer.byteLength(token))
  return bytes > before.bytes ? { login, bytes } : before
}

/** @returns the mail agents that cannot send a credential, each with its version */
export function tooShortAgents({ login, bytes }: Credential): string[] {
  return agents
    .filter((agent) => isTooLong(agent, login, bytes))
    .map(({ name, version }) => `${name} ${version}`)
}

function conditionOf({ state }: Slot): AccountCondition {
  switch (state.kind) {
    case 'idle':
      return 'starting'
    case 'live':
      return 'fresh'
    case 'failing':
    case 'confirming':
      return 'failing'
    case 'stopped':
      if (state.failure instanceof StoreLocked) return 'store-locked'
      return state.failure.code === 'sign-in-needed' ? 'sign-in-needed' : 'misconfigured'
  }
}

function rankOf(slot: Slot): number {
  return conditions.indexOf(conditionOf(slot))
}

function emptyCondition(user: string): AccountCondition {
  return wildcardDomain(user) === undefined ? 'starting' : 'idle'
}

function nextRefreshAt(slot: Slot | undefined): number | null {
  if (!slot || slot.state.kind === 'idle') return null
  return seconds('failure' in slot.state ? slot.state.retryAtMs : slot.state.refreshAtMs)
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}
