/**
 * An OAuth server such as a mail provider runs: npm's `oidc-provider`, on a free port of this machine.
 *
 * It knows one person and two clients: xoauthd, which has no secret and proves itself with PKCE, and
 * the mail server, which asks whether a token is good (RFC 7662). Each refresh replaces the refresh
 * token too, and using an old one again would end the sign-in. All it knows is in memory.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Configuration, Provider } from 'oidc-provider'

export interface OAuthServer {
  readonly issuer: string
  readonly clientId: string
  /** What the mail server asks about a token; undefined: it is not good, or not any more. */
  inspect(token: string): Promise<TokenFacts | undefined>
  close(): Promise<void>
}

export interface TokenFacts {
  readonly user: string
  readonly scopes: readonly string[]
  /** Whole epoch seconds. */
  readonly issuedAt: number
  readonly expiresAt: number
}

const clientId = 'xoauthd-demo'
const mailServer = { id: 'mail-server', secret: randomBytes(16).toString('hex') }

/**
 * @param user the one person who can sign in
 * @param tokenSeconds how long an access token lives
 */
export async function startOAuthServer(user: string, tokenSeconds: number): Promise<OAuthServer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  silenceAdvice()
  const { Provider } = await import('oidc-provider')
  const provider = new Provider(issuer, configuration(user, tokenSeconds))
  const answer = provider.callback()
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!request.url?.startsWith('/interaction/')) void answer(request, response)
    else
      showPage(provider, request, response).catch((error: unknown) => {
        response.writeHead(400).end(String(error))
      })
  })

  return {
    issuer,
    clientId,
    inspect: (token) => inspect(issuer, token),
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function configuration(user: string, tokenSeconds: number): Configuration {
  return {
    clients: [
      {
        client_id: clientId,
        token_endpoint_auth_method: 'none',
        application_type: 'native', // so that the port of the loopback redirect is free (RFC 8252)
        redirect_uris: ['http://127.0.0.1/'],
        grant_types: ['authorization_code', 'refresh_token'],
      },
      {
        client_id: mailServer.id,
        client_secret: mailServer.secret,
        redirect_uris: [],
        response_types: [],
        grant_types: [],
      },
    ],
    scopes: ['openid', 'offline_access', 'mail.send'],
    claims: { openid: ['sub', 'email'] },
    findAccount: (_context, id) =>
      id === user ? { accountId: id, claims: () => ({ sub: id, email: id }) } : undefined,
    rotateRefreshToken: true,
    ttl: { AccessToken: tokenSeconds },
    features: { introspection: { enabled: true }, devInteractions: { enabled: false } },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    cookies: { keys: [randomBytes(16).toString('hex')] },
  }
}

/** The two pages that a person meets: who are you, and what may xoauthd do. Each has one button. */
async function showPage(
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { prompt, params, session } = await provider.interactionDetails(request, response)
  const person = String(params['login_hint'])
  const signsIn = prompt.name === 'login'
  if (request.method !== 'POST') {
    const title = signsIn ? `Sign in as ${person}` : 'Allow xoauthd to send mail for you'
    response.writeHead(200, { 'content-type': 'text/html' })
    response.end(`<title>${title}</title><form method="post"><button>Continue</button></form>`)
    return
  }
  if (signsIn) {
    const login = { accountId: person }
    await provider.interactionFinished(request, response, { login })
    return
  }
  const grant = new provider.Grant({ accountId: session?.accountId ?? '', clientId })
  grant.addOIDCScope(String(params['scope']))
  const consent = { grantId: await grant.save() }
  await provider.interactionFinished(request, response, { consent })
}

async function inspect(issuer: string, token: string): Promise<TokenFacts | undefined> {
  const secret = Buffer.from(`${mailServer.id}:${mailServer.secret}`).toString('base64')
  const answer = await fetch(`${issuer}/token/introspection`, {
    method: 'POST',
    headers: { authorization: `Basic ${secret}` },
    body: new URLSearchParams({ token }),
  })
  if (!answer.ok) throw new Error(`the OAuth server answered HTTP ${answer.status}`)
  const facts = (await answer.json()) as Introspection
  if (!facts.active) return undefined
  const { sub, scope, iat, exp } = facts
  return { user: sub, scopes: scope.split(' '), issuedAt: iat, expiresAt: exp }
}

type Introspection =
  { active: false } | { active: true; sub: string; scope: string; iat: number; exp: number }

/** oidc-provider tells who runs it how to do so in production. This is no such server. */
function silenceAdvice(): void {
  for (const level of ['info', 'warn'] as const) {
    const print = console[level].bind(console)
    console[level] = (...words: unknown[]) => {
      if (!String(words[0]).includes('oidc-provider ')) print(...words)
    }
  }
}
