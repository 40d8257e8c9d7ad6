/** The health of a host: how many ask at once, who probes, and when. */
import t from 'tap'
import { Unavailable } from '../src/errors.ts'
import { createHosts, type Hosts, type Leave } from '../src/hosts.ts'

const host = 'host.example'
const down = (retryAfterMs?: number) =>
  new Unavailable('down', { trouble: 'network', retryAfterMs })

function create(): { hosts: Hosts; recovered: string[]; enter: (nowMs: number) => Promise<Leave> } {
  const recovered: string[] = []
  const hosts = createHosts({ random: () => 0, recovered: (name) => recovered.push(name) })
  return { hosts, recovered, enter: (nowMs) => hosts.enter(host, () => nowMs) }
}

void t.test('a place is free for 32 at a time', async (t) => {
  const { enter } = create()
  const leaves = await Promise.all(Array.from({ length: 32 }, () => enter(0)))
  const next: number[] = []
  const queued = [1, 2].map((name) => enter(0).then((leave) => (next.push(name), leave)))
  await Promise.resolve()
  t.same(next, [])
  leaves[0]?.('answered', 0)
  await queued[0]
  t.same(next, [1], 'who came first')
  for (const leave of [...leaves.slice(1), ...(await Promise.all(queued.slice(0, 1)))])
    leave('answered', 0)
  ;(await queued[1])?.('answered', 0)
  t.ok(await enter(0))
})

void t.test('one probe at a time, each after its wait', async (t) => {
  const { hosts, enter, recovered } = create()
  t.equal(hosts.trouble(host), undefined)
  const together = await Promise.all([enter(0), enter(0), enter(0)])
  for (const leave of together) leave(down(), 0)
  t.match(hosts.trouble(host), { retryAtMs: 5_000 }, 'three failures together are one')
  t.notOk(hosts.mayStart(host, 4_999))
  t.ok(hosts.mayStart('another.example', 0))
  await t.rejects(enter(4_999), { message: 'down' })
  const probe = await enter(5_000)
  t.notOk(hosts.mayStart(host, 50_000), 'while one probes')
  await t.rejects(enter(50_000), { message: 'down' })
  probe(down(), 6_000)
  t.match(hosts.trouble(host), { retryAtMs: 35_000 })
  ;(await enter(35_000))('answered', 36_000)
  t.equal(hosts.trouble(host), undefined)
  t.same(recovered, [host], 'told once')
  ;(await enter(37_000))('answered', 38_000)
  t.same(recovered, [host])
})

void t.test('a probe that never asked leaves it to the next', async (t) => {
  const { hosts, enter, recovered } = create()
  ;(await enter(0))(down(), 0)
  ;(await enter(5_000))('unasked', 5_000)
  t.ok(hosts.mayStart(host, 5_000))
  t.ok(hosts.trouble(host))
  t.same(recovered, [])
  ;(await create().enter(0))('unasked', 0)
})

void t.test('a clock that is set back a little while one probes', async (t) => {
  const { hosts, enter } = create()
  ;(await enter(0))(down(), 0)
  const probe = await enter(5_000)
  probe(down(), 4_000)
  t.match(hosts.trouble(host), { retryAtMs: 33_000 }, 'a failure like any other')
  t.ok(hosts.mayStart(host, 33_000), 'and the next one may probe')
})

void t.test('only a Retry-After makes the next probe later than a tick', async (t) => {
  const { hosts, enter } = create()
  const leaves = await Promise.all([enter(100_000), enter(100_000), enter(100_000)])
  leaves[0](down(), 100_000)
  leaves[1](down(), 50_000)
  t.match(hosts.trouble(host), { retryAtMs: 79_000 }, 'the clock was wrong')
  leaves[2](down(3_600_000), 50_000)
  t.match(hosts.trouble(host), { retryAtMs: 3_650_000 })
})

void t.test('Retry-After', async (t) => {
  const { hosts, enter } = create()
  const [first, second] = await Promise.all([enter(0), enter(0)])
  first(down(60_000), 0)
  t.match(hosts.trouble(host), { retryAtMs: 60_000 })
  second(down(90_000), 1_000)
  t.match(hosts.trouble(host), { retryAtMs: 91_000 })
  hosts.clockSetBack(10)
  t.ok(hosts.mayStart(host, 10))
  ;(await enter(10))('answered', 10)
  hosts.clockSetBack(5)
})

void t.test('trouble that comes while one waits for a place', async (t) => {
  const { enter, hosts } = create()
  const leaves = await Promise.all(Array.from({ length: 32 }, () => enter(0)))
  const queued = [enter(0), enter(0)]
  const outcomes = Promise.allSettled(queued)
  leaves[0]?.(down(), 0)
  t.same(
    (await outcomes).map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  for (const leave of leaves.slice(1)) leave('answered', 0)
  t.ok(hosts.mayStart(host, 0))
})
