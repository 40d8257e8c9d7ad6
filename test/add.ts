/** `add`: an address is recognised, its keys are asked for, and the file keeps what was in it. */
import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { accountBlock, parseSetting } from '../src/account-block.ts'
import { recognise } from '../src/recognise.ts'
import { createHome, program, run, shellLine, startDaemonProcess } from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'
import { openTerminal, terminalProgram } from './fixtures/terminal.ts'

const issuer = 'https://issuer.example'

function homeOf(t: Test, toml = '') {
  const home = createHome(toml)
  t.teardown(() => home.remove())
  const add = (args: readonly string[], stdin = '') => run(home, ['add', ...args], { stdin })
  const text = () => readFileSync(home.configFile, 'utf8')
  return { home, add, text }
}

void t.test('an address is recognised', async (t) => {
  const mx =
    (...hosts: string[]) =>
    () =>
      Promise.resolve(hosts)
  const none = mx()
  t.match(await recognise('Me@GMail.com', none), { provider: 'google', because: /gmail\.com/ })
  const corp = mx('alt1.aspmx.l.google.com')
  t.match(await recognise('me@corp.example', corp), {
    provider: 'google',
    because: 'alt1.aspmx.l.google.com takes the mail of corp.example',
  })
  t.match(await recognise('*@corp.example', corp), { provider: 'google-service-account' })
  t.equal(await recognise('me@corp.example', mx('mx.notgoogle.com')), undefined)
  t.equal(await recognise('me@corp.example', none), undefined)
})

void t.test('values of the command line', (t) => {
  t.same(parseSetting('client_id=12.apps'), ['client_id', '12.apps'])
  t.same(parseSetting('key={ file = "k" }'), ['key', { file: 'k' }])
  t.same(parseSetting('services=["smtp"]'), ['services', ['smtp']])
  t.throws(() => parseSetting('client'), { code: 'bad-request', hint: /--set/ })
  t.equal(
    accountBlock({ user: 'a"b', n: 3, on: true, scopes: { smtp: ['x'], 'a b': [] } }),
    '\n[[account]]\nuser = "a\\"b"\nn = 3\non = true\nscopes = { smtp = ["x"], "a b" = [] }\n',
  )
  t.end()
})

void t.test('asked for at a terminal', async (t) => {
  const { home, add, text } = homeOf(t)
  rmSync(home.configFile)
  const { code, stderr } = await add(
    [],
    'me@gmail.com\n12.apps.googleusercontent.com\n\n~/google-secret\nn\n',
  )
  t.equal(code, 0, stderr)
  t.match(stderr, /me@gmail\.com is an account of google: of the domain gmail\.com\./)
  t.match(stderr, /docs\/providers\/google\.md/)
  t.match(stderr, /client_id: an OAuth client of the type "Desktop app"/)
  t.match(
    stderr,
    /Added me@gmail\.com to \S+config\.toml\.\n[^]*Next: xoauthd login me@gmail\.com, then xoauthd serve \(or xoauthd install-service\)\n$/,
  )
  t.equal(
    text(),
    `# The configuration of xoauthd: xoauthd.toml(5).

[[account]]
user = "me@gmail.com"
provider = "google"
client_id = "12.apps.googleusercontent.com"
client_secret = { file = "~/google-secret" }
`,
  )
  t.equal(statSync(home.configFile).mode & 0o777, 0o600)
})

void t.test('the examples of its help', async (t) => {
  const { home } = homeOf(t)
  const { stdout } = await run(home, ['help', 'add'])
  const lines = /\nExamples:\n([^]*)$/.exec(stdout)?.[1]?.trim().split(/\n\s*/) ?? []
  t.equal(lines.length, 3)
  for (const line of lines) {
    rmSync(home.configFile, { force: true })
    const clientId = line.includes('microsoft')
      ? '00000000-0000-0000-0000-000000000000'
      : '1.apps.googleusercontent.com'
    const input = `${clientId}\nhush\nn\n`
    const command = shellLine(home, line.replace(/^xoauthd /, ''))
    const { status, stderr } = spawnSync('sh', ['-c', command], { input, encoding: 'utf8' })
    t.equal(status, 0, `${line}\n${stderr}`)
  }
})

void t.test('given by options, beside what is there', async (t) => {
  const before = `# my mail
[client.corp]
client_id = "mail"
client_secret = "s"   # kept`
  const { home, add, text } = homeOf(t, before)
  const real = join(home.path, 'real.toml')
  writeFileSync(real, before, { mode: 0o640 })
  chmodSync(real, 0o600)
  rmSync(home.configFile)
  symlinkSync(real, home.configFile)
  const flags = ['--provider', 'oauth2', '--set', 'client=corp', '--set', `issuer=${issuer}`]
  t.match(await add(['me@issuer.example', ...flags]), {
    code: 0,
    stdout: '',
    stderr: /Next: xoauthd login me@issuer\.example, then xoauthd serve /,
  })
  const after = `${before}\n
[[account]]
user = "me@issuer.example"
provider = "oauth2"
client = "corp"
issuer = "${issuer}"
`
  t.equal(readFileSync(real, 'utf8'), after, 'the link is one still')
  t.equal(text(), after)
})

void t.test('no secret goes into a file that others can read', async (t) => {
  const { home, add, text } = homeOf(t, '# mine\n')
  chmodSync(home.configFile, 0o644)
  const flags = ['me@gmail.com', '--set', 'client_id=1.apps.googleusercontent.com', '--set']
  t.match(await add([...flags, 'client_secret=hush']), {
    code: 78,
    stderr:
      /config\.toml: would hold a secret \(nothing was written\), and \S+ is open to others \(mode 0644\); run: chmod o= /,
  })
  t.equal(text(), '# mine\n')
  t.match(await add([...flags, 'client_secret={ env = "SECRET" }']), { code: 0 })
  chmodSync(home.configFile, 0o666)
  const before = text()
  t.match(await add(['you@gmail.com', ...flags.slice(1), 'client_secret={ env = "S" }']), {
    code: 78,
    stderr: /can be written by others/,
  })
  t.equal(text(), before)
})

void t.test('a running daemon has it at once', async (t) => {
  const account = (user: string) =>
    `[[account]]\nuser = "${user}"\nprovider = "oauth2"\nissuer = "${issuer}"\nclient_id = "m"\n`
  const { home, add } = homeOf(t, account('you@issuer.example'))
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  const flags = ['--provider', 'oauth2', '--set', `issuer=${issuer}`, '--set', 'client_id=m']
  t.match(await add(['me@issuer.example', ...flags]), { code: 0, stderr: /The daemon has it\./ })
  t.match(await run(home, ['token', 'me@issuer.example']), { code: 77, stderr: /signed in/ })
})

void t.test('what is wrong changes nothing', async (t) => {
  const before =
    '[[account]]\nuser = "me@gmail.com"\nprovider = "google"\nclient_id = "1.apps.googleusercontent.com"\nclient_secret = "s"\n'
  const { add, text } = homeOf(t, before)
  const cases: [string[], object][] = [
    [['nobody'], { code: 64, stderr: /nobody is no mail address\nhint: / }],
    [
      ['x@y.invalid'],
      {
        code: 64,
        stderr:
          /^What serves x@y\.invalid cannot be told .*:\n {2}google, .*\n {2}.*auth-server\nProvider: \nxoauthd: no answer to: Provider\nhint: .*--provider NAME\n$/,
      },
    ],
    [
      ['ME@gmail.com'],
      { code: 78, stderr: /^[^\n]* is a name of account\[1\] already.*\nhint: .*\n$/ },
    ],
    [
      ['*@gmail.com', '--provider', 'google'],
      {
        code: 78,
        stderr: /^xoauthd: the account was not added: user must be one address.*\nhint: .*\n$/,
      },
    ],
    [
      ['x@gmail.com', '--set', 'clientid=x'],
      { code: 78, stderr: /not added: clientid is no key .* did you mean "client_id"\?\nhint: / },
    ],
    [['x@y.example', '--provider', 'gogle'], { code: 64, stderr: /gogle is no provider/ }],
    [
      ['x@gmail.com'],
      { code: 64, stderr: /no answer to: client_id: .*\nhint: .*--set client_id=/ },
    ],
    [['x@gmail.com', '--set', 'oops'], { code: 64, stderr: /--set takes key=value/ }],
    [
      ['x@gmail.com', '--set', 'client_id=x', '--set', 'client_secret=s'],
      {
        code: 78,
        stderr:
          /\nxoauthd: the account was not added: client_id is no client id of Google; .*\nhint: nothing was written to \S+config\.toml\n$/,
      },
    ],
    [
      [
        'me@gmail.com',
        '--set',
        'client_id=1.apps.googleusercontent.com',
        '--set',
        'client_secret=s',
      ],
      { code: 78, stderr: /not added: user "me@gmail\.com" is a name of account\[1\] already/ },
    ],
  ]
  await Promise.all(
    cases.map(async ([args, wanted]) => t.match(await add(args), wanted, args.join(' '))),
  )
  t.equal(text(), before)
})

void t.test('an answer that cannot be', async (t) => {
  const before = '# mine\n'
  const { add, text } = homeOf(t, before)
  t.match(await add(['x@gmail.com'], '123\nhush\n'), {
    code: 64,
    stderr:
      /\nclient_id: .*: xoauthd: client_id is no client id of Google; .*\nhint: nothing was written\n$/,
  })
  t.match(await add([], 'nobody\n'), { code: 64, stderr: /user is no mail/ })
  t.equal(text(), before)
  const broken = homeOf(t, '[log]\nlevle = "info"\n')
  t.match(await broken.add(['x@gmail.com'], '1.apps.googleusercontent.com\n'), {
    code: 78,
    stderr:
      /^xoauthd: \S+config\.toml:2: log\.levle is no key that xoauthd knows; did you mean "level"\?\n$/,
  })
})

void t.test('what is needed only where another key is missing is asked for, too', async (t) => {
  const { home, add, text } = homeOf(t)
  rmSync(home.configFile)
  const flags = ['me@issuer.example', '--provider', 'oauth2']
  const scopes = '{ smtp = ["mail.send"], login = ["offline_access"] }'
  const { code, stderr } = await add(flags, `mail\n${issuer}\n\n${scopes}\nn\n`)
  t.equal(code, 0, stderr)
  t.match(stderr, /issuer is missing; write issuer = .* token_endpoint\nissuer: the server, .*: /)
  t.match(stderr, /client_secret: .* \(empty for none\): scopes: .* \(empty for none\): Added /)
  t.match(
    text(),
    `provider = "oauth2"\nclient_id = "mail"\nissuer = "${issuer}"\nscopes = ${scopes}\n`,
  )
})

void t.test('words where a list is wanted', async (t) => {
  const { home, add, text } = homeOf(t)
  rmSync(home.configFile)
  const given = ['me@x.example', '--provider', 'command']
  const { code, stderr } = await add(given, 'echo  tok\n')
  t.equal(code, 0, stderr)
  t.match(stderr, /\ncommand: a program that prints a token, .*; words, or \["…", "…"\]: Added /)
  t.match(text(), 'command = ["echo", "tok"]\n')
  for (const answer of ['echo "a b"', 'echo $TOKEN', 'date | md5sum'])
    t.match(await add(['you@x.example', ...given.slice(1)], `${answer}\n`), {
      code: 64,
      stderr: /\bcommand must be a list in brackets, not .*\nhint: nothing was written\n$/,
    })
  const quoted = await add(['you@x.example', ...given.slice(1)], '["echo", "a b"]\n')
  t.equal(quoted.code, 0, quoted.stderr)

  const flags = ['me@issuer.example', '--provider', 'oauth2', '--set', `issuer=${issuer}`]
  const asked = await add(flags, 'mail\n\nmail.all offline\nn\n')
  t.match(asked.stderr, /scopes: .*; words, or \{ smtp = .* \} \(empty for none\): Added /)
  t.match(text(), 'scopes = { smtp = ["mail.all", "offline"], imap = ["mail.all", "offline"] }\n')
})

void t.test(
  'at a terminal a wrong answer is asked for again',
  needs(...terminalProgram),
  async (t) => {
    const { home, text } = homeOf(t)
    rmSync(home.configFile)
    const terminal = await openTerminal({ ...home.env })
    t.teardown(() => terminal.close())
    const adding = terminal.run(`'${process.execPath}' '${program}' add`)
    const answers: [RegExp, string][] = [
      [/whole domain\): $/, 'nobody'],
      [/user is no mail address;.*\n.*whole domain\): $/, 'me@gmail.com'],
      [/client_id: .*: $/, '12'],
      [/client_id is no client id of Google; .*\nclient_id: .*: $/, '1.apps.googleusercontent.com'],
      [/client_secret: .*: $/, '~/secret'],
      [/Sign in now\? \[Y\/n\]: $/, 'n'],
    ]
    for (const [prompt, answer] of answers) {
      await terminal.sees(prompt)
      terminal.answer(answer)
    }
    t.equal((await adding).status, 0)
    t.match(text(), 'client_id = "1.apps.googleusercontent.com"\n')
  },
)
