/** One request to a token endpoint (RFC 6749 3.2), with the client's authentication (2.3). */
import type { HttpRequest, Transport } from '../transport.ts'
import { readJsonAnswer, readTokenAnswer, type TokenAnswer } from './answers.ts'
import type { Sent } from './explain.ts'
import { formEncode, secretsIn } from './redaction.ts'

export interface Client {
  readonly id: string
  readonly secret: string | undefined
  readonly authentication: 'post' | 'basic' | 'none'
  /** Parameters added to each token request; they may be secret. */
  readonly extra?: Readonly<Record<string, string>> | undefined
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
  const { extra = {} } = client
  const seen = await transport.send(clientRequest(endpoint, client, { ...extra, ...form }), signal)
  const secrets = [
    ...secretsIn(new URLSearchParams(form)),
    ...secretsOf(client),
    ...Object.values(extra),
  ]
  const sent = sentIn(endpoint, new URLSearchParams({ client_id: client.id, ...form }))
  return readTokenAnswer(seen, { host: new URL(endpoint).host, nowMs, secrets, sent })
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
  endpoint: string,
  client: Client,
  form: Readonly<Record<string, string>>,
): HttpRequest {
  const body = new URLSearchParams(form)
  const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' }
  if (client.authentication === 'basic')
    headers['authorization'] = basicCredentials(client.id, client.secret ?? '')
  else body.set('client_id', client.id)
  if (client.authentication === 'post') body.set('client_secret', client.secret ?? '')
  return { method: 'POST', url: endpoint, headers, body: body.toString() }
}

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
  const body = { token: grant, token_type_hint: 'refresh_token' }
  const seen = await transport.send(clientRequest(endpoint, client, body), signal)
  // RFC 7009 2.2: 200 also for a token that was dead already; the body does not matter.
  if (seen.kind === 'answer' && seen.status === 200) return
  readJsonAnswer(seen, {
    host: new URL(endpoint).host,
    nowMs: Date.now(),
    secrets: [grant, ...secretsOf(client)],
  })
}
