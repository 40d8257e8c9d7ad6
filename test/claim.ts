/** Names that one process has: with real processes, that live, are stopped, and are killed. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { claim, listen, lock, openFolder, probe } from '../src/claim.ts'
import { makeTemporary } from './fixtures/keeper-place.ts'

const program = join(import.meta.dirname, 'fixtures', 'hold-lock.js')

/** @returns the process, and the first line that it prints */
function holder(
  t: Test,
  path: string,
  ...how: string[]
): { child: ChildProcess; said: Promise<string> } {
  const child = spawn(process.execPath, [program, path, ...how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const said = new Promise<string>((resolve) =>
    child.stdout.setEncoding('utf8').once('data', (text: string) => resolve(text.trim())),
  )
  return { child, said }
}

void t.test('a folder that is made meanwhile is open to its owner', async (t) => {
  const folder = makeTemporary(t)
  for (let n = 0; n < 200; n++) {
    const made = mkdir(join(folder, `made${n}`), { mode: 0o700 })
    const server = createServer()
    await Promise.all([made, listen(server, join(folder, `socket${n}`))])
    server.close()
  }
  const modes = readdirSync(folder).map((name) => statSync(join(folder, name)).mode & 0o777)
  t.same(new Set(modes), new Set([0o700]))
})

async function listening(t: Test, path: string): Promise<Server> {
  const server = createServer((socket) => socket.end())
  await listen(server, path)
  t.teardown(() => server.close())
  return server
}

/** Leaves what a process that was killed leaves. */
async function leaveStale(path: string): Promise<void> {
  const server = createServer()
  await listen(server, `${path}.bound`)
  renameSync(`${path}.bound`, path)
  server.close()
}

async function leaveDangling(path: string): Promise<void> {
  await symlink('nowhere', path)
}

void t.test('who is behind a path', async (t) => {
  const folder = makeTemporary(t)
  const at = (name: string) => join(folder, name)
  await listening(t, at('live'))
  writeFileSync(at('file'), '')
  symlinkSync('nowhere', at('dangling'))
  symlinkSync('live', at('link'))
  t.equal(await probe(at('live')), 'live')
  t.equal(await probe(at('link')), 'live')
  t.equal(await probe(at('file')), 'stale')
  t.equal(await probe(at('dangling')), 'stale')
  t.equal(await probe(at('absent')), 'absent')
  await t.rejects(probe(join(at('file'), 'below')), { code: 'ENOTDIR' })
})

void t.test('claiming a name', async (t) => {
  const folder = makeTemporary(t)
  const path = join(folder, 'name')
  const claimed = async (): Promise<boolean> => {
    const temporary = join(folder, `.${readdirSync(folder).length}`)
    await listening(t, temporary)
    return claim(temporary, path)
  }
  t.equal(await claimed(), true, 'a free one')
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(await claimed(), false, 'not one that lives')
  for (const leave of [leaveStale, leaveDangling]) {
    const other = makeTemporary(t)
    const stale = join(other, 'name')
    await leave(stale)
    await listening(t, join(other, '.x'))
    t.equal(await claim(join(other, '.x'), stale), true, 'a stale one')
    t.equal(await probe(stale), 'live')
    t.same(readdirSync(other), ['name'])
  }
  await t.rejects(claim(join(folder, 'missing'), join(folder, 'other')), { code: 'ENOENT' })
})

void t.test('what is no socket is never replaced', async (t) => {
  const folder = makeTemporary(t)
  const path = join(folder, 'name')
  writeFileSync(path, 'precious')
  await listening(t, join(folder, '.x'))
  const refused = { code: 'misconfigured', message: 'name is not a socket', hint: 'move it away' }
  await t.rejects(claim(join(folder, '.x'), path), refused)
  t.equal(readFileSync(path, 'utf8'), 'precious')
})

void t.test('without flock nothing stale is replaced', async (t) => {
  const folder = makeTemporary(t)
  await leaveStale(join(folder, 'name'))
  await listening(t, join(folder, '.x'))
  const { PATH } = process.env
  t.teardown(() => (process.env['PATH'] = PATH))
  process.env['PATH'] = folder
  await t.rejects(claim(join(folder, '.x'), join(folder, 'name')), {
    code: 'unavailable',
    message: /flock cannot be run \(ENOENT\)/,
    hint: /util-linux/,
  })
  writeFileSync(join(folder, 'flock'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  await t.rejects(claim(join(folder, '.x'), join(folder, 'name')), { message: /gave up \(1\)/ })
  writeFileSync(join(folder, 'flock'), '#!/bin/sh\nkill -9 $$\n', { mode: 0o755 })
  await t.rejects(claim(join(folder, '.x'), join(folder, 'name')), {
    message: /gave up \(killed\)/,
  })
})

void t.test('a lock in one process', async (t) => {
  const path = join(makeTemporary(t), 'lock')
  const release = await lock(path, AbortSignal.abort())
  await t.rejects(lock(path, AbortSignal.abort()), {
    code: 'unavailable',
    message: `lock is held by process ${process.pid}`,
  })
  const order: string[] = []
  const next = lock(path, AbortSignal.timeout(10_000)).then((end) => (order.push('next'), end))
  const waiting = new AbortController()
  const given = lock(path, waiting.signal)
  await probe(path)
  waiting.abort()
  await t.rejects(given, { message: /^lock is held by process/ })
  order.push('released')
  await release()
  await (
    await next
  )()
  t.same(order, ['released', 'next'])
  t.notOk(existsSync(path))
})

void t.test('many who wait get it one after the other', async (t) => {
  const folder = makeTemporary(t)
  const path = join(folder, 'lock')
  let inside = 0
  const one = async () => {
    const release = await lock(path, AbortSignal.timeout(20_000))
    t.equal(++inside, 1)
    await probe(join(folder, 'absent'))
    inside--
    await release()
  }
  await Promise.all(Array.from({ length: 20 }, one))
  t.same(readdirSync(folder), [])
})

void t.test('a name that cannot be taken away ends a lock all the same', async (t) => {
  const folder = makeTemporary(t)
  const path = join(folder, 'lock')
  const release = await lock(path, AbortSignal.abort())
  const { unlinkSync } = await import('node:fs')
  unlinkSync(path)
  await release()
  await (
    await lock(path, AbortSignal.abort())
  )()
})

void t.test('a lock dies with its holder', async (t) => {
  const path = join(makeTemporary(t), 'lock')
  const { child, said } = holder(t, path)
  t.equal(await said, 'held')
  await t.rejects(lock(path, AbortSignal.abort()), {
    message: `lock is held by process ${child.pid}`,
  })
  child.kill('SIGSTOP')
  await t.rejects(lock(path, AbortSignal.abort()), { message: 'lock is held by process unknown' })
  child.kill('SIGCONT')
  const next = lock(path, AbortSignal.timeout(20_000))
  child.kill('SIGKILL')
  await (
    await next
  )()
})

void t.test('of many that find a dead one exactly one wins', async (t) => {
  const folder = makeTemporary(t)
  const path = join(folder, 'lock')
  const { child, said } = holder(t, path)
  await said
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.equal(await probe(path), 'stale')
  const others = Array.from({ length: 6 }, () => holder(t, path, 'try'))
  const words = await Promise.all(others.map((other) => other.said))
  t.equal(words.filter((word) => word === 'held').length, 1, words.join(', '))
  const winner = others[words.indexOf('held')]
  for (const word of words.filter((one) => one !== 'held'))
    t.match(word, `lock is held by process ${winner?.child.pid}`)
  t.same(readdirSync(folder), ['lock'], 'nothing is left behind')
})

void t.test('a folder whose path is too long for a socket', async (t) => {
  const folder = join(makeTemporary(t), 'x'.repeat(150))
  const { mkdirSync } = await import('node:fs')
  mkdirSync(folder)
  const opened = await openFolder(folder)
  await (
    await lock(opened.path('lock'), AbortSignal.abort())
  )()
  await opened.close()
  await t.rejects(openFolder(join(folder, 'missing')), { code: 'ENOENT' })
  await t.rejects(lock(join(folder, 'missing', 'lock'), AbortSignal.abort()))
})
