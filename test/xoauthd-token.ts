/**
 * The shell client of the socket: under dash and bash, with each of its tools alone and with none, it
 * prints what `xoauthd token` prints, and never hangs.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, run, shellLine, startDaemonFor, type Finished } from './fixtures/daemon.ts'
import { locate, needs } from './fixtures/installed.ts'
import { startScriptedSocket } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const client = fileURLToPath(new URL('../bin/xoauthd-token', import.meta.url))
const me = 'me@issuer.example'
const stranger = 'stranger@issuer.example'

const server = await startAuthorizationServer()
const home = createHome()
home.configure(
  `${accountAt(server, me)}\n${accountAt(server, stranger)}\n[[socket]]\npath = "cred"\n`,
)
await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: 'kept' })
await startDaemonFor(t, home, [server])

const shells = ['dash', 'bash']
const debian = {
  dash: 'dash',
  bash: 'bash',
  nc: 'netcat-openbsd',
  perl: 'perl-base',
  socat: 'socat',
}
/** Folders that are the whole PATH of the client: what a machine has, and the full command. */
const machines = {
  nc: ['nc'],
  perl: ['perl'],
  socat: ['socat'],
  'no nc': ['perl', 'socat'],
  'no perl': ['nc', 'socat'],
  'no socat': ['nc', 'perl'],
  all: ['nc', 'perl', 'socat'],
  none: [],
  'another nc': ['perl'],
} as const
const skip = Object.entries(debian)
  .map(([program, debianPackage]) => needs(program, debianPackage).skip)
  .find((reason) => reason !== false)
const options = { skip: skip ?? false }

/** The full command, and one that only says what it is called with: Node takes its time to start. */
const full = `#!/bin/sh\ntouch "$HOME/full"\n${shellLine(home, '"$@"')}\n`
const stub = '#!/bin/sh\nprintf "<%s>" "$@"\n'

function machine(name: keyof typeof machines, command = full): string {
  const folder = join(home.path, `path of ${name}${command === full ? '' : ' and a stub'}`)
  mkdirSync(folder)
  for (const program of ['id', 'touch', 'env', ...machines[name]])
    symlinkSync(locate(program) ?? '', join(folder, program))
  // netcat-traditional and BusyBox know no such option.
  if (name === 'another nc')
    writeFileSync(join(folder, 'nc'), `#!/bin/sh\necho "nc: invalid option -- 'U'" >&2; exit 1\n`)
  writeFileSync(join(folder, 'xoauthd'), command)
  for (const program of ['nc', 'xoauthd'])
    if (program === 'xoauthd' || name === 'another nc') chmodSync(join(folder, program), 0o755)
  return folder
}

async function ask(
  shell: string,
  path: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const child = spawn(locate(shell) ?? shell, [client, ...args], {
    cwd: home.path,
    env: { ...home.env, PATH: path, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = (await closed) as [number | null]
  return { code, stdout, stderr }
}

const requests: readonly (readonly string[])[] = [
  [me],
  [me, '--no-newline'],
  [me, '--format', 'xoauth2', '--no-newline'],
  ['--format=base64', '--service', 'SMTP', me],
  [me, '--format', 'oauthbearer', '--min', '60', '--wait', '3'],
  [me, '--socket', 'cred'],
  ['nobody@example.net'],
  [stranger],
  [me, '--service=pop'],
  [me, '--min', '9999'],
  ['nonsense'],
]

void t.test('what xoauthd token prints', options, async (t) => {
  const wanted = await Promise.all(requests.map((args) => run(home, ['token', ...args])))
  for (const name of Object.keys(machines) as (keyof typeof machines)[]) {
    if (name === 'none') continue
    const path = machine(name)
    for (const shell of shells) {
      const found = await Promise.all(requests.map((args) => ask(shell, path, args)))
      for (const [index, args] of requests.entries())
        t.same(found[index], wanted[index], `${shell}, ${name}: ${args.join(' ')}`)
    }
  }
  t.throws(() => readFileSync(join(home.path, 'full')), { code: 'ENOENT' }, 'no Node was started')
})

void t.test('a token that the mail server refused', options, async (t) => {
  const path = join(home.path, 'path of all')
  const { stdout } = await ask('dash', path, [me, '--refused', '--wait', '20'])
  t.not(stdout, 'kept\n')
  t.ok(server.accept(stdout.trim(), me))
})

void t.test('JSON', options, async (t) => {
  for (const name of ['nc', 'perl', 'socat']) {
    const args = [me, '--format', 'json']
    const { stdout } = await ask('dash', join(home.path, `path of ${name}`), args)
    t.match(stdout, /^\{"mailbox":"me@issuer\.example",.*\}\n$/, name)
  }
})

void t.test('what it leaves to xoauthd token', options, async (t) => {
  const none = machine('none', stub)
  const all = machine('all', stub)
  const cases: readonly (readonly [string, readonly string[]])[] = [
    [none, [me]],
    [all, []],
    [all, [me, 'another']],
    [all, [me, '--min', 'soon']],
    [all, [me, '--min']],
    [all, [me, '--wait=123456789']],
    [all, [me, '--format', 'pdf']],
    [all, [me, '--help']],
    [all, [me, '--config', home.configFile]],
    [all, [me, '--socket', '/nowhere/socket']],
    [all, [me, '', 'two words', "it's", '--format=pdf']],
  ]
  for (const shell of shells)
    for (const [path, args] of cases) {
      const stdout = ['token', ...args].map((word) => `<${word}>`).join('')
      t.same(await ask(shell, path, args), { code: 0, stdout, stderr: '' }, args.join(' '))
    }
  // The same all the way, where it succeeds and where it fails.
  const withFull = machine('none')
  for (const args of [[me], [me, '--format', 'pdf']])
    t.same(await ask('dash', withFull, args), await run(home, ['token', ...args]), args.join(' '))
  t.match(await ask('dash', '/nowhere', [me]), {
    code: 69,
    stdout: '',
    stderr: 'xoauthd: no xoauthd answers, and the command xoauthd is not installed\nhint: install',
  })
})

void t.test('where the daemon is looked for', options, async (t) => {
  const all = join(home.path, 'path of all')
  const path = join(home.path, 'elsewhere')
  mkdirSync(join(path, 'xoauthd'), { recursive: true })
  const odd = await startScriptedSocket(join(path, 'xoauthd', 'socket'), () => 'theirs')
  const service = await startScriptedSocket(join(path, 'socket'), () => 'of the service')
  t.teardown(() => Promise.all([odd.close(), service.close()]))
  const from = (env: NodeJS.ProcessEnv) => ask('dash', all, [me], env)
  t.match(await from({ XDG_RUNTIME_DIR: path }), { code: 0, stdout: 'theirs\n' })
  t.match(await from({ XOAUTHD_SOCKET: join(path, 'xoauthd/socket') }), { stdout: 'theirs\n' })
  t.match(await from({ XOAUTHD_SOCKET: '', XDG_RUNTIME_DIR: path }), { stdout: 'theirs\n' })
  t.match(await from({ RUNTIME_DIRECTORY: `${path}:/other` }), { stdout: 'of the service\n' })
  t.match(await from({ RUNTIME_DIRECTORY: 'relative' }), { code: 0 })
  t.same(odd.requests[0], `smtp,token,explain ${me}`)
})

void t.test('a daemon that does not do its part', options, async (t) => {
  const answers = new Map<string, string>([
    ['', ''],
    ['ERR unavail', 'ERR unavail'],
    ['ERR unavailable only half', 'ERR unavailable only half'],
    ['ERR odd a | b | c\n', 'ERR odd a | b | c\n'],
  ])
  let next = ''
  const path = join(home.path, 'odd')
  const odd = await startScriptedSocket(path, () => answers.get(next))
  t.teardown(() => odd.close())
  for (const name of ['nc', 'perl', 'socat']) {
    const asked = (...more: string[]) =>
      ask('dash', join(home.path, `path of ${name}`), [me, ...more], { XOAUTHD_SOCKET: path })
    next = ''
    t.match(await asked(), { code: 75, stdout: '', stderr: /closed the connection without/ }, name)
    for (next of ['ERR unavail', 'ERR unavailable only half'])
      t.match(await asked(), { code: 75, stdout: '', stderr: /broke off its answer\nhint: ask/ })
    next = 'ERR odd a | b | c\n'
    t.same(await asked(), { code: 1, stdout: '', stderr: 'xoauthd: a\nhint: b | c\n' })
  }
})

void t.test('a daemon that never answers', options, async (t) => {
  const path = join(home.path, 'silent')
  const silent = await startScriptedSocket(path, () => undefined)
  t.teardown(() => silent.close())
  const tools = ['nc', 'perl', 'socat']
  await Promise.all(
    tools.map(async (name) => {
      const folder = join(home.path, `path of ${name}`)
      const asked = ask('dash', folder, [me, '--wait=0'], { XOAUTHD_SOCKET: path })
      t.match(await asked, { code: 75, stdout: '', stderr: /^xoauthd: the daemon / }, name)
    }),
  )
  t.equal(silent.requests.length, tools.length, 'none asks twice')
})

void t.test('shellcheck', needs('shellcheck', 'shellcheck'), async (t) => {
  t.same(await promisify(execFile)('shellcheck', [client]), { stdout: '', stderr: '' })
})
