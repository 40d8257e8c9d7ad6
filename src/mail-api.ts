/**
 * Sending by an API instead of SMTP: the Gmail API and Microsoft Graph, for where SMTP AUTH is off.
 *
 * Both take the whole message and find the recipients in its header, `Bcc` included, which they remove.
 * Facts: developers.google.com/workspace/gmail/api/guides/sending,
 * learn.microsoft.com/graph/api/user-sendmail
 */
import { LoginRefused, NotAllowed, Unavailable, oneLine, type Failure } from './errors.ts'
import type { AskToken } from './imap-login.ts'
import { sendByGmailApi } from './providers/googleapis.ts'
import { redact } from './providers/redaction.ts'
import type { Seen, Transport } from './transport.ts'

export interface ApiOrder {
  readonly transport: Transport
  readonly ask: AskToken
  /** Header and body, with CRLF. */
  readonly message: Buffer
  readonly signal: AbortSignal
}

/** @rejects Unavailable when it may be tried again; LoginRefused, NotAllowed */
export async function sendByGmail({ transport, ask, message, signal }: ApiOrder): Promise<void> {
  await twice('the Gmail API', ask, (token) => sendByGmailApi(transport, token, message, signal))
}

/**
 * @param host of Graph, which differs by cloud
 * @param who `me`, or `users/ADDRESS` for a shared mailbox and where nobody has signed in
 * @rejects Unavailable when it may be tried again; LoginRefused, NotAllowed
 */
export async function sendByGraph(host: string, who: string, order: ApiOrder): Promise<void> {
  const { transport, ask, message, signal } = order
  await twice('Microsoft Graph', ask, (token) =>
    transport.send(
      {
        method: 'POST',
        url: `https://${host}/v1.0/${who}/sendMail`,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'text/plain' },
        body: message.toString('base64'),
      },
      signal,
    ),
  )
}

/** A token that is refused is replaced once. */
async function twice(
  name: string,
  ask: AskToken,
  send: (token: string) => Promise<Seen>,
): Promise<void> {
  let token = (await ask(false)).access_token
  let seen = await send(token)
  if (seen.kind === 'answer' && seen.status === 401) {
    token = (await ask(true)).access_token
    seen = await send(token)
  }
  const failure = failureIn(seen, name, token)
  if (failure) throw failure
}

function failureIn(seen: Seen, name: string, token: string): Failure | undefined {
  const trouble = 'provider'
  if (seen.kind === 'no-answer')
    return new Unavailable(`no answer from ${name}: ${seen.error.code ?? seen.error.message}`, {
      trouble: 'network',
      hint: 'it may have been sent all the same: look into the folder of sent mail',
    })
  const { status, body } = seen
  if (status >= 200 && status < 300) return undefined
  const words = `${name} says: ${redact(wordsIn(body), [token])} (HTTP ${status})`
  if (status === 429 || status >= 500 || isQuota(body)) return new Unavailable(words, { trouble })
  if (status === 401) return new LoginRefused(words)
  return new NotAllowed(words, {
    hint:
      status === 403
        ? 'the sign-in may lack the permission to send, or to send as this mailbox'
        : undefined,
  })
}

/** Gmail says with 403 what others say with 429: developers.google.com/workspace/gmail/api/guides/handle-errors */
function isQuota(body: string): boolean {
  return /"(?:userRateLimitExceeded|rateLimitExceeded|dailyLimitExceeded)"/.test(body)
}

/** Both APIs answer `{"error":{"message":…}}`. */
function wordsIn(body: string): string {
  try {
    const { error } = JSON.parse(body) as { error?: { message?: unknown } }
    if (typeof error?.message === 'string') return oneLine(error.message).slice(0, 300)
  } catch {
    // A proxy or a captive portal.
  }
  return 'nothing that could be understood'
}
