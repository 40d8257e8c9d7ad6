/**
 * Watches an IMAP conversation that is signed in already, so that no login of the client's own reaches
 * the server, and nothing that would hide the rest from us.
 *
 * Knows of the protocol what it takes to tell commands from the bytes of messages: lines, and literals
 * with or without waiting (RFC 9051 4.3, RFC 7888). What it answers itself it puts between two
 * responses of the server, never into one.
 */

export interface ImapGuard {
  fromClient(bytes: Buffer): void
  fromServer(bytes: Buffer): void
  /** Whether the server has said good-bye. */
  readonly saidBye: boolean
  /** How a client that says nothing more has left things: may a LOGOUT be added? */
  readonly clientIs: 'between commands' | 'inside a command' | 'logged out'
}

/** What is answered here, and why. */
const refused: Readonly<Record<string, string>> = {
  LOGIN: 'xoauthd has signed in already; switch the login off in this client',
  AUTHENTICATE: 'xoauthd has signed in already; switch the login off in this client',
  STARTTLS: 'the connection to the server is TLS already',
  // Compressed bytes could hold a login.
  COMPRESS: 'not through xoauthd',
}
const commandPattern = new RegExp(`^(\\S+) (${Object.keys(refused).join('|')})(?: |$)`, 'i')
/** Servers take 64 KB; the list of a large mailbox's messages can come near. */
const commandLimit = 1024 * 1024
/** Of a server's line, the parts that are looked at. */
const keptOfLine = 128

/** A command of the client that is not complete; `forwarded` unless it was answered here. */
interface Open {
  readonly tag: string
  readonly forwarded: boolean
}

/** What the next bytes of the client are. */
type Expecting =
  | { readonly kind: 'command' }
  /** The rest of a command after a literal. */
  | ({ readonly kind: 'rest' } & Open)
  | ({ readonly kind: 'literal'; readonly left: number } & Open)
  /** A literal, if the server asks for it. */
  | ({ readonly kind: 'permission'; readonly left: number } & Open)

/** @param to where the bytes go that may pass */
export function createImapGuard(to: {
  server(bytes: Buffer): void
  client(bytes: Buffer): void
}): ImapGuard {
  let expecting: Expecting = { kind: 'command' }
  let line = Buffer.alloc(0)
  const server = createLineWatch()
  let answers = ''
  let saidBye = false
  let saidLogout = false

  function fromClient(bytes: Buffer): void {
    let rest = bytes
    while (rest.length > 0) rest = take(rest)
  }

  /** @returns what is left after one piece */
  function take(bytes: Buffer): Buffer {
    // Only a client that does not wait gets here before the server has answered; its server reads on.
    if (expecting.kind === 'permission' || expecting.kind === 'literal') {
      const part = bytes.subarray(0, expecting.left)
      if (expecting.forwarded) to.server(part)
      expecting = literal(expecting, expecting.left - part.length)
      return bytes.subarray(part.length)
    }
    const end = bytes.indexOf('\n')
    line = Buffer.concat([line, end < 0 ? bytes : bytes.subarray(0, end + 1)])
    if (line.length > commandLimit) throw new Error('a command of the client is too long')
    if (end < 0) return Buffer.alloc(0)
    const whole = line
    line = Buffer.alloc(0)
    expecting = afterLine(whole, expecting.kind === 'rest' ? expecting : undefined)
    return bytes.subarray(end + 1)
  }

  /** @param open the command that the line goes on with, if it does not begin one */
  function afterLine(bytes: Buffer, open: Open | undefined): Expecting {
    const text = bytes.toString('latin1').trimEnd()
    const login = open ? null : commandPattern.exec(text)
    const { tag, forwarded } = open ?? {
      tag: /^\S+/.exec(text)?.[0] ?? '',
      forwarded: !login,
    }
    if (forwarded) to.server(bytes)
    if (!open && /^\S+ LOGOUT$/i.test(text)) saidLogout = true
    if (login) answer(`${tag} NO ${refused[login[2]?.toUpperCase() ?? ''] ?? ''}\r\n`)
    const announced = /\{(\d+)(\+?)\}$/.exec(text)
    if (!announced) return { kind: 'command' }
    const left = Number(announced[1])
    if (announced[2] === '+') return literal({ tag, forwarded }, left)
    // After our NO the client does not send it.
    return forwarded ? { kind: 'permission', left, tag, forwarded } : { kind: 'command' }
  }

  function literal({ tag, forwarded }: Open, left: number): Expecting {
    return left > 0 ? { kind: 'literal', left, tag, forwarded } : { kind: 'rest', tag, forwarded }
  }

  function answer(text: string): void {
    if (server.betweenLines) to.client(Buffer.from(text))
    else answers += text
  }

  function fromServer(bytes: Buffer): void {
    let rest = bytes
    while (rest.length > 0) {
      const { size, ended } = server.take(rest)
      to.client(rest.subarray(0, size))
      rest = rest.subarray(size)
      if (ended !== undefined) judge(ended)
      if (!server.betweenLines || answers === '') continue
      to.client(Buffer.from(answers))
      answers = ''
    }
  }

  function judge(ended: string): void {
    if (/^\* BYE\b/i.test(ended)) saidBye = true
    if (expecting.kind !== 'permission') return
    if (ended.startsWith('+')) expecting = literal(expecting, expecting.left)
    // It has said no, and the client does not send what it announced.
    else if (ended.startsWith(`${expecting.tag} `)) expecting = { kind: 'command' }
  }

  return {
    fromClient,
    fromServer,
    get clientIs() {
      if (saidLogout) return 'logged out'
      return expecting.kind === 'command' && line.length === 0
        ? 'between commands'
        : 'inside a command'
    },
    get saidBye() {
      return saidBye
    },
  }
}

/** Follows the lines of a server; a literal belongs to the line that announces it. */
function createLineWatch() {
  let head = ''
  let tail = ''
  let literalLeft = 0
  let inside = false

  return {
    /** Whether the last response is complete. */
    get betweenLines() {
      return !inside && literalLeft === 0
    },
    /** @returns how many bytes belong together, and the start of a line when it has ended */
    take(bytes: Buffer): { readonly size: number; readonly ended: string | undefined } {
      if (literalLeft > 0) {
        const size = Math.min(literalLeft, bytes.length)
        literalLeft -= size
        return { size, ended: undefined }
      }
      const end = bytes.indexOf('\n')
      const size = end < 0 ? bytes.length : end + 1
      const kept = Math.min(size, keptOfLine)
      if (head.length < keptOfLine) head += bytes.toString('latin1', 0, kept)
      tail = (tail + bytes.toString('latin1', size - kept, size)).slice(-keptOfLine)
      inside = end < 0
      if (inside) return { size, ended: undefined }
      literalLeft = Number(/\{(\d+)\}\r?\n$/.exec(tail)?.[1] ?? 0)
      const ended = head
      // A line that goes on after a literal keeps its beginning.
      inside = /\{\d+\}\r?\n$/.test(tail)
      if (!inside) head = ''
      tail = ''
      return { size, ended: inside ? undefined : ended }
    },
  }
}
