/**
 * The configuration file: TOML text in, a `Config` out, or every problem of the file at once, each with
 * its line, its key and what to write.
 *
 * The one door to smol-toml. What a key may hold stands in config-schema.ts and in the providers' files.
 */
import { TomlError, parse as parseToml } from 'smol-toml'
import { readAccounts, readClients, type AccountConfig } from './account-config.ts'
import { ConfigError } from './config-error.ts'
import { fileEntries } from './config-schema.ts'
import { createLocator, type KeyPath } from './locate.ts'
import type { Level } from './log.ts'
import { check, type Report } from './schema-check.ts'
import { table } from './schema.ts'
import { resolveSockets, type SocketConfig } from './socket-config.ts'

export interface Config {
  readonly file: string
  readonly accounts: readonly AccountConfig[]
  readonly sockets: readonly SocketConfig[]
  readonly storePath: string
  readonly log: { readonly level: Level; readonly audit: boolean }
  /** Whether the text itself holds a secret, so that its file must be private. */
  readonly holdsSecret: boolean
}

/**
 * @param text of the file
 * @param file its path, for messages and for what is relative to it
 * @rejects ConfigError with all problems
 */
export async function parseConfig(
  text: string,
  file: string,
  env: NodeJS.ProcessEnv,
): Promise<Config> {
  const problems: { path: KeyPath; message: string }[] = []
  const report: Report = (path, message) => void problems.push({ path, message })
  const raw = readToml(text, file)
  const { account, client, ...rest } = raw
  const top = check(table(fileEntries), rest, [], report, ['account', 'client'])
  const clients = readClients(client, report)
  const accounts = readAccounts(account, clients, report)
  const sockets = top ? resolveSockets(top.socket, accounts, file, env, report) : []
  if (top?.http) report(['http'], 'is not served by this version yet; remove the table')
  if (top?.notify) report(['notify'], 'is not done by this version yet; remove the table')
  if (top?.store.key)
    report(['store', 'key'], 'is not used by this version yet, which does not encrypt; remove it')
  if (problems.length > 0 || !top) throw await located(problems, text, file)
  return {
    file,
    accounts,
    sockets,
    storePath: top.store.path ?? '',
    log: top.log,
    holdsSecret: /"kind":"inline"/.test(JSON.stringify(accounts)),
  }
}

function readToml(text: string, file: string): Record<string, unknown> {
  try {
    return parseToml(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
    throw new ConfigError(file, [
      { line: error.line, key: '', message: `is not TOML: ${what} (column ${error.column})` },
    ])
  }
}

async function located(
  problems: readonly { path: KeyPath; message: string }[],
  text: string,
  file: string,
): Promise<ConfigError> {
  const lineOf = await createLocator(text)
  const withLines = problems.map(({ path, message }) => ({
    line: lineOf(path),
    key: keyName(path),
    message,
  }))
  return new ConfigError(
    file,
    withLines.sort((a, b) => a.line - b.line),
  )
}

/** `account[2].client_id`, counted as a person would. */
function keyName(path: KeyPath): string {
  return path
    .map((key, at) => (typeof key === 'number' ? `[${key + 1}]` : at === 0 ? key : `.${key}`))
    .join('')
}
