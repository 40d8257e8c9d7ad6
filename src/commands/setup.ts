/** `setup`: prints the configuration of a mail agent for an account. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAccounts, type Account, type Found } from '../accounts.ts'
import { wildcardDomain } from '../address.ts'
import type { Agent, ConfigurationFile, Requirement } from '../agents/agent.ts'
import { agents } from '../agents/index.ts'
import { complain, type Common, type Define } from '../command-line.ts'
import { BadRequest, UnknownAccount } from '../errors.ts'
import { hasSaslPlugin, locate } from '../installed.ts'
import { customerOf, doorsOf, obstacles, socketFor, usualPlaceOf } from '../setup.ts'
import { askStatus, signInContext } from './context.ts'

const { env } = process

export function defineSetup(define: Define): void {
  define('setup [agent] [user]', 'print the configuration of a mail agent; without one, list them')
    .option('--folder <folder>', 'write its files there instead')
    .action(setup)
}

interface SetupFlags extends Common {
  readonly folder?: string
}

async function setup(
  name: string | undefined,
  user: string | undefined,
  options: SetupFlags,
): Promise<void> {
  if (name === undefined) {
    process.stdout.write(listing())
    return
  }
  const agent = agentNamed(name)
  const { config, surroundings } = await signInContext(options)
  surroundings.transport.close()
  const accounts = createAccounts(config, surroundings)
  const found = user === undefined ? onlyOne(accounts.all) : accounts.find(user)
  if (!found)
    throw new UnknownAccount(`no account answers for ${user ?? ''}`, {
      hint: `${config.file} has ${accounts.all.map((account) => account.user).join(', ')}`,
    })
  if (wildcardDomain(found.mailbox) !== undefined && agent.takesDomains !== true)
    throw new BadRequest(`${agent.name} is set up for one address, not for ${found.mailbox}`, {
      hint: 'give one address of that domain',
    })
  const usual = usualPlaceOf(agent)
  const tokenProgram = locate('xoauthd-token', env)
  const socket = agent.asks && socketFor(agent.asks.protocol, config.sockets, found.mailbox)
  const place = {
    ...usual,
    program: locate('xoauthd', env) ?? usual.program,
    tokenProgram: tokenProgram ?? usual.tokenProgram,
    socket: socket ?? usual.socket,
  }
  const customer = customerOf(found, config.accounts)
  const files = agent.files(doorsOf(customer, place))
  if (options.folder === undefined) process.stdout.write(files.map(printed(files)).join('\n'))
  else write(options.folder, files, agent.asks !== undefined)

  const credentialBytes = await lengthFromDaemon(options, found.account)
  const warnings = obstacles(agent, customer, { isInstalled, credentialBytes })
  if (tokenProgram === undefined)
    warnings.push('no xoauthd-token is on the PATH: mail agents will not find it')
  if (agent.asks && socket === undefined)
    warnings.push(
      `no [[socket]] lets a group send as ${found.mailbox} by ${agent.name}: see examples/${agent.name}/README.md`,
    )
  for (const warning of warnings) complain(`warning: ${warning}`, undefined)
}

function agentNamed(name: string): Agent {
  const agent = agents.find((each) => each.name === name)
  if (agent) return agent
  throw new BadRequest(`there is no configuration for ${name}`, {
    hint: `there is one for ${agents.map((each) => each.name).join(', ')}`,
  })
}

function onlyOne(accounts: readonly Account[]): Found {
  const [account, ...others] = accounts
  if (!account || others.length > 0)
    throw new BadRequest('whose configuration it shall be is not said', {
      hint: 'give an address after the name of the agent',
    })
  return { account, mailbox: account.user }
}

function listing(): string {
  const width = Math.max(...agents.map(({ name }) => name.length))
  return agents.map(({ name, summary }) => `${name.padEnd(width)}  ${summary}\n`).join('')
}

/** With more than one, a line says which is which. */
function printed(files: readonly ConfigurationFile[]) {
  return ({ name, path, text }: ConfigurationFile) =>
    files.length === 1 ? text : `# ---- ${name} (${path})\n${text}`
}

/**
 * @param forServer whether a mail server reads them, which is another user than the one who writes them
 * @throws the error of the system's, also when a file is there already
 */
function write(folder: string, files: readonly ConfigurationFile[], forServer: boolean): void {
  mkdirSync(folder, { recursive: true })
  for (const { name, text, executable } of files) {
    const path = join(folder, name)
    if (existsSync(path))
      throw new BadRequest(`${path} is there already`, { hint: 'name another --folder' })
    // msmtp and aerc refuse a file that others may read, though there is no secret in it.
    const mode = forServer ? 0o644 : executable ? 0o700 : 0o600
    writeFileSync(path, text, { mode, flag: 'wx' })
    process.stdout.write(`${path}\n`)
  }
}

/** A daemon that does not answer is no reason to print no configuration. */
async function lengthFromDaemon(options: Common, account: Account): Promise<number | undefined> {
  try {
    const { status } = await askStatus(options)
    return status.accounts.find(({ user }) => user === account.user)?.xoauth2_bytes ?? undefined
  } catch {
    return undefined
  }
}

function isInstalled({ kind, name }: Requirement): boolean {
  return kind === 'program' ? locate(name, env) !== undefined : hasSaslPlugin(name, env)
}
