/** The configurations of examples/ are what the templates make of an account at Gmail. */
import { readFile, stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { exampleFiles } from '../build/examples.ts'
import { agents } from '../src/agents/index.ts'

const pathOf = (path: string) => fileURLToPath(new URL(`../examples/${path}`, import.meta.url))

void t.test('each file is what its template makes', async (t) => {
  for (const { path, text, executable } of exampleFiles()) {
    t.equal(await readFile(pathOf(path), 'utf8'), text, `${path}: run npm run examples`)
    t.equal(((await stat(pathOf(path))).mode & 0o100) !== 0, executable, path)
  }
})

void t.test('the table of README has each agent, with its version and limit', async (t) => {
  const readme = await readFile(pathOf('../README.md'), 'utf8')
  const rows = readme.split('\n').filter((line) => line.startsWith('| '))
  for (const { name, version, limit } of agents) {
    const row = rows.find((line) => line.slice(2).toLowerCase().startsWith(name))
    t.ok(row?.includes(`| ${version.split(' ')[0] ?? ''} `), `${name} ${version}`)
    if (limit) t.match(row, `${limit.bytes}, ${limit.of}`, name)
  }
})

void t.test('each agent has a README, which names its version and limit', async (t) => {
  for (const { name, version, limit, requires } of agents) {
    const readme = await readFile(pathOf(`${name}/README.md`), 'utf8')
    t.ok(readme.includes(version), `${name}: ${version}`)
    for (const { from } of requires) {
      const where = 'debianPackage' in from ? from.debianPackage : from.source
      t.ok(readme.includes(where), `${name}: ${where}`)
    }
    if (limit) t.match(readme.replaceAll(',', ''), new RegExp(`\\b${limit.bytes}\\b`), name)
  }
})
