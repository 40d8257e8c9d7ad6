/** `store encrypt`, `decrypt` and `rekey`: with a daemon that runs, half way, and with the wrong key. */
import { chmodSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isAgeFile } from '../src/age-file.ts'
import type { DaemonStatus } from '../src/status.ts'
import { makeAgeKey } from './fixtures/age.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { run, start, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { createEncryptedHome, recordIn, signInsIn } from './fixtures/encrypted-home.ts'
import { send } from './fixtures/raw-client.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer({ behaviour: { rotates: true } })
t.teardown(() => server.close())

async function statusOf(home: Home): Promise<DaemonStatus> {
  return JSON.parse((await run(home, ['status', '--json'])).stdout) as DaemonStatus
}

void t.test('encrypt, decrypt and rekey', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  const record = () => recordIn(signInsIn(home.store)[0]!, home.key)
  const { version } = record()
  const store = (...args: string[]) => run(home, ['store', ...args])

  t.match(await store('encrypt'), { code: 0, stderr: /: 0 file\(s\) are encrypted now, 1 were/ })
  t.match(await store('decrypt'), {
    code: 0,
    stderr: /: 1 file\(s\) are not encrypted now, 0 were/,
  })
  t.match(JSON.parse(signInsIn(home.store)[0]!.toString()), { account: me, version }, 'unchanged')
  t.notOk(readdirSync(home.store).includes('recipient'))

  // Half way: a recipient is there, and a file that is not encrypted yet.
  writeFileSync(join(home.store, 'recipient'), home.key.recipient, { mode: 0o600 })
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.equal((await run(home, ['token', me, '--wait', '60'])).code, 0)
  t.equal((await store('encrypt')).code, 0)
  t.match((await statusOf(home)).store, { encrypted: true, plain_files: 0 })

  // What lies aside is encrypted as well.
  const aside = `${readdirSync(home.store).find((name) => name.endsWith('.json'))!}.broken`
  writeFileSync(join(home.store, aside), 'half a grant', { mode: 0o600 })
  t.match((await statusOf(home)).store, { plain_files: 1 })
  t.match((await run(home, ['status'])).stdout, /1 file\(s\) in \S+ are not encrypted yet/)
  t.equal((await store('encrypt')).code, 0)
  t.ok(signInsIn(home.store).every(isAgeFile))

  t.match(await store('encrypt', '--to', makeAgeKey(t).recipient), {
    code: 78,
    stderr: /\[store\] key does not open what is encrypted for age1/,
  })
  t.match(await store('rekey', '--new-key', home.keyFile), { code: 78, stderr: /EEXIST/ })
  const next = join(home.path, 'next-key')
  t.match(await store('rekey', '--new-key', next), {
    code: 0,
    stderr:
      /: 2 file\(s\) are encrypted now, 0 were before\.\nNow write \[store\] key = \{ file = /,
  })
  t.throws(record, 'the old key opens nothing any more')
  home.keyIs(`{ file = "${next}" }`)
  t.equal((await run(home, ['reload'])).code, 0)
  t.equal((await run(home, ['refresh', me])).code, 0)

  home.keyIs(undefined)
  t.match(await store('decrypt'), { code: 75, stderr: /the store is locked/ })
  t.match(await store('rekey', '--identity', home.keyFile), { code: 75, stderr: /does not open/ })
  t.ok(signInsIn(home.store).every(isAgeFile), 'and nothing is half done')
  chmodSync(next, 0o644)
  t.match(await store('decrypt', '--identity', next), { code: 78, stderr: /open to others/ })
  chmodSync(next, 0o600)
  t.equal((await store('decrypt', '--identity', next)).code, 0)
  t.match(await store('rekey'), { code: 78, stderr: /is not encrypted\nhint: run: xoauthd store/ })
  t.match(await store('encrypt'), { code: 78, stderr: /there is no key to encrypt the store for/ })
  t.match(await store('lock'), {
    code: 64,
    stderr: /'lock' is invalid [^]* Allowed choices are encrypt, decrypt, rekey/,
  })
  const piped = start(home, ['store', 'encrypt', '--identity', '-'])
  piped.child.stdin?.end(readFileSync(next))
  t.equal(await piped.ended, 0)
  t.ok(signInsIn(home.store).every(isAgeFile))
})

void t.test('for a key that only the daemon has', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  const store = (...args: string[]) => run(home, ['store', ...args])
  t.equal((await store('decrypt')).code, 0)
  home.keyIs(undefined)
  t.equal((await store('encrypt', '--to', home.key.recipient)).code, 0)
  t.match(recordIn(signInsIn(home.store)[0]!, home.key), { account: me })
  t.match(await store('encrypt', '--to', 'ssh-ed25519 AAAA'), {
    code: 78,
    stderr: /^xoauthd: --to holds no recipient/,
  })
  t.match(await store('encrypt', '--to', makeAgeKey(t).recipient), {
    code: 78,
    stderr: /is encrypted for age1\S+ already\nhint: xoauthd store rekey/,
  })
})

void t.test('a file that was cut short is kept, and a new sign-in comes beside it', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  const name = readdirSync(home.store).find((one) => one.endsWith('.json'))!
  const path = join(home.store, name)
  const cut = readFileSync(path).subarray(0, -1)
  writeFileSync(path, cut)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.match(await send(home.socket, `SMTP,explain ${me}`), /is damaged: it is not whole/)
  t.ok(readFileSync(path).equals(cut), 'and not overwritten')
})
