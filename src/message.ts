/**
 * A message on its way: its header may change, its body never does, but for line ends, which become
 * CRLF. Pure. Bytes are kept as latin1, one character each.
 */

export interface Message {
  /** Each with its name, and with its folding and its end of line. */
  readonly headers: readonly string[]
  /** Without the empty line before it. */
  readonly body: string
}

const headerPattern = /^([!-9;-~]+)[ \t]*:/

/**
 * Reads what a program hands to sendmail.
 *
 * @param dotEnds whether a line that is one dot ends it
 */
export function readMessage(input: Buffer, dotEnds: boolean): Message {
  let text = input.toString('latin1').replace(/\r\n?|\n/g, '\r\n')
  if (dotEnds) {
    const end = text.startsWith('.\r\n') ? 0 : text.indexOf('\r\n.\r\n') + 2
    if (end !== 1) text = text.slice(0, end)
  }
  // The line that separates messages in a mailbox file.
  if (text.startsWith('From ')) text = text.slice(text.indexOf('\r\n') + 2)
  const headers: string[] = []
  let at = 0
  while (at < text.length) {
    const next = text.indexOf('\r\n', at)
    const line = next < 0 ? text.slice(at) : text.slice(at, next)
    const whole = `${line}\r\n`
    if (line === '') return { headers, body: text.slice(at + 2) }
    if (/^[ \t]/.test(line) && headers.length > 0) headers.push(`${headers.pop() ?? ''}${whole}`)
    else if (headerPattern.test(line)) headers.push(whole)
    // No header: the empty line before the body is missing.
    else return { headers, body: text.slice(at) }
    at += whole.length
  }
  return { headers, body: '' }
}

/** @returns the values of all headers of that name, unfolded */
export function valuesOf(message: Message, name: string): string[] {
  return message.headers
    .filter((header) => nameOf(header) === name.toLowerCase())
    .map((header) =>
      header
        .slice(header.indexOf(':') + 1)
        .replace(/\r\n/g, '')
        .trim(),
    )
    .map((value) => Buffer.from(value, 'latin1').toString('utf8'))
}

/** @param names what goes @param added what comes, at the top */
export function withHeaders(
  message: Message,
  names: readonly string[],
  added: Readonly<Record<string, string>>,
): Message {
  const gone = names.map((name) => name.toLowerCase())
  const kept = message.headers.filter((header) => !gone.includes(nameOf(header)))
  const first = Object.entries(added).map(([name, value]) =>
    Buffer.from(`${name}: ${value}\r\n`).toString('latin1'),
  )
  return { headers: [...first, ...kept], body: message.body }
}

export function toBytes({ headers, body }: Message): Buffer {
  return Buffer.from(`${headers.join('')}\r\n${body}`, 'latin1')
}

function nameOf(header: string): string {
  return (headerPattern.exec(header)?.[1] ?? '').toLowerCase()
}
