/**
 * The store encrypted: what is on disk opens with the stock `age` program and with nothing else, a
 * sign-in needs no key, what broke off half way is readable, and a locked store heals when its key comes.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isAgeFile } from '../src/age-file.ts'
import type { DaemonStatus } from '../src/status.ts'
import { makeAgeKey } from './fixtures/age.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { run, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { createEncryptedHome, recordIn, signInsIn } from './fixtures/encrypted-home.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer({ behaviour: { rotates: true } })
t.teardown(() => server.close())

async function statusOf(home: Home): Promise<DaemonStatus> {
  return JSON.parse((await run(home, ['status', '--json'])).stdout) as DaemonStatus
}

void t.test('from start to refresh, with nothing in the clear', async (t) => {
  const home = await createEncryptedHome(t, server, me, { value: 'an earlier token' })
  t.same(signInsIn(home.store).map(isAgeFile), [true])
  t.match(recordIn(signInsIn(home.store)[0]!, home.key), {
    account: me,
    tokens: { 'mail.send': { value: 'an earlier token' } },
  })
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.equal(await send(home.socket, `SMTP,token ${me}`), 'an earlier token', 'asks nobody')

  const before = recordIn(signInsIn(home.store)[0]!, home.key)
  t.equal((await run(home, ['refresh', me])).code, 0)
  const [after] = signInsIn(home.store)
  t.ok(after && isAgeFile(after))
  t.not(recordIn(after!, home.key)['grant'], before['grant'], 'the rotated grant')
  for (const secret of server.secrets) t.notOk(after!.includes(secret))
  t.match((await statusOf(home)).store, { encrypted: true, plain_files: 0, locked: false })
  t.notMatch((await run(home, ['status'])).stdout, /not encrypted/)
})

void t.test('a sign-in needs no key, and a sign-out that revokes does', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  rmSync(home.keyFile)
  const { login, consent } = await startLogin(home, me)
  await visit(await consent())
  t.equal(await login.ended, 0)
  const [file] = signInsIn(home.store)
  t.match(recordIn(file!, home.key), { account: me })
  const names = () => readdirSync(home.store).filter((name) => name.includes('.json'))
  t.match(names(), [/\.json$/, /\.json\.unread$/], 'what nobody could look at is there')

  t.match(await run(home, ['logout', me, '--revoke']), {
    code: 75,
    stderr: /the store is locked: \S+store-key does not exist\nhint: correct the path/,
  })
  t.equal(signInsIn(home.store).length, 2)
  writeFileSync(home.keyFile, home.key.identity, { mode: 0o600 })
  const daemon = await startDaemonProcess(home)
  t.equal((await run(home, ['refresh', me])).code, 0)
  await daemon.stop()
  t.match(names(), [/\.json$/], 'it was whole, and another sign-in took its place')
  t.match(await run(home, ['logout', me, '--revoke']), { code: 0, stderr: /Signed out/ })
})

void t.test('a sign-in without the key over a file that was cut short', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  const name = readdirSync(home.store).find((one) => one.endsWith('.json'))!
  const path = join(home.store, name)
  const cut = readFileSync(path).subarray(0, -1)
  writeFileSync(path, cut)
  const hidden = `${home.keyFile}.hidden`
  renameSync(home.keyFile, hidden)
  // Twice, so that the first is not lost to the second.
  for (const count of [1, 2]) {
    const { login, consent } = await startLogin(home, me)
    await visit(await consent())
    t.equal(await login.ended, 0)
    t.equal(signInsIn(home.store).length, count + 1)
  }
  t.ok(readFileSync(`${path}.unread`).equals(cut))

  renameSync(hidden, home.keyFile)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.equal((await run(home, ['refresh', me])).code, 0)
  t.match(
    daemon.stderr(),
    /^warn sign-in kept aside account=me@issuer\.example file=\S+\.json\.broken reason="it was damaged/m,
  )
  t.ok(readFileSync(`${path}.broken`).equals(cut), 'byte for byte')
  t.equal(signInsIn(home.store).length, 2, 'the one between was whole')
  t.equal((await run(home, ['logout', me])).code, 0)
  t.equal(signInsIn(home.store).length, 0)
})

void t.test('a store whose key comes later', async (t) => {
  const home = await createEncryptedHome(t, server, me, { value: 'an earlier token' })
  const hidden = `${home.keyFile}.hidden`
  renameSync(home.keyFile, hidden)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  await daemon.said(/^error store locked reason="the store is locked: \S+ does not exist" hint=/m)
  t.match(
    await send(home.socket, `SMTP,explain,wait=60 ${me}`),
    /^ERR unavailable the store is locked: \S+ does not exist \| /,
    'at once, however long the client would wait',
  )
  t.equal(await send(home.socket, `SMTP,wait=60 ${me}`), '', 'a plain format gets nothing')
  const locked = await statusOf(home)
  t.match(locked.store, { encrypted: true, locked: true, message: /^the store is locked/ })
  t.match(locked.accounts, [{ state: 'store-locked', message: /^the store is locked/ }])
  const table = await run(home, ['status'])
  t.match(table.stdout, /^me@issuer\.example +store-locked /m)
  t.match(table.stdout, /\nthe store is locked: \S+ does not exist\n {2}hint: /)

  // Another key is not the key either.
  writeFileSync(home.keyFile, makeAgeKey(t).identity, { mode: 0o600 })
  t.equal((await run(home, ['reload'])).code, 0)
  t.match(await send(home.socket, `SMTP,explain ${me}`), /its key does not open \S+\.json/)

  renameSync(hidden, home.keyFile)
  t.equal((await run(home, ['reload'])).code, 0)
  const found = await run(home, ['token', me, '--wait', '60'])
  t.match(found, { code: 0, stdout: 'an earlier token\n' })
  t.match((await statusOf(home)).store, { locked: false, message: '' })
  t.ok((daemon.stderr().match(/^error store locked/gm) ?? []).length <= 2, 'said once for each key')
})

void t.test('keys from elsewhere', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  const credentials = join(home.path, 'credentials')
  const command = join(home.path, 'print-key')
  writeFileSync(command, `#!/bin/sh\necho ${home.key.identity}\n`, { mode: 0o700 })
  const serve = async (env: NodeJS.ProcessEnv) => {
    const daemon = await startDaemonProcess(home, { env })
    const token = await run(home, ['token', me, '--wait', '60'])
    await daemon.stop()
    return token.code
  }
  home.keyIs(undefined)
  t.equal(await serve({}), 75, 'none')
  home.keyIs(`{ command = ["${command}"] }`)
  t.equal(await serve({}), 0, 'a command')
  home.keyIs('{ env = "STORE_KEY" }')
  t.equal(await serve({ STORE_KEY: home.key.identity }), 0, 'a variable')
  home.keyIs(`"${home.key.identity}"`)
  t.equal(await serve({}), 0, 'the file itself')
  home.keyIs(undefined)
  mkdirSync(credentials)
  writeFileSync(join(credentials, 'xoauthd-store-key'), readFileSync(home.keyFile))
  t.equal(await serve({ CREDENTIALS_DIRECTORY: credentials }), 0, "systemd's credential")
})
