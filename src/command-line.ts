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
import { parseHostPort } from './endpoint.ts'
import { Failure, exitCodes, oneLine } from './errors.ts'
import { version } from './version.ts'

/** The options that every command takes. */
export interface Common {
  readonly config?: string
  readonly socket?: string
  readonly verbose?: boolean
}

/**
 * Adds a command to the program; what it does follows as `.action()`.
 *
 * @param examples lines that `--help` and the manual show
 * @param hidden the common options that it takes only to say why not
 */
export type Define = (
  name: string,
  description: string,
  examples?: readonly string[],
  hidden?: readonly '--socket'[],
) => Command

/** A command as the manual and the completions tell it. */
export interface CommandWords {
  readonly name: string
  /** After the name: `[options] <user>`. */
  readonly usage: string
  readonly description: string
  readonly arguments: readonly { readonly name: string; readonly choices: readonly string[] }[]
  readonly options: readonly OptionWords[]
  readonly examples: readonly string[]
}

export interface OptionWords {
  /** `--format <format>`. */
  readonly flags: string
  /** `--format`. */
  readonly long: string
  readonly description: string
  readonly takesValue: boolean
  readonly choices: readonly string[]
}

export interface CommandLine {
  readonly define: Define
  /** What has been defined so far. */
  readonly words: () => CommandWords[]
  /** Runs what was asked for; never rejects for a user's mistake, and sets the exit code. */
  readonly run: () => Promise<void>
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
  const examplesOf = new Map<Command, readonly string[]>()
  return {
    define(name, description, examples = [], hidden = []) {
      const command = program
        .command(name)
        .description(description)
        .option('--config <file>', 'the configuration file')
        .addOption(socketOption().hideHelp(hidden.includes('--socket')))
        .option('--verbose', 'say more')
        .exitOverride()
      examplesOf.set(command, examples)
      if (examples.length > 0)
        command.addHelpText(
          'after',
          `\nExamples:\n${examples.map((line) => `  ${line}\n`).join('')}`,
        )
      return command
    },
    words: () =>
      program.commands.map((command) => wordsOfCommand(command, examplesOf.get(command) ?? [])),
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

function wordsOfCommand(command: Command, examples: readonly string[]): CommandWords {
  return {
    name: command.name(),
    usage: command.usage(),
    description: command.description(),
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      choices: argument.argChoices ?? [],
    })),
    options: command.options
      .filter((option) => !option.hidden)
      .map((option) => ({
        flags: option.flags,
        long: option.long ?? option.flags,
        description: option.description,
        takesValue: option.required || option.optional,
        choices: option.argChoices ?? [],
      })),
    examples,
  }
}

function socketOption(): Option {
  return new Option('--socket <path>', "the daemon's socket")
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

/** Reads the value of an option that names a server. */
export function hostAndPort(text: string): string {
  if (!parseHostPort(text))
    throw new InvalidArgumentError('It must be host:port, e.g. mail.example.org:465.')
  return text
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

/**
 * Goes on when what is printed cannot be: a reader that has left is no error, a full disk is one of
 * stdout, and a command does what it was asked for although nobody hears of it on stderr.
 */
export function endureOutputs(): void {
  let told = false
  process.stderr.on('error', () => undefined)
  process.stdout.on('error', ({ code = 'no code' }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') return
    process.exitCode ||= exitCodes.unavailable
    if (told) return
    told = true
    complain(
      `stdout could not be written (${code})`,
      'what was printed is not complete: make room where it goes, and run the command again',
    )
  })
}

/** Tells a failure on stderr. */
export function complain(message: string, hint: string | undefined): void {
  for (const line of message.split('\n')) process.stderr.write(`xoauthd: ${oneLine(line)}\n`)
  if (hint !== undefined && hint !== '') process.stderr.write(`hint: ${hint}\n`)
}
