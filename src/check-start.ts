/**
 * What `serve` needs of this machine before it can serve: for `serve --check`, which starts nothing, makes
 * nothing and asks no network.
 */
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createAccounts, type Account } from './accounts.ts'
import type { Config } from './config.ts'
import { failedFinding, finding, type Finding } from './findings.ts'
import { userName } from './identity.ts'
import type { SignInContext } from './login.ts'
import { hasProgram } from './run-command.ts'
import type { SocketConfig } from './socket-config.ts'
import { defaultSocketPath } from './socket-path.ts'
import { ownerOf, prepareFolder } from './store-disk.ts'
import { storeLock } from './store-status.ts'

/** @returns what is wrong, the accounts first; none when the daemon would start and serve */
export async function checkStart(
  context: SignInContext,
  env: NodeJS.ProcessEnv,
): Promise<Finding[]> {
  const { config, surroundings } = context
  const rows: Finding[] = []
  for (const account of createAccounts(config, surroundings).all)
    rows.push(...(await accountFindings(account)), ...programFindings(account, config, env))
  rows.push(...(await storeFindings(context)), ...notifyFindings(config, env))
  for (const socket of config.sockets) rows.push(...(await folderFindings(socket, env)))
  return rows
}

async function accountFindings({ user, provider }: Account): Promise<Finding[]> {
  try {
    await provider.check()
    return []
  } catch (error) {
    return [failedFinding('registration', error, user)]
  }
}

/** A program that prints tokens may ask a network, so it is looked for and not run. */
function programFindings(account: Account, config: Config, env: NodeJS.ProcessEnv): Finding[] {
  if (account.provider.authorityIsProgram !== true) return []
  const own = config.accounts.find(({ user }) => user === account.user)
  const command = own?.settings['command']
  const program: unknown = Array.isArray(command) ? command[0] : undefined
  if (typeof program !== 'string' || hasProgram(program, dirname(config.file), env)) return []
  return [
    finding('problem', 'command', `the command "${program}" is not installed`, {
      account: account.user,
      hint: 'install it, or write its whole path',
    }),
  ]
}

function notifyFindings({ notifyCommand }: Config, env: NodeJS.ProcessEnv): Finding[] {
  const [program] = notifyCommand ?? []
  if (program === undefined || hasProgram(program, '/', env)) return []
  return [
    finding('problem', 'notify', `the command "${program}" of [notify] is not installed`, {
      hint: 'install it, or write its whole path',
    }),
  ]
}

/** One that is missing is made at the start. */
async function storeFindings({ config, storeKey }: SignInContext): Promise<Finding[]> {
  const { storePath } = config
  const owner = await ownerOf(storePath)
  if (owner === undefined) return []
  if (owner !== process.getuid?.()) {
    const name = userName(owner)
    return [
      finding('warning', 'store', `the store ${storePath} belongs to ${name}: not looked at`, {
        hint: `run: runuser -u ${name} -- xoauthd serve --check`,
      }),
    ]
  }
  try {
    // It is there, so nothing is made.
    await prepareFolder(storePath)
    const lock = await storeLock(storePath, storeKey)
    return lock ? [failedFinding('store', lock)] : []
  } catch (error) {
    return [failedFinding('store', error)]
  }
}

async function folderFindings({ path }: SocketConfig, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  // The daemon makes the folder of its usual socket.
  if (path === defaultSocketPath(env)) return []
  const folder = dirname(path)
  const there = await stat(folder).catch(() => undefined)
  if (there?.isDirectory() === true) return []
  // Where systemd makes the folder, it may rightly be missing now.
  const verdict = folder.startsWith('/run/') ? 'warning' : 'problem'
  return [
    finding(verdict, 'socket', `${folder}, where the socket ${path} is to appear, is no folder`, {
      hint: `mkdir -p ${folder}, unless a unit of systemd makes it (RuntimeDirectory=)`,
    }),
  ]
}
