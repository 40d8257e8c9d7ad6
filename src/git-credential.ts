/**
 * git's credential helper protocol, for mail alone: lines of `key=value` in, and out, up to an empty one.
 * Pure but for the two questions to the daemon. Facts: gitcredentials(7), git-credential(1)
 */
import { XoauthdError, type TokenReply } from './client.ts'
import { isAddress } from './address.ts'

/** @param refused the mail server did not take the last token */
export type AskFor = (service: string, mailbox: string, refused: boolean) => Promise<TokenReply>

/** The protocols that git send-email and git imap-send name, and the service behind each. */
const services: ReadonlyMap<string, string> = new Map([
  ['smtp', 'smtp'],
  ['smtps', 'smtp'],
  ['imap', 'imap'],
  ['imaps', 'imap'],
])

/**
 * Answers `get`.
 *
 * @param description what git wrote to standard input
 * @returns what it is answered: nothing when it is none of ours, so that it asks on
 * @rejects XoauthdError when it is ours and there is no token
 */
export async function getCredential(description: string, ask: AskFor): Promise<string> {
  const { one, capabilities } = attributesOf(description)
  const service = services.get(one('protocol'))
  const username = one('username')
  if (service === undefined || !isAddress(username)) return ''
  const token = await unlessUnknown(ask(service, username, false))
  if (!token) return ''
  // git before 2.46 knows no more, and send-email signs in with the password in any version.
  const lines = [
    `username=${token.user}`,
    `password=${token.access_token}`,
    `password_expiry_utc=${token.expires_at}`,
  ]
  if (capabilities.includes('authtype'))
    lines.unshift(
      'capability[]=authtype',
      'authtype=Bearer',
      `credential=${token.access_token}`,
      // Other helpers have no use for what is new in an hour.
      'ephemeral=1',
    )
  return lines.map((line) => `${line}\n`).join('')
}

/**
 * Answers `erase`: the server refused what git got, so that another one is fetched.
 *
 * @rejects XoauthdError
 */
export async function eraseCredential(description: string, ask: AskFor): Promise<void> {
  const { one } = attributesOf(description)
  const service = services.get(one('protocol'))
  const username = one('username')
  if (service === undefined || !isAddress(username)) return
  const current = await unlessUnknown(ask(service, username, false))
  const refused = one('password') || one('credential')
  // Somebody has been faster, or it is a password of another helper.
  if (!current || (refused !== '' && refused !== current.access_token)) return
  await ask(service, username, true)
}

/** A mailbox that is nobody's here is another helper's affair. */
async function unlessUnknown(asked: Promise<TokenReply>): Promise<TokenReply | undefined> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof XoauthdError && error.code === 'unknown-account') return undefined
    throw error
  }
}

function attributesOf(description: string) {
  const values = new Map<string, string>()
  const capabilities: string[] = []
  for (const line of description.split('\n')) {
    const [key = '', ...value] = line.split('=')
    if (key === '') break
    if (key === 'capability[]') capabilities.push(value.join('='))
    else values.set(key, value.join('='))
  }
  return { one: (key: string) => values.get(key) ?? '', capabilities }
}
