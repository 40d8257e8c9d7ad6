// `npm test`: runs every test and holds the coverage of src to its floor. tap's own gate of 100 % is
// switched off: what cannot be reached carries its reason beside the exclusion, and the floor is here.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, rmSync } from 'node:fs'

const floor = 95
const long = process.argv.includes('--long')
const files = process.argv.slice(2).filter((word) => !word.startsWith('--'))

const args = ['--allow-incomplete-coverage']
if (long)
  args.push(
    '--disable-coverage',
    '--timeout=3600',
    ...readdirSync('test/long').map((name) => `test/long/${name}`),
  )
else if (files.length > 0) args.push('--disable-coverage', ...files)
else args.push('--coverage-report=json-summary', '--coverage-report=text')

const summaryFile = '.tap/report/coverage-summary.json'
rmSync(summaryFile, { force: true })
const { status } = spawnSync('node_modules/.bin/tap', args, { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
if (long || files.length > 0) process.exit(0)

const { statements } = JSON.parse(readFileSync(summaryFile, 'utf8')).total
console.log(`statement coverage ${statements.pct} %, floor ${floor} %`)
process.exit(statements.pct >= floor ? 0 : 1)
