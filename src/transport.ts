/**
 * HTTPS to the providers: one request, one answer, no surprises.
 *
 * Promises that redirects are never followed, that an answer is at most {@link bodyLimit} bytes and at
 * most {@link usualTimeoutMs} away unless its request says otherwise, that plain http goes to this machine alone, and that `HTTPS_PROXY` and
 * `NO_PROXY` are honoured. Says what it saw and judges nothing: `failure-classes.ts` does.
 */
import { setMaxListeners } from 'node:events'
import http, { type IncomingHttpHeaders } from 'node:http'
import https from 'node:https'
import { TLSSocket } from 'node:tls'
import type { HttpsProxyAgent } from 'https-proxy-agent'
import { getProxyForUrl } from 'proxy-from-env'
import { isLoopback, isSafeEndpoint } from './endpoint.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: string | Buffer | undefined
  /** How long its answer may take; {@link usualTimeoutMs} unless set. */
  readonly timeoutMs?: number | undefined
}

/** What came of a request. */
export type Seen =
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers: IncomingHttpHeaders
      readonly body: string
    }
  | { readonly kind: 'no-answer'; readonly error: NodeJS.ErrnoException }

export interface Transport {
  /** Never rejects: what went wrong is part of what was seen. */
  send(request: HttpRequest, signal: AbortSignal): Promise<Seen>
  /** Drops idle connections. */
  close(): void
}

/** Below the tick, so that a hanging server costs one attempt a tick. */
const usualTimeoutMs = 20_000
/** Token answers are a few KB; a discovery document some tens. */
const bodyLimit = 256 * 1024
/** Providers close idle connections after some seconds or minutes; a refresh must not race with that. */
const idleMs = 3_000
/** The most requests that a provider sees from us at once. */
export const maxConnectionsPerHost = 32

/** @param version of this program, for the User-Agent header */
export function createTransport(version: string, timeoutMs = usualTimeoutMs): Transport {
  const options = { keepAlive: true, maxSockets: maxConnectionsPerHost, timeout: idleMs }
  const secure = new https.Agent(options)
  const plain = new http.Agent(options)
  const proxies = new Map<string, HttpsProxyAgent<string>>()

  async function agentFor(url: URL): Promise<http.Agent> {
    if (url.protocol === 'http:') return plain
    const proxy = isLoopback(url.hostname) ? '' : getProxyForUrl(url.href)
    if (proxy === '') return secure
    let agent = proxies.get(proxy)
    if (!agent) {
      const { HttpsProxyAgent } = await import('https-proxy-agent')
      agent = new HttpsProxyAgent(proxy, options)
      proxies.set(proxy, agent)
    }
    return agent
  }

  return {
    async send(request, signal) {
      try {
        if (!isSafeEndpoint(request.url)) throw new Error(`${request.url} is not an https URL`)
        const agent = await agentFor(new URL(request.url))
        return await exchange(request, {
          agent,
          version,
          timeoutMs: request.timeoutMs ?? timeoutMs,
          signal,
        })
      } catch (error) {
        return { kind: 'no-answer', error: reduced(error as NodeJS.ErrnoException) }
      }
    },
    close() {
      for (const agent of [secure, plain, ...proxies.values()]) agent.destroy()
    },
  }
}

function exchange(
  request: HttpRequest,
  means: { agent: http.Agent; version: string; timeoutMs: number; signal: AbortSignal },
): Promise<Seen> {
  const { agent, version, timeoutMs, signal } = means
  return new Promise((resolve, reject) => {
    // Requests share the signal of their owner's life; more than ten at once are no leak.
    setMaxListeners(0, signal)
    const client = new URL(request.url).protocol === 'https:' ? https : http
    const body = request.body ?? ''
    const outgoing = client.request(
      request.url,
      {
        method: request.method,
        agent,
        signal,
        headers: {
          accept: 'application/json',
          'user-agent': `xoauthd/${version}`,
          ...(request.method === 'POST' ? { 'content-length': Buffer.byteLength(body) } : {}),
          ...request.headers,
        },
      },
      (incoming) => {
        // A proxy that does not let us through answers in its own name, whatever it says.
        if (client === https && !(incoming.socket instanceof TLSSocket)) {
          outgoing.destroy(new Error(`the proxy answered HTTP ${incoming.statusCode}`))
          return
        }
        const chunks: Buffer[] = []
        let size = 0
        incoming.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > bodyLimit) outgoing.destroy(new Error('the answer is too large'))
          else chunks.push(chunk)
        })
        incoming.on('error', reject)
        incoming.on('aborted', () => reject(new Error('the answer was cut off')))
        incoming.on('end', () =>
          resolve({
            kind: 'answer',
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        )
      },
    )
    // The collector of Node 20 may take a signal of AbortSignal.timeout that only AbortSignal.any holds.
    const deadline = setTimeout(() => {
      outgoing.destroy(new Error('no answer in time'))
    }, timeoutMs)
    outgoing.on('close', () => clearTimeout(deadline))
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** Node hangs the bytes that did not parse on an error, or a proxy's URL; either may hold a secret. */
function reduced({ message, code }: NodeJS.ErrnoException): NodeJS.ErrnoException {
  const error = new Error(message)
  return code === undefined ? error : Object.assign(error, { code })
}
