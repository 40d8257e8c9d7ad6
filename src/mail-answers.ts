/**
 * What a mail server says when it does not let somebody in although the token is good, and what to do
 * about it. Pure; the rows are read from above, the first that fits counts.
 *
 * Sources: learn.microsoft.com "Authenticated client SMTP submission", "Enable or disable SMTP AUTH",
 * "Authenticate an IMAP, POP or SMTP connection using OAuth", support.google.com/mail/answer/7126229.
 */
import { foldCase, wildcardDomain } from './address.ts'

/** Who was refused. */
export interface Refused {
  /** The user of the account: an address, or `*@domain`. */
  readonly account: string
  /** The name in the credential. */
  readonly login: string
}

/** ADDRESS stands for the name in the credential, PERSON for who signed in. */
interface Words {
  readonly meaning: string
  readonly next: string
}

interface Row extends Words {
  readonly pattern: RegExp
  /** Otherwise, when the mailbox is not the person's own. */
  readonly shared?: Words
  /** Otherwise, when nobody signs in. */
  readonly application?: Words
}

const rows: readonly Row[] = [
  {
    pattern: /5\.7\.139.*security defaults/i,
    meaning: 'the security defaults of the tenant forbid this kind of login',
    next: 'in the Entra admin center: Properties, Manage security defaults; or use conditional access instead of them',
  },
  {
    pattern: /SmtpClientAuthentication is disabled for the Mailbox/i,
    meaning: 'SMTP AUTH is switched off for this mailbox; no token can change that',
    next: 'Set-CASMailbox -Identity ADDRESS -SmtpClientAuthenticationDisabled $false',
  },
  {
    pattern: /SmtpClientAuthentication is disabled/i,
    meaning: 'SMTP AUTH is switched off for the whole tenant; no token can change that',
    next: 'Set-TransportConfig -SmtpClientAuthenticationDisabled $false, or for this mailbox alone Set-CASMailbox; else send = "graph"',
  },
  {
    pattern: /5\.5\.127|token will expire soon/i,
    meaning: 'the token lives too short for the high-volume endpoint',
    next: 'ask with min=600, so that ten minutes are left',
  },
  {
    pattern: /STOREDRV/i,
    meaning: 'the application may not use this mailbox',
    next: 'register its service principal in Exchange with the object id of the enterprise application (not of the app registration), then Add-MailboxPermission or Add-RecipientPermission',
  },
  {
    pattern: /authenticated but not connected/i,
    meaning:
      'the token is good, but opens no such mailbox: it has no licence, or the person who signed in has no right to it, or the application is not registered in Exchange',
    next: 'check the licence of the mailbox; for a shared one: Add-MailboxPermission -Identity TEAM -User PERSON -AccessRights FullAccess',
  },
  {
    pattern: /5\.7\.60|SendAsDenied|not allowed to send as/i,
    meaning: 'the person who signed in may not send as this mailbox',
    next: 'Add-RecipientPermission -Identity TEAM -Trustee PERSON -AccessRights SendAs; it takes up to an hour to work',
  },
  {
    pattern: /IMAP access is disabled|not enabled for IMAP/i,
    meaning: 'IMAP is switched off for this mailbox',
    next: 'switch it on: for Gmail in the settings of the mailbox or in the admin console, for Microsoft with Set-CASMailbox -ImapEnabled $true',
  },
  {
    pattern: /WEBALERT|web login required/i,
    meaning: 'Google wants the person to look at a page first',
    next: 'open Gmail in a browser as this person and answer what it asks',
  },
  {
    pattern:
      /5\.7\.8|5\.7\.3|AUTHENTICATE failed|Invalid credentials|Authentication (?:failed|unsuccessful)/i,
    meaning: 'the mail server does not take the token',
    next: 'see that the address is the primary one of the mailbox and that the sign-in was made for this service; then: xoauthd login PERSON',
    shared: {
      meaning: 'the mail server does not take the token of PERSON for this mailbox',
      next: 'see that the address is the primary one of the mailbox and that PERSON may open it; Microsoft: Add-MailboxPermission -Identity ADDRESS -User PERSON -AccessRights FullAccess, which takes up to an hour to work',
    },
    application: {
      meaning: 'the mail server does not take the token of the application for this mailbox',
      next: 'see that the address is the primary one of a mailbox and that the application may use it; Microsoft: Add-MailboxPermission for its service principal',
    },
  },
]

/**
 * @param answer what the server said, on one line
 * @returns undefined when it is none of what is known
 */
export function explainMailAnswer(answer: string, refused: Refused): Words | undefined {
  const row = rows.find(({ pattern }) => pattern.test(answer))
  if (!row) return undefined
  const { meaning, next } = wordsFor(row, refused)
  return { meaning: filled(meaning, refused), next: filled(next, refused) }
}

function wordsFor(row: Row, { account, login }: Refused): Words {
  if (nobodySignsIn(account)) return row.application ?? row
  return foldCase(login) === foldCase(account) ? row : (row.shared ?? row)
}

function filled(text: string, { account, login }: Refused): string {
  const named = text.replaceAll('ADDRESS', login)
  return nobodySignsIn(account) ? named : named.replaceAll('PERSON', account)
}

const nobodySignsIn = (account: string): boolean => wildcardDomain(account) !== undefined
