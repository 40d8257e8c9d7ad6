/**
 * What `xoauthd check` says of this machine: who may read the files and open the sockets, the store, a
 * daemon that is stuck, and whether a token could end up on disk.
 */
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { finding, findingsText } from '../src/findings.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import type { Row } from './fixtures/check-office.ts'
import {
  createHome,
  run,
  startDaemonProcess,
  type Home,
  type ProcessOptions,
} from './fixtures/daemon.ts'
import { createEncryptedHome } from './fixtures/encrypted-home.ts'
import { needs } from './fixtures/installed.ts'
import { startScriptedSocket } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer()
t.teardown(() => server.close())
const needsRoot = { skip: process.getuid?.() !== 0 && 'needs root' }

async function check(home: Home, args: readonly string[] = [], options: ProcessOptions = {}) {
  const { code, stdout, stderr } = await run(home, ['check', '--json', ...args], options)
  const { findings } = JSON.parse(stdout) as { findings: Row[] }
  const rows = (...checks: string[]) => findings.filter((row) => checks.includes(row.check))
  return { code, stderr, findings, rows }
}

async function signedInHome(t: Test, more = ''): Promise<Home> {
  const home = createHome(`${accountAt(server, me)}${more}`)
  t.teardown(() => home.remove())
  await leaveSignIn(home.configFile, home.env, me, server.grant(me))
  return home
}

void t.test('files that others may read or write', async (t) => {
  const home = await signedInHome(t)
  chmodSync(home.configFile, 0o644)
  t.match(await check(home), {
    code: 78,
    findings: [
      {
        check: 'configuration',
        verdict: 'problem',
        saw: new RegExp(
          `^${home.configFile}: holds a secret, and ${home.configFile} is open to others \\(mode 0644\\); run: chmod o= ${home.configFile}$`,
        ),
        code: 'misconfigured',
      },
    ],
  })
  chmodSync(home.configFile, 0o660)
  t.match((await check(home)).findings, [
    { check: 'configuration', verdict: 'problem', saw: /(?:written|write).*mode 0660.*chmod/ },
  ])
  const secret = join(home.path, 'secret')
  writeFileSync(secret, 'x', { mode: 0o644 })
  home.configure(
    accountAt(server, me).replace(
      /^client_secret = .*$/m,
      `client_secret = { file = "${secret}" }`,
    ),
  )
  chmodSync(home.configFile, 0o600)
  const { rows, code } = await check(home)
  t.match(rows('registration'), [
    {
      verdict: 'problem',
      account: me,
      saw: `${secret} is open to others (mode 0644)`,
      hint: `chmod o= ${secret}`,
      code: 'misconfigured',
    },
  ])
  t.equal(code, 69, 'that no daemon runs comes first')
})

void t.test('a mail agent that may pass and not open', async (t) => {
  const home = await signedInHome(t)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  // Its own folder, and that of the home.
  chmodSync(home.path, 0o711)
  chmodSync(join(home.path, 'run'), 0o711)
  chmodSync(join(home.path, 'run', 'xoauthd'), 0o711)
  t.match((await check(home, ['--as', 'nobody'])).rows('mail agent'), [
    {
      verdict: 'problem',
      saw: `${home.socket}: nobody may not open it`,
      hint: 'give the socket mode = "0660" and a group that nobody is in',
      code: 'not-allowed',
    },
  ])
})

void t.test('the store, without a daemon', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  t.match((await check(home)).rows('store', 'sign-in'), [
    { verdict: 'ok', saw: new RegExp(`^${home.store}, of \\S+, encrypted$`), hint: '' },
    { verdict: 'ok', saw: /the daemon finds out$/ },
  ])
  const [sealed = ''] = readdirSync(home.store).filter((name) => name.endsWith('.json'))
  const content = readFileSync(join(home.store, sealed))
  writeFileSync(join(home.store, sealed), '{}')
  t.match((await check(home)).rows('store'), [
    { verdict: 'warning', saw: /, encrypted but for 1 file\(s\)$/, hint: /store encrypt$/ },
  ])
  writeFileSync(join(home.store, sealed), content)
  home.keyIs('{ file = "missing" }')
  const locked = {
    verdict: 'problem',
    saw: /^the store is locked: .*missing/,
    hint: /./,
    code: 'unavailable',
  }
  t.match((await check(home)).rows('store', 'sign-in'), [locked, locked])
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.match((await check(home)).rows('store', 'sign-in'), [locked, locked], 'and with one')
  await daemon.stop()
  const plain = await signedInHome(t)
  const store = join(plain.path, 'state', 'xoauthd')
  const [file = ''] = readdirSync(store).filter((name) => name.endsWith('.json'))
  writeFileSync(join(store, file), '{', { mode: 0o600 })
  t.match((await check(plain)).rows('sign-in'), [
    { verdict: 'problem', saw: /is damaged$/, hint: /restore it from a backup, or sign in again/ },
  ])
})

void t.test('a store and a daemon of somebody else', needsRoot, async (t) => {
  const home = await signedInHome(t)
  // A file of another user's that anybody may read is what a machine's configuration is.
  home.configure(readFileSync(home.configFile, 'utf8').replace(/^client_secret = .*\n/m, ''))
  chmodSync(home.configFile, 0o644)
  for (const folder of [home.path, join(home.path, 'run'), join(home.path, 'state')])
    chmodSync(folder, 0o755)
  mkdirSync(join(home.path, 'run', 'xoauthd'))
  const daemon = await startScriptedSocket(home.socket, () => '')
  t.teardown(() => daemon.close())
  chmodSync(home.socket, 0o600)
  const nobody = 65_534
  const { rows } = await check(home, [], { uid: nobody, gid: nobody })
  t.match(rows('daemon'), [
    {
      verdict: 'problem',
      saw: `this user may not use the socket ${home.socket}`,
      hint: 'become a member of its group, or name another socket with --socket',
      code: 'not-allowed',
    },
  ])
  t.match(rows('store', 'sign-in'), [
    { verdict: 'ok', saw: /, of root; whether it is encrypted, its owner and the daemon know$/ },
    {
      verdict: 'skipped',
      saw: /^the store \S+ belongs to root$/,
      hint: `run: runuser -u root -- xoauthd check ${me}`,
      code: null,
    },
  ])
})

void t.test('a daemon that takes the connection and never answers', async (t) => {
  const home = await signedInHome(t)
  mkdirSync(join(home.path, 'run', 'xoauthd'))
  const stuck = await startScriptedSocket(home.socket, () => undefined)
  t.teardown(() => stuck.close())
  const { rows, code } = await check(home)
  t.match(rows('daemon', 'mail servers'), [
    {
      check: 'daemon',
      verdict: 'problem',
      saw: `the daemon on ${home.socket} does not answer within 10 s`,
      hint: /^restart it: systemctl --user restart xoauthd/,
      code: 'unavailable',
    },
    { verdict: 'skipped', saw: 'not tried: tokens come from the daemon' },
  ])
  t.equal(code, 75)
  t.same(stuck.requests, ['STATUS'], 'it is asked once')
})

void t.test('core files', needs('prlimit', 'util-linux'), async (t) => {
  const home = await signedInHome(t)
  for (const [limit, row] of [
    ['0', { verdict: 'ok', saw: 'off' }],
    [
      '1000000:1000000',
      {
        verdict: 'warning',
        saw: 'a crash could write tokens to disk',
        hint: 'LimitCORE=0 in the unit, or ulimit -c 0 before the start',
      },
    ],
  ] as const) {
    const daemon = await startDaemonProcess(home, { via: ['prlimit', `--core=${limit}`] })
    t.match((await check(home)).rows('core files'), [row])
    await daemon.stop()
  }
})

void t.test('swap', needsRoot, async (t) => {
  const home = await signedInHome(t)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  const swaps = join(home.path, 'swaps')
  const none = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'
  // In a mount namespace of its own another /proc/swaps is there, and this machine's control groups are not.
  const bind = 'mount --bind "$0" /proc/swaps && mount -t tmpfs none /sys/fs/cgroup && '
  const inside = async (text: string, limit?: string) => {
    writeFileSync(swaps, text)
    const group = /^0::(.*)$/m.exec(readFileSync(`/proc/${daemon.child.pid}/cgroup`, 'utf8'))?.[1]
    const folder = `/sys/fs/cgroup${group ?? ''}`
    const limited =
      limit === undefined
        ? ''
        : `mkdir -p '${folder}' && echo ${limit} > '${folder}/memory.swap.max' && `
    const via = ['unshare', '--mount', 'sh', '-c', `${bind}${limited}exec "$@"`, swaps]
    return (await check(home, [], { via })).rows('swap')
  }
  t.match(await inside(none), [{ verdict: 'ok', saw: 'none on this machine' }])
  const some = `${none}/swapfile file\t\t1048572\t0\t-2\n`
  const warning = {
    verdict: 'warning',
    saw: 'tokens could be written to swap',
    hint: 'MemorySwapMax=0 in the unit, or encrypted swap',
  }
  t.match(await inside(some), [warning])
  t.match(await inside(some, 'max'), [warning])
  t.match(await inside(some, '0'), [{ verdict: 'ok', saw: 'off for the daemon' }])
})

void t.test('at the end, how many are bad', (t) => {
  const rows = [
    finding('ok', 'store', 'is there'),
    finding('warning', 'clock', 'is 2 min ahead', { hint: 'set it' }),
    finding('problem', 'imap', 'no', { account: me }),
  ]
  const text = (...each: typeof rows) => findingsText(each, { columns: 80, coloured: false })
  t.match(text(...rows), /\n\n1 problem, 1 warning\n$/)
  t.equal(text(), 'no problems, no warnings\n')
  t.end()
})
