/**
 * Another authentication server: EmailEngine's protocol, which another xoauthd serves too.
 *
 * `GET URL?account=MAILBOX&proto=imap|smtp|api` is answered with `{user, accessToken, expires}`. There is
 * no grant, and nothing on disk: the other server keeps what lasts. The name that goes into the string is
 * the one that it answers with, for it knows who signs in there.
 */
import { Misconfigured, Unavailable, UnknownAccount } from '../errors.ts'
import { parseObject } from '../json.ts'
import { endpoint, optional, secret, text } from '../schema.ts'
import type { Seen } from '../transport.ts'
import { failureFrom, readRetryAfter, unreached } from './failure-classes.ts'
import { readPlainToken } from './plain-token.ts'
import { anyMailService, providerKind, type Problem, type Token } from './provider.ts'
import { quote, redact } from './redaction.ts'

/** What the protocol calls them; POP logs in as IMAP does, and any other service is an API. */
const protocols = new Map([
  ['smtp', 'smtp'],
  ['imap', 'imap'],
  ['pop', 'imap'],
])
/** Another xoauthd waits for 20 s for its provider before it says 429. */
const timeoutMs = 30_000
/** EmailEngine's own limit, and nothing that would end the string early. */
const loginPattern = /^[^\s\x00-\x1f\x7f]{1,256}$/

export const authServer = providerKind({
  page: 'others.md',
  settings: {
    url: endpoint('where the other server answers'),
    username: optional(text('the name that it knows this machine by')),
    password: optional(secret('the password of that name')),
  },

  services: anyMailService,

  problems(_identity, { url, username, password }) {
    const problems: Problem[] = []
    if (username === undefined && password !== undefined)
      problems.push({ key: 'username', message: 'is missing beside password' })
    if (username !== undefined && password === undefined)
      problems.push({ key: 'password', message: 'is missing beside username' })
    // RFC 7617 2: the first colon ends the name.
    if (username?.includes(':') === true)
      problems.push({ key: 'username', message: 'cannot have a colon in it' })
    for (const name of ['account', 'proto'])
      if (new URL(url).searchParams.has(name))
        problems.push({ key: 'url', message: `may not set "${name}", which each request has` })
    return problems
  },

  create(_identity, settings, { transport, readSecret }) {
    const { host } = new URL(settings.url)

    async function credentials(): Promise<string | undefined> {
      const { username, password } = settings
      if (username === undefined || !password) return undefined
      return Buffer.from(`${username}:${await readSecret(password)}`).toString('base64')
    }

    return {
      authority: host,
      binding: `auth-server ${settings.url}`,
      usesGrant: false,
      tokenKey: ({ mailbox, service }) => `${mailbox} ${protocolOf(service)}`,

      async check() {
        await credentials()
      },

      async refresh(_grant, { mailbox, service }, nowMs, signal) {
        const basic = await credentials()
        const url = new URL(settings.url)
        url.searchParams.set('account', mailbox)
        url.searchParams.set('proto', protocolOf(service))
        const headers = basic === undefined ? {} : { authorization: `Basic ${basic}` }
        const request = { method: 'GET', url: url.href, headers, timeoutMs } as const
        const seen = await transport.send(request, signal)
        const password =
          basic &&
          Buffer.from(basic, 'base64')
            .toString()
            .replace(/^[^:]*:/, '')
        const secrets = [basic ?? '', password ?? '']
        return { token: readAnswer(seen, { host, mailbox, nowMs, secrets }) }
      },
    }
  },
})

function protocolOf(service: string): string {
  return protocols.get(service) ?? 'api'
}

interface Asked {
  readonly host: string
  readonly mailbox: string
  readonly nowMs: number
  readonly secrets: readonly string[]
}

/** @throws Failure of the class that the answer stands for */
function readAnswer(seen: Seen, asked: Asked): Token {
  const { host, nowMs } = asked
  if (seen.kind === 'no-answer') throw failureFrom(unreached(seen.error, host))
  const json = parseObject(seen.body)
  if (seen.status !== 200) throw failureOf(seen, json, asked)
  if (json === undefined)
    throw new Unavailable(`${host} answered with something else than JSON`, {
      trouble: 'network',
      hint: 'check url; something between here and there may be answering for it',
    })
  if (typeof json['pass'] === 'string' && json['pass'] !== '')
    throw new Misconfigured(`${host} answered with a password and no token`, {
      hint: 'passwords are not handed on; let that server answer with accessToken',
    })
  const expires = json['expires'] ?? undefined
  const expiresAtMs = expires === undefined ? undefined : Number(expires) * 1000
  const token = readPlainToken({ value: json['accessToken'], expiresAtMs, nowMs, from: host })
  const login = json['user'] ?? undefined
  if (login === undefined) return token
  if (typeof login !== 'string' || !loginPattern.test(login))
    throw new Unavailable(`${host} answered with a user that is no login name`, {
      trouble: 'account',
    })
  return { ...token, login }
}

function failureOf(
  seen: Seen & { kind: 'answer' },
  json: Record<string, unknown> | undefined,
  { host, mailbox, nowMs, secrets }: Asked,
) {
  const { status } = seen
  const names = ['error', 'code', 'message', 'reason']
  const words = names.map((name) => json?.[name]).filter((each) => typeof each === 'string')
  const said = `${host} answered HTTP ${status}${
    words.length === 0 ? '' : `, ${quote(redact(words.join(': '), secrets))}`
  }`
  switch (status) {
    case 404:
      return new UnknownAccount(`${host} knows no account ${mailbox}`, {
        hint: 'add it there; a wrong path in url is answered in the same way',
      })
    case 401:
      return new Misconfigured(said, { hint: 'check username and password against that server' })
    case 400:
    case 403:
      return new Misconfigured(said, {
        hint: 'that server does not hand this out; its own log says why',
      })
    case 429:
      // It speaks of this mailbox: the others there may be well, so the host is not to blame.
      return new Unavailable(said, {
        retryAfterMs: readRetryAfter(seen.headers['retry-after'], nowMs),
        hint: 'that server cannot have a token for it now; its own log says why',
      })
    default:
      return new Unavailable(said, {
        trouble: status >= 500 || status === 408 ? 'provider' : 'network',
        retryAfterMs: readRetryAfter(seen.headers['retry-after'], nowMs),
        hint: 'check url; something between here and there may be answering for it',
      })
  }
}
