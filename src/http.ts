/**
 * The listener of the HTTP authentication server, in EmailEngine's protocol:
 *
 *     GET /any/path?account=ID[&proto=imap|smtp|api]  →  200 {"user", "accessToken", "expires"}
 *
 * Promises that no client holds up another: slow ones are cut, connections are bounded, the longest silent
 * going first, and so are the requests in flight on each. Who may ask, certificate and rights are replaced without closing anything.
 */
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import { bindSocket, type BoundName } from './bind.ts'
import { createScope } from './credentials.ts'
import { inBrackets } from './endpoint.ts'
import { Misconfigured } from './errors.ts'
import { credentialCheck, networkCheck } from './http-access.ts'
import { answer, type Desk, type HttpService } from './http-answer.ts'
import type { HttpConfig } from './http-config.ts'
import { boundConnections } from './http-crowd.ts'
import type { ReadSecret, Secret } from './secret.ts'
import { closeMs } from './unix-listener.ts'

/** A configuration whose secrets have been read, so that nothing about it can fail but to listen. */
export interface PreparedHttp {
  readonly config: HttpConfig
  readonly desk: Desk
  readonly tls: { readonly cert: string; readonly key: string } | undefined
}

export interface HttpListener {
  /** `http://127.0.0.1:8025`, or the path of a UNIX socket. */
  readonly address: string
  /** Serves by another configuration from now on, which {@link canKeep} must have said. */
  replace(next: PreparedHttp): void
  /** @returns whether clients that go to its address reach it */
  isThere(): Promise<boolean>
  /** Stops accepting; address and name are free when this resolves. */
  leave(): Promise<void>
  /** After {@link leave}: lets open requests end, for a while. */
  drain(): Promise<void>
}

/** How long a request may take to come in, and how often that is looked at. */
const requestMs = 10_000
/** A connection on which nothing moves; longer than any answer takes. */
const silentMs = 60_000
/** A crowd is told of this seldom. */
const crowdedAgainMs = 60_000
/** Requests that wait for their turn on one connection (pipelining). */
const maxWaiting = 32
const backlog = 4_096

/** @rejects Misconfigured or Unavailable when a secret cannot be read, or cert and key are no pair */
export async function prepareHttp(
  config: HttpConfig,
  readSecret: ReadSecret,
): Promise<PreparedHttp> {
  const login = config.login && {
    user: config.login.user,
    password: await readSecret(config.login.password),
  }
  const tls = config.tls && {
    cert: await readCertificate(config.tls.cert, readSecret),
    key: await readSecret(config.tls.key),
  }
  try {
    if (tls) createSecureContext(tls)
  } catch (error) {
    // OpenSSL's words tell what is wrong, and nothing of the key.
    throw new Misconfigured(`cert and key of [http] do not serve: ${reasonOf(error)}`, {
      hint: 'both are PEM; the key is that of the first certificate, without a passphrase',
    })
  }
  const isAllowed = networkCheck(config)
  return {
    config,
    desk: { config, scope: createScope(config), isAllowed, proofOf: credentialCheck(login) },
    tls,
  }
}

/** A certificate is no secret: everybody may read its file. */
async function readCertificate(cert: Secret, readSecret: ReadSecret): Promise<string> {
  if (cert.kind !== 'file') return readSecret(cert)
  return readFile(cert.path, 'utf8').catch((error: unknown) => {
    throw new Misconfigured(`${cert.path} cannot be read (${reasonOf(error)})`, {
      cause: error,
      hint: 'correct cert in [http], or the permissions of the file',
    })
  })
}

/** @returns whether a listener can go on with another configuration */
export function canKeep(before: HttpConfig, next: HttpConfig): boolean {
  const place = ({ listen, tls }: HttpConfig) => JSON.stringify([listen, tls !== undefined])
  return place(before) === place(next)
}

/**
 * Opens the authentication server.
 *
 * @param most how many connections it may have at once
 * @rejects Misconfigured when it cannot listen; Unavailable when another daemon has its UNIX path
 */
export async function openHttp(
  prepared: PreparedHttp,
  service: HttpService,
  most: number,
): Promise<HttpListener> {
  let { desk } = prepared
  let address = ''
  const open = new Set<Socket>()
  const waiting = new WeakMap<Socket, number>()

  function receive(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const count = (waiting.get(socket) ?? 0) + 1
    if (count > maxWaiting) {
      socket.destroy()
      return
    }
    waiting.set(socket, count)
    const gone = new AbortController()
    response.on('close', () => {
      waiting.set(socket, (waiting.get(socket) ?? 1) - 1)
      gone.abort()
    })
    answer(request, address, desk, service, gone.signal).then(
      ({ status, headers, body }) => {
        const own = {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'cache-control': 'no-store',
          'x-content-type-options': 'nosniff',
        }
        response.writeHead(status, { ...own, ...headers }).end(body)
      },
      () => socket.destroy(),
    )
  }

  const options = {
    requestTimeout: requestMs,
    headersTimeout: requestMs,
    connectionsCheckingInterval: requestMs,
  }
  const secure: TlsServer | undefined =
    prepared.tls && createTlsServer({ ...options, ...prepared.tls }, receive)
  const server: Server = secure ?? createServer(options, receive)
  let toldAtMs = -Infinity
  boundConnections(server, most, () => {
    const nowMs = performance.now()
    if (nowMs - toldAtMs < crowdedAgainMs) return
    toldAtMs = nowMs
    service.log.warn('clients crowded out', { http: address, most })
  })
  server.timeout = silentMs
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
  const bound = await listen(server, prepared.config)
  address = addressOf(server, prepared.config)
  server.on('error', (error) => {
    service.log.error('http', { http: address, reason: error.message })
  })
  let closed: Promise<void> | undefined
  return {
    address,
    isThere: async () => !bound || (await bound.isOurs()),
    replace(next) {
      desk = next.desk
      if (next.tls) secure?.setSecureContext(next.tls)
    },
    async leave() {
      try {
        await bound?.takeAway()
      } finally {
        closed = new Promise((resolve) => server.close(() => resolve()))
        // Those that have not asked anything yet are not waited for.
        for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
      }
    },
    async drain() {
      const deadline = setTimeout(() => {
        for (const socket of open) socket.destroy()
      }, closeMs)
      await closed
      clearTimeout(deadline)
    },
  }
}

/** @returns the name of a UNIX socket */
async function listen(server: Server, config: HttpConfig): Promise<BoundName | undefined> {
  if (config.listen.kind === 'unix') return bindSocket(server, { ...config.listen, uid: undefined })
  const { host, port } = config.listen
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog }, () => {
      server.removeListener('error', reject)
      resolve()
    })
  }).catch((error: unknown) => {
    throw new Misconfigured(`cannot listen on ${host}:${port} (${reasonOf(error)})`, {
      cause: error,
      hint: 'another program has the port, or the address is not of this machine',
    })
  })
  return undefined
}

function addressOf(server: Server, { listen, tls }: HttpConfig): string {
  if (listen.kind === 'unix') return listen.path
  const bound = server.address()
  const port = typeof bound === 'object' && bound ? bound.port : listen.port
  return `${tls ? 'https' : 'http'}://${inBrackets(listen.host)}:${port}`
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}
