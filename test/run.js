// `npm test`: runs every test and holds the coverage of src to its floor. tap's own gate of 100 % is
// switched off: what cannot be reached carries its reason beside the exclusion, and the floor is here.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'

const floor = 95
const long = process.argv.includes('--long')
const files = process.argv.slice(2).filter((word) => !word.startsWith('--'))
rmSync('.tap/report', { recursive: true, force: true })

const tap = (...args) => spawnSync('node_modules/.bin/tap', args, { stdio: 'inherit' }).status ?? 1

if (long) process.exit(tap('--disable-coverage', '--timeout=3600', ...inFolder('test/long')))
if (files.length > 0) process.exit(tap('--disable-coverage', ...files))

const failed = tap('--allow-incomplete-coverage', '--coverage-report=none')
inFolder('.tap/coverage').forEach(mend)
tap('report', 'text', 'json-summary', '--show-full-coverage', '--allow-incomplete-coverage')
const summary = JSON.parse(readFileSync('.tap/report/coverage-summary.json', 'utf8'))
const { pct, total } = summary.total.statements
console.log(`statement coverage ${pct} % of ${total} lines, floor ${floor} %`)
process.exit(failed || (pct >= floor ? 0 : 1))

function inFolder(folder) {
  return readdirSync(folder).map((name) => `${folder}/${name}`)
}

/** tsx leaves the text of a source out of its map, as null, which the report takes for an empty file. */
function mend(file) {
  const coverage = JSON.parse(readFileSync(file, 'utf8'))
  for (const { data } of Object.values(coverage['source-map-cache'])) delete data.sourcesContent
  // What is bundled is not ours to cover.
  coverage.result = coverage.result.filter(({ url }) => url.includes('/src/'))
  writeFileSync(file, JSON.stringify(coverage))
}
