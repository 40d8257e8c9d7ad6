/**
 * Reaching the person who signs in: a listener on loopback, the browser, and the pasted address, all at
 * the same time (RFC 8252).
 *
 * Promises that only an answer with our own `state` counts, and only once; that everything else
 * (another path, a favicon, another method, a foreign Host) is refused and waited past; and that the
 * page in the browser appears after the exchange and says how it ended. Listens on loopback alone.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { asFailure, Misconfigured, Unavailable } from './errors.ts'
import type { BrowserTrip, DeviceCode, SignedIn, SignInUi } from './providers/provider.ts'
import { isLoopback, parseHostPort } from './schema.ts'
import { signInPage, type Outcome } from './signin-page.ts'

/** How the person is reached. */
export interface Person {
  /** Shows a line. */
  say(line: string): void
  /** Lines that were typed or pasted; ends when the terminal does. */
  readonly typed: AsyncIterable<string> | undefined
  /** Opens the browser; undefined when there is none. */
  readonly openBrowser: ((url: string) => Promise<void>) | undefined
  /** What makes a loopback port of this machine reachable from the person's own, if that is another. */
  readonly forwardPort: ((port: number) => string) | undefined
}

/** Where the answer comes in. */
interface Door {
  readonly server: Server
  readonly redirectUri: string
  readonly port: number
}

/** An answer, and how to tell its bearer what came of it. */
interface Arrival {
  readonly parameters: URLSearchParams
  tell(outcome: Outcome): void
}

/** Who is to sign in, and for what. */
export interface Subject {
  readonly user: string
  readonly services: readonly string[]
}

export function createSignInUi(person: Person, subject: Subject): SignInUi {
  return {
    device: (trip, signal) => trip.redeem((code) => explainCode(person, code), signal),

    async browse(trip, signal) {
      const state = randomBytes(32).toString('base64url')
      const arrivals = createArrivals(state)
      const doors = await openDoors(trip, arrivals.fromBrowser)
      try {
        const redirectUri = doors[0]?.redirectUri ?? trip.redirectUri
        const url = await trip.authorizationUrl(redirectUri, state)
        explain(person, url, redirectUri, doors[0]?.port)
        const pasted = readPasted(person, arrivals.fromPaste)
        void person.openBrowser?.(url).catch(() => undefined)
        // Where nothing can come in by itself, the end of what is typed is the end of waiting.
        const over = doors.length > 0 ? undefined : pasted
        const arrival = await firstOf(arrivals.first, over, signal)
        return await redeem(trip, arrival, redirectUri, subject, signal)
      } finally {
        for (const { server } of doors) server.close()
      }
    },
  }
}

async function redeem(
  trip: BrowserTrip,
  arrival: Arrival,
  redirectUri: string,
  { user, services }: Subject,
  signal: AbortSignal,
): Promise<SignedIn> {
  try {
    const result = await trip.redeem(arrival.parameters, redirectUri, signal)
    arrival.tell({
      ok: true,
      title: 'Signed in',
      text: [`xoauthd is signed in as ${user} for ${listed(services)}.`, ...result.warnings].join(
        '\n',
      ),
      next: 'You can close this page. The terminal says what is next.',
    })
    return result
  } catch (error) {
    const failure = asFailure(error)
    arrival.tell({
      ok: false,
      title: 'Not signed in',
      text: sentence(failure.message),
      next: `${sentence(failure.hint ?? 'the terminal says more')}\nTo try again, run: xoauthd login ${user}`,
    })
    throw error
  }
}

/** Messages are made to stand after `xoauthd: `. An address or a host keeps its first letter. */
function sentence(message: string): string {
  const first = /^[a-z]+(?=[ ,])/.test(message)
    ? message.charAt(0).toUpperCase()
    : message.charAt(0)
  return `${first}${message.slice(1)}${/[.!?]$/.test(message) ? '' : '.'}`
}

/** `smtp, imap and pop` */
function listed(words: readonly string[]): string {
  return words.join(', ').replace(/, (?=[^,]*$)/, ' and ')
}

function explain(person: Person, url: string, redirectUri: string, port: number | undefined): void {
  person.say('Open this address in a browser and sign in:')
  person.say('')
  person.say(url)
  person.say('')
  if (port === undefined)
    person.say('This registration sends the answer where xoauthd cannot listen:')
  else if (person.forwardPort) {
    person.say('If the browser is on another machine, run this there first:')
    person.say(`  ${person.forwardPort(port)}`)
  }
  if (person.typed)
    person.say(
      port === undefined
        ? 'paste the address that the browser ends at here.'
        : 'If the browser ends at a page that does not load, paste its address here.',
    )
  // Providers show this mistake to the person alone: no answer of it ever comes back.
  person.say(`If the page complains of the redirect URI, this is what was sent: ${redirectUri}`)
  person.say('Waiting for the sign-in to end. Ctrl-C gives up.')
}

function explainCode(person: Person, code: DeviceCode): void {
  person.say('On any device, open this address in a browser:')
  person.say('')
  person.say(code.verificationUriComplete ?? code.verificationUri)
  person.say('')
  person.say(`and type in this code: ${code.userCode}`)
  const minutes = Math.max(1, Math.round((code.expiresAtMs - Date.now()) / 60_000))
  person.say(`It is good for ${minutes} minutes. Waiting until you are done there.`)
}

/** Takes what comes in by whichever way until the right answer has come. */
function createArrivals(state: string) {
  let settle: (arrival: Arrival) => void = () => undefined
  const first = new Promise<Arrival>((resolve) => (settle = resolve))
  let taken = false

  /** @returns what is wrong with it; undefined when it is the answer that was waited for */
  function take(parameters: URLSearchParams, tell: (outcome: Outcome) => void): string | undefined {
    if (!sameText(parameters.get('state') ?? '', state))
      return 'This answer does not belong to the sign-in that is waiting. Start from the address in the terminal.'
    if (taken) return 'This answer was used already; the first one counts.'
    taken = true
    settle({ parameters, tell })
    return undefined
  }

  return {
    first,
    fromPaste: (parameters: URLSearchParams) => take(parameters, () => undefined),
    fromBrowser: (parameters: URLSearchParams, response: ServerResponse): void => {
      const problem = take(parameters, (outcome) =>
        sendPage(response, outcome.ok ? 200 : 400, outcome),
      )
      if (problem !== undefined)
        sendPage(response, 400, {
          ok: false,
          title: 'Not this one',
          text: problem,
          next: 'Go back to the terminal: the sign-in there is not over yet.',
        })
    },
  }
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

async function firstOf(
  arrival: Promise<Arrival>,
  over: Promise<void> | undefined,
  signal: AbortSignal,
): Promise<Arrival> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      reject(new Unavailable('the sign-in was not finished', { hint: 'run login again' }))
    }
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    void arrival.then(resolve)
    void over?.then(stop)
  })
}

/** The final address, or the part of it after the question mark. */
async function readPasted(
  person: Person,
  take: (parameters: URLSearchParams) => string | undefined,
): Promise<void> {
  for await (const line of person.typed ?? []) {
    const text = line.trim()
    if (text === '') continue
    const query = URL.canParse(text) ? new URL(text).search : text
    const problem = take(new URLSearchParams(query))
    if (problem === undefined) return
    person.say(
      /[?&]?state=/.test(query)
        ? problem
        : 'That is not the address that the browser ended at: it has code= and state= in it.',
    )
  }
}

/** `localhost` may mean either family, and the browser chooses; a plain address means itself. */
async function openDoors(
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

/** Only a GET of the redirect's own path, for a name of this machine (DNS rebinding has others). */
function answerUrl(request: IncomingMessage, redirect: URL): URL | undefined {
  const base = `http://${request.headers.host ?? ''}`
  if (request.method !== 'GET' || !URL.canParse(request.url ?? '', base)) return undefined
  const url = new URL(request.url ?? '', base)
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

function sendPage(response: ServerResponse, status: number, outcome: Outcome): void {
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
