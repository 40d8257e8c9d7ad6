/** What is wrong with the configuration file, all of it at once. */

export interface Problem {
  /** From 1; undefined when it is about the file as a whole. */
  readonly line: number | undefined
  /** E.g. `account[2].client_id`; empty when it is about no key. */
  readonly key: string
  readonly message: string
}

/** The command line ends with exit code 78; a reload keeps what it had. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly file: string
  readonly problems: readonly Problem[]

  /** @param file where it was read, or was looked for */
  constructor(file: string, problems: readonly Problem[]) {
    super(problems.map((problem) => sentence(file, problem)).join('\n'))
    this.file = file
    this.problems = problems
  }
}

function sentence(file: string, { line, key, message }: Problem): string {
  return `${file}${line === undefined ? '' : `:${line}`}: ${key === '' ? '' : `${key} `}${message}`
}
