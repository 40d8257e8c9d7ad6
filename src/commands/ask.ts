/** `token`, `refresh` and `reload`: what is asked of the running daemon. */
import { ask, credentialIn, requestLine } from '../client.ts'
import { choiceOption, wholeNumber, type Common, type Define } from '../command-line.ts'
import { formats, parseRequest } from '../protocol.ts'
import { control, socketsFor } from './context.ts'

export function defineAsk(define: Define): void {
  define('token <user>', 'print a token')
    .option('--service <name>', 'what it is for', 'smtp')
    .addOption(choiceOption('--format <format>', 'how it is printed', formats).default('token'))
    .option('--no-newline', 'print no newline after it')
    .option('--refused', 'the mail server refused the last one: fetch another')
    .option('--min <seconds>', 'how long it must still live', wholeNumber)
    .option('--wait <seconds>', 'how long to wait for a refresh, at most 60', wholeNumber)
    .action(token)
  define('refresh <user>', 'fetch a token now').action(refresh)
  define('reload', 'read the configuration again').action(async (options: Common) => {
    await control(options, 'RELOAD')
  })
}

interface TokenFlags extends Common {
  readonly service: string
  readonly format: string
  readonly newline: boolean
  readonly refused?: boolean
  readonly min?: number
  readonly wait?: number
}

async function token(user: string, options: TokenFlags): Promise<void> {
  const line = requestLine(user, options.format, options)
  const reply = credentialIn(await ask(await socketsFor(options), line)).replace(/\n$/, '')
  process.stdout.write(options.newline ? `${reply}\n` : reply)
}

async function refresh(user: string, options: Common): Promise<void> {
  const line = `REFRESH ${user}`
  const request = parseRequest(line)
  if (request.kind === 'malformed') throw request.failure
  await control(options, line)
}
