/**
 * What `check` learns at an account's mail servers: it signs in as a mail agent does. Nothing is sent,
 * and nothing in the mailbox changes.
 */
import type { TokenReply } from './client.ts'
import { nameOf, type HostPort } from './endpoint.ts'
import { LoginRefused, Unavailable } from './errors.ts'
import { failedFinding, finding, type Finding } from './findings.ts'
import { signInToImap, type AskToken } from './imap-login.ts'
import { explainMailAnswer } from './mail-answers.ts'
import { whereToLook } from './mail-connection.ts'

/** Whose mailbox it is, for which account, and where. */
export interface Visit {
  readonly account: string
  readonly mailbox: string
  readonly at: HostPort
  readonly ask: AskToken
}

/** Signs in and opens INBOX for reading, which marks nothing as read (RFC 9051 6.3.3). */
export async function checkImap(visit: Visit, signal: AbortSignal): Promise<Finding> {
  const { account, mailbox, at } = visit
  const held = heldTo(visit)
  try {
    const connection = await signInToImap(at, held.ask, signal)
    try {
      await connection.command('EXAMINE INBOX')
    } catch (error) {
      return explained('imap', error, visit, held.login(), closedHint)
    } finally {
      connection.close()
    }
    return finding('ok', 'imap', `${nameOf(at)} opens INBOX of ${mailbox}`, { account })
  } catch (error) {
    return explained('imap', error, visit, held.login())
  }
}

const closedHint =
  'the login was good, and INBOX does not open: may the one who signed in read this mailbox?'

/** Signs in and leaves. */
export async function checkSmtp(visit: Visit, signal: AbortSignal): Promise<Finding> {
  const { account, mailbox, at } = visit
  const held = heldTo(visit)
  // What it takes to send is a good part of the program.
  const { tryLoginToSmtp } = await import('./smtp.ts')
  try {
    await tryLoginToSmtp(at, held.ask, signal)
    return finding('ok', 'smtp', `${nameOf(at)} lets ${mailbox} in`, { account })
  } catch (error) {
    return explained('smtp', error, visit, held.login())
  }
}

/**
 * Where there is no other token to be had, the same one is tried again: what the server says of it tells
 * more than that.
 */
function heldTo({ ask, mailbox }: Visit) {
  let held: TokenReply | undefined
  return {
    ask: async (refused: boolean): Promise<TokenReply> => {
      const before = held
      held = await (refused && before ? ask(true).catch(() => before) : ask(false))
      return held
    },
    /** The name in the credential: for SMTP through a shared mailbox it may be the person's. */
    login: () => held?.user ?? mailbox,
  }
}

/**
 * @param login the name in the credential
 * @param hint what to do where the server's words are not known
 */
function explained(
  check: string,
  error: unknown,
  { account, mailbox, at }: Visit,
  login: string,
  hint = whereToLook(at),
): Finding {
  const row = failedFinding(check, error, account)
  // Exchange puts some of its refusals for good into words for later ("430 4.2.0 STOREDRV").
  const isAnswer =
    error instanceof LoginRefused || (error instanceof Unavailable && error.trouble === 'provider')
  const known = isAnswer ? explainMailAnswer(row.saw, { account, login }) : undefined
  if (!known)
    return {
      ...row,
      saw: row.saw.includes(nameOf(at))
        ? `${mailbox}: ${row.saw}`
        : `${mailbox} at ${nameOf(at)}: ${row.saw}`,
      hint: row.hint === '' ? hint : row.hint,
    }
  return {
    ...row,
    saw: `${mailbox}: ${known.meaning} (${row.saw})`,
    hint: known.next,
  }
}
