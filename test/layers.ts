/**
 * The order of the modules, as ARCHITECTURE.md tells it: each imports only from what stands before it
 * here, so that there is no cycle and every file can be read knowing only those above it.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

/** From the ground up; the same rows, in the same order, as in ARCHITECTURE.md. */
const layers: Readonly<Record<string, readonly string[]>> = {
  ground: ['version', 'socket-path', 'errors', 'address', 'log', 'identity', 'claim', 'shipped'],
  'keys and values': ['secret', 'schema', 'config-error', 'locate', 'schema-check'],
  network: ['transport'],
  providers: [
    'providers/provider',
    'providers/answers',
    'providers/authorization-answer',
    'providers/pkce',
    'providers/discovery',
    'providers/token-endpoint',
    'providers/signed-in',
    'providers/googleapis',
    'providers/google',
    'providers/google-service-account',
    'providers/oauth2',
    'providers/index',
  ],
  configuration: [
    'config-schema',
    'client-config',
    'account-config',
    'socket-config',
    'config',
    'config-file',
  ],
  accounts: ['accounts'],
  store: ['store'],
  keeping: ['slot', 'slot-table', 'kept', 'hosts', 'renewal', 'plan', 'serving', 'keeper'],
  answering: ['protocol', 'credentials', 'audit', 'bind', 'activation', 'socket'],
  'mail agents': [
    'agents/agent',
    'agents/lengths',
    'agents/senders',
    'agents/readers',
    'agents/readers-and-senders',
    'agents/programs',
    'agents/index',
    'setup',
  ],
  showing: ['status', 'status-table'],
  'signing in': ['client', 'signin-page', 'signin', 'login'],
  program: ['alarm', 'daemon', 'command-line'],
  commands: [
    'commands/context',
    'commands/serve',
    'commands/sign-in',
    'commands/ask',
    'commands/setup',
    'cli',
  ],
}

const order = Object.values(layers).flat()
/** The only files that know one vendor or one kind of server. */
const concrete = ['providers/google', 'providers/google-service-account', 'providers/oauth2']
const vendors = /google|gmail|microsoft|outlook|yahoo|fastmail|oauth2/i

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8')

interface Module {
  readonly name: string
  /** Modules of ours, by name. */
  readonly own: readonly string[]
  /** Packages from npm. */
  readonly packages: readonly string[]
}

/** Every import there is: of values, of types, dynamic, and what is exported from elsewhere. */
function readModule(name: string): Module {
  const { importedFiles } = ts.preProcessFile(read(`src/${name}.ts`), true, true)
  const specifiers = importedFiles.map(({ fileName }) => fileName)
  const own = specifiers.filter((text) => text.startsWith('.'))
  const foreign = specifiers.filter((text) => !/^(?:\.|node:)/.test(text))
  const packageOf = (text: string) => /^(?:@[^/]+\/)?[^/]+/.exec(text)?.[0] ?? text
  return {
    name,
    own: own.map((text) => posix.join(posix.dirname(name), text).replace(/\.ts$/, '')),
    packages: [...new Set(foreign.map(packageOf))],
  }
}

const names = readdirSync(`${root}/src`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => path.replace(/\.ts$/, ''))
const modules = names.map(readModule)

void t.test('every module has its place', (t) => {
  t.same([...names].sort(), [...order].sort())
  t.end()
})

void t.test('a module imports only what stands before it', (t) => {
  const upwards = modules.flatMap(({ name, own }) =>
    own
      .filter((used) => order.indexOf(used) >= order.indexOf(name))
      .map((used) => `${name} imports ${used}`),
  )
  t.same(upwards, [])
  t.end()
})

void t.test('only the registry imports a provider', (t) => {
  const knowing = modules.filter(({ own }) => own.some((used) => concrete.includes(used)))
  t.same(
    knowing.map(({ name }) => name),
    ['providers/index'],
  )
  t.end()
})

void t.test('what keeps tokens names no vendor', (t) => {
  for (const name of layers['keeping'] ?? []) {
    // A comment may tell where a number comes from.
    const code = ts.transpileModule(read(`src/${name}.ts`), {
      compilerOptions: { removeComments: true, target: ts.ScriptTarget.ES2023 },
    })
    t.notMatch(code.outputText, vendors, name)
  }
  t.end()
})

void t.test('each package enters by one file', (t) => {
  const doors = new Map<string, string[]>()
  for (const { name, packages } of modules)
    for (const used of packages) doors.set(used, [...(doors.get(used) ?? []), name])
  for (const [used, by] of doors) t.equal(by.length, 1, `${used}: ${by.join(', ')}`)
  t.end()
})

void t.test('ARCHITECTURE.md has the same order', (t) => {
  const rows = read('ARCHITECTURE.md').matchAll(/^\| (\w[\w ]*?)? *\| `([^`]+)\.ts` /gm)
  const told = new Map<string, string[]>()
  let files: string[] = []
  for (const [, layer, file = ''] of rows) {
    // A layer is named in the first of its rows.
    if (layer !== undefined) told.set(layer, (files = []))
    files.push(file)
  }
  t.same([...told], Object.entries(layers))
  t.end()
})
