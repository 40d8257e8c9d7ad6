/**
 * Where the browser comes back to after a sign-in: a listener on this machine (RFC 8252 7.3).
 *
 * Promises that it listens where the registration says, on loopback unless `listen` names another place;
 * that another path, a favicon, another method, a foreign Host and a page that asks by itself are refused;
 * and that no crowd keeps the right answer out.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { clientLimit } from './descriptors.ts'
import { isLoopback, parseHostPort } from './endpoint.ts'
import { Misconfigured } from './errors.ts'
import { boundConnections } from './http-crowd.ts'
import type { BrowserTrip } from './providers/provider.ts'
import { signInPage, type Outcome } from './signin-page.ts'

/** A browser has a handful; more is somebody who wants to keep it out. */
const mostConnections = 1_024

/** Where the answer comes in. */
export interface Door {
  readonly server: Server
  readonly redirectUri: string
  readonly port: number
}

/**
 * Opens what the answer can come in by. `localhost` may mean either family, and the browser chooses; a plain
 * address means itself.
 *
 * @param take gets the parameters of each answer, and what to answer the browser with
 * @returns none where the registration sends the browser elsewhere
 * @rejects Misconfigured when another program has the port
 */
export async function openDoors(
  trip: BrowserTrip,
  take: (parameters: URLSearchParams, response: ServerResponse) => void,
): Promise<Door[]> {
  const redirect = new URL(trip.redirectUri)
  const listen = trip.listen === undefined ? undefined : parseHostPort(trip.listen)
  if (!listen && !(redirect.protocol === 'http:' && isLoopback(redirect.hostname))) return []
  const host = listen?.host ?? redirect.hostname.replace(/^\[|\]$/g, '')
  const wanted = listen?.port ?? portIn(trip.redirectUri) ?? 0
  const hosts = host === 'localhost' ? ['127.0.0.1', '::1'] : [host]
  const doors: Door[] = []
  for (const address of hosts) {
    const server = createServer((request, response) => {
      const url = answerUrl(request, redirect)
      if (url) take(url.searchParams, response)
      else sendPage(response, 404, nothingHere)
    })
    boundConnections(server, Math.min(mostConnections, clientLimit()))
    // Browsers open connections ahead of need, which must not keep a finished login from ending.
    server.on('connection', (socket) => socket.unref())
    const port = await startServer(server, address, doors[0]?.port ?? wanted, doors.length > 0)
    if (port === undefined) continue
    const redirectUri = listen ? trip.redirectUri : withPort(trip.redirectUri, port)
    doors.push({ server, redirectUri, port })
  }
  return doors
}

const nothingHere: Outcome = {
  ok: false,
  title: 'Nothing here',
  text: 'This is where xoauthd waits for the end of a sign-in.',
  next: 'Start from the address in the terminal.',
}

/**
 * Only a browser that goes to the redirect's own path, by a name of this machine (DNS rebinding has
 * others). What a page asks for behind a person's back carries an Origin or another mode; a program that
 * plays the browser says nothing of a site.
 */
function answerUrl(request: IncomingMessage, redirect: URL): URL | undefined {
  const base = `http://${request.headers.host ?? ''}`
  if (request.method !== 'GET' || !URL.canParse(request.url ?? '', base)) return undefined
  const url = new URL(request.url ?? '', base)
  const { origin, 'sec-fetch-site': site, 'sec-fetch-mode': mode } = request.headers
  if (origin !== undefined || (site !== undefined && mode !== 'navigate')) return undefined
  const ours = isLoopback(url.hostname) || url.hostname === redirect.hostname
  return ours && url.pathname === redirect.pathname ? url : undefined
}

/** A registration may have a path or none, and means it: only the port is ours to add. */
function withPort(spelled: string, port: number): string {
  if (portIn(spelled) !== undefined) return spelled
  return spelled.replace(/^http:\/\/(?:\[[^\]]+\]|[^/:?]+)/, `$&:${port}`)
}

/** The port as it is spelled: URL leaves out the usual one, which means any here. */
function portIn(spelled: string): number | undefined {
  const port = /^http:\/\/(?:\[[^\]]+\]|[^/:?]+):(\d+)/.exec(spelled)?.[1]
  return port === undefined ? undefined : Number(port)
}

async function startServer(
  server: Server,
  host: string,
  port: number,
  optional: boolean,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      // A machine without IPv6 has no ::1 to listen on.
      if (optional) resolve(undefined)
      else
        reject(
          new Misconfigured(
            `cannot listen on ${host}:${port} for the answer (${error.code ?? ''})`,
            {
              cause: error,
              hint: 'another program has the port; stop it, or set redirect_uri or listen',
            },
          ),
        )
    })
    server.listen({ host, port }, () => resolve((server.address() as AddressInfo).port))
  })
}

/** Answers a browser, for good. */
export function sendPage(response: ServerResponse, status: number, outcome: Outcome): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    connection: 'close',
  })
  response.end(signInPage(outcome))
}
