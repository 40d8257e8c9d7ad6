/**
 * The configuration file: TOML text in, a `Config` out, or every problem of the file at once, each with
 * its line, its key and what to write.
 *
 * The one door to smol-toml. What a key may hold stands in config-schema.ts and in the providers' files.
 */
import { TomlError, parse as parseToml, type TomlValue } from 'smol-toml'
import { namesOf, readAccounts, type AccountConfig } from './account-config.ts'
import { readClients } from './client-config.ts'
import { ConfigError } from './config-error.ts'
import { fileEntries } from './config-schema.ts'
import { readHttp, type HttpConfig } from './http-config.ts'
import { createLocator, keyName, type KeyPath } from './locate.ts'
import type { Level } from './log.ts'
import { withoutMisplaced } from './misplaced.ts'
import { checkTable, tablesOf, type Report } from './schema-check.ts'
import type { Secret } from './secret.ts'
import { readSockets, type SocketConfig } from './socket-config.ts'
import { inPlainWords } from './toml-words.ts'

export interface Config {
  readonly file: string
  readonly accounts: readonly AccountConfig[]
  readonly sockets: readonly SocketConfig[]
  readonly http: HttpConfig | undefined
  readonly storePath: string
  /** What opens the store when it is encrypted. */
  readonly storeKey: Secret | undefined
  /** A program and its arguments, run when a person has to know. */
  readonly notifyCommand: readonly string[] | undefined
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
  const problems: Problem[] = []
  const report: Report = (path, message) => void problems.push({ path, message })
  const { account, client, socket, http, ...rest } = withoutMisplaced(readToml(text, file), report)
  const { store, log, notify } = checkTable(fileEntries, rest, [], report, [
    'account',
    'client',
    'socket',
    'http',
  ])
  if (account === undefined || (Array.isArray(account) && account.length === 0))
    report(['account'], 'is missing; write at least one [[account]] with user and provider')
  const tables = tablesOf('account', account, report)
  const clients = readClients(client, report)
  const accounts = readAccounts(tables, clients, report)
  const names = tables.flatMap(({ table }) => namesOf(table).map(({ name }) => name))
  // An account that is wrong elsewhere may well have the service that a socket names.
  const complete = accounts.length === tables.length && problems.length === 0
  const services = complete ? accounts.flatMap((each) => each.services) : undefined
  const sockets = readSockets(
    tablesOf('socket', socket, report),
    { names, services },
    file,
    env,
    report,
  )
  const paths = sockets.map(({ path }) => path)
  const server = readHttp(http, { names, services }, paths, file, env, report)
  if (problems.length > 0 || !store || !log || !notify) throw await located(problems, text, file)
  const parsed = [accounts, [...clients.values()].map((each) => each.parsed), store, server]
  return {
    file,
    accounts,
    sockets,
    http: server,
    storePath: store.path ?? '',
    storeKey: store.key,
    notifyCommand: notify.command,
    log,
    holdsSecret: /"kind":"inline"/.test(JSON.stringify(parsed)),
  }
}

export type Value = TomlValue

/** @returns one value in TOML, e.g. `{ file = "secret" }`; undefined when it is none */
export function parseValue(text: string): TomlValue | undefined {
  try {
    return parseToml(`value = ${text}`)['value']
  } catch {
    return undefined
  }
}

function readToml(text: string, file: string): Record<string, unknown> {
  try {
    return parseToml(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
    const { line, column } = error
    const words = inPlainWords(what, text.split(/\r?\n/)[line - 1] ?? '', column)
    throw new ConfigError(file, [
      { line, key: '', message: `is not TOML: ${words} (column ${column})` },
    ])
  }
}

interface Problem {
  readonly path: KeyPath
  readonly message: string
}

async function located(
  problems: readonly Problem[],
  text: string,
  file: string,
): Promise<ConfigError> {
  const lineOf = await createLocator(text, file)
  const sentences = problems.map(({ path, message }) => ({
    line: lineOf(path),
    key: keyName(path),
    message,
  }))
  // What is wrong with a client is found again by each account that uses it.
  const distinct = new Map(sentences.map((each) => [JSON.stringify(each), each]))
  return new ConfigError(
    file,
    [...distinct.values()].sort((a, b) => a.line - b.line),
  )
}
