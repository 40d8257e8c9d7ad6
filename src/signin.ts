/**
 * Reaching the person who signs in: a listener on loopback, the browser, and the pasted address, all at
 * the same time (RFC 8252).
 *
 * Promises that only an answer with our own `state` counts, and only once; that everything else is
 * refused and waited past; and that the page in the browser appears after the exchange and says how it
 * ended.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { asFailure, SignInNeeded, Unavailable, type Failure } from './errors.ts'
import type { BrowserTrip, DeviceCode, SignedIn, SignInUi } from './providers/provider.ts'
import { openDoors, sendPage } from './signin-listener.ts'
import type { Outcome } from './signin-page.ts'

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

/** @returns what takes the person on a trip, or on a second one when the first is refused */
export function createSignInUi(person: Person, subject: Subject): SignInUi {
  const readPasted = createPasteReader(person)
  let refused: Failure | undefined

  function note(error: unknown): never {
    refused = asFailure(error)
    throw error
  }

  function sayWhyAgain(): void {
    if (!refused) return
    person.say(sentence(refused.message))
    person.say('Sign in once more: this time the provider will ask for what it wants to see.')
  }

  return {
    device(trip, signal) {
      sayWhyAgain()
      return trip.redeem((code) => explainCode(person, code), signal).catch(note)
    },

    async browse(trip, signal) {
      sayWhyAgain()
      const state = randomBytes(32).toString('base64url')
      const arrivals = createArrivals(state)
      const doors = await openDoors(trip, arrivals.fromBrowser)
      try {
        const redirectUri = doors[0]?.redirectUri ?? trip.redirectUri
        const url = await trip.authorizationUrl(redirectUri, state)
        explain(person, url, redirectUri, doors[0]?.port)
        const pasted = readPasted(arrivals.fromPaste)
        void person.openBrowser?.(url).catch(() => undefined)
        // Where nothing can come in by itself, the end of what is typed is the end of waiting.
        const over = doors.length > 0 ? undefined : pasted
        const arrival = await firstOf(arrivals.first, over, signal)
        return await redeem(trip, arrival, redirectUri, subject, signal).catch(note)
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
      next: wantsMore(failure)
        ? 'Go back to the terminal: it says how to go on.'
        : `${sentence(failure.hint ?? 'the terminal says more')}\nTo try again, run: xoauthd login ${user}`,
    })
    throw error
  }
}

/** Whether the provider said what it wants to see besides, so that it may be asked for at once. */
function wantsMore(failure: Failure): boolean {
  return failure instanceof SignInNeeded && failure.grant !== undefined
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

/** @returns what is wrong with an answer that was pasted */
type Take = (parameters: URLSearchParams) => string | undefined

/**
 * Reads the final address, or the part of it after the question mark, for one trip after the other: whoever
 * waits for a line cannot give it back.
 *
 * @returns what starts to read for a trip; it resolves when nothing more can be pasted
 */
function createPasteReader(person: Person): (take: Take) => Promise<void> {
  let take: Take | undefined
  let reading: Promise<void> | undefined

  async function read(): Promise<void> {
    for await (const line of person.typed ?? []) {
      const text = line.trim()
      if (text === '' || !take) continue
      const query = URL.canParse(text) ? new URL(text).search : text
      const problem = take(new URLSearchParams(query))
      if (problem === undefined) take = undefined
      else
        person.say(
          /[?&]?state=/.test(query)
            ? problem
            : 'That is not the address that the browser ended at: it has code= and state= in it.',
        )
    }
  }

  return (next) => {
    take = next
    // A terminal that cannot be read (nohup leaves one) is like one that has ended.
    reading ??= read().catch(() => undefined)
    return reading
  }
}
