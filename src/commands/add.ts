/** `add`: a new account, asked for at a terminal or given by options. */
import { createAccounts } from '../accounts.ts'
import { isAddress, wildcardDomain } from '../address.ts'
import {
  accountProblems,
  appendAccount,
  parseSetting,
  refusalOf,
  sentenceOf,
  toml,
  type AccountProblem,
} from '../account-block.ts'
import type { Common, Define } from '../command-line.ts'
import { parseValue, type Value } from '../config.ts'
import { configFileFor } from '../config-file.ts'
import { accountEntries } from '../config-schema.ts'
import { BadRequest } from '../errors.ts'
import { providers } from '../providers/index.ts'
import type { ProviderKind } from '../providers/provider.ts'
import { recognise } from '../recognise.ts'
import { aboutOf, isRequired, parse, type Schema } from '../schema.ts'
import { docsPath } from '../shipped.ts'
import { wrapped } from '../wrap.ts'
import { control, signInContext } from './context.ts'
import { createDialogue, say, type Dialogue } from './dialogue.ts'
import { login } from './sign-in.ts'

interface Flags extends Common {
  readonly provider?: string
  readonly set: readonly string[]
}

export function defineAdd(define: Define): void {
  define('add [address]', 'add an account to the configuration', [
    'xoauthd add me@gmail.com',
    `xoauthd add '*@corp.example' --provider google-service-account --set 'key={ file = "/etc/xoauthd/corp.json" }'`,
    'xoauthd add me@uni.example --provider microsoft --set tenant=uni.example',
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
    const file = configFileFor(flags.config, process.env)
    const settings = await settingsFor(address, file, flags, dialogue)
    const { user } = settings
    await appendAccount(file, settings, process.env)
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

type Settings = Readonly<Record<string, Value>>
type FindProblems = (settings: Settings) => Promise<readonly AccountProblem[]>

/** All that an account needs: what is given, and what is asked for then, each judged as soon as it is there. */
async function settingsFor(
  address: string | undefined,
  file: string,
  flags: Flags,
  dialogue: Dialogue,
): Promise<Settings & { readonly user: string }> {
  const given = Object.fromEntries(flags.set.map(parseSetting))
  const problemsOf: FindProblems = (settings) => accountProblems(file, settings, process.env)
  const user = address ?? (await askForUser(problemsOf, dialogue))
  if (!isAddress(user) && wildcardDomain(user) === undefined)
    throw new BadRequest(`${user} is no mail address`, {
      hint: 'write name@domain, or "*@domain" for a whole domain',
    })
  refuse(problemsWith(['user'], await problemsOf({ user })), file)
  const provider = flags.provider ?? (await chooseProvider(user, problemsOf, dialogue))
  const kind = kindNamed(provider)
  if (!kind)
    throw new BadRequest(`${provider} is no provider that xoauthd knows`, {
      hint: `they are ${Object.keys(providers).join(', ')}`,
    })
  const settings = { user, provider, ...given }
  refuse(problemsWith(Object.keys(settings), await problemsOf(filledUp(settings, kind))), file)
  if (kind.page !== undefined)
    say(`What to register, and where its values are found: ${docsPath(`providers/${kind.page}`)}`)
  return { ...(await askForRest(settings, kind, problemsOf, dialogue)), user }
}

/** Asks for what is missing until nothing is, and then for what such accounts mostly have besides. */
async function askForRest(
  given: Settings,
  kind: ProviderKind,
  problemsOf: FindProblems,
  dialogue: Dialogue,
): Promise<Settings> {
  const schemas: Readonly<Record<string, Schema>> = { ...accountEntries, ...kind.settings }
  let settings = given
  const judge = (key: string, schema: Schema) => async (answer: string) => {
    const filled = filledUp({ ...settings, [key]: readAnswer(schema, answer) }, kind)
    const [problem] = problemsWith([key], await problemsOf(filled))
    return problem && sentenceOf(problem)
  }
  const settle = (key: string, schema: Schema, answer: string) => {
    settings = { ...settings, [key]: readAnswer(schema, answer) }
  }
  const isNew = ({ key }: AccountProblem) =>
    Object.hasOwn(schemas, key) && !Object.hasOwn(settings, key)

  for (;;) {
    const missing = (await problemsOf(settings)).find(isNew)
    const schema = missing && schemas[missing.key]
    if (!schema) break
    const { key } = missing
    // Of a key that is always needed this would be no news.
    if (!isRequired(schema)) say(sentenceOf(missing))
    const about = question(key, schema)
    settle(key, schema, await dialogue.ask(about, `--set ${key}=…`, judge(key, schema)))
  }
  for (const key of kind.offered ?? []) {
    const schema = schemas[key]
    if (!schema || Object.hasOwn(settings, key)) continue
    const answer = await dialogue.offer(question(key, schema), judge(key, schema))
    if (answer !== undefined) settle(key, schema, answer)
  }
  return settings
}

async function askForUser(problemsOf: FindProblems, dialogue: Dialogue): Promise<string> {
  return dialogue.ask('Mail address ("*@domain" for a whole domain)', 'ADDRESS', async (user) => {
    const [problem] = problemsWith(['user'], await problemsOf({ user }))
    return problem && sentenceOf(problem)
  })
}

async function chooseProvider(
  user: string,
  problemsOf: FindProblems,
  dialogue: Dialogue,
): Promise<string> {
  const found = await recognise(user)
  if (found) {
    say(`${user} is an account of ${found.provider}: ${found.because}.`)
    return found.provider
  }
  say(`What serves ${user} cannot be told from its address. It may be one of these:`)
  for (const line of wrapped(Object.keys(providers).join(', '), 76)) say(`  ${line}`)
  return dialogue.ask('Provider', '--provider NAME', async (provider) => {
    const kind = kindNamed(provider)
    if (!kind) return `${provider} is no provider that xoauthd knows`
    const problems = await problemsOf(filledUp({ user, provider }, kind))
    const [problem] = problemsWith(['user'], problems)
    return problem && sentenceOf(problem)
  })
}

function kindNamed(provider: string): ProviderKind | undefined {
  return Object.hasOwn(providers, provider) ? providers[provider] : undefined
}

/** Rules between keys are looked at when all required ones are there: those still to come get any value. */
function filledUp(settings: Settings, kind: ProviderKind): Settings {
  const anyValues = [{ env: 'X' }, 'x', ['x'], 'https://x.example']
  const required = Object.entries<Schema>(kind.settings).filter(([, schema]) => isRequired(schema))
  const filled = required.map(([key, schema]) => [
    key,
    anyValues.find((value) => parse(schema, value).success) ?? 'x',
  ])
  return { ...(Object.fromEntries(filled) as Settings), ...settings }
}

/** @returns the problems that are about one of these keys, or about a part of it */
function problemsWith(
  keys: readonly string[],
  problems: readonly AccountProblem[],
): readonly AccountProblem[] {
  return problems.filter(({ key }) => keys.includes(key.replace(/[.[].*$/, '')))
}

function refuse(problems: readonly AccountProblem[], file: string): void {
  if (problems.length > 0) throw refusalOf(problems, file)
}

function question(key: string, schema: Schema): string {
  const form = readAnswer(schema, '… …')
  const about = `${key}: ${aboutOf(schema)}`
  return typeof form === 'string' ? about : `${about}; words, or ${toml(form)}`
}

/** What an answer stands for: TOML, a file that holds a secret, a text, or words where a list is wanted. */
function readAnswer(schema: Schema, answer: string): Value {
  const isSecret = parse(schema, { file: answer }).success
  if (isSecret && /^(?:~?\/|\.\.?\/)/.test(answer)) return { file: answer }
  const inToml = /^[[{"']/.test(answer) ? parseValue(answer) : undefined
  if (inToml !== undefined) return inToml
  // No shell is to read it, so what means something to one has to be written in TOML.
  if (/["'\\$`|;&<>]/.test(answer)) return answer
  const words = answer.split(/\s+/)
  // A client id may be digits alone, and is a string all the same.
  const forms: readonly Value[] = [answer, words, { smtp: words, imap: words }]
  return forms.find((form) => parse(schema, form).success) ?? answer
}
