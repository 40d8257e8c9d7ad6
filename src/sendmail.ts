/**
 * One message from a program of this machine to the servers of the account it is from. There is no queue:
 * when this resolves the message was taken for all recipients. When it rejects nobody has it, but for those
 * whom UnknownAccount names as sent to, and but for an answer that was lost, where nobody can know.
 */
import { randomUUID } from 'node:crypto'
import type { AccountConfig } from './account-config.ts'
import { domainOf, foldCase, isAddress } from './address.ts'
import { BadRequest, NotAllowed, UnknownAccount } from './errors.ts'
import type { AskToken } from './imap-login.ts'
import { sendByGmail, sendByGraph } from './mail-api.ts'
import { hostPortOf } from './mail-connection.ts'
import { toBytes, valuesOf, withHeaders, type Message } from './message.ts'
import type { SendmailOrder } from './sendmail-arguments.ts'
import { addressesIn, sendBySmtp } from './smtp.ts'
import type { Transport } from './transport.ts'

/** A message with all that it needs to be sent. */
export interface Letter {
  readonly message: Message
  /** Whose account sends it. */
  readonly mailbox: string
  /** The envelope. */
  readonly from: string
  readonly to: readonly string[]
}

/** How a message leaves. */
export interface Way {
  readonly send: 'smtp' | 'gmail' | 'graph'
  readonly hosts: AccountConfig['hosts']
  /** Whether the token is that of a person, and the mailbox that person's own. */
  readonly own: boolean
}

/**
 * Finds sender and recipients, and completes the header.
 *
 * @param account the mailbox to send as when neither `-f` nor the header says it
 * @throws BadRequest, UnknownAccount for a recipient on this machine
 */
export function address(
  order: SendmailOrder,
  message: Message,
  account: string | undefined,
  now: Date,
): Letter {
  const [author] = addressesIn(valuesOf(message, 'From')[0] ?? '').filter(isAddress)
  const given = order.sender !== undefined && isAddress(order.sender) ? order.sender : undefined
  const sender = given ?? author ?? account
  if (sender === undefined)
    throw new BadRequest('nothing says whom the message is from', {
      hint: 'give -f ADDRESS, or --account ADDRESS before the arguments of sendmail',
    })
  const to = recipientsOf(order, message)
  const added: Record<string, string> = {}
  if (valuesOf(message, 'Date').length === 0)
    added['Date'] = now.toUTCString().replace('GMT', '+0000')
  if (valuesOf(message, 'Message-ID').length === 0)
    added['Message-ID'] = `<${randomUUID()}@${domainOf(sender)}>`
  // cron and others write a local name, which no provider takes.
  if (author === undefined) added['From'] = fromHeader(order, message, sender)
  const removed = ['Bcc', 'Resent-Bcc', ...(author === undefined ? ['From'] : [])]
  return {
    message: withHeaders(message, removed, added),
    mailbox: account ?? sender,
    from: order.sender === '' ? '' : sender,
    to,
  }
}

function fromHeader({ fullName }: SendmailOrder, message: Message, sender: string): string {
  const name = fullName ?? valuesOf(message, 'From')[0] ?? ''
  const quoted = name.replace(/[\x00-\x1f\x7f]/g, ' ').replace(/["\\]/g, '\\$&')
  return quoted === '' ? sender : `"${quoted}" <${sender}>`
}

function recipientsOf(
  { recipients, fromHeader: wanted }: SendmailOrder,
  message: Message,
): string[] {
  const resent = ['Resent-To', 'Resent-Cc', 'Resent-Bcc'].flatMap((name) => valuesOf(message, name))
  const usual = ['To', 'Cc', 'Bcc'].flatMap((name) => valuesOf(message, name))
  const named = wanted ? (resent.length > 0 ? resent : usual) : []
  const found = [...recipients, ...named].flatMap(addressesIn)
  const distinct = [...new Map(found.map((each) => [foldCase(each), each])).values()]
  const local = distinct.find((each) => !isAddress(each))
  if (local !== undefined)
    throw new UnknownAccount(`${local} is no mail address, and xoauthd delivers to nobody here`, {
      hint: 'write a whole address; in a crontab: MAILTO=me@example.org',
    })
  if (distinct.length === 0)
    throw new BadRequest('the message has no recipients', {
      hint: wanted ? 'its header names none' : 'name them as arguments, or give -t',
    })
  return distinct
}

/** @rejects Unavailable when it may be tried again; LoginRefused, NotAllowed, UnknownAccount */
export async function dispatch(
  letter: Letter,
  way: Way,
  means: { readonly ask: AskToken; readonly transport: Transport; readonly signal: AbortSignal },
): Promise<void> {
  const { mailbox, from, to } = letter
  if (way.send === 'smtp') {
    const at = hostPortOf(way.hosts.smtp, 'smtp', mailbox)
    return sendBySmtp(at, means.ask, { from, to }, toBytes(letter.message))
  }
  const message = toBytes(withRecipients(letter))
  if (way.send === 'gmail') return sendByGmail({ ...means, message })
  const who = way.own ? 'me' : `users/${encodeURIComponent(mailbox)}`
  return sendByGraph(way.hosts.graph ?? 'graph.microsoft.com', who, { ...means, message })
}

/** An API delivers to whom the header names, so the header has to name exactly the envelope. */
function withRecipients({ message, to }: Letter): Message {
  const named = ['To', 'Cc'].flatMap((name) => valuesOf(message, name)).flatMap(addressesIn)
  const wanted = new Set(to.map(foldCase))
  const unwanted = named.find((each) => !wanted.has(foldCase(each)))
  if (unwanted !== undefined)
    throw new NotAllowed(
      `the header names ${unwanted}, who is no recipient, and the API would send it there too`,
      { hint: 'give the account send = "smtp", which tells the two apart' },
    )
  const known = new Set(named.map(foldCase))
  const hidden = to.filter((each) => !known.has(foldCase(each)))
  return hidden.length === 0 ? message : withHeaders(message, [], { Bcc: hidden.join(',\r\n ') })
}
