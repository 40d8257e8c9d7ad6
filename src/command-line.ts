/**
 * What every command is made of: its name and options, the options that all have, and how a failure is
 * told. The one door to commander.
 *
 * Nothing but the answer goes to stdout; an error is `xoauthd: what happened` and `hint: what to do` on
 * stderr, with an exit code after sysexits.h.
 */
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { XoauthdError } from './client.ts'
import { ConfigError } from './config-error.ts'
import { Failure, exitCodes, oneLine } from './errors.ts'
import { version } from './version.ts'

/** The options that every command takes. */
export interface Common {
  readonly config?: string
  readonly socket?: string
  readonly verbose?: boolean
}

/** Adds a command to the program; what it does follows as `.action()`. */
export type Define = (name: string, description: string) => Command

export interface CommandLine {
  readonly define: Define
  /** Runs what was asked for; never rejects for a user's mistake, and sets the exit code. */
  run(): Promise<void>
}

export function createCommandLine(): CommandLine {
  const program = new Command('xoauthd')
    .description('keeps OAuth2 tokens for mail fresh and hands them to mail programs')
    .version(version)
    .helpOption('-h, --help', 'show this help')
    .configureOutput({
      writeErr: (text) =>
        process.stderr.write(
          text.replace(/^error: /, 'xoauthd: ').replace(/\n\((Did you mean .*)\)/, '\nhint: $1'),
        ),
    })
    // What stands after a command is that command's, and sendmail's arguments are its own.
    .enablePositionalOptions()
    .exitOverride()
  return {
    define: (name, description) =>
      program
        .command(name)
        .description(description)
        .option('--config <file>', 'the configuration file')
        .option('--socket <path>', "the daemon's socket")
        .option('--verbose', 'say more')
        .exitOverride(),
    async run() {
      try {
        await program.parseAsync()
      } catch (error) {
        if (error instanceof CommanderError)
          process.exitCode = error.exitCode === 0 ? 0 : exitCodes['bad-request']
        else {
          const { message, hint, code } = wordsOf(error)
          complain(message, hint)
          process.exitCode = code
        }
      }
    },
  }
}

/** An option that takes one of a few words. */
export function choiceOption(flags: string, description: string, words: readonly string[]): Option {
  return new Option(flags, description).choices(words)
}

/** An argument that is one of a few words. */
export function choiceArgument(
  name: string,
  description: string,
  words: readonly string[],
): Argument {
  return new Argument(name, description).choices(words)
}

/** Reads the value of an option that counts seconds. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,8}$/.test(text)) throw new InvalidArgumentError('It must be a number of seconds.')
  return Number(text)
}

/**
 * What a failure says, and the exit code for it.
 *
 * @throws the error itself when it is a bug
 */
export function wordsOf(error: unknown): {
  message: string
  hint: string | undefined
  code: number
} {
  if (error instanceof Failure)
    return { message: error.message, hint: error.hint, code: exitCodes[error.code] }
  if (error instanceof XoauthdError) {
    const code = (exitCodes as Record<string, number>)[error.code] ?? 1
    return { message: error.message, hint: error.hint, code }
  }
  if (error instanceof ConfigError)
    return { message: error.message, hint: undefined, code: exitCodes.config }
  throw error
}

/** Tells a failure on stderr. */
export function complain(message: string, hint: string | undefined): void {
  for (const line of message.split('\n')) process.stderr.write(`xoauthd: ${oneLine(line)}\n`)
  if (hint !== undefined && hint !== '') process.stderr.write(`hint: ${hint}\n`)
}
