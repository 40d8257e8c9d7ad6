/**
 * Postfix's socketmap protocol (socketmap_table(5)): netstrings both ways, several requests a connection.
 *
 *     NAME KEY  →  OK USER:TOKEN  |  NOTFOUND  |  TEMP REASON  |  PERM REASON
 *
 * A key is the envelope sender, or a host that the file's `map` gives a mailbox. Promises that NOTFOUND
 * is said only about a key that nothing here is known of, since postfix then goes on without a login and
 * the mail bounces; that everything else defers, within {@link waitMs}; and that a client that stalls or
 * floods is cut and holds up nobody.
 */
import { createServer, type Socket } from 'node:net'
import type { Accounts } from './accounts.ts'
import { foldCase, isAddress } from './address.ts'
import type { Audit } from './audit.ts'
import type { SocketName } from './bind.ts'
import type { Credentials, Scope } from './credentials.ts'
import { NotAllowed, asFailure, stackOf } from './errors.ts'
import type { Log } from './log.ts'
import { readNetstring, writeNetstring } from './netstring.ts'
import { listenAt, type SocketListener } from './unix-listener.ts'

export interface SocketmapService {
  readonly accounts: () => Accounts
  readonly credentials: Credentials
  readonly scope: Scope
  /** The service that the tokens are for. */
  readonly purpose: string
  /** The mailbox of a host; hosts in lower case. */
  readonly map: ReadonlyMap<string, string>
  readonly audit: Audit
  readonly log: Log
  readonly now: () => number
}

/** Longer than any key that can be an address or a host, with the name before it. */
const requestMaxBytes = 1024
/** Mail waits with postfix, whose own patience is 100 s. */
const waitMs = 5_000
/** How long a request may take to come in whole, and an answer to be read. */
const usualStallMs = 10_000
/** Postfix asks one at a time; what has come beyond the present request is bounded by this. */
const receivedMaxBytes = 8 * requestMaxBytes

/**
 * Opens a socket for postfix.
 *
 * @param most how many connections it may have at once
 * @param inherited the descriptor on which systemd listens already, if it does
 * @param stallMs how long half a request may stand
 * @rejects Misconfigured when it cannot be opened; Unavailable when another daemon has it
 */
export async function openSocketmap(
  config: SocketName,
  service: SocketmapService,
  most: number,
  inherited: number | undefined,
  stallMs = usualStallMs,
): Promise<SocketListener> {
  const open = new Set<Socket>()
  const conversations = new Set<Conversation>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    const conversation = converse(socket, stallMs, (text) => answer(text, config.path, service))
    conversations.add(conversation)
    socket.on('close', () => {
      open.delete(socket)
      conversations.delete(conversation)
    })
  })
  server.maxConnections = most
  const clients = {
    cutSilent: () => open.forEach((socket) => socket.bytesRead === 0 && socket.destroy()),
    cutAll: () => open.forEach((socket) => socket.destroy()),
  }
  const listener = await listenAt(config, server, inherited, clients, service.log)
  return {
    ...listener,
    async drain() {
      // Postfix keeps a connection for as long as it may; one without a request has no reason to stay.
      for (const conversation of conversations) conversation.end()
      await listener.drain()
    },
  }
}

interface Conversation {
  /** Lets the request that is being answered be the last one. */
  end(): void
}

/** @param reply never rejects */
function converse(
  socket: Socket,
  stallMs: number,
  reply: (request: string) => Promise<string>,
): Conversation {
  let received = Buffer.alloc(0)
  let busy = false
  let ending = false
  let heardAll = false
  let stalled: NodeJS.Timeout | undefined

  const cut = () => socket.destroy()
  const patience = () => {
    clearTimeout(stalled)
    stalled = setTimeout(cut, stallMs)
  }

  async function answerAll(): Promise<void> {
    busy = true
    for (;;) {
      const request = ending ? 'incomplete' : readNetstring(received, requestMaxBytes)
      if (request === 'malformed') {
        cut()
        return
      }
      if (request === 'incomplete') break
      received = received.subarray(request.bytes)
      clearTimeout(stalled)
      const text = writeNetstring(await reply(request.text))
      if (socket.destroyed) return
      patience()
      // A client that asks on and on and reads nothing waits for itself.
      await new Promise<void>((resolve) => socket.write(text, () => resolve()))
      if (received.length === 0) clearTimeout(stalled)
    }
    busy = false
    if (ending || heardAll) socket.end()
  }

  socket.on('error', () => undefined) // A client that has gone is no error.
  socket.on('close', () => clearTimeout(stalled))
  socket.on('data', (chunk: Buffer) => {
    if (ending) return
    // The clock runs from the first byte of a request, however slowly the others come.
    if (received.length === 0 && !busy) patience()
    received = Buffer.concat([received, chunk])
    if (received.length > receivedMaxBytes) cut()
    else if (!busy) void answerAll()
  })
  socket.on('end', () => {
    heardAll = true
    if (!busy) socket.end()
  })
  return {
    end() {
      ending = true
      if (!busy) socket.end()
    },
  }
}

async function answer(request: string, path: string, service: SocketmapService): Promise<string> {
  const { accounts, credentials, scope, purpose, map, audit, log, now } = service
  const space = request.indexOf(' ')
  if (space < 0) return 'PERM a request is a name, a space and a key'
  const key = request.slice(space + 1)
  const mailbox = mailboxOf(key, map)
  if (mailbox === undefined || !accounts().find(mailbox)) {
    audit.answered(
      path,
      purpose,
      mailbox ?? '-',
      'unknown-account',
      0,
      'nothing is known of the key',
    )
    return 'NOTFOUND '
  }
  const atMs = now()
  const wish = { service: purpose, mailbox, minMs: undefined, waitMs, refused: false }
  try {
    const { user, accessToken } = await credentials.get(wish, scope, atMs)
    audit.answered(path, purpose, mailbox, 'ok', now() - atMs)
    return `OK ${user}:${accessToken}`
  } catch (error) {
    const failure = asFailure(error)
    if (failure !== error) log.error('bug', { stack: stackOf(error) })
    audit.answered(path, purpose, mailbox, failure.code, now() - atMs, failure.message)
    return `${failure instanceof NotAllowed ? 'PERM' : 'TEMP'} ${failure.message}`
  }
}

/** @returns the mailbox that a sender, a host, or a next hop such as `[smtp.example.org]:587` stands for */
function mailboxOf(key: string, map: ReadonlyMap<string, string>): string | undefined {
  if (isAddress(key) && !key.startsWith('*@') && !key.includes('\ufffd')) return key
  const name = foldCase(key)
  const host = name.replace(/^\[(.*)\](?::\d+)?$|^([^:]*):\d+$/, '$1$2')
  return map.get(name) ?? map.get(host) ?? map.get(`[${host}]`)
}
