/** What is kept of one account, and the form of its file: one line of JSON. Pure. */
import { randomBytes } from 'node:crypto'
import { Misconfigured } from './errors.ts'
import { readLife, type GrantLife } from './grant-life.ts'
import { asObject, parseObject } from './json.ts'
import type { Grant, Token } from './providers/provider.ts'

const format = 1

export interface StoredGrant {
  readonly grant: Grant
  /** The registration that the grant belongs to; see `Provider.binding`. */
  readonly binding: string
  readonly signedInAtMs: number
  readonly refreshedAtMs: number
  /** The last tokens, by the provider's token key: a restart serves at once and asks nobody. */
  readonly tokens: Readonly<Record<string, Token>>
  /** How it ended, or the one before; no version of the file has to have it. */
  readonly life?: GrantLife | undefined
}

/** Changes with every write, of whatever process. */
export type Version = string

export interface StoredRecord {
  readonly account: string
  readonly version: Version
  readonly stored: StoredGrant
}

/** @returns a record that has not been written before */
export function newRecord(account: string, stored: StoredGrant): StoredRecord {
  return { account, version: randomBytes(8).toString('hex'), stored }
}

export function formatRecord({ account, version, stored }: StoredRecord): string {
  return `${JSON.stringify({ format, account, version, ...stored })}\n`
}

/**
 * @param path of the file, for messages
 * @throws Misconfigured when it is damaged, or newer than this program
 */
export function parseRecord(text: string, path: string): StoredRecord {
  const record = parseObject(text) ?? {}
  if (typeof record['format'] === 'number' && record['format'] > format)
    throw new Misconfigured(`${path} was written by a newer xoauthd (format ${record['format']})`, {
      hint: 'use that version, or sign in again',
    })
  const { account, grant, binding, signedInAtMs, refreshedAtMs, tokens, version } = record
  if (
    record['format'] !== format ||
    typeof account !== 'string' ||
    typeof grant !== 'string' ||
    typeof version !== 'string' ||
    typeof binding !== 'string' ||
    typeof signedInAtMs !== 'number' ||
    typeof refreshedAtMs !== 'number'
  )
    throw damaged(path)
  const life = readLife(record['life'])
  const stored = {
    ...{ grant, binding, signedInAtMs, refreshedAtMs, tokens: readTokens(tokens) },
    ...(life ? { life } : {}),
  }
  return { account, version, stored }
}

/** A token that cannot be read is fetched again: no reason to lose the grant beside it. */
function readTokens(value: unknown): Record<string, Token> {
  const tokens: Record<string, Token> = {}
  for (const [key, entry] of Object.entries(asObject(value) ?? {})) {
    const { value: text, obtainedAtMs, expiresAtMs, scopes: said } = asObject(entry) ?? {}
    if (typeof text !== 'string' || text === '') continue
    if (typeof obtainedAtMs !== 'number' || typeof expiresAtMs !== 'number') continue
    const scopes = Array.isArray(said)
      ? said.filter((scope) => typeof scope === 'string')
      : undefined
    const times = { obtainedAtMs, expiresAtMs, expiryKnown: true }
    tokens[key] = { value: text, ...times, ...(scopes ? { scopes } : {}) }
  }
  return tokens
}

/** @returns what is said of a file that nothing can be made of */
export function damaged(path: string): Misconfigured {
  return new Misconfigured(`${path} is damaged`, {
    hint: 'restore it from a backup, or sign in again; login keeps the old file beside the new one',
  })
}
