/**
 * The order of the modules is the table of ARCHITECTURE.md: each imports only from what stands before it
 * there, so that there is no cycle and every file can be read knowing only those above it.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8')

/** From the ground up, as the table of ARCHITECTURE.md has them: a layer is named in its first row. */
function layersOf(table: string): Map<string, string[]> {
  const layers = new Map<string, string[]>()
  let files: string[] = []
  for (const [, layer, file = ''] of table.matchAll(/^\| (\w[\w ]*?)? *\| `([^`]+)\.ts` /gm)) {
    if (layer !== undefined) layers.set(layer, (files = []))
    files.push(file)
  }
  return layers
}

const layers = layersOf(read('ARCHITECTURE.md'))
const order = [...layers.values()].flat()
const vendors = /google|gmail|microsoft|outlook|yahoo|fastmail|oauth2/i

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
/** The only files that know one vendor or one kind of server: what the registry lists. */
const concrete = modules
  .filter(({ name }) => name === 'providers/index')
  .flatMap(({ own }) => own)
  .filter((name) => name !== 'providers/provider')

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

void t.test('nothing but the registry knows a provider', (t) => {
  const knowing = modules
    .filter(({ name }) => !name.startsWith('providers/'))
    .filter(({ own }) => own.some((used) => concrete.includes(used)))
  t.ok(concrete.length > 3)
  t.same(
    knowing.map(({ name }) => name),
    [],
  )
  t.end()
})

void t.test('what keeps tokens names no vendor', (t) => {
  for (const name of layers.get('keeping') ?? []) {
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
