/** Each form of a secret, from real files and real programs, and what is said when it cannot be had. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createSecretReader, describeSecret, exposure, type Secret } from '../src/secret.ts'
import { everythingOf, leaksIn } from './fixtures/leaks.ts'
import { failureOf } from './fixtures/provider-of.ts'

const hidden = 'hidden-0123456789-abcdefghij'

/** A folder for the configuration file, with the reader that works from there. */
function place(t: Test, variables: NodeJS.ProcessEnv = {}, commandTimeoutMs?: number) {
  const folder = t.testdir()
  const env = { PATH: process.env['PATH'], HOME: folder, ...variables }
  const read = createSecretReader(folder, env, commandTimeoutMs)
  return {
    folder,
    read,
    write: (name: string, content: string, mode = 0o600): string => {
      const path = join(folder, name)
      writeFileSync(path, content)
      chmodSync(path, mode)
      return path
    },
    /** What is said when a secret cannot be had, which never holds one. */
    refusal: async (secret: Secret) => {
      const failure = await failureOf(read(secret))
      t.same(leaksIn(everythingOf(failure), [hidden]), [], 'no secret')
      t.ok(failure.hint, 'a hint')
      return { code: failure.code, text: `${failure.message} | ${failure.hint ?? ''}` }
    },
  }
}

const file = (path: string): Secret => ({ kind: 'file', path })
const command = (...words: string[]): Secret => ({ kind: 'command', command: words })
const shell = (script: string): Secret => command('sh', '-c', script, hidden)
const credential = (name: string): Secret => ({ kind: 'credential', name })

void t.test('in the file itself', async (t) => {
  t.equal(await place(t).read({ kind: 'inline', value: ' as it is ' }), ' as it is ')
})

void t.test('a file', async (t) => {
  const { read, write, folder } = place(t)
  const path = write('secret', `${hidden}\n`)
  t.equal(await read(file(path)), hidden)
  t.equal(await read(file('secret')), hidden, 'beside the configuration')
  t.equal(await read(file('~/secret')), hidden, 'in the home directory')
  symlinkSync(path, join(folder, 'link'))
  t.equal(await read(file('link')), hidden)
  write('lines', '{\n"a": 1\n}\n')
  t.equal(await read(file('lines')), '{\n"a": 1\n}', 'all of its lines')
  write('secret', 'changed')
  t.equal(await read(file(path)), 'changed', 'as it is now')
  write('group', hidden, 0o640)
  t.equal(await read(file('group')), hidden, 'read by a group of our own')
})

void t.test('the home directory of a process without HOME', async (t) => {
  const { refusal } = place(t, { HOME: undefined })
  t.match(await refusal(file('~/no-such-file-of-xoauthd')), { text: /does not exist/ })
})

void t.test('files that are not read', async (t) => {
  const { write, folder, refusal } = place(t)
  const refused = async (path: string, text: RegExp) =>
    t.match(await refusal(file(path)), { code: 'misconfigured', text }, text.source)

  await refused('missing', /missing does not exist \| correct the path/)
  write('empty', ' \n')
  await refused('empty', /the file empty is empty .*\| put the secret there/)
  write('others', hidden, 0o604)
  await refused('others', /others is open to others \(mode 0604\) \| chmod o= \/.*others/)
  write('writable', hidden, 0o660)
  await refused('writable', /can be written by its group \(mode 0660\) \| chmod g-w \/.*writable/)
  await refused('.', /is not a file/)
  write('large', hidden.repeat(3000))
  await refused('large', /is too large/)
  execFileSync('mkfifo', ['-m', '600', join(folder, 'pipe')])
  await refused('pipe', /is not a file/)
  await refused('null\0byte', /cannot be read \(ERR_INVALID_ARG_VALUE\)/)
  const root = process.getuid?.() === 0
  await t.test('by another user', async (t) => {
    write('closed', hidden, root ? 0o600 : 0o000)
    if (root) {
      // Nothing is closed to root; nobody, for a moment, is somebody else.
      process.seteuid?.(65534)
      t.teardown(() => process.seteuid?.(0))
    }
    await refused('closed', /closed may not be read by this user/)
  })
  await t.test('of another group', { skip: !root && 'only root may give files away' }, async () => {
    chownSync(write('foreign', hidden, 0o640), 0, 54321)
    await refused('foreign', /read by group 54321, .* \(mode 0640\) \| chmod g= \/.*foreign/)
  })
})

void t.test('modes', (t) => {
  const gid = process.getgid?.() ?? -1
  for (const mode of [0o600, 0o400, 0o640, 0o100600])
    t.equal(exposure('f', { mode, gid }), undefined, mode.toString(8))
  for (const [mode, hint] of [
    [0o644, 'chmod o= f'],
    [0o601, 'chmod o= f'],
    [0o666, 'chmod o= f'],
    [0o620, 'chmod g-w f'],
  ] as const)
    t.equal(exposure('f', { mode, gid })?.hint, hint, mode.toString(8))
  t.equal(exposure('f', { mode: 0o640, gid: 54321 })?.hint, 'chmod g= f')
  t.equal(exposure('f', { mode: 0o600, gid: 54321 }), undefined)
  t.end()
})

void t.test('an environment variable', async (t) => {
  const { read, refusal } = place(t, { MAIL_SECRET: `${hidden}\n`, NONE: '' })
  t.equal(await read({ kind: 'env', variable: 'MAIL_SECRET' }), hidden)
  for (const variable of ['NONE', 'NOT_SET'])
    t.match(await refusal({ kind: 'env', variable }), {
      code: 'misconfigured',
      text: new RegExp(`the environment variable ${variable} is empty or not set`),
    })
})

void t.test('a systemd credential', async (t) => {
  const variables = { CREDENTIALS_DIRECTORY: t.testdirName }
  const { read, refusal, write, folder } = place(t, variables)
  // systemd's folder is closed to others, so the modes of its files do not matter.
  write('google', `${hidden}\n`, 0o444)
  write('blank', '')
  mkdirSync(join(folder, 'directory'))
  t.equal(await read(credential('google')), hidden)
  const cases: readonly (readonly [string, RegExp])[] = [
    ['missing', /missing does not exist/],
    ['blank', /the systemd credential blank is empty/],
    ['directory', /cannot be read \(EISDIR\)/],
    ['..', /no systemd credential "\.\." \| add LoadCredential=/],
    ['a/b', /no systemd credential/],
  ]
  for (const [name, text] of cases)
    t.match(await refusal(credential(name)), { code: 'misconfigured', text }, name)
  t.match(await place(t).refusal(credential('google')), {
    code: 'misconfigured',
    text: /no systemd credential "google" \| add LoadCredential=google:/,
  })
})

void t.test('a command', async (t) => {
  const { read, write } = place(t, { FROM_ENV: 'from the environment' })
  t.equal(await read(command('printf', ' %s \n', hidden)), hidden)
  t.equal(await read(command('echo', '$HOME; true')), '$HOME; true', 'no shell reads it')
  t.equal(
    await read(command('printf', 'secret\nuser: me\nurl: https://example.org\n')),
    'secret',
    'notes below the first line, as pass keeps them',
  )
  t.equal(await read(command('printf', 'secret\r\nnotes\r\n')), 'secret')
  const pem = '-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----'
  t.equal(await read(command('printf', '--', `${pem}\n`)), pem, 'a key has many lines')
  t.equal(await read(command('printf', '{\n  "a": 1\n}\n')), '{\n  "a": 1\n}')
  t.equal(await read(shell('cat; echo end')), 'end', 'there is nothing on its standard input')
  t.equal(await read(shell('echo $FROM_ENV')), 'from the environment')
  write('print-secret', '#!/bin/sh\necho beside the configuration\n', 0o700)
  t.equal(await read(command('./print-secret')), 'beside the configuration')
})

void t.test('a command is asked once', async (t) => {
  const { read, folder, refusal } = place(t)
  const counting = (name: string, then: string) => shell(`echo x >> ${name}; ${then}`)
  const runs = (name: string) => readFileSync(join(folder, name), 'utf8').length / 2
  const good = counting('good', 'echo secret')
  t.same(await Promise.all([read(good), read(good)]), ['secret', 'secret'])
  t.equal(await read(good), 'secret')
  t.equal(runs('good'), 1)
  await read(counting('good', 'echo other'))
  t.equal(runs('good'), 2, 'another command is another secret')

  for (const [name, then] of [
    ['failing', 'exit 1'],
    ['silent', 'true'],
  ] as const) {
    await refusal(counting(name, then))
    await refusal(counting(name, then))
    t.equal(runs(name), 2, `but again after it was ${name}`)
  }
})

void t.test('commands that fail', async (t) => {
  const { refusal } = place(t)
  const cases: readonly (readonly [Secret, RegExp])[] = [
    [shell(`set -x; : ${hidden}; exit 3`), /"sh" failed \(3\) \|/],
    [shell(`echo ${hidden}; exit 1`), /"sh" failed \(1\) \| run it by hand/],
    [shell('kill -TERM $$'), /"sh" failed \(SIGTERM\)/],
    [shell('true'), /the command "sh" is empty or not set/],
    [shell('yes'), /failed \(ERR_CHILD_PROCESS_STDIO_MAXBUFFER\)/],
    [
      command('no-such-program-of-xoauthd', hidden),
      /"no-such-program-of-xoauthd" is not installed/,
    ],
    [command('/etc/passwd', hidden), /failed \(EACCES\)/],
    [command('/etc/passwd/x', hidden), /failed \(ENOTDIR\)/],
    [command('echo', hidden.repeat(10_000)), /failed \(E2BIG\)/],
    [command('echo', `${hidden}\0`), /failed \(ERR_INVALID_ARG_VALUE\)/],
    [command(), /failed \(ERR_INVALID_ARG_VALUE\)/],
  ]
  for (const [secret, text] of cases)
    t.match(await refusal(secret), { code: 'misconfigured', text }, text.source)
})

void t.test('a command that hangs', async (t) => {
  const { refusal } = place(t, {}, 200)
  for (const secret of [command('sleep', '60'), shell('trap "" TERM; while :; do :; done')])
    t.match(await refusal(secret), {
      code: 'unavailable',
      text: /printed no secret within 0\.2 s \| .*passphrase/,
    })
})

void t.test('where a secret comes from, in words', (t) => {
  const secrets: readonly Secret[] = [
    { kind: 'inline', value: hidden },
    file('/etc/secret'),
    { kind: 'env', variable: 'SECRET' },
    command('pass', 'show', hidden),
    credential('google'),
  ]
  t.same(secrets.map(describeSecret), [
    'the configuration file',
    'the file /etc/secret',
    'the environment variable SECRET',
    'the command "pass"',
    'the systemd credential google',
  ])
  t.end()
})
