/** Grants on a real disk: whole, private, never overwritten by who comes too late, never destroyed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Misconfigured } from '../src/errors.ts'
import { openStore, type Store } from '../src/store.ts'
import { ownerOf } from '../src/store-disk.ts'
import { grantOf, makeTemporary, startMs, tokenOf } from './fixtures/keeper-place.ts'

const user = 'me@example.com'
const nothing = async () => {}
const grant = grantOf('g1', { '': tokenOf('t', startMs) })

async function open(t: Test): Promise<{ store: Store; path: string }> {
  const path = join(makeTemporary(t), 'a', 'store')
  const store = await openStore(path)
  t.teardown(() => store.close())
  return { store, path }
}

/** The one file of a grant. */
function fileIn(path: string): string {
  const names = readdirSync(path).filter((name) => name.endsWith('.json'))
  return join(path, names[0] ?? 'none')
}

function edit(path: string, change: (record: Record<string, unknown>) => unknown): void {
  const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  writeFileSync(path, JSON.stringify(change(record)))
}

void t.test('what is written is read, and private', async (t) => {
  const { store, path } = await open(t)
  t.equal(await store.read(user), undefined)
  const version = await store.write(user, grant, undefined)
  t.same(await store.read(user), { account: user, stored: grant, version })
  t.same((await store.read('ME@example.com'))?.version, version, 'case does not matter')
  t.equal(statSync(path).mode & 0o777, 0o700)
  t.equal(statSync(fileIn(path)).mode & 0o777, 0o600)
  t.match(fileIn(path), /\/me@example\.com-[0-9a-f]{16}\.json$/)
  t.match(JSON.parse(readFileSync(fileIn(path), 'utf8')), { format: 1, account: user })
  t.equal(store.path, path)
})

void t.test('who comes too late writes nothing', async (t) => {
  const { store } = await open(t)
  const first = await store.write(user, grant, undefined)
  t.equal(await store.write(user, grantOf('g2'), undefined), undefined)
  t.equal(await store.write(user, grantOf('g2'), 'another'), undefined)
  t.match(await store.read(user), { stored: { grant: 'g1' }, version: first })
  const second = await store.write(user, grantOf('g2'), first)
  t.not(second, first)
  t.equal(await store.write(user, grantOf('g3'), first), undefined)
  t.equal(await store.forget(user), true)
  t.equal(await store.write(user, grantOf('g3'), second), undefined, 'signed out')
  t.equal(await store.forget(user), false)
})

void t.test('no name escapes', async (t) => {
  const { store, path } = await open(t)
  const names = [
    '../../../etc/passwd',
    '..',
    '.',
    '.hidden',
    '/absolute',
    'a/b@example.com',
    'a\0b@example.com',
    'jörg@müller.example',
    `${'x'.repeat(300)}@example.com`,
    '*@example.com',
  ]
  for (const name of names) {
    await store.replace(name, grantOf(name))
    t.match(await store.read(name), { stored: { grant: name } }, name)
  }
  t.equal(readdirSync(path).length, names.length)
  t.same(readdirSync(join(path, '..')), ['store'])
  t.ok(readdirSync(path).every((name) => !name.startsWith('.') && name.length < 120))
})

void t.test('a folder or file that is open to others', async (t) => {
  const { store, path } = await open(t)
  chmodSync(path, 0o750)
  await t.rejects(openStore(path), {
    code: 'misconfigured',
    message: `the store ${path} is open to others (mode 750)`,
    hint: `chmod 700 ${path}`,
  })
  chmodSync(path, 0o700)
  await store.replace(user, grant)
  const file = fileIn(path)
  chmodSync(file, 0o640)
  await t.rejects(store.read(user), {
    code: 'misconfigured',
    message: `${file} is open to others (mode 640)`,
    hint: `chmod 600 ${file}, and sign in again if somebody may have read it`,
  })
  await store.replace(user, grantOf('g2'))
  t.match(await store.read(user), { stored: { grant: 'g2' } }, 'a new sign-in is taken')
  t.equal(statSync(`${file}.broken`).mode & 0o777, 0o600)
})

void t.test("a folder in a file's place", async (t) => {
  const { store, path } = await open(t)
  await store.replace(user, grant)
  const file = fileIn(path)
  rmSync(file)
  mkdirSync(file)
  await t.rejects(store.read(user), {
    code: 'misconfigured',
    message: `${file} is not a file`,
    hint: 'move it away, and sign in again',
  })
  await store.replace(user, grantOf('g2'))
  t.match(await store.read(user), { stored: { grant: 'g2' } }, 'a new sign-in is taken')
})

void t.test('a store that cannot be used', async (t) => {
  const folder = makeTemporary(t)
  writeFileSync(join(folder, 'file'), '')
  for (const name of ['file', 'file/below'])
    await t.rejects(openStore(join(folder, name)), {
      code: 'misconfigured',
      message: /cannot be used/,
      hint: /\[store\] path/,
    })
  t.equal(await ownerOf(folder), process.getuid?.())
  t.equal(await ownerOf(join(folder, 'missing')), undefined)
})

void t.test(
  "another user's store",
  { skip: process.getuid?.() === 0 ? false : 'only root may give a folder away' },
  async (t) => {
    const folder = join(makeTemporary(t), 'store')
    mkdirSync(folder, { mode: 0o700 })
    chownSync(folder, 65_534, 65_534)
    await t.rejects(openStore(folder), {
      code: 'misconfigured',
      message: `the store ${folder} belongs to user 65534, and this is user 0`,
    })
  },
)

void t.test('a file that is damaged', async (t) => {
  const { store, path } = await open(t)
  await store.replace(user, grant)
  const file = fileIn(path)
  const whole = readFileSync(file, 'utf8')
  const damages: Readonly<Record<string, () => void>> = {
    empty: () => writeFileSync(file, ''),
    half: () => writeFileSync(file, whole.slice(0, 40)),
    null: () => writeFileSync(file, 'null'),
    'a list': () => writeFileSync(file, '[]'),
    'a number': () => writeFileSync(file, '1'),
    'no format': () => edit(file, (record) => ({ ...record, format: undefined })),
    'no grant': () => edit(file, (record) => ({ ...record, grant: 1 })),
    'no version': () => edit(file, (record) => ({ ...record, version: null })),
    'no binding': () => edit(file, (record) => ({ ...record, binding: undefined })),
    'no times': () => edit(file, (record) => ({ ...record, signedInAtMs: 'now' })),
    'no time': () => edit(file, (record) => ({ ...record, refreshedAtMs: null })),
  }
  let count = 0
  for (const [name, damage] of Object.entries(damages)) {
    writeFileSync(file, whole)
    damage()
    const left = readFileSync(file, 'utf8')
    await t.rejects(
      store.read(user),
      { message: `${file} is damaged`, hint: /sign in again/ },
      name,
    )
    await t.rejects(store.write(user, grant, undefined), Misconfigured, 'nothing goes over it')
    t.equal(readFileSync(file, 'utf8'), left)
    await store.replace(user, grantOf('new'))
    t.match(await store.read(user), { stored: { grant: 'new' } })
    const suffix = ++count === 1 ? '' : `.${count}`
    t.equal(readFileSync(`${file}.broken${suffix}`, 'utf8'), left, 'kept aside')
  }
  edit(file, (record) => ({ ...record, format: 2 }))
  await t.rejects(store.read(user), { message: /written by a newer xoauthd \(format 2\)/ })
})

void t.test('tokens that cannot be read are no reason to lose the grant', async (t) => {
  const { store, path } = await open(t)
  await store.replace(user, grant)
  const good = tokenOf('t', startMs)
  const tokens = {
    good,
    nothing: null,
    text: 'x',
    empty: { ...good, value: '' },
    early: { ...good, obtainedAtMs: 'x' },
    late: { ...good, expiresAtMs: null },
  }
  edit(fileIn(path), (record) => ({ ...record, tokens }))
  t.same((await store.read(user))?.stored.tokens, { good })
  edit(fileIn(path), (record) => ({ ...record, tokens: 1 }))
  t.same((await store.read(user))?.stored.tokens, {})
})

void t.test('a disk that fails', async (t) => {
  const { store, path } = await open(t)
  await store.replace(user, grant)
  const file = fileIn(path)
  rmSync(file)
  mkdirSync(file, { mode: 0o700 })
  await t.rejects(store.forget(user), { code: 'unavailable', hint: /check the disk/ })
  rmSync(path, { recursive: true })
  await t.rejects(store.replace(user, grant), { code: 'unavailable' })
  await t.rejects(store.forget(user), { code: 'unavailable' })
  await t.rejects(store.write(user, grant, undefined), { code: 'unavailable', message: /ENOENT/ })
  await t.rejects(store.locked(user, nothing, AbortSignal.abort()), { code: 'unavailable' })
  await t.rejects(store.lockForDaemon(), { code: 'unavailable', message: /could not be read/ })
})

void t.test('what was kept aside is forgotten as well', async (t) => {
  const { store, path } = await open(t)
  t.notOk(await store.forget(user))
  await store.replace('other@example.com', grant)
  const others = readdirSync(path)
  await store.replace(user, grant)
  const mine = join(path, readdirSync(path).find((name) => name.startsWith('me@')) ?? '')
  for (const text of ['one', 'two']) {
    writeFileSync(mine, text)
    await store.replace(user, grant)
  }
  t.equal(readFileSync(`${mine}.broken`, 'utf8'), 'one')
  t.equal(readFileSync(`${mine}.broken.2`, 'utf8'), 'two')
  t.ok(await store.forget(user))
  t.same(readdirSync(path), others)
})

void t.test('locks', async (t) => {
  const { store, path } = await open(t)
  const at = AbortSignal.abort()
  const done = await store.locked(
    user,
    async () => {
      await t.rejects(store.locked(user, nothing, at), { code: 'unavailable' })
      return store.locked('other@example.com', () => Promise.resolve('done'), at)
    },
    at,
  )
  t.equal(done, 'done')
  await t.rejects(
    store.locked(user, () => Promise.reject(new Error('x')), at),
    { message: 'x' },
  )
  await store.locked(user, nothing, at)
  const daemon = await store.lockForDaemon()
  await t.rejects(store.lockForDaemon(), {
    code: 'unavailable',
    message: `another xoauthd uses the store ${path}: daemon.lock is held by process ${process.pid}`,
    hint: /\[store\] path/,
  })
  await daemon()
})

void t.test('what cannot be swept away does no harm', async (t) => {
  const { store, path } = await open(t)
  symlinkSync('nowhere', join(path, 'x.tmp'))
  await (
    await store.lockForDaemon()
  )()
})

void t.test('what a crash left behind is swept away in time', async (t) => {
  const { store, path } = await open(t)
  await store.replace(user, grant)
  const old = [join(path, '.0123456789ab'), join(path, 'x.json.0123456789ab.tmp')]
  const recent = join(path, '.0123456789ac')
  for (const file of [...old, recent]) writeFileSync(file, '')
  for (const file of old) utimesSync(file, 1, 1)
  await (
    await store.lockForDaemon()
  )()
  t.same(old.map(existsSync), [false, false])
  t.ok(existsSync(recent))
  t.ok(existsSync(fileIn(path)))
})

void t.test('a process that is killed while it writes', async (t) => {
  const { store, path } = await open(t)
  const program = join(import.meta.dirname, 'fixtures', 'write-store.js')
  for (let times = 0; times < 4; times++) {
    const child = spawn(process.execPath, [program, path, user], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    for (let reads = 0; reads < times * 3; reads++) await store.read(user)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const found = await store.read(user)
    t.equal(found?.stored.grant, `${found?.stored.signedInAtMs} `.repeat(20_000), 'whole')
  }
})
