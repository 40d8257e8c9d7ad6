/** What the browser brings back from the authorization endpoint (RFC 6749 4.1.2), checked. */
import { type Failure, Misconfigured, SignInNeeded, Unavailable, oneLine } from '../errors.ts'

/**
 * @param issuer what the server says of itself; its answer's `iss` must be the same (RFC 9207)
 * @param issRequired whether the server announced that it always sends `iss`
 * @returns the authorization code
 * @throws Failure when the person or the server said no
 */
export function readAuthorizationCode(
  answer: URLSearchParams,
  issuer: string | undefined,
  issRequired = false,
): string {
  const iss = answer.get('iss')
  if (issuer !== undefined && ((iss !== null && iss !== issuer) || (iss === null && issRequired)))
    throw new Misconfigured(
      `the answer came from ${iss === null ? 'an unnamed issuer' : JSON.stringify(oneLine(iss))} and not from ${issuer}`,
      { hint: 'another server may be trying to have its answer taken for this one; sign in again' },
    )
  const error = answer.get('error')
  if (error !== null) throw authorizationFailure(error, answer.get('error_description') ?? '')
  const code = answer.get('code')
  if (code === null || code === '')
    throw new SignInNeeded('the answer of the sign-in page holds neither a code nor an error')
  return code
}

function authorizationFailure(error: string, description: string): Failure {
  const said = `the sign-in page answered ${JSON.stringify(oneLine(error))}${
    description === '' ? '' : `: ${oneLine(description).slice(0, 300)}`
  }`
  switch (error) {
    case 'access_denied':
      return new SignInNeeded(said, { hint: 'consent was refused; run login again to give it' })
    case 'temporarily_unavailable':
    case 'server_error':
      return new Unavailable(said, { trouble: 'provider', hint: 'try again in some minutes' })
    default:
      return new Misconfigured(said, { hint: 'check the account against the client registration' })
  }
}
