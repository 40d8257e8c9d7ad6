/**
 * Writes man/xoauthd.1, man/xoauthd.toml.5 and man/xoauthd-protocol.7 from what the program itself uses:
 * the commands as commander has them, the keys as the configuration is checked by, and the reference of
 * the protocol. `--check` only says whether they are current.
 *
 * The one door to remark and remark-man.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import remarkGfm from 'remark-gfm'
import remarkMan from 'remark-man'
import remarkParse from 'remark-parse'
import { unified } from 'unified'
import { createCommandLine, type CommandWords } from '../src/command-line.ts'
import { defineCommands } from '../src/commands/index.ts'
import { exitCodes } from '../src/errors.ts'
import { version } from '../src/version.ts'
import { fileSchema } from './schema.ts'
import { tablesAsLists } from './man-tables.ts'

const folder = fileURLToPath(new URL('../man/', import.meta.url))
const read = (path: string) =>
  readFile(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8')

interface Page {
  readonly name: string
  readonly section: number
  readonly description: string
  readonly markdown: string
}

/** Every page, in roff, by file name. */
export async function manPages(): Promise<Map<string, string>> {
  const pages: Page[] = [
    {
      name: 'xoauthd',
      section: 1,
      description: 'keeps OAuth2 tokens for mail fresh and hands them to mail programs',
      markdown: commandsPage(),
    },
    {
      name: 'xoauthd.toml',
      section: 5,
      description: 'the configuration of xoauthd',
      markdown: configurationPage(),
    },
    {
      name: 'xoauthd-protocol',
      section: 7,
      description: 'how programs ask xoauthd, and what it answers',
      markdown: (await read('docs/protocol.md')).replace(/^# .*\n/, ''),
    },
  ]
  const texts = await Promise.all(
    pages.map(async (page) => [`${page.name}.${page.section}`, await roff(page)] as const),
  )
  return new Map(texts)
}

async function roff({ name, section, description, markdown }: Page): Promise<string> {
  const page = await unified()
    .use(remarkParse)
    .use(remarkGfm)
    .use(tablesAsLists)
    .use(remarkMan, { name, section, description, version, manual: 'xoauthd' })
    .process(markdown)
  return (
    String(page)
      // The day it was made would make every page new each month.
      .replace(/^(\.TH "[^"]*" "\d") "[^"]*"/m, '$1 ""')
      // remark-man writes headings in capitals, the names of characters in them too.
      .replace(/^\.SH .*/gm, (heading) =>
        heading.replace(/\\\[([LR]B)\]/g, (_, bracket) => (bracket === 'LB' ? '[' : ']')),
      )
  )
}

const exitMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  'bad-request': 'the command line or the request is malformed',
  'unknown-account': 'no account answers for that mailbox',
  'no-daemon': 'no daemon answers',
  unavailable: 'network, provider or clock: try again later',
  'not-allowed': 'this socket or this user may not',
  'sign-in-needed': 'somebody has to run xoauthd login',
  misconfigured: 'the provider refuses the registration or its settings',
  config: 'the configuration has an error',
}

function commandsPage(): string {
  const commandLine = createCommandLine()
  defineCommands(commandLine)
  const commands = commandLine.words()
  // The daemon is not told where the daemon is.
  const clients = commands.filter(({ name }) => name !== 'serve')
  const shared = clients[0]?.options.filter(({ long }) =>
    clients.every(({ options }) => options.some((other) => other.long === long)),
  )
  const common = new Set(shared?.map(({ long }) => long))
  const exits = Object.entries(exitCodes).map(
    ([code, status]) => `- \`${status}\`: ${exitMeanings[code as keyof typeof exitCodes]}`,
  )
  return `
## SYNOPSIS

\`xoauthd\` *command* [*options*]

## DESCRIPTION

Gmail, Microsoft 365 and others accept only OAuth2 from mail programs. \`xoauthd serve\` reads a list of accounts, keeps a fresh
token for each, and answers on a UNIX socket. \`xoauthd login\` is where a person signs in, once. Mail programs ask the socket
themselves, see xoauthd-protocol(7), or run \`xoauthd token\`.

## COMMANDS

${commands.map((command) => commandSection(command, common)).join('\n')}

## OPTIONS OF EVERY COMMAND

${optionList((shared ?? []).map(({ flags, description }) => ({ flags, description })))}

\`serve\` has no \`--socket\`: it listens where its configuration says, see \`[[socket]]\` in xoauthd.toml(5).

Nothing but the answer goes to standard output. A failure is told on standard error: what happened, and a line \`hint:\` with what to do.

## EXIT STATUS

- \`0\`: done
${exits.join('\n')}

## ENVIRONMENT

- \`XOAUTHD_CONFIG\`: the configuration file, unless \`--config\` names one
- \`XOAUTHD_SOCKET\`: where the other commands find the daemon, unless \`--socket\` says it; the daemon itself listens where its configuration says
- \`HTTPS_PROXY\`, \`NO_PROXY\`: the proxy on the way to the providers
- \`NODE_EXTRA_CA_CERTS\`: certificates of authorities that the machine trusts beside the usual ones

## FILES

- \`~/.config/xoauthd/config.toml\`, \`/etc/xoauthd/config.toml\`: the configuration, see xoauthd.toml(5)
- \`~/.local/state/xoauthd\`, \`/var/lib/xoauthd\`: the sign-ins
- \`$XDG_RUNTIME_DIR/xoauthd/socket\`: where the daemon listens unless it is told otherwise

## SEE ALSO

xoauthd.toml(5), xoauthd-protocol(7)
`
}

function commandSection(command: CommandWords, common: ReadonlySet<string>): string {
  const { name, usage, description, options, examples } = command
  const own = options.filter(({ long }) => !common.has(long))
  const shown = examples.map((line) => `    ${line}`).join('\n')
  return `### xoauthd ${name} ${usage.replaceAll('[options]', '').trim().replaceAll('<', '\\<')}

${sentence(description)}

${optionList(own)}
${shown === '' ? '' : `\n\`\`\`\n${shown}\n\`\`\`\n`}`
}

function optionList(options: readonly { flags: string; description: string }[]): string {
  return options.map(({ flags, description }) => `- \`${flags}\`: ${description}`).join('\n')
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

/** The parts of JSON Schema that our own has. */
interface Schema {
  readonly title?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly oneOf?: readonly Schema[]
  readonly additionalProperties?: Schema | boolean
}

function configurationPage(): string {
  const { properties = {} } = fileSchema() as Schema
  const { account, client, socket, ...single } = properties
  const kinds = account?.items?.oneOf ?? []
  const [first] = kinds
  const ofAll = Object.keys(first?.properties ?? {}).filter((key) =>
    kinds.every(
      ({ properties: keys }) => keys?.[key]?.description === first?.properties?.[key]?.description,
    ),
  )
  const only = (schema: Schema, wanted: (key: string) => boolean): string =>
    Object.entries(schema.properties ?? {})
      .filter(([key]) => wanted(key))
      .map(([key, value]) => keyLine(key, value, schema.required?.includes(key) === true))
      .join('\n')
  const sections = kinds.map(
    (kind) =>
      `### ${(kind.title ?? '').replaceAll('"', '')}\n\n${only(kind, (key) => !ofAll.includes(key)) || 'No keys of its own.'}\n`,
  )
  const tables = Object.entries(single).map(
    ([name, schema]) =>
      `## [${name}]\n\n${sentence(schema.description ?? name)}\n\n${only(schema, () => true)}\n`,
  )
  const clientTable =
    typeof client?.additionalProperties === 'object' ? client.additionalProperties : {}
  return `
## DESCRIPTION

The file is TOML. It is \`--config\`, else \`$XOAUTHD_CONFIG\`, else \`$XDG_CONFIG_HOME/xoauthd/config.toml\`, else
\`/etc/xoauthd/config.toml\`. \`xoauthd serve --check\` names every error in it, with its line. \`xoauthd reload\` reads it again.

A secret is a string, or one of \`{ file = "…" }\`, \`{ env = "…" }\`, \`{ command = ["…"] }\` and \`{ credential = "…" }\`, which is a
file in systemd's \`$CREDENTIALS_DIRECTORY\`. A file that holds a secret must be closed to others.

## [[account]]

Of all kinds:

${first ? only(first, (key) => ofAll.includes(key)) : ''}

${sections.join('\n')}

## [client.NAME]

${sentence(client?.description ?? '')}

${only(clientTable, () => true)}

## [[socket]]

${sentence(socket?.description ?? '')}

${only(socket?.items ?? {}, () => true)}

${tables.join('\n')}

## SEE ALSO

xoauthd(1), xoauthd-protocol(7)
`
}

function keyLine(key: string, schema: Schema, required: boolean): string {
  const { description = '', enum: words, default: usual } = schema
  const notes = [
    ...(required ? ['required'] : []),
    ...(words ? [words.map((word) => JSON.stringify(word)).join(', ')] : []),
    ...(usual === undefined || (typeof usual === 'object' && usual !== null)
      ? []
      : [`${JSON.stringify(usual)} unless set`]),
  ]
  return `- \`${key}\`: ${description}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}`
}

async function main(check: boolean): Promise<void> {
  const pages = await manPages()
  if (!check) await mkdir(folder, { recursive: true })
  for (const [name, text] of pages) {
    if (!check) {
      await writeFile(`${folder}${name}`, text)
      continue
    }
    const current = await readFile(`${folder}${name}`, 'utf8').catch(() => undefined)
    if (current === text) continue
    process.stderr.write(`man/${name} is not current; run: npm run man\n`)
    process.exitCode = 1
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.includes('--check'))
