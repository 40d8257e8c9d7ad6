/** `add`: a new account, asked for at a terminal or given by options. */
import { createInterface, type Interface } from 'node:readline'
import { createAccounts } from '../accounts.ts'
import { isAddress, wildcardDomain } from '../address.ts'
import { appendAccount, parseSetting } from '../account-block.ts'
import type { Common, Define } from '../command-line.ts'
import { parseValue, type Value } from '../config.ts'
import { configFileFor } from '../config-file.ts'
import { clientEntries } from '../config-schema.ts'
import { BadRequest } from '../errors.ts'
import { providers } from '../providers/index.ts'
import { recognise } from '../recognise.ts'
import { aboutOf, isRequired, parse, type Schema } from '../schema.ts'
import { wrapped } from '../wrap.ts'
import { control, signInContext } from './context.ts'
import { login } from './sign-in.ts'

interface Flags extends Common {
  readonly provider?: string
  readonly set: readonly string[]
}

export function defineAdd(define: Define): void {
  define('add [address]', 'add an account to the configuration', [
    'xoauthd add me@gmail.com',
    `xoauthd add '*@corp.example' --set 'key={ file = "/etc/xoauthd/corp.json" }'`,
    'xoauthd add me@uni.example --provider microsoft --set client=corp',
  ])
    .option('--provider <name>', 'the kind of account; recognised by the address unless given')
    .option(
      '--set <key=value>',
      'a key of the account, in TOML; may be given more than once',
      (text: string, before: readonly string[]) => [...before, text],
      [],
    )
    .action(add)
}

async function add(address: string | undefined, flags: Flags): Promise<void> {
  const dialogue = createDialogue()
  try {
    const given = Object.fromEntries(flags.set.map(parseSetting))
    const user =
      address ?? (await dialogue.ask('Mail address ("*@domain" for a whole domain)', 'ADDRESS'))
    if (!isAddress(user) && wildcardDomain(user) === undefined)
      throw new BadRequest(`${user} is no mail address`, {
        hint: 'write name@domain, or "*@domain" for a whole domain',
      })
    const provider = flags.provider ?? (await chooseProvider(user, dialogue))
    const kind = Object.hasOwn(providers, provider) ? providers[provider] : undefined
    if (!kind)
      throw new BadRequest(`${provider} is no provider that xoauthd knows`, {
        hint: `they are ${Object.keys(providers).join(', ')}`,
      })
    if (kind.page !== undefined)
      say(`What to register, and where its values are found: docs/providers/${kind.page}`)
    const asked: Record<string, Value> = {}
    for (const [key, schema] of Object.entries<Schema>(kind.settings))
      if (
        isRequired(schema) &&
        given[key] === undefined &&
        !(given['client'] !== undefined && Object.hasOwn(clientEntries, key))
      )
        asked[key] = await askFor(key, schema, dialogue)
    const file = configFileFor(flags.config, process.env)
    await appendAccount(file, { user, provider, ...asked, ...given }, process.env)
    say(`Added ${user} to ${file}.`)
    const reloaded = await control(flags, 'RELOAD').then(
      () => true,
      () => false,
    )
    if (reloaded) say('The daemon has it.')
    const start = 'xoauthd serve (or xoauthd install-service)'
    const name = user.replace(/^\*(?=@)/, 'NAME')
    const { config, surroundings } = await signInContext({ ...flags, config: file })
    const account = createAccounts(config, surroundings).findByName(user)?.account
    if (!account?.provider.signIn)
      say(`Next: ${reloaded ? '' : `${start}, then `}xoauthd token ${name}`)
    else if (await dialogue.agree('Sign in now?')) {
      dialogue.close()
      await login(user, { ...flags, browser: true })
    } else say(`Next: xoauthd login ${user}${reloaded ? '' : `, then ${start}`}`)
  } finally {
    dialogue.close()
  }
}

async function chooseProvider(user: string, dialogue: Dialogue): Promise<string> {
  const found = await recognise(user)
  if (found) {
    say(`${user} is an account of ${found.provider}: ${found.because}.`)
    return found.provider
  }
  say(`What serves ${user} cannot be told from its address. It may be one of these:`)
  for (const line of wrapped(Object.keys(providers).join(', '), 76)) say(`  ${line}`)
  return dialogue.ask('Provider', '--provider NAME')
}

/** A path where a secret may stand is the file that holds it. */
async function askFor(key: string, schema: Schema, dialogue: Dialogue): Promise<Value> {
  const answer = await dialogue.ask(`${key}: ${aboutOf(schema)}`, `--set ${key}=…`)
  const isSecret = parse(schema, { file: answer }).success
  if (isSecret && /^(?:~?\/|\.\.?\/)/.test(answer)) return { file: answer }
  // A client id may be digits alone, and is a string all the same.
  return /^[[{"']/.test(answer) ? (parseValue(answer) ?? answer) : answer
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

interface Dialogue {
  /**
   * @param instead what to write on the command line where nobody answers
   * @rejects BadRequest when nobody does
   */
  ask(question: string, instead: string): Promise<string>
  /** False where nobody answers, and where nothing had to be asked before. */
  agree(question: string): Promise<boolean>
  close(): void
}

/** Nothing is read before something is asked: what follows may want to read it. */
function createDialogue(): Dialogue {
  let lines: AsyncIterator<string> | undefined
  let reader: Interface | undefined
  async function answerTo(question: string): Promise<string | undefined> {
    reader ??= createInterface({ input: process.stdin })
    lines ??= reader[Symbol.asyncIterator]()
    process.stderr.write(`${question}: `)
    const line = await lines.next()
    if (line.done === true) process.stderr.write('\n')
    return line.done === true ? undefined : line.value.trim()
  }
  return {
    async ask(question, instead) {
      for (;;) {
        const answer = await answerTo(question)
        if (answer === undefined)
          throw new BadRequest(`no answer to: ${question}`, {
            hint: `write it on the command line: ${instead}`,
          })
        if (answer !== '') return answer
      }
    },
    agree: async (question) =>
      reader !== undefined && /^(?:y|yes|)$/i.test((await answerTo(`${question} [Y/n]`)) ?? 'n'),
    close: () => reader?.close(),
  }
}
