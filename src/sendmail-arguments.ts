/**
 * The arguments that programs give to sendmail, read after getopt's rules. Pure.
 *
 * What only a mail server can do (a queue, SMTP on standard input, aliases) is refused by name; what
 * makes no difference here is taken and ignored. Facts: the manual pages of sendmail, Postfix and exim
 */
import { BadRequest } from './errors.ts'

export interface SendmailOrder {
  /** `-f` or `-r`, without brackets; `''` is the empty sender of a bounce. */
  readonly sender: string | undefined
  /** `-F`. */
  readonly fullName: string | undefined
  /** `-t`: the header's recipients too. */
  readonly fromHeader: boolean
  /** A line that is one dot ends the message; `-i` says that it does not. */
  readonly dotEnds: boolean
  /** As they stand on the command line; each may be a list. */
  readonly recipients: readonly string[]
}

/** Taken with a value, which makes no difference: body type, delivery notices, hops, labels, protocol. */
const ignoredWithValue = 'BNRVhLpO'
const ignored = 'vnUGms'
const refused: Readonly<Record<string, string>> = {
  q: 'xoauthd has no queue',
  C: 'xoauthd has a configuration of its own: write --config before the other arguments',
  X: 'xoauthd writes no log of a conversation',
}
const modes: Readonly<Record<string, string>> = {
  s: 'SMTP on standard input is not spoken',
  p: 'xoauthd has no queue',
  d: 'xoauthd is no mail server',
  i: 'xoauthd has no aliases',
  v: 'xoauthd does not verify addresses',
  t: 'xoauthd has no rules to test',
}

/** @throws BadRequest */
export function readSendmailArguments(args: readonly string[]): SendmailOrder {
  const order = {
    sender: undefined as string | undefined,
    fullName: undefined as string | undefined,
    fromHeader: false,
    dotEnds: true,
    recipients: [] as string[],
  }
  const rest = [...args]

  /** One word of options. @returns nothing: what it takes of the next word is gone from `rest` */
  function readOptions(word: string): void {
    for (let at = 1; at < word.length; at++) {
      const letter = word[at] ?? ''
      const attached = word.slice(at + 1)
      const value = () => (attached === '' ? rest.shift() : attached) ?? missing(letter)
      if (letter === 'i') order.dotEnds = false
      else if (letter === 't') order.fromHeader = true
      else if (letter === 'f' || letter === 'r') order.sender = value().replace(/^<(.*)>$/, '$1')
      else if (letter === 'F') order.fullName = value()
      else if (ignoredWithValue.includes(letter)) value()
      else if (letter === 'o') {
        if (attached === 'i') order.dotEnds = false
      } else if (letter === 'b') {
        const why = modes[attached]
        if (attached !== 'm') throw refusal(`-b${attached}`, why ?? 'it is not known')
      } else if (!ignored.includes(letter))
        throw refusal(`-${letter}`, refused[letter] ?? 'it is not known')
      // These have taken the rest of the word.
      if ('frFob'.includes(letter) || ignoredWithValue.includes(letter)) return
    }
  }

  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') order.recipients.push(...rest.splice(0))
    else if (word.startsWith('--'))
      throw refusal(word, "xoauthd's own options go before those of sendmail")
    else if (word.startsWith('-') && word !== '-') readOptions(word)
    else order.recipients.push(word)
  }
  return order
}

function missing(letter: string): never {
  throw new BadRequest(`sendmail: -${letter} needs a value`)
}

function refusal(option: string, why: string): BadRequest {
  return new BadRequest(`sendmail: ${option} cannot be done: ${why}`)
}
