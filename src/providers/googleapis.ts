/**
 * Google's library, loaded when the first Google account needs it.
 *
 * The one door to googleapis: its gmail module alone hands on the two clients that we use, and the whole
 * of it would take 100 MB. The library builds and signs the requests; what it sends goes through our own
 * transport, so that proxies, time limits and the reading of failures are the same for every provider,
 * and its own retries (3 of a 5xx, in 2 s) never come on top of the keeper's.
 */
import type { auth as googleAuth } from 'googleapis/build/src/apis/gmail/index.js'
import type { Scopes } from './provider.ts'
import type { Seen, Transport } from '../transport.ts'
import { readTokenAnswer, secretsIn, type TokenAnswer } from './answers.ts'

export type OAuth2Client = InstanceType<(typeof googleAuth)['OAuth2']>
export type JwtClient = InstanceType<(typeof googleAuth)['JWT']>
type ClientOptions = NonNullable<ConstructorParameters<(typeof googleAuth)['JWT']>[0]>
type TransporterOptions = NonNullable<ClientOptions['transporterOptions']>
type Adapter = NonNullable<TransporterOptions['adapter']>

/** Where Google issues tokens; also the audience of an assertion. */
export const tokenEndpoint = 'https://oauth2.googleapis.com/token'
/** developers.google.com/workspace/gmail/imap/imap-smtp */
export const gmailHosts = {
  smtp: 'smtp.gmail.com:465',
  imap: 'imap.gmail.com:993',
  pop: 'pop.gmail.com:995',
} as const

export const authority = new URL(tokenEndpoint).host
/** The one scope that IMAP, POP and SMTP accept: developers.google.com/workspace/gmail/imap/xoauth2-protocol */
const mailScope = 'https://mail.google.com/'
/** `gmail` is the Gmail API, which the same scope opens. */
const mailServices = ['smtp', 'imap', 'pop', 'gmail']

/** The scopes of each service: Google's, unless the file says otherwise. */
export function withMailScopes(scopes: Scopes): Scopes {
  return { ...Object.fromEntries(mailServices.map((name) => [name, [mailScope]])), ...scopes }
}

/** Every service that an account at Google can be asked for. */
export function servicesOf(scopes: Scopes): string[] {
  return Object.keys(withMailScopes(scopes)).filter((service) => service !== 'login')
}

/**
 * Runs one call of the library and reads what the server answered, whatever the library made of it.
 *
 * @param nowMs the wall clock, epoch ms
 * @param call gets the options that make a client of the library use our transport
 * @rejects Failure of the class that the answer stands for
 */
export async function askGoogle(
  transport: Transport,
  nowMs: number,
  signal: AbortSignal,
  call: (options: { transporterOptions: TransporterOptions }) => Promise<unknown>,
): Promise<TokenAnswer> {
  let seen: Seen | undefined
  let secrets: string[] = []
  const adapter: Adapter = async (config) => {
    const form = config.body instanceof URLSearchParams ? config.body : new URLSearchParams()
    secrets = secretsIn(form)
    const headers = Object.fromEntries(new Headers(config.headers))
    const method = config.method === 'GET' ? 'GET' : 'POST'
    if (method === 'POST') headers['content-type'] = 'application/x-www-form-urlencoded'
    seen = await transport.send(
      { method, url: config.url.href, headers, body: form.toString() },
      signal,
    )
    const text = seen.kind === 'answer' ? seen.body : ''
    // The library gets an answer that it accepts; ours is read from `seen`.
    return Object.assign(new Response(text), { config, data: objectOf(text) as never })
  }
  try {
    await call({ transporterOptions: { adapter, validateStatus: () => true } })
  } catch (error) {
    // Once the server was asked, its answer counts, and not what the library thinks of it.
    if (seen === undefined) throw error
  }
  seen ??= { kind: 'no-answer', error: new Error('nothing was asked') }
  return readTokenAnswer(seen, { host: authority, nowMs, secrets })
}

/** @returns the clients of the library */
export async function loadGoogleAuth(): Promise<typeof googleAuth> {
  const library: { auth?: typeof googleAuth; default?: { auth: typeof googleAuth } } =
    await import('googleapis/build/src/apis/gmail/index.js')
  // CommonJS: Node finds its names, and the bundle has them under `default` alone.
  const auth = library.auth ?? library.default?.auth
  if (!auth) throw new Error("Google's library has no auth")
  return auth
}

function objectOf(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
