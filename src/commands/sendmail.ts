/** `sendmail`: the interface that programs of UNIX send mail through, without a mail server. */
import { buffer } from 'node:stream/consumers'
import { complain, hostAndPort, wordsOf, type Common, type Define } from '../command-line.ts'
import { XoauthdError } from '../client.ts'
import { SignInNeeded, exitCodes } from '../errors.ts'
import { foldCase } from '../address.ts'
import { readMessage } from '../message.ts'
import { readSendmailArguments } from '../sendmail-arguments.ts'
import type { Way } from '../sendmail.ts'
import { createTransport } from '../transport.ts'
import { version } from '../version.ts'
import { askToken, configured } from './context.ts'

/** Whoever sends waits for it anyway, and there is no queue. */
const tokenWaitS = 30
/** For the largest message that an API takes, over a slow line. */
const sendMs = 10 * 60_000

export function defineSendmail(define: Define): void {
  define('sendmail', 'send the message on standard input, with the arguments of sendmail')
    .usage('[xoauthd options] [-t] [-i] [-f sender] [-F name] [--] [recipients]')
    .option('--account <mailbox>', 'whose account sends, unless the sender has one')
    .option('--host <host:port>', "the SMTP server, unless the account's", hostAndPort)
    .argument('[arguments...]', "sendmail's own")
    .passThroughOptions()
    .allowUnknownOption()
    .action(sendmail)
}

interface Flags extends Common {
  readonly account?: string
  readonly host?: string
}

async function sendmail(args: readonly string[], options: Flags): Promise<void> {
  try {
    await send(args, options)
  } catch (error) {
    const { message, hint, code } = wordsOf(error)
    complain(message, hint)
    process.exitCode = helpsInTime(error) ? exitCodes.unavailable : code
  }
}

async function send(args: readonly string[], options: Flags): Promise<void> {
  const order = readSendmailArguments(args)
  const message = readMessage(await buffer(process.stdin), order.dotEnds)
  // What it takes to send is a good part of the program, which the other commands need not load.
  const { address, dispatch } = await import('../sendmail.ts')
  const letter = address(order, message, options.account, new Date())
  const way = await wayOf(letter.mailbox, options)
  const ask = await askToken(options, letter.mailbox, way.send, tokenWaitS)
  const transport = createTransport(version, sendMs)
  try {
    await dispatch(letter, way, { ask, transport, signal: AbortSignal.timeout(sendMs) })
  } finally {
    transport.close()
  }
}

/** With a server named, nothing else is read, so that a system's file need not be open to its users. */
async function wayOf(mailbox: string, options: Flags): Promise<Way> {
  if (options.host !== undefined) return { send: 'smtp', hosts: { smtp: options.host }, own: true }
  const { config, account } = await configured(options, mailbox)
  return {
    send: config.send ?? 'smtp',
    hosts: config.hosts,
    own: account.provider.signIn !== undefined && foldCase(account.user) === foldCase(mailbox),
  }
}

/** A person signs in again, or a daemon starts, and then the same message can be sent. */
function helpsInTime(error: unknown): boolean {
  return (
    error instanceof SignInNeeded ||
    (error instanceof XoauthdError && ['sign-in-needed', 'no-daemon'].includes(error.code))
  )
}
