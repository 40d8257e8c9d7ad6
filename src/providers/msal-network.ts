/**
 * What Microsoft's library sends, through our own transport, and to one host alone.
 *
 * Keeps what was seen, so that its meaning is read from the answer itself, and what was sent that no
 * message may repeat.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { isSafeEndpoint } from '../endpoint.ts'
import { Unavailable, oneLine } from '../errors.ts'
import type { Seen, Transport } from '../transport.ts'
import { readJsonAnswer } from './answers.ts'
import type { Sent } from './explain.ts'
import type { Asked } from './failure-classes.ts'
import { secretsIn } from './redaction.ts'
import { sentIn } from './token-endpoint.ts'

/** As the library wants it. */
export interface Network {
  sendGetRequestAsync<Body>(url: string, options?: Options): Promise<NetworkAnswer<Body>>
  sendPostRequestAsync<Body>(url: string, options?: Options): Promise<NetworkAnswer<Body>>
}

interface Options {
  headers?: Record<string, string>
  body?: string
}

interface NetworkAnswer<Body> {
  headers: Record<string, string>
  body: Body
  status: number
}

/** What an exchange works with. */
export interface How {
  readonly transport: Transport
  /** The wall clock, epoch ms. */
  readonly nowMs: number
  readonly signal: AbortSignal
}

/** How one exchange reaches the server. */
export interface Line {
  readonly network: Network
  /** The last answer. */
  seen(): Seen | undefined
  /** What was asked, to judge the answer by. */
  asked(nowMs: number): Asked
}

/** RFC 8628 3.5: what each `slow_down` adds to the time between two questions. */
const slowDownMs = 5_000

/** @param loginHost the only host that anything is sent to */
export function createLine(loginHost: string, { transport, signal }: How): Line {
  let seen: Seen | undefined
  const secrets = new Set<string>()
  let sent: Sent = {}

  async function send<Body>(
    method: 'GET' | 'POST',
    url: string,
    options: Options = {},
  ): Promise<NetworkAnswer<Body>> {
    if (new URL(url).host !== loginHost) throw new Error(`${url} is not of ${loginHost}`)
    const form = new URLSearchParams(options.body)
    for (const secret of secretsIn(form)) secrets.add(secret)
    sent = sentIn(url, form)
    const { headers, body } = options
    seen = await transport.send({ method, url, headers, body }, signal)
    if (seen.kind === 'no-answer') throw new Error('no answer')
    // Each reads only what it knows of an answer; ours is read from `seen`.
    return { status: seen.status, headers: headersOf(seen), body: objectOf(seen) as Body }
  }

  return {
    network: {
      sendGetRequestAsync: (url, options) => send('GET', url, options),
      sendPostRequestAsync: (url, options) => send('POST', url, options),
    },
    seen: () => seen,
    asked: (nowMs) => ({ host: loginHost, nowMs, secrets: [...secrets], sent }),
  }
}

/**
 * For a device sign-in, which the library ends at the first `slow_down`, lost answer or busy server, while
 * the person is still typing; RFC 8628 3.5 wants the client to go on.
 *
 * @param refuse takes why there is no code
 */
export function patient(line: Line, how: How, refuse: (failure: unknown) => void): Network {
  const { network } = line
  let extraMs = 0

  async function askForCode<Body>(url: string, options?: Options): Promise<NetworkAnswer<Body>> {
    await network.sendPostRequestAsync(url, options).catch(() => undefined)
    try {
      const seen = line.seen() ?? { kind: 'no-answer', error: new Error('nothing was asked') }
      const asked = line.asked(how.nowMs)
      const body = withTimes(readJsonAnswer(seen, asked), asked.host)
      return { status: 200, headers: {}, body: body as Body }
    } catch (error) {
      refuse(error)
      throw error
    }
  }

  async function poll<Body>(url: string, options?: Options): Promise<NetworkAnswer<Body>> {
    // Who gives up meanwhile is told by the request that follows.
    if (extraMs > 0) await wait(extraMs, undefined, { signal: how.signal }).catch(() => undefined)
    const answer = await network.sendPostRequestAsync<Body>(url, options).catch(() => undefined)
    if (how.signal.aborted) throw new Error('the sign-in was not finished')
    const slow = objectOf(line.seen())['error'] === 'slow_down'
    if (slow) extraMs += slowDownMs
    const busy = answer === undefined || answer.status >= 500 || answer.status === 429
    if (!busy && !slow) return answer
    // The library asks again after this, and after nothing else.
    return { status: 400, headers: {}, body: { error: 'authorization_pending' } as Body }
  }

  return {
    ...network,
    sendPostRequestAsync: (url, options) =>
      new URL(url).pathname.endsWith('/token') ? poll(url, options) : askForCode(url, options),
  }
}

/**
 * RFC 8628 3.2 leaves the interval out where it is 5 s; the library would ask without a pause.
 *
 * @throws Unavailable when there is no code in it
 */
function withTimes(answer: Readonly<Record<string, unknown>>, host: string): object {
  const { user_code: code, verification_uri: uri } = answer
  if (typeof code !== 'string' || typeof uri !== 'string' || !isSafeEndpoint(uri))
    throw new Unavailable(`${host} answered without a usable code`, { trouble: 'provider' })
  const positive = (value: unknown, usual: number) => (Number(value) > 0 ? Number(value) : usual)
  return {
    ...answer,
    user_code: oneLine(code),
    interval: positive(answer['interval'], 5),
    expires_in: positive(answer['expires_in'], 900),
  }
}

function headersOf(seen: Seen): Record<string, string> {
  if (seen.kind === 'no-answer') return {}
  const pairs = Object.entries(seen.headers)
  return Object.fromEntries(pairs.map(([name, value = '']) => [name, String(value)]))
}

/** @returns the fields of a JSON answer; none of anything else */
export function objectOf(seen: Seen | undefined): Readonly<Record<string, unknown>> {
  if (seen?.kind !== 'answer') return {}
  try {
    const value: unknown = JSON.parse(seen.body)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
