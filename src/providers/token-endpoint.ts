/** One request to a token endpoint (RFC 6749 3.2), with the client's authentication (2.3). */
import type { Seen, Transport } from '../transport.ts'
import { readJsonAnswer, readTokenAnswer, type TokenAnswer } from './answers.ts'
import { signAssertion, type AssertionKey } from './client-assertion.ts'
import type { Sent } from './explain.ts'
import type { Asked } from './failure-classes.ts'
import { formEncode, secretsIn } from './redaction.ts'

export interface Client {
  readonly id: string
  readonly secret: string | undefined
  readonly authentication: 'post' | 'basic' | 'none' | AssertionKey
  /** What an assertion is for, wherever it is shown: the token endpoint (RFC 7523 3). */
  readonly audience?: string | undefined
  /** Parameters added to each token request; they may be secret. */
  readonly extra?: Readonly<Record<string, string>> | undefined
}

/** An answer that nobody has judged yet, and what is needed to judge it. */
export interface Exchange {
  readonly seen: Seen
  readonly asked: Asked
}

/**
 * @param form the parameters of the grant; the client's own are added
 * @param nowMs the wall clock, epoch ms
 * @rejects Failure of the class that the answer stands for
 */
export async function requestToken(
  transport: Transport,
  endpoint: string,
  client: Client,
  form: Readonly<Record<string, string>>,
  nowMs: number,
  signal: AbortSignal,
): Promise<TokenAnswer> {
  const extended = { ...client.extra, ...form }
  const { seen, asked } = await sendForm(transport, endpoint, client, extended, nowMs, signal)
  return readTokenAnswer(seen, asked)
}

/**
 * Sends a form to one of the server's endpoints, with the client's authentication.
 *
 * @param nowMs the wall clock, epoch ms
 */
export async function sendForm(
  transport: Transport,
  endpoint: string,
  client: Client,
  form: Readonly<Record<string, string>>,
  nowMs: number,
  signal: AbortSignal,
): Promise<Exchange> {
  const { headers, body } = clientRequest(client, endpoint, form, nowMs)
  const request = { method: 'POST', url: endpoint, headers, body: body.toString() } as const
  const seen = await transport.send(request, signal)
  const secrets = [...secretsIn(body), ...secretsOf(client), ...Object.values(client.extra ?? {})]
  const sent = sentIn(endpoint, new URLSearchParams({ client_id: client.id, ...form }))
  return { seen, asked: { host: new URL(endpoint).host, nowMs, secrets, sent } }
}

/** @returns what an explanation may repeat of a token request */
export function sentIn(endpoint: string, form: URLSearchParams): Sent {
  const { host, pathname } = new URL(endpoint)
  return {
    host,
    client: form.get('client_id') ?? undefined,
    // Where Microsoft has it: https://login.microsoftonline.com/TENANT/oauth2/v2.0/token
    tenant: /^\/([^/]+)\/oauth2\//.exec(pathname)?.[1],
    redirect: form.get('redirect_uri') ?? undefined,
    scope: form.get('scope') ?? undefined,
  }
}

function clientRequest(
  client: Client,
  endpoint: string,
  form: Readonly<Record<string, string>>,
  nowMs: number,
): { headers: Record<string, string>; body: URLSearchParams } {
  const { authentication } = client
  const body = new URLSearchParams(form)
  const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' }
  if (authentication === 'basic')
    headers['authorization'] = basicCredentials(client.id, client.secret ?? '')
  else body.set('client_id', client.id)
  if (authentication === 'post') body.set('client_secret', client.secret ?? '')
  if (typeof authentication === 'object') {
    body.set('client_assertion_type', assertionType)
    body.set(
      'client_assertion',
      signAssertion(authentication, client.id, client.audience ?? endpoint, nowMs),
    )
  }
  return { headers, body }
}

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** RFC 6749 2.3.1: both parts are form-encoded before they are joined. */
function basicCredentials(id: string, secret: string): string {
  const joined = `${formEncode(id)}:${formEncode(secret)}`
  return `Basic ${Buffer.from(joined).toString('base64')}`
}

/** The client's secret as it may come back in a message. */
function secretsOf({ id, secret }: Client): string[] {
  if (secret === undefined) return []
  return [secret, basicCredentials(id, secret).slice('Basic '.length)]
}

/**
 * Ends a grant at the server (RFC 7009).
 *
 * @rejects Failure when the server did not take it
 */
export async function revokeGrant(
  transport: Transport,
  endpoint: string,
  client: Client,
  grant: string,
  signal: AbortSignal,
): Promise<void> {
  const form = { token: grant, token_type_hint: 'refresh_token' }
  const { seen, asked } = await sendForm(transport, endpoint, client, form, Date.now(), signal)
  // RFC 7009 2.2: 200 also for a token that was dead already; the body does not matter.
  if (seen.kind === 'answer' && seen.status === 200) return
  readJsonAnswer(seen, asked)
}
