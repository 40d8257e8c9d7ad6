/** The credential helper under the real git, and what git send-email hands to `xoauthd sendmail`. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import t from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { createHome, run, shellLine, startDaemonFor } from './fixtures/daemon.ts'
import { needs, needsPerl } from './fixtures/installed.ts'
import { startMailServer } from './fixtures/mail-server.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'
import { temporaryFolder } from './fixtures/smarthost.ts'

const me = 'me@example.org'
const stranger = 'stranger@example.org'
const example = join(import.meta.dirname, '../examples/git')

const folder = await temporaryFolder(t)
const server = await startAuthorizationServer()
const authority = await createAuthority(folder)
const certificate = await authority.issue(['localhost'])
const verify = (user: string, token: string) => server.accept(token, user)
const mailServer = await startMailServer({ ...certificate, verify })
const home = createHome(
  `${accountAt(server, me, `hosts = { smtp = "localhost:${mailServer.port}" }`)}\n${accountAt(server, stranger)}`,
)
await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: 'kept' })
await startDaemonFor(t, home, [server, mailServer])
await writeFile(join(folder, 'xoauthd'), `#!/bin/sh\n${shellLine(home, '"$@"')}\n`, { mode: 0o755 })
const env = {
  ...home.env,
  PATH: `${folder}:${process.env['PATH'] ?? ''}`,
  NODE_EXTRA_CA_CERTS: authority.caFile,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  XDG_CONFIG_HOME: folder,
}

const helper = (operation: string, lines: readonly string[]) =>
  run(home, ['git-credential', operation], { stdin: `${lines.join('\n')}\n\n` })
const smtp = ['protocol=smtp', 'host=smtp.example.org:465', `username=${me}`]
const current = async (service = 'smtp') =>
  (await run(home, ['token', me, '--no-newline', '--service', service])).stdout

void t.test('get', async (t) => {
  const token = await current()
  const { stdout, ...rest } = await helper('get', smtp)
  t.same(rest, { code: 0, stderr: '' })
  const expiry = /^password_expiry_utc=(\d{10,})$/m.exec(stdout)?.[1]
  t.equal(stdout, `username=${me}\npassword=${token}\npassword_expiry_utc=${expiry ?? ''}\n`)
  t.match(await helper('get', ['capability[]=authtype', 'capability[]=state', ...smtp]), {
    code: 0,
    stdout: `capability[]=authtype\nauthtype=Bearer\ncredential=${token}\nephemeral=1\n${stdout}`,
  })
  const imap = await helper('get', ['protocol=imaps', 'host=imap.example.org', `username=${me}`])
  t.match(imap.stdout, `password=${await current('imap')}\n`)
})

void t.test('what is none of ours', async (t) => {
  const nothing = { code: 0, stdout: '', stderr: '' }
  const cases: [string, readonly string[]][] = [
    ['get', ['protocol=https', 'host=github.com', `username=${me}`]],
    ['get', ['protocol=smtp', 'host=smtp.example.org']],
    ['get', ['protocol=smtp', 'host=smtp.example.org', 'username=nobody@example.net']],
    ['get', ['protocol=smtp', 'host=smtp.example.org', 'username=not an address']],
    ['erase', ['protocol=https', 'host=github.com', `username=${me}`, 'password=x']],
    ['erase', ['protocol=smtp', 'host=h', 'username=nobody@example.net', 'password=x']],
    ['store', [...smtp, 'password=x']],
    ['capability', []],
  ]
  await Promise.all(
    cases.map(async ([operation, lines]) =>
      t.same(await helper(operation, lines), nothing, `${operation} ${lines.join(' ')}`),
    ),
  )
})

void t.test('no token', async (t) => {
  const asked = ['protocol=smtp', 'host=smtp.example.org', `username=${stranger}`]
  t.match(await helper('get', asked), {
    code: 77,
    stdout: 'quit=1\n',
    stderr: /^xoauthd: nobody has signed in for stranger@.*\nhint: run: xoauthd login/,
  })
})

void t.test('erase', async (t) => {
  const before = await current()
  const nothing = { code: 0, stdout: '', stderr: '' }
  t.same(await helper('erase', [...smtp, 'password=another']), nothing)
  t.equal(await current(), before, 'it was not ours')
  t.same(await helper('erase', [...smtp, `password=${before}`]), nothing)
  const after = await current()
  t.not(after, before)
  t.ok(server.accept(after, me))
})

void t.test('the real git', needs('git', 'git'), async (t) => {
  const git = async (args: readonly string[], stdin: string) => {
    const child = spawn('git', ['-c', 'credential.helper=!xoauthd git-credential', ...args], {
      env,
    })
    const closed = once(child, 'close')
    child.stdin.end(stdin)
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
    const [code] = (await closed) as [number]
    return { code, stdout, stderr }
  }
  const asked = `${smtp.join('\n')}\n\n`
  const filled = await git(['credential', 'fill'], asked)
  t.match(filled, { code: 0, stderr: '', stdout: `password=${await current()}\n` })
  t.match(await git(['credential', 'approve'], filled.stdout), { code: 0, stdout: '', stderr: '' })
  const refused = await git(['credential', 'fill'], asked.replace(me, stranger))
  t.match(refused, { code: 128, stdout: '', stderr: /nobody has signed in[^]*told us to quit/ })
})

void t.test(
  'git send-email',
  needsPerl('Mail::Address', 'git-email libmailtools-perl'),
  async (t) => {
    const repository = join(folder, 'repository')
    await mkdir(repository)
    const git = promisify(execFile)
    const at = { cwd: repository, env: { ...env, HOME: folder } }
    const shipped = await readFile(join(example, 'gitconfig'), 'utf8')
    await writeFile(join(folder, '.gitconfig'), `${shipped}\n[user]\nname = Me\nemail = ${me}\n`)
    await git('git', ['init', '-q'], at)
    await writeFile(join(repository, 'file'), '.\n..dots\ncaf\u00e9\n')
    await git('git', ['add', 'file'], at)
    await git('git', ['commit', '-qm', 'a change'], at)
    const send = (...more: readonly string[]) =>
      git(
        'git',
        [
          'send-email',
          '--quiet',
          '--confirm=never',
          '--8bit-encoding=UTF-8',
          '--to=list@example.net',
          ...more,
          '-1',
        ],
        at,
      )

    await send('--cc=you@example.net', '--bcc=secret@example.net')
    t.match(mailServer.mails.at(-1), {
      user: me,
      from: me,
      body: /\r\n\+\.\r\n\+\.\.dots\r\n\+caf/,
    })
    const wanted = ['list@example.net', 'me@example.org', 'secret@example.net', 'you@example.net']
    t.same(
      mailServer.mails
        .at(-1)
        ?.to.filter((each) => wanted.includes(each))
        .sort(),
      wanted,
    )
    t.notMatch(mailServer.mails.at(-1)?.body, 'secret@example.net')

    server.endAllOf(me)
    server.end(await current())
    const count = mailServer.mails.length
    const said = await send().catch((error: unknown) => error as { stderr: string })
    t.match(said.stderr, /xoauthd: /, 'git says why')
    t.equal(mailServer.mails.length, count)
  },
)
