// `npm test`: runs every test and holds the coverage of src to its floor. tap's own gate of 100 % is
// switched off: what cannot be reached carries its reason beside the exclusion, and the floor is here.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { compile, compiledName, compiledTree } from './compile.js'

const floor = 95
const long = process.argv.includes('--long')
const files = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const coverageFolder = '.tap/coverage'

await compile()
if (long) process.exit(tap('--timeout=3600', ...inFolder('test/long')))
if (files.length > 0) process.exit(tap(...files))

for (const folder of ['.tap/report', coverageFolder])
  rmSync(folder, { recursive: true, force: true })
process.env.NODE_V8_COVERAGE = resolve(coverageFolder)
const folders = ['test', 'test/clients', 'test/faults', 'test/providers']
const failed = tap(...folders.flatMap(inFolder))
delete process.env.NODE_V8_COVERAGE
inFolder(coverageFolder).forEach(keepOurs)
run('report', 'text', 'json-summary', '--show-full-coverage', '--allow-incomplete-coverage')
const summary = JSON.parse(readFileSync('.tap/report/coverage-summary.json', 'utf8'))
const { pct, total } = summary.total.statements
console.log(`statement coverage ${pct} % of ${total} lines, floor ${floor} %`)
process.exit(failed || (pct >= floor ? 0 : 1))

/** Node itself writes down what was covered, in the tests and in all that they start: less work than tap's own way. */
function tap(...args) {
  const compiled = args.map((word) =>
    word.endsWith('.ts') ? join(compiledTree, compiledName(word)) : word,
  )
  return run('--disable-coverage', '--allow-empty-coverage', ...compiled)
}

function run(...args) {
  return spawnSync('node_modules/.bin/tap', args, { stdio: 'inherit' }).status ?? 1
}

function inFolder(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|json)$/.test(entry.name))
    .map((entry) => `${folder}/${entry.name}`)
}

/** What is bundled, a library's or a test's is not ours to cover. */
function keepOurs(file) {
  const coverage = JSON.parse(readFileSync(file, 'utf8'))
  coverage.result = coverage.result.filter(({ url }) => url.includes(`${compiledTree}/src/`))
  const maps = Object.entries(coverage['source-map-cache'] ?? {})
  coverage['source-map-cache'] = Object.fromEntries(
    maps.filter(([url]) => url.includes(`${compiledTree}/src/`)),
  )
  writeFileSync(file, JSON.stringify(coverage))
}
