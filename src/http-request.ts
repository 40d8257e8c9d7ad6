/** What a request to the authentication server asks for, read from its target. Pure. */
import { BadRequest } from './errors.ts'

export interface Target {
  /** The host that an absolute-form target names (RFC 9112 3.2.2); undefined in the usual form. */
  readonly authority: string | undefined
  readonly path: string
  readonly query: string
}

export const protos = ['imap', 'smtp', 'api'] as const
export type Proto = (typeof protos)[number]

export interface AccountQuery {
  /** A mailbox, an account's user or its id. */
  readonly name: string
  readonly proto: Proto
}

/** Longer than every address; an id is a word. */
const nameMaxLength = 254

/** @param url what stands between the method and the version */
export function readTarget(url: string): Target {
  const [, authority, rest = ''] = /^(?:[a-z][a-z0-9+.-]*:\/\/([^/?]*))?(.*)$/is.exec(url) ?? []
  const mark = rest.indexOf('?')
  return mark < 0
    ? { authority, path: rest, query: '' }
    : { authority, path: rest.slice(0, mark), query: rest.slice(mark + 1) }
}

/** @throws BadRequest */
export function readQuery(query: string): AccountQuery {
  const name = valueOf(query, 'account')
  if (name === undefined || name === '')
    throw new BadRequest('account is missing', { hint: 'write ?account=me@example.org' })
  if (name.length > nameMaxLength) throw new BadRequest(`account has over ${nameMaxLength} letters`)
  const given = valueOf(query, 'proto') ?? 'imap'
  const proto = protos.find((each) => each === given)
  if (!proto) throw new BadRequest('proto is imap, smtp or api')
  return { name, proto }
}

function valueOf(query: string, key: string): string | undefined {
  const values = query
    .split('&')
    .map((pair) => pair.split(/=(.*)/s, 2))
    .filter(([name = '']) => decoded(name) === key)
    .map(([, value = '']) => decoded(value))
  if (values.length > 1) throw new BadRequest(`${key} stands twice`)
  return values[0]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new BadRequest('the query is not percent-encoded as it should be')
  }
}
