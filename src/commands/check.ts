/** `check`: looks at everything that has to be right, and tells what to do where it is not. */
import { createAccounts, type Account } from '../accounts.ts'
import { wildcardDomain } from '../address.ts'
import { checkAccount, type Means, type Subject } from '../check-account.ts'
import { checkMachine } from '../check-machine.ts'
import { checkProviderHost } from '../check-provider.ts'
import { storedSignIn } from '../check-sign-in.ts'
import { XoauthdError, getTokenFrom } from '../client.ts'
import type { Common, Define } from '../command-line.ts'
import { ConfigError } from '../config-error.ts'
import { UnknownAccount } from '../errors.ts'
import { exitStatus, finding, findingsText, type Finding } from '../findings.ts'
import type { SignInContext } from '../login.ts'
import type { DaemonStatus } from '../status.ts'
import { version } from '../version.ts'
import { askStatus, signInContext, socketsFor } from './context.ts'

/** Less than a row may take. */
const tokenWaitS = 15
/** Of a provider that fails at this time the daemon knows why. */
const failingWaitS = 2

export function defineCheck(define: Define): void {
  define(
    'check [user]',
    'find out what is wrong, and what to do: signs in to the mail servers, too',
    [
      'xoauthd check',
      'xoauthd check jane@corp.example',
      'xoauthd check --as Debian-exim',
      'xoauthd check --json',
    ],
  )
    .option('--as <user>', 'the user that the mail agent runs as: may it open a socket?')
    .option('--json', 'as JSON')
    .action(check)
}

interface CheckFlags extends Common {
  readonly as?: string
  readonly json?: boolean
}

async function check(user: string | undefined, options: CheckFlags): Promise<void> {
  const findings = await look(user, options)
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify({ version: 1, program: version, findings })}\n`
      : findingsText(findings, shapeOf(process.stdout)),
  )
  process.exitCode = exitStatus(findings)
}

/** A pipe or a file has neither columns nor colours. */
function shapeOf({ columns = 80, isTTY = false }: { columns?: number; isTTY?: boolean }) {
  return { columns, coloured: isTTY && (process.env['NO_COLOR'] ?? '') === '' }
}

async function look(user: string | undefined, options: CheckFlags): Promise<Finding[]> {
  let context: SignInContext
  try {
    context = await signInContext(options)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n').map((line) => finding('problem', 'configuration', line))
  }
  try {
    return await lookWith(context, user, options)
  } finally {
    context.surroundings.transport.close()
  }
}

async function lookWith(
  context: SignInContext,
  user: string | undefined,
  options: CheckFlags,
): Promise<Finding[]> {
  const { config, surroundings, storeKey } = context
  const subjects = subjectsOf(user, context)
  const { daemon, silence } = await statusFrom(options)
  const paths = await socketsFor(options)
  const meansFor = ({ account }: Subject): Means => {
    const status = daemon?.accounts.find(({ user: name }) => name === account.user)
    const wait = status?.state === 'failing' ? failingWaitS : tokenWaitS
    const ask: Means['ask'] = (mailbox, service) => (refused) =>
      getTokenFrom(paths, mailbox, { service, wait, refused })
    return {
      status,
      told: daemon !== undefined,
      // A socket that does not tell may still give out tokens.
      ask: silence === undefined || silence.code === 'not-allowed' ? ask : undefined,
      stored: (each) => storedSignIn(each, context),
    }
  }
  // The rows come in this order, whatever is done first.
  const rows = await Promise.all([
    checkMachine({ config, storeKey, daemon, silence, agent: options.as, version }),
    ...authoritiesOf(subjects).map((authority) =>
      checkProviderHost(authority, surroundings.transport, Date.now, new AbortController().signal),
    ),
    ...subjects.map((subject) => checkAccount(subject, meansFor(subject))),
  ])
  return rows.flat()
}

/** @throws UnknownAccount */
function subjectsOf(user: string | undefined, { config, surroundings }: SignInContext): Subject[] {
  const accounts = createAccounts(config, surroundings)
  const isOne = (name: string) => wildcardDomain(name) === undefined
  const whole = (account: Account): Subject => ({
    account,
    hosts: config.accounts.find((each) => each.user === account.user)?.hosts ?? {},
    mailbox: isOne(account.user) ? account.user : undefined,
    shared: account.mailboxes.filter(isOne),
  })
  if (user === undefined) return accounts.all.map(whole)
  const found = accounts.findByName(user)
  if (!found)
    throw new UnknownAccount(`no account answers for ${user}`, {
      hint: `${config.file} has ${accounts.all.map((each) => each.user).join(', ')}`,
    })
  const { account, mailbox } = found
  if (mailbox === account.user) return [whole(account)]
  return [{ ...whole(account), mailbox, shared: [] }]
}

function authoritiesOf(subjects: readonly Subject[]): string[] {
  const hosts = subjects.flatMap(({ account: { provider } }) =>
    provider.authorityIsProgram === true ? [] : [provider.authority],
  )
  return [...new Set(hosts)]
}

async function statusFrom(
  options: Common,
): Promise<{ daemon: DaemonStatus | undefined; silence: XoauthdError | undefined }> {
  try {
    const { status } = await askStatus(options)
    return { daemon: status, silence: undefined }
  } catch (error) {
    if (!(error instanceof XoauthdError)) throw error
    return { daemon: undefined, silence: error }
  }
}
