/**
 * `npm run bench`: measures the built program beside bare Node in one run, and says which budgets it
 * meets. About a minute.
 *
 *     --json                print JSON
 *     --full                the wake-ups of an idle daemon, warm requests while 1,000 accounts are refreshed,
 *                           and 10,000 accounts that are due at once: two minutes more
 *     --strict              exit with 1 when a budget is missed
 *     --rounds N            of each measurement, 7 unless told
 *     --peer PATH           measure another server on a UNIX socket beside them
 *     --peer-request LINE   what to ask it, `SMTP user50@example.org` unless told
 */
import { parseArgs } from 'node:util'
import { createHousehold } from './household.ts'
import { installedMb } from './installed.ts'
import { cores, createClient } from './load.ts'
import {
  figure,
  measureDue,
  measureIdle,
  measureLoad,
  measureMailboxes,
  measureShell,
  measureStart,
  median,
  ratio,
  shellTools,
  warm,
  type LoadFigures,
  type MemoryFigures,
  type Pattern,
} from './measure.ts'
import { measureRefreshing } from './refreshing.ts'
import { met, toJson, toTable, type Row } from './report.ts'
import { ensureBuilt, residentMb, startBare, startXoauthd, type Server } from './servers.ts'

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    full: { type: 'boolean', default: false },
    strict: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    peer: { type: 'string' },
    'peer-request': { type: 'string' },
  },
})

const accounts = 100
const mailboxes = 100_000
const refreshing = 1_000
const dueAtOnce = 10_000
/**
 * One request right after the other, without a pause, finds a server awake that tidies up after its answer,
 * and one asleep that did so before. Mail programs come one at a time, and find any server asleep.
 */
const patterns: readonly Pattern[] = [
  { inFlight: 1 },
  { inFlight: 1, pauseUs: 1_000 },
  { inFlight: 16 },
  { inFlight: 64 },
  { inFlight: 256 },
]
/** Where servers stand in every list of them. */
const daemon = 0
const bare = 1
const bareNode = 'bare Node'

ensureBuilt()
const rounds = Number(options.rounds)
const household = await createHousehold(accounts)
const core = cores()
const client = createClient(household.home.path, core.client)
const rows: Row[] = []
try {
  rows.push(...startRows(await measureStart(household, rounds)))
  rows.push(...shellRows(await measureShell(household, rounds)))
  const idle = await measureIdle(household, options.full)
  rows.push(...(await underLoad(idle)), ...idleRows(idle))
  rows.push({
    what: `memory a mailbox, ${mailboxes} of them`,
    server: 'xoauthd',
    value: await measureMailboxes(mailboxes),
    unit: 'KB',
    budget: { atMost: 4 },
  })
  rows.push(installedRow())
  if (options.full) rows.push(...(await crowdRows()))
} finally {
  household.home.remove()
}

const about = {
  client: `${client.language}, ${core.client.length > 0 ? 'on a core of its own' : 'on any core'}`,
  daemon: 'bin/xoauthd.js over dist/, audit on, stderr to /dev/null',
  bare: 'the same bytes, half-open handling and V8 flags',
  figures: `medians of ${rounds} rounds in turns; Node ${process.version}`,
}
console.log(options.json ? toJson(rows, about) : toTable(rows, about))
if (options.strict && rows.some((row) => met(row) === false)) process.exitCode = 1

async function underLoad({ bareMb }: MemoryFigures): Promise<Row[]> {
  const servers: Server[] = []
  const found: Row[] = []
  try {
    servers.push(await startXoauthd(household, core.server))
    servers.push(await startBare(household, core.server))
    if (options.peer !== undefined) servers.push(peer(options.peer))
    await warm(client, servers)
    for (const pattern of patterns)
      found.push(...loadRows(await measureLoad(client, servers, pattern, rounds), servers))
    const mb = residentMb(servers[daemon]?.pid ?? 0)
    found.push(memoryRow('memory after load', mb, bareMb))
  } finally {
    for (const server of servers) await server.stop()
  }
  return found
}

function peer(path: string): Server {
  const request = options['peer-request'] ?? household.request
  return { name: 'peer', path, request, bytes: 0, pid: undefined, stop: async () => {} }
}

function loadRows(figures: LoadFigures, servers: readonly Server[]): Row[] {
  const { inFlight, pauseUs = 0 } = figures.pattern
  const how = `${inFlight} in flight${pauseUs > 0 ? `, ${pauseUs / 1000} ms apart` : ''}`
  return servers.flatMap(({ name }, index) => {
    const compared = index !== bare
    const row = (what: string, rounds: LoadFigures['p50Us'], unit: string): Row => ({
      what: `${what}, ${how}`,
      server: name,
      value: figure(rounds, index),
      unit,
      ...(compared ? { ratio: ratio(rounds, index, bare), than: bareNode } : {}),
    })
    const ours = index === daemon
    const sequential = inFlight === 1
    const tail = figures.p99Us.map(
      (round, at) => (round[index] ?? 0) / (figures.p50Us[at]?.[index] ?? 0),
    )
    const p50 = row('p50', figures.p50Us, 'us')
    const p99 = row('p99', figures.p99Us, 'us')
    const throughput = row('throughput', figures.perSecond, '/s')
    const lost = { what: `lost, ${how}`, server: name, unit: '' }
    return [
      ours && sequential ? { ...p50, budget: { atMost: 1.15 } } : p50,
      sequential
        ? {
            ...p99,
            ratio: median(tail),
            than: 'own p50',
            ...(ours ? { budget: { atMost: 3 } } : {}),
          }
        : p99,
      ...(pauseUs > 0
        ? []
        : [ours && !sequential ? { ...throughput, budget: { atLeast: 0.85 } } : throughput]),
      ...(servers[index]?.pid === undefined
        ? []
        : [row('processor time a request', figures.processorUs, 'us')]),
      { ...lost, value: figures.lost[index] ?? 0, ...(ours ? { budget: { atMost: 0 } } : {}) },
    ]
  })
}

function startRows(figures: LoadFigures['p50Us']): Row[] {
  const what = `start to first answer, ${accounts} accounts`
  const own = { server: 'xoauthd', value: figure(figures, daemon), unit: 'ms' }
  return [
    { what, ...own, ratio: ratio(figures, daemon, bare), than: 'node -e 0', budget: { atMost: 4 } },
  ]
}

function shellRows(figures: LoadFigures['p50Us']): Row[] {
  const rows = shellTools.map((tool, index) => ({
    what: `a token from a shell, by ${tool}`,
    server: 'xoauthd-token',
    value: figure(figures, index),
    unit: 'ms',
    ratio: ratio(figures, index, shellTools.length),
    than: '/bin/true',
    budget: { atMost: 5 },
  }))
  return rows.filter(({ value }) => !Number.isNaN(value))
}

function idleRows({ idleMb, bareMb, wakeUps, wakeUpsS }: MemoryFigures): Row[] {
  const found = [memoryRow(`memory, idle, ${accounts} accounts`, idleMb, bareMb)]
  if (wakeUps !== undefined)
    found.push({
      what: `wake-ups, idle, ${wakeUpsS} s`,
      server: 'xoauthd',
      value: wakeUps,
      unit: '',
      budget: { atMost: 1 },
    })
  return found
}

function installedRow(): Row {
  const what = 'installed size'
  return { what, server: 'xoauthd', value: installedMb(), unit: 'MB', budget: { atMost: 3 } }
}

async function crowdRows(): Promise<Row[]> {
  const server = 'xoauthd'
  const { idleP99Us, busyP99Us, refreshes } = await measureRefreshing(client, refreshing, rounds)
  const { most, twice } = await measureDue(dueAtOnce)
  return [
    {
      what: `p99 while ${refreshes} accounts are refreshed`,
      server,
      value: busyP99Us,
      unit: 'us',
      ratio: busyP99Us / idleP99Us,
      than: 'idle p99',
      budget: { atMost: 2 },
    },
    { what: `in flight, ${dueAtOnce} due`, server, value: most, unit: '', budget: { atMost: 32 } },
    {
      what: `asked twice, ${dueAtOnce} due`,
      server,
      value: twice,
      unit: '',
      budget: { atMost: 0 },
    },
  ]
}

function memoryRow(what: string, value: number, bareMb: number): Row {
  const than = `idle ${bareNode}`
  return {
    what,
    server: 'xoauthd',
    value,
    unit: 'MB',
    ratio: value / bareMb,
    than,
    budget: { atMost: 1.5 },
  }
}
