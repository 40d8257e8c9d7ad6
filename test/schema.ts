/**
 * The JSON Schema for editors and examples/config.toml: both say all that the daemon reads, and nothing
 * that it does not.
 */
import Ajv from 'ajv'
import { execFile } from 'node:child_process'
import { copyFileSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse as parseToml } from 'smol-toml'
import t from 'tap'
import { fileSchema } from '../build/schema.ts'
import { configOf, google, oauth2, problemsOf, serviceAccount } from './fixtures/config.ts'

const fromTop = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const example = readFileSync(fromTop('examples/config.toml'), 'utf8')
/** The example with every key that it has as a remark. */
const complete = example.replaceAll(/^#(?=[a-z_]+ = )/gm, '')

const validate = new Ajv({ allErrors: true }).compile(fileSchema())

/** @returns what an editor would underline */
function complaintsAbout(text: string): string[] {
  // TOML's tables have no prototype, which the validator expects of an object.
  validate(JSON.parse(JSON.stringify(parseToml(text))))
  return (validate.errors ?? []).map(({ dataPath, message }) => `${dataPath} ${message ?? ''}`)
}

interface Node {
  readonly description?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly items?: Node
  readonly additionalProperties?: Node | boolean
  readonly oneOf?: readonly Node[]
}

/** Each key of a schema with the path to it, but for the forms of a secret. */
function keysOf(node: Node, path = ''): { path: string; key: string; node: Node }[] {
  const own = Object.entries(node.properties ?? {}).flatMap(([key, child]) => [
    { path: `${path}.${key}`, key, node: child },
    ...keysOf(child, `${path}.${key}`),
  ])
  const more = typeof node.additionalProperties === 'object' ? [node.additionalProperties] : []
  const inner = [...(node.items ? [node.items] : []), ...(node.oneOf ?? []), ...more]
  return [...own, ...inner.flatMap((each) => keysOf(each, path))]
}

const keys = keysOf(fileSchema() as Node)

void t.test('the file at the top is current', (t) => {
  const written: unknown = JSON.parse(readFileSync(fromTop('xoauthd.schema.json'), 'utf8'))
  t.same(written, JSON.parse(JSON.stringify(fileSchema())), 'else run: npm run schema')
  t.end()
})

void t.test('writing and checking it', async (t) => {
  const folder = t.testdir({ build: {} })
  copyFileSync(fromTop('build/schema.ts'), join(folder, 'build/schema.ts'))
  for (const name of ['src', 'node_modules', 'package.json'])
    symlinkSync(fromTop(name), join(folder, name))
  const run = (...args: string[]) =>
    new Promise<{ code: number | string; text: string }>((resolve) => {
      const program = ['--import', 'tsx', join(folder, 'build/schema.ts'), ...args]
      execFile(process.execPath, program, (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, text: stdout + stderr }),
      )
    })
  t.same(await run('--check'), {
    code: 1,
    text: 'xoauthd.schema.json is not current; run: npm run schema\n',
  })
  t.same(await run(), { code: 0, text: '' })
  t.equal(
    readFileSync(join(folder, 'xoauthd.schema.json'), 'utf8'),
    readFileSync(fromTop('xoauthd.schema.json'), 'utf8'),
  )
  t.same(await run('--check'), { code: 0, text: '' })
})

void t.test('every key has its sentence', (t) => {
  for (const { path, node } of keys) if (!node.properties) t.ok(node.description, path)
  t.ok(keys.length > 60, `${keys.length} keys`)
  t.end()
})

void t.test('what editors accept', (t) => {
  for (const text of [google, serviceAccount, oauth2, google + serviceAccount + oauth2])
    t.same(complaintsAbout(text), [], text)
  const secretForms = ['"x"', '{file="x"}', '{env="X"}', '{command=["x"]}', '{credential="x"}']
  for (const form of secretForms)
    t.same(complaintsAbout(serviceAccount.replace(/key = .*/, `key = ${form}`)), [], form)
  const borrowing = google.replace(
    /client_id[^]*/,
    'client = "corp"\n[client.corp]\nclient_id = "x"',
  )
  t.same(complaintsAbout(borrowing), [])
  t.end()
})

void t.test('what editors underline', (t) => {
  for (const text of [
    '',
    `${google}colour = 1`,
    `${google}issuer = "https://x"`,
    google.replace(/client_secret.*/, ''),
    google.replace('"google"', '"outlook"'),
    `${google}services = []`,
    `${google}max_mailboxes = 0`,
    `${google}hosts = { stmp = "x:1" }`,
    `${google}[[socket]]\nmode = 660`,
    `${google}[[socket]]\nprotocol = "http"`,
    `${google}[socket]`,
    `${google}[log]\nlevel = "loud"`,
    `${google}[http]\nport = 1`,
    `${google}[store]\nkey = 1`,
    `${google}[client.corp]\ntenant = 5`,
    serviceAccount.replace('file', 'fiel'),
  ])
    t.not(complaintsAbout(text).length, 0, text)
  t.end()
})

void t.test('the example is a configuration, as it is and with all of its keys', async (t) => {
  for (const text of [example, complete]) {
    t.same(await problemsOf(text), [])
    t.same(complaintsAbout(text), [])
  }
  const { accounts } = await configOf(example)
  t.same(
    accounts.map(({ provider }) => provider),
    [
      'google',
      'google-service-account',
      'microsoft',
      'microsoft-app',
      'oauth2',
      'oauth2',
      'oauth2',
      'fastmail',
      'command',
      'auth-server',
    ],
  )
})

void t.test('the example has every key', (t) => {
  t.not(complete, example)
  const written = keysIn(parseToml(complete))
  for (const { path, key } of keys) t.ok(written.has(key), path)
  t.end()
})

void t.test('the example shows the defaults', async (t) => {
  const least = await configOf(google)
  const all = await configOf(complete)
  t.same(all.log, least.log)
  const { path, control } = all.sockets[0] ?? {}
  t.same({ ...all.sockets[0], path: undefined }, { ...least.sockets[0], path: undefined })
  t.same([path, control], ['/run/xoauthd/socket', true])
  t.equal(all.accounts[0]?.id, all.accounts[0]?.user)
  t.same(all.accounts[0]?.services, least.accounts[0]?.services)
  t.same(all.accounts[1], { ...(await configOf(example)).accounts[1] })
})

void t.test('the example promises nothing of a later version', async (t) => {
  t.notOk((await configOf(example)).holdsSecret)
})

/** The names of all keys, however deep. */
function keysIn(value: unknown): Set<string> {
  if (typeof value !== 'object' || value === null) return new Set()
  const inner = Object.values(value).flatMap((each) => [...keysIn(each)])
  return new Set([...Object.keys(value), ...inner])
}
