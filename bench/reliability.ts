/**
 * `npm run reliability`: runs what RELIABILITY.md's figures come from, and writes them there.
 *
 *     --days N      of the simulated soak, 30 unless told
 *     --minutes N   of the soak in real time, 5 unless told
 *     --long        the numbers of `npm run test:long` for the tests, instead of those of `npm test`
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { soak } from './soak/real.ts'
import { simulate, type Figures } from './soak/simulated.ts'

const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '30' },
    minutes: { type: 'string', default: '5' },
    long: { type: 'boolean', default: false },
  },
})
const root = fileURLToPath(new URL('..', import.meta.url))
const file = `${root}/RELIABILITY.md`
const seed = Math.floor(Math.random() * 1e9)

const tests: readonly (readonly [string, string, string, NodeJS.ProcessEnv])[] = [
  [
    'crowds of clients',
    'test/hostile.ts',
    values.long ? '10,000 at once' : '1,000 at once',
    { CROWD: values.long ? '10000' : '1000' },
  ],
  [
    'fuzz',
    'test/fuzz.ts',
    values.long ? '1,000,000 lines, 50,000 messages' : '20,000 lines, 1,000 messages',
    values.long ? { FUZZ_LINES: '1000000', FUZZ_MESSAGES: '50000' } : {},
  ],
  [
    'kill -9 of the daemon',
    'test/long/kill.ts',
    values.long ? '500 kills' : '50 kills',
    { KILLS: values.long ? '500' : '50' },
  ],
  ['outages', 'test/keeper-outage.ts', '1,000 accounts', {}],
  ['several processes, one grant', 'test/two-processes.ts', '4 processes', {}],
  ['a store that fails', 'test/store-trouble.ts', 'full, read-only, taken away', {}],
  ['crowds over HTTP', 'test/http-hostile.ts', '1,000 at once', {}],
  ['crowds at a sign-in', 'test/signin-hostile.ts', '1,500 at once', {}],
  ['secrets in any output', 'test/every-secret.ts', 'every kind, in every form', {}],
]

const rows = tests.map(([what, path, size, env]) => {
  const started = performance.now()
  const { status, stdout } = spawnSync(process.execPath, ['test/run.js', path], {
    cwd: root,
    env: { ...process.env, TAP_TIMEOUT: '3600', ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  const checks = Number(/^# \{ total: (\d+)/m.exec(stdout)?.[1] ?? 0)
  if (status !== 0) process.exitCode = 1
  const seconds = Math.round((performance.now() - started) / 1000)
  return `| ${what} (\`${path}\`) | ${size} | ${status === 0 ? `${checks} checks held` : 'FAILED'} | ${seconds} s |`
})

const month = await simulate({ days: Number(values.days), accounts: 1_000, seed })
const real = await soak({ minutes: Number(values.minutes), accounts: 20, seed })
const text = [
  `Of ${new Date().toISOString().slice(0, 10)}, Node ${process.version}; seed ${seed}.`,
  '',
  '| test | size | outcome | took |',
  '| ---- | ---- | ------- | ---- |',
  ...rows,
  '',
  `| soak | ${values.days} days simulated | ${values.minutes} min in real time |`,
  '| ---- | ---- | ---- |',
  ...soakRows(month, real),
].join('\n')
const before = readFileSync(file, 'utf8')
const marked = /(<!-- figures -->\n)[^]*(<!-- end of figures -->)/
writeFileSync(
  file,
  before.replace(marked, (_all, start: string, end: string) => `${start}\n${text}\n\n${end}`),
)
spawnSync(`${root}/node_modules/.bin/prettier`, ['--write', file], { cwd: root })
console.log(text)
process.exit()

function spelled(value: number): string {
  return Number.isNaN(value) ? 'too short to tell' : value.toLocaleString('en')
}

/** Without the sign of a nought. */
function rounded(value: number): number {
  return Math.round(value * 100) / 100 + 0
}

function soakRows(...columns: readonly Figures[]): string[] {
  const whats: readonly (readonly [string, (figures: Figures) => number])[] = [
    ['requests', (figures) => figures.requests],
    ['answered with a token', (figures) => figures.answered],
    ['told that there is none now', (figures) => figures.refused],
    ['expired tokens served', (figures) => figures.expiredServed],
    ['grants', (figures) => figures.grants],
    ['grants lost', (figures) => figures.grantsLost],
    ['refreshes per grant', (figures) => Math.round(figures.refreshesAGrant)],
    ['failures met', (figures) => figures.failures],
    ['memory, MB a day', (figures) => rounded(figures.memoryMbADay)],
  ]
  return whats.map(
    ([what, of]) => `| ${what} | ${columns.map((one) => spelled(of(one))).join(' | ')} |`,
  )
}
