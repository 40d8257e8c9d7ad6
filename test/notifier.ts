/** The program that tells a person: run without a shell, with a clean environment, for so long and no longer. */
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Log } from '../src/log.ts'
import { createNotifier, type Notifier } from '../src/notifier.ts'
import type { Notice } from '../src/notices.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, startDaemonProcess } from './fixtures/daemon.ts'
import { makeTemporary, until } from './fixtures/keeper-place.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const notice: Notice = {
  event: 'sign-in-needed',
  accounts: ['a@x', 'b@x'],
  message: 'a@x: dead; $(touch /nowhere) "quoted" <b>',
}

function scriptIn(folder: string, name: string, body: string): string {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o700 })
  return path
}

function notifierWith(
  t: Test,
  command: readonly string[] | undefined,
  given: { env?: NodeJS.ProcessEnv; limitMs?: number } = {},
): { notifier: Notifier; lines: string[] } {
  const lines: string[] = []
  const at = (event: string, fields?: Readonly<Record<string, unknown>>) => {
    lines.push([event, fields?.['reason']].filter(Boolean).join(': '))
  }
  const log: Log = {
    error: at,
    warn: at,
    info: at,
    debug: at,
    line: () => {},
    setLevel: () => {},
    flush: () => {},
  }
  const env = given.env ?? { PATH: process.env['PATH'] }
  const { limitMs } = given
  const notifier = createNotifier({
    command: () => command,
    env,
    log,
    ...(limitMs === undefined ? {} : { limitMs }),
  })
  t.teardown(() => notifier.close())
  return { notifier, lines }
}

void t.test('what the program gets', async (t) => {
  const folder = makeTemporary(t)
  const out = join(folder, 'out')
  const script = scriptIn(
    folder,
    'tell',
    `{ pwd; echo "$@"; env; } > ${out}.tmp; mv ${out}.tmp ${out}`,
  )
  const env = { PATH: process.env['PATH'], HOME: '/h', GOOGLE_SECRET: 'hush', NODE_OPTIONS: 'x' }
  const { notifier } = notifierWith(t, [script, 'one $HOME', 'two'], { env })
  notifier.tell(notice)
  await until(() => existsSync(out))
  const [cwd, args, ...lines] = readFileSync(out, 'utf8').trim().split('\n')
  t.equal(cwd, '/')
  t.equal(args, 'one $HOME two')
  const names = lines.map((line) => line.split('=')[0] ?? '').sort()
  // What the shell adds, and Node to whatever is started while it writes down what is covered.
  const added = /^(?:PWD|OLDPWD|_|SHLVL|NODE_V8_COVERAGE|\/.*)$/
  t.notMatch(lines.join('\n'), 'hush')
  t.same(
    names.filter((name) => !added.test(name)),
    ['HOME', 'PATH', 'XOAUTHD_ACCOUNT', 'XOAUTHD_EVENT', 'XOAUTHD_MESSAGE'],
  )
  t.ok(lines.includes('XOAUTHD_EVENT=sign-in-needed'))
  t.ok(lines.includes('XOAUTHD_ACCOUNT=a@x b@x'))
  t.ok(lines.includes(`XOAUTHD_MESSAGE=${notice.message}`))
})

void t.test('programs that fail', async (t) => {
  const folder = makeTemporary(t)
  const rows: readonly [readonly string[], RegExp][] = [
    [['/nowhere/at/all'], /^notification failed: ENOENT$/],
    [[scriptIn(folder, 'three', 'exit 3')], /^notification failed: exit 3$/],
    [[scriptIn(folder, 'dies', 'kill -TERM $$')], /^notification failed: exit SIGTERM$/],
  ]
  for (const [command, expected] of rows) {
    const { notifier, lines } = notifierWith(t, command)
    notifier.tell(notice)
    await until(() => lines.length > 1)
    t.match(lines[1], expected)
  }
})

void t.test('a program that hangs, and what it started', async (t) => {
  const folder = makeTemporary(t)
  const pid = join(folder, 'pid')
  const script = scriptIn(
    folder,
    'hang',
    `sleep 1000 & echo $! > ${pid}.tmp; mv ${pid}.tmp ${pid}; wait`,
  )
  const { notifier, lines } = notifierWith(t, [script], { limitMs: 1_000 })
  notifier.tell(notice)
  notifier.tell(notice)
  await until(() => lines.filter((line) => line.startsWith('notification failed')).length === 2)
  t.match(lines, ['notifying', 'notifying', 'notification failed: it took longer than 1 s'])
  const child = Number(readFileSync(pid, 'utf8'))
  await until(() => !existsSync(`/proc/${child}`) || isZombie(child))
  t.pass('ended with it')
})

function isZombie(pid: number): boolean {
  return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

void t.test('the desktop', async (t) => {
  const folder = makeTemporary(t)
  const out = join(folder, 'out')
  scriptIn(
    folder,
    'notify-send',
    `for a in "$@"; do echo "$a"; done > ${out}.tmp; mv ${out}.tmp ${out}`,
  )
  const path = `${folder}:${process.env['PATH'] ?? ''}`
  const none = notifierWith(t, undefined, { env: { PATH: path, XDG_RUNTIME_DIR: folder } })
  none.notifier.tell(notice)
  t.same(none.lines, ['notifying'], 'without a session nobody is called')

  const bus = createServer().listen(join(folder, 'bus'))
  t.teardown(() => bus.close())
  await once(bus, 'listening')
  const session = notifierWith(t, undefined, { env: { PATH: path, XDG_RUNTIME_DIR: folder } })
  session.notifier.tell(notice)
  await until(() => existsSync(out))
  t.same(readFileSync(out, 'utf8').trim().split('\n'), [
    '--app-name=xoauthd',
    '--',
    'xoauthd',
    'a@x: dead; $(touch /nowhere) "quoted" &lt;b&gt;',
  ])
})

void t.test('nothing is told after the end', (t) => {
  const { notifier, lines } = notifierWith(t, ['/nowhere'])
  notifier.close()
  notifier.tell(notice)
  t.same(lines, ['notifying'])
  t.end()
})

void t.test('the daemon tells', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const home = createHome()
  t.teardown(() => home.remove())
  const out = join(home.path, 'told')
  const script = scriptIn(
    home.path,
    'tell',
    `env | grep ^XOAUTHD > ${out}.tmp; mv ${out}.tmp ${out}`,
  )
  const users = ['me@issuer.example', 'you@issuer.example']
  home.configure(
    `${users.map((user) => accountAt(server, user)).join('\n')}\n[notify]\ncommand = ["${script}"]\n`,
  )
  await leaveSignIn(home.configFile, home.env, users[0]!, server.grant(users[0]!))
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  await daemon.said(/^info notifying event=sign-in-needed accounts=1$/m)
  await until(() => existsSync(out))
  t.match(
    readFileSync(out, 'utf8'),
    /XOAUTHD_ACCOUNT=you@issuer\.example\n/,
    'the one who has not signed in',
  )
})
