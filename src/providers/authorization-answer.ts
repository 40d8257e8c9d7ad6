/** What the browser brings back from the authorization endpoint (RFC 6749 4.1.2), checked. */
import { type Failure, Misconfigured, SignInNeeded, Unavailable, oneLine } from '../errors.ts'
import { explain, type Sent } from './explain.ts'
import { quote, shorten } from './redaction.ts'

/**
 * @param issuer what the server says of itself; its answer's `iss` must be the same (RFC 9207)
 * @param issRequired whether the server announced that it always sends `iss`
 * @param sent what an explanation may repeat of the request
 * @returns the authorization code
 * @throws Failure when the person or the server said no
 */
export function readAuthorizationCode(
  answer: URLSearchParams,
  issuer: string | undefined,
  issRequired = false,
  sent: Sent = {},
): string {
  const iss = answer.get('iss')
  if (issuer !== undefined && ((iss !== null && iss !== issuer) || (iss === null && issRequired)))
    throw new Misconfigured(
      `the answer came from ${iss === null ? 'an unnamed issuer' : JSON.stringify(oneLine(iss))} and not from ${issuer}`,
      { hint: 'another server may be trying to have its answer taken for this one; sign in again' },
    )
  const error = answer.get('error')
  if (error !== null) throw authorizationFailure(error, answer, sent)
  const code = answer.get('code')
  if (code === null || code === '')
    throw new SignInNeeded('the answer of the sign-in page holds neither a code nor an error')
  return code
}

function authorizationFailure(error: string, answer: URLSearchParams, sent: Sent): Failure {
  const description = answer.get('error_description') ?? ''
  const subtype = answer.get('error_subtype') ?? answer.get('suberror') ?? undefined
  const words = `the sign-in page answered ${quote(error)}${
    description === '' ? '' : `: ${shorten(description)}`
  }`
  const { sentence, next } = explain({ error, subtype, description }, sent) ?? {}
  const said = sentence === undefined ? words : `${sentence} (${words})`
  switch (error) {
    case 'access_denied':
    case 'consent_required':
    case 'interaction_required':
    case 'login_required':
      return new SignInNeeded(said, { hint: next })
    case 'temporarily_unavailable':
    case 'server_error':
      return new Unavailable(said, { trouble: 'provider', hint: 'try again in some minutes' })
    default:
      return new Misconfigured(said, {
        hint: next ?? 'check the account against the client registration',
      })
  }
}
