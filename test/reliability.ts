/** RELIABILITY.md names files that are there, a test for each promise, and has figures. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const text = readFileSync(`${root}/RELIABILITY.md`, 'utf8')
const rows = [...text.matchAll(/^\| (.+?) +\| (`.+?`) +\| (`.+?`) +\|$/gm)]
const namesIn = (cell = ''): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)

void t.test('each promise has what keeps it and what tests it', (t) => {
  t.ok(rows.length >= 12, `${rows.length} promises`)
  for (const [, promise = '', kept, tested] of rows) {
    for (const name of namesIn(kept)) t.ok(existsSync(`${root}/${name}`), name)
    const tests = namesIn(tested)
    t.ok(tests.length > 0, promise)
    for (const name of tests) {
      t.match(name, /^test\//)
      t.ok(existsSync(`${root}/${name}`), name)
    }
  }
  t.end()
})

void t.test('the figures of a run in which nothing was lost', (t) => {
  const figures = text.split('<!-- figures -->')[1] ?? ''
  t.match(figures, /^\| expired tokens served +\| 0 +\| 0 +\|$/m)
  t.match(figures, /^\| grants lost +\| 0 +\| 0 +\|$/m)
  t.notMatch(figures, /FAILED/)
  t.end()
})
