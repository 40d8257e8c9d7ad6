/**
 * Google's library, loaded when the first Google account needs it.
 *
 * The one door to googleapis: its gmail module alone hands on the two clients that we use, and the whole
 * of it would take 100 MB. The library builds and signs the requests; what it sends goes through our own
 * transport, so that proxies, time limits and the reading of failures are the same for every provider,
 * and its own retries (3 of a 5xx, in 2 s) never come on top of the keeper's.
 */
import type {
  auth as googleAuth,
  gmail as gmailApi,
} from 'googleapis/build/src/apis/gmail/index.js'
import { parseObject } from '../json.ts'
import type { MailHosts, Scopes } from './provider.ts'
import type { Seen, Transport } from '../transport.ts'
import { readTokenAnswer, type TokenAnswer } from './answers.ts'
import type { Sent } from './explain.ts'
import { secretsIn } from './redaction.ts'
import { sentIn } from './token-endpoint.ts'

export type OAuth2Client = InstanceType<(typeof googleAuth)['OAuth2']>
export type JwtClient = InstanceType<(typeof googleAuth)['JWT']>
type ClientOptions = NonNullable<ConstructorParameters<(typeof googleAuth)['JWT']>[0]>
type TransporterOptions = NonNullable<ClientOptions['transporterOptions']>
type Adapter = NonNullable<TransporterOptions['adapter']>

/** Where Google issues tokens; also the audience of an assertion. */
export const tokenEndpoint = 'https://oauth2.googleapis.com/token'
export const authority = new URL(tokenEndpoint).host
/** The one scope that IMAP, POP and SMTP accept: developers.google.com/workspace/gmail/imap/xoauth2-protocol */
const mailScope = 'https://mail.google.com/'
/** `gmail` is the Gmail API, which the same scope opens. */
const mailServices = ['smtp', 'imap', 'pop', 'gmail']

/** developers.google.com/workspace/gmail/imap/imap-smtp */
export const gmailHosts: MailHosts = {
  smtp: 'smtp.gmail.com:465',
  imap: 'imap.gmail.com:993',
  pop: 'pop.gmail.com:995',
}

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
  let sent: Sent = {}
  const adapter: Adapter = async (config) => {
    const form = config.body instanceof URLSearchParams ? config.body : new URLSearchParams()
    secrets = secretsIn(form)
    sent = sentIn(config.url.href, form)
    const headers = Object.fromEntries(new Headers(config.headers))
    const method = config.method === 'GET' ? 'GET' : 'POST'
    if (method === 'POST') headers['content-type'] = 'application/x-www-form-urlencoded'
    seen = await transport.send(
      { method, url: config.url.href, headers, body: form.toString() },
      signal,
    )
    const text = seen.kind === 'answer' ? seen.body : ''
    // The library gets an answer that it accepts; ours is read from `seen`.
    return Object.assign(new Response(text), { config, data: (parseObject(text) ?? {}) as never })
  }
  try {
    await call({ transporterOptions: { adapter, validateStatus: () => true } })
  } catch (error) {
    // Once the server was asked, its answer counts, and not what the library thinks of it.
    if (seen === undefined) throw error
  }
  seen ??= { kind: 'no-answer', error: new Error('nothing was asked') }
  return readTokenAnswer(seen, { host: authority, nowMs, secrets, sent })
}

/**
 * Hands a message to the Gmail API, as whoever the token belongs to.
 *
 * @param message header and body, with CRLF
 */
export async function sendByGmailApi(
  transport: Transport,
  accessToken: string,
  message: Buffer,
  signal: AbortSignal,
): Promise<Seen> {
  const { auth, gmail } = await loadGoogle()
  let seen: Seen | undefined
  const adapter: Adapter = async (config) => {
    seen = await transport.send(
      {
        method: 'POST',
        url: config.url.href,
        headers: Object.fromEntries(new Headers(config.headers)),
        body: Buffer.isBuffer(config.body) ? config.body : message,
      },
      signal,
    )
    return Object.assign(new Response(), { config, data: {} as never })
  }
  const client = new auth.OAuth2({ transporterOptions: { adapter, validateStatus: () => true } })
  client.setCredentials({ access_token: accessToken })
  await gmail({ version: 'v1', auth: client }).users.messages.send({
    userId: 'me',
    media: { mimeType: 'message/rfc822', body: message },
  })
  return seen ?? { kind: 'no-answer', error: new Error('nothing was asked') }
}

/** @returns the clients of the library */
export async function loadGoogleAuth(): Promise<typeof googleAuth> {
  return (await loadGoogle()).auth
}

interface Google {
  readonly auth: typeof googleAuth
  readonly gmail: typeof gmailApi
}

async function loadGoogle(): Promise<Google> {
  const library: Partial<Google> & { default?: Google } =
    await import('googleapis/build/src/apis/gmail/index.js')
  // CommonJS: Node finds its names, and the bundle has them under `default` alone.
  const { auth, gmail } = library.default ?? library
  if (!auth || !gmail) throw new Error("Google's library has no auth")
  return { auth, gmail }
}
