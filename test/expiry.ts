/** The warning of what ends soon: when it comes, what it says, and that it comes once a day. */
import t from 'tap'
import { createExpiryWatch } from '../src/expiry.ts'
import { createKept } from '../src/kept.ts'
import type { Fields, Log } from '../src/log.ts'
import type { Expiry } from '../src/providers/provider.ts'
import { createClientCertificate } from './fixtures/client-certificate.ts'
import { createHome, run, startDaemonProcess } from './fixtures/daemon.ts'
import { accountOf, createProvider, startMs, until } from './fixtures/keeper-place.ts'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const dayMs = 86_400_000

function watchOf(expiries: readonly (() => Promise<Expiry | undefined>)[]) {
  const lines: Fields[] = []
  const none = () => undefined
  const log: Log = {
    error: none,
    warn: (_event, fields) => void lines.push(fields ?? {}),
    info: none,
    debug: none,
    line: none,
    setLevel: none,
    flush: none,
  }
  const kept = expiries.map((expiry, each) =>
    createKept(accountOf(`a${each}@x.example`, createProvider({ expiry }))),
  )
  return { watch: createExpiryWatch(() => kept, log), kept, lines }
}

const endsAt =
  (atMs: number, what = 'the certificate') =>
  () =>
    Promise.resolve({ what, atMs, hint: 'make a new one' })

void t.test('from 30 days ahead', async (t) => {
  const { watch, kept, lines } = watchOf([
    endsAt(startMs + 31 * dayMs, 'a'),
    endsAt(startMs + 30 * dayMs - 1, 'b'),
    endsAt(startMs + dayMs, 'c'),
    endsAt(startMs - 1, 'd'),
    () => Promise.resolve(undefined),
    () => Promise.reject(new Error('unreadable')),
  ])
  await watch.look(startMs)
  t.same(
    lines.map(({ reason }) => reason),
    ['b ends on 2027-02-14, in 29 days', 'c ends on 2027-01-16, in 1 day', 'd ended on 2027-01-15'],
  )
  t.same(
    kept.map(({ credential }) => credential?.what),
    ['a', 'b', 'c', 'd', undefined, undefined],
    'the status knows them all',
  )
})

void t.test('one line a day for one certificate, whoever uses it', async (t) => {
  const { watch, kept, lines } = watchOf([endsAt(startMs + dayMs), endsAt(startMs + dayMs)])
  watch.tick(startMs)
  t.same(lines, [], 'the first look is not for the tick')
  await watch.look(startMs)
  t.same(lines, [
    {
      account: 'a0@x.example',
      reason: 'the certificate ends on 2027-01-16, in 1 day',
      hint: 'make a new one',
    },
  ])
  t.match(kept[1]?.credential, { what: 'the certificate' })
  watch.tick(startMs + dayMs - 1)
  await new Promise(setImmediate)
  t.equal(lines.length, 1)
  watch.tick(startMs + dayMs)
  await new Promise(setImmediate)
  t.equal(lines.length, 2)
})

void t.test('the daemon says it at start and in the status', async (t) => {
  const id = '33333333-3333-4333-8333-333333333333'
  const home = createHome(`[[account]]
user = "*@corp.example"
provider = "microsoft-app"
tenant = "corp.example"
client_id = "${id}"
certificate = { file = "app.pem" }

[[account]]
user = "*@other.example"
provider = "microsoft-app"
tenant = "corp.example"
client_id = "${id}"
client_secret = "x"
client_secret_expires = 2020-01-31
`)
  t.teardown(() => home.remove())
  const { pem } = createClientCertificate(t.testdir(), 12)
  writeFileSync(join(home.path, 'app.pem'), pem, { mode: 0o600 })
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  await daemon.said(
    /^warn "?ends soon"? .*the certificate of client 3{8}-.* ends on .*, in 1[12] days/m,
  )
  await daemon.said(/^warn "?ends soon"? .*the client secret of client .* ended on 2020-01-31/m)
  const { stdout } = await run(home, ['status'])
  t.match(
    stdout,
    /\n\n\*@corp\.example: will end soon: the certificate of client .* ends on \d{4}-\d\d-\d\d; .+\n/,
  )
  t.match(
    stdout,
    /\n\n\*@other\.example: will end soon: the client secret .* ends on 2020-01-31; .+\n/,
  )
})

void t.test('a person is told once', async (t) => {
  const home = createHome()
  t.teardown(() => home.remove())
  const out = join(home.path, 'told')
  const script = join(home.path, 'tell')
  writeFileSync(
    script,
    `#!/bin/sh\nenv | grep ^XOAUTHD_ >> ${out}.tmp; cp ${out}.tmp ${out}.new; mv ${out}.new ${out}\n`,
    { mode: 0o700 },
  )
  const account = (domain: string) => `[[account]]
user = "*@${domain}"
provider = "microsoft-app"
tenant = "corp.example"
client_id = "33333333-3333-4333-8333-333333333333"
certificate = { file = "app.pem" }
`
  home.configure(
    `${account('corp.example')}${account('other.example')}[notify]\ncommand = ["${script}"]\n`,
  )
  const { pem } = createClientCertificate(t.testdir(), 12)
  writeFileSync(join(home.path, 'app.pem'), pem, { mode: 0o600 })
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  await daemon.said(/^info notifying event=sign-in-ending accounts=2$/m)
  await until(() => existsSync(out))
  const lines = readFileSync(out, 'utf8').trim().split('\n').sort()
  const { stdout } = await run(home, ['status'])
  const words = /^\*@corp\.example: will end soon: (.+?); /m.exec(stdout)?.[1] ?? 'nothing'
  t.same(lines, [
    'XOAUTHD_ACCOUNT=*@corp.example *@other.example',
    'XOAUTHD_EVENT=sign-in-ending',
    `XOAUTHD_MESSAGE=*@corp.example, *@other.example: ${words}; xoauthd status has them all`,
  ])
  t.equal((await run(home, ['reload'])).code, 0)
  await daemon.stop()
  t.equal(daemon.stderr().match(/notifying/g)?.length, 1)
})
