/**
 * What `check` looks at for one account, in the order in which each needs the one before: what it needs
 * of this machine, its sign-in, a token for each of its services, and its mail servers.
 */
import type { Account } from './accounts.ts'
import { wildcardDomain } from './address.ts'
import { checkImap, checkSmtp, type Visit } from './check-mail.ts'
import { toldSignIn } from './check-sign-in.ts'
import type { TokenReply } from './client.ts'
import { parseHostPort } from './endpoint.ts'
import { Unavailable } from './errors.ts'
import { failedFinding, finding, type Finding } from './findings.ts'
import type { AskToken } from './imap-login.ts'
import type { MailHosts } from './providers/provider.ts'
import { tooShortAgents, type AccountStatus } from './status.ts'

/** One account, and the mailboxes that are tried. */
export interface Subject {
  readonly account: Account
  readonly hosts: MailHosts
  /** A name of its own, or the one that was asked for; undefined for a wildcard of which none was. */
  readonly mailbox: string | undefined
  /** Those of other people that it opens too. */
  readonly shared: readonly string[]
}

/** How the daemon is asked, and what is known when there is none. */
export interface Means {
  /** What the daemon said of this account; undefined when it does not know it. */
  readonly status: AccountStatus | undefined
  /** Whether the daemon told what it knows; it may give out tokens and not tell. */
  readonly told: boolean
  /** Undefined when there is nobody to ask for tokens. */
  readonly ask: ((mailbox: string, service: string) => AskToken) | undefined
  /** What the store has, for when no daemon tells. */
  stored(account: Account): Promise<Finding>
}

/** The longest that one row may take. */
const limitMs = 20_000

export async function checkAccount(subject: Subject, means: Means): Promise<Finding[]> {
  const { account, mailbox, shared } = subject
  const rows = [await needsFinding(account), ...(await signInFindings(account, means))]
  const skipped = (saw: string, hint: string) => [
    ...rows,
    finding('skipped', 'mail servers', saw, { account: account.user, hint }),
  ]
  if (rows.some(stopsThere)) return skipped('not tried before the above is put right', '')
  if (!means.ask) return skipped('not tried: tokens come from the daemon', '')
  if (mailbox === undefined)
    return skipped(
      'not tried: it stands for a whole domain',
      `name one mailbox of it: xoauthd check NAME@${wildcardDomain(account.user) ?? 'DOMAIN'}`,
    )
  const { ask } = means
  const tokens = await Promise.all(
    account.services.map(async (service) => tokenOf(service, mailbox, account.user, ask)),
  )
  rows.push(...tokens.map(({ row }) => row), ...lengthFindings(account.user, tokens))
  const good = tokens.flatMap(({ service, reply }) => (reply ? [service] : []))
  const [imap, smtp] = await Promise.all([
    good.includes('imap') ? visitAll('imap', [mailbox, ...shared], subject, ask) : [],
    good.includes('smtp') ? visitAll('smtp', [mailbox], subject, ask) : [],
  ])
  return [...rows, ...imap, ...smtp]
}

/** Gives a check so much time as one row may have; late, its row says so. */
export async function limited(
  check: string,
  account: string | null,
  work: (signal: AbortSignal) => Promise<Finding>,
  waitMs = limitMs,
): Promise<Finding> {
  const end = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Finding>((resolve) => {
    timer = setTimeout(() => {
      const failure = new Unavailable(`no answer within ${waitMs / 1000} s`, { hint: 'try again' })
      resolve(failedFinding(check, failure, account))
    }, waitMs)
  })
  try {
    return await Promise.race([work(end.signal), late])
  } finally {
    clearTimeout(timer)
    end.abort()
  }
}

function needsFinding({ user, provider }: Account): Promise<Finding> {
  const check = 'registration'
  return limited(check, user, async () => {
    try {
      await provider.check()
      return finding('ok', check, 'what it needs of this machine is there', { account: user })
    } catch (error) {
      return failedFinding(check, error, user)
    }
  })
}

async function signInFindings(account: Account, means: Means): Promise<Finding[]> {
  const { status, told } = means
  const { user, provider } = account
  if (told && !status)
    return [
      finding('problem', 'account', 'the daemon does not know it yet', {
        account: user,
        hint: 'run: xoauthd reload',
        code: 'unknown-account',
      }),
    ]
  if (!provider.usesGrant) return []
  if (status) return toldSignIn(account, status)
  return [await limited('sign-in', user, () => means.stored(account))]
}

/** Without a sign-in or an account there is no token, and each row after it would say the same. */
function stopsThere({ verdict, check }: Finding): boolean {
  return verdict === 'problem' && ['account', 'sign-in'].includes(check)
}

interface Answered {
  readonly service: string
  readonly row: Finding
  /** Undefined when there was none. */
  readonly reply: TokenReply | undefined
}

async function tokenOf(
  service: string,
  mailbox: string,
  account: string,
  ask: (mailbox: string, service: string) => AskToken,
): Promise<Answered> {
  const check = `token ${service}`
  let reply: TokenReply | undefined
  const row = await limited(check, account, async () => {
    try {
      reply = await ask(mailbox, service)(false)
      const { expires_in: leftS } = reply
      const left = `for ${leftS < 120 ? `${leftS} s` : `${Math.floor(leftS / 60)} min`} more`
      return finding('ok', check, `as ${reply.user}, ${left}`, { account })
    } catch (error) {
      return failedFinding(check, error, account)
    }
  })
  return { service, reply, row }
}

function lengthFindings(account: string, tokens: readonly Answered[]): Finding[] {
  const credentials = tokens.flatMap(({ reply }) =>
    reply ? [{ login: reply.user, bytes: Buffer.byteLength(reply.xoauth2) }] : [],
  )
  const longest = credentials.reduce<(typeof credentials)[number] | undefined>(
    (most, each) => (most && most.bytes >= each.bytes ? most : each),
    undefined,
  )
  if (!longest) return []
  const agents = tooShortAgents(longest)
  const bytes = `${longest.bytes} bytes`
  if (agents.length === 0)
    return [finding('ok', 'length', `${bytes}, which all mail agents take`, { account })]
  return [
    finding('warning', 'length', `${bytes}, too long for ${agents.join(', ')}`, {
      account,
      hint: 'where one of these sends or reads its mail, use a newer version or another program',
    }),
  ]
}

/** One after another: servers count connections. */
async function visitAll(
  service: 'imap' | 'smtp',
  mailboxes: readonly string[],
  { account, hosts }: Subject,
  ask: (mailbox: string, service: string) => AskToken,
): Promise<Finding[]> {
  const known = hosts[service]
  const at = known === undefined ? undefined : parseHostPort(known)
  if (!at)
    return [
      finding('skipped', service, 'where its server is, is not known', {
        account: account.user,
        hint: `write hosts = { ${service} = "host:port" } into the account`,
      }),
    ]
  const look = service === 'imap' ? checkImap : checkSmtp
  const rows: Finding[] = []
  for (const mailbox of mailboxes) {
    const visit: Visit = { account: account.user, mailbox, at, ask: ask(mailbox, service) }
    rows.push(await limited(service, account.user, (signal) => look(visit, signal)))
  }
  return rows
}
