// `npm test`: runs every test and holds the coverage of src to its floor. tap's own gate of 100 % is
// switched off: what cannot be reached carries its reason beside the exclusion, and the floor is here.
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { compile, compiledName, compiledTree } from './compile.js'
import { report } from './coverage.js'

const floor = 95
const long = process.argv.includes('--long')
const files = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const coverageFolder = resolve('.tap/covered')
const mapsFolder = resolve('.tap/maps')

execFileSync(process.execPath, ['build/bundle.js', '--maps', mapsFolder], { stdio: 'inherit' })
await compile()
if (long) process.exit(tap('--timeout=3600', ...testsIn('test/long')))
if (files.length > 0) process.exit(tap(...files))

rmSync(coverageFolder, { recursive: true, force: true })
process.env.NODE_V8_COVERAGE = coverageFolder
const folders = ['test/clients', 'test/faults', 'test/providers', 'test']
const failed = tap(...folders.flatMap(testsIn))
delete process.env.NODE_V8_COVERAGE
const { pct, total } = await report(coverageFolder, mapsFolder, `${compiledTree}/src/`)
console.log(`statement coverage ${pct} % of ${total} lines, floor ${floor} %`)
process.exit(failed || (pct >= floor ? 0 : 1))

function tap(...tests) {
  const compiled = tests.map((word) =>
    word.endsWith('.ts') ? join(compiledTree, compiledName(word)) : word,
  )
  const args = ['--disable-coverage', '--allow-empty-coverage', ...compiled]
  return spawnSync('node_modules/.bin/tap', args, { stdio: 'inherit' }).status ?? 1
}

function testsIn(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`)
}
