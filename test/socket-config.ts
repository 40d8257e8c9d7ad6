/** The rules of the `[[socket]]` tables, and the socket that is there without one. */
import t from 'tap'
import { socketPathMaxBytes } from '../src/socket-config.ts'
import { configOf, environment, google, problemsOf, serviceAccount } from './fixtures/config.ts'

const accounts = google + serviceAccount
const firstLine = accounts.split('\n').length

/** Lines are counted from the first `[[socket]]`. */
async function said(text: string, env: NodeJS.ProcessEnv = environment): Promise<string[]> {
  const problems = await problemsOf(accounts + text, env)
  return problems.map((problem) =>
    problem.replace(/^\d+/, (line) => String(Number(line) - firstLine + 1)),
  )
}

const says = async (text: string, problems: readonly string[], env?: NodeJS.ProcessEnv) =>
  t.same(await said(text, env), problems, problems.join('; ') || text)

const socketsOf = async (text: string, env: NodeJS.ProcessEnv = environment) =>
  (await configOf(accounts + text, env)).sockets

void t.test('where the default socket is', async (t) => {
  const uid = process.getuid?.() ?? -1
  const cases: readonly [NodeJS.ProcessEnv, string][] = [
    [{ RUNTIME_DIRECTORY: '/run/xoauthd', XDG_RUNTIME_DIR: '/run/user/7' }, '/run/xoauthd/socket'],
    [{ RUNTIME_DIRECTORY: '/run/a:/run/b' }, '/run/a/socket'],
    [{ RUNTIME_DIRECTORY: 'a', XDG_RUNTIME_DIR: '/run/user/7' }, '/run/user/7/xoauthd/socket'],
    [{ XDG_RUNTIME_DIR: 'relative' }, `/run/user/${uid}/xoauthd/socket`],
    [{}, `/run/user/${uid}/xoauthd/socket`],
  ]
  for (const [env, path] of cases) {
    t.match(await socketsOf('', env), [{ path, mode: 0o600, control: true }])
    t.match(await socketsOf('[[socket]]', env), [{ path, mode: 0o600, control: true }])
  }
})

void t.test('paths', async (t) => {
  const pathOf = async (path: string) => (await socketsOf(`[[socket]]\npath = "${path}"`))[0]?.path
  t.equal(await pathOf('/run/x.sock'), '/run/x.sock')
  t.equal(await pathOf('~/x.sock'), '/home/me/x.sock')
  t.equal(await pathOf('x.sock'), '/etc/mail/x.sock', 'beside the configuration')
  t.equal(await pathOf('/run/a/..//x.sock'), '/run/x.sock')

  const ofLength = (bytes: number) => `/run/${'ü'.repeat(2)}${'x'.repeat(bytes - 9)}`
  await says(`[[socket]]\npath = "${ofLength(socketPathMaxBytes)}"`, [])
  await says(`[[socket]]\npath = "${ofLength(socketPathMaxBytes + 1)}"`, [
    '2: socket[1].path is 108 bytes long, where 107 are the most that a socket may have; choose a shorter one',
  ])
  const long = { RUNTIME_DIRECTORY: `/run/${'x'.repeat(100)}` }
  await says(
    '',
    [
      '-8: socket is missing, and the default path is 112 bytes long, where 107 are the most that a socket may have; write a [[socket]] with path and control = true',
    ],
    long,
  )
  await says(
    '[[socket]]',
    [
      '1: socket[1].path is 112 bytes long, where 107 are the most that a socket may have; choose a shorter one',
    ],
    long,
  )
  await says('[[socket]]\npath = "/run/x"\ncontrol = true', [], long)
})

void t.test('two sockets at one path', async () => {
  await says('[[socket]]\n[[socket]]\n[[socket]]\nmode = "0600"', [
    '2: socket[2].path is missing, and socket[1] is at the default path already; write one',
    '3: socket[3].path is missing, and socket[2] is at the default path already; write one',
  ])
  await says('[[socket]]\npath = "/run/a"\n[[socket]]\npath = "/run/b/../a"', [
    '4: socket[2].path is the same as that of socket[1]: /run/a; write another',
  ])
  await says('[[socket]]\n[[socket]]\npath = "/run/user/7/xoauthd/socket"', [
    '3: socket[2].path is the same as that of socket[1]: /run/user/7/xoauthd/socket; write another',
  ])
  await says('[[socket]]\npath = 5\n[[socket]]', [
    '2: socket[1].path must be a string in quotes, not 5',
  ])
})

void t.test('the control socket', async (t) => {
  const usual = '/run/user/7/xoauthd/socket'
  const other = '[[socket]]\npath = "/run/a"\n'
  t.match(await socketsOf(other), [
    { path: '/run/a', control: false },
    { path: usual, control: true },
  ])
  t.same(
    (await socketsOf(`${other}control = true`)).map(({ path }) => path),
    ['/run/a'],
  )
  t.match(await socketsOf(`[[socket]]\npath = "${usual}"`), [{ path: usual, control: true }])
  t.match(await socketsOf(`[[socket]]\n${other}control = true`), [
    { path: usual, control: true },
    { path: '/run/a', control: true },
  ])

  const clash =
    'is the default path, where the control socket belongs; write another, or mode = "0600" and control = true'
  await says('[[socket]]\ncontrol = false', [`1: socket[1].path ${clash}`])
  await says(`[[socket]]\nmode = "0400"\npath = "${usual}"`, [`3: socket[1].path ${clash}`])
  for (const mode of ['0660', '0700'])
    await says(
      `${other}mode = "${mode}"\ncontrol = true\naccounts = ["me@gmail.com"]\nservices = ["smtp"]`,
      [
        '4: socket[1].control needs mode = "0600", since it gives orders to the daemon; remove one of them',
      ],
    )
})

void t.test('modes', async (t) => {
  const rights = 'accounts = ["me@gmail.com"]\nservices = ["smtp"]'
  const other = '[[socket]]\npath = "/run/a"\n'
  for (const [mode, bits] of [
    ['0600', 0o600],
    ['600', 0o600],
    ['0666', 0o666],
    ['060', 0o060],
  ] as const)
    t.equal((await socketsOf(`${other}${rights}\nmode = "${mode}"`))[0]?.mode, bits)
  for (const mode of ['"0o660"', '"rw-rw----"', '"01777"', '"0680"', '"60"', '""'])
    await says(`${other}mode = ${mode}`, [
      '3: socket[1].mode must be an octal mode in quotes, e.g. "0660"',
    ])
  await says(`${other}mode = 0o660`, ['3: socket[1].mode must be a string in quotes, not 432'])
})

void t.test('a socket that others may open', async () => {
  const missing = (mode: string) =>
    `is missing; a socket that others may open (mode "${mode}") must say what it serves`
  const other = '[[socket]]\npath = "/run/a"\n'
  await says(`${other}mode = "0660"`, [
    `1: socket[1].accounts ${missing('0660')}`,
    `1: socket[1].services ${missing('0660')}`,
  ])
  await says(`${other}mode = "0601"\nservices = ["smtp"]`, [
    `1: socket[1].accounts ${missing('0601')}`,
  ])
  await says(`${other}mode = "020"\naccounts = 5`, [
    `1: socket[1].services ${missing('0020')}`,
    '4: socket[1].accounts must be a list in brackets, not 5',
  ])
  await says(`${other}accounts = []\nservices = []`, [
    '3: socket[1].accounts is empty, which leaves nothing; name at least one, or remove it',
    '4: socket[1].services is empty, which leaves nothing; name at least one, or remove it',
  ])
})

void t.test('groups and owners', async (t) => {
  const other = '[[socket]]\npath = "/run/a"\n'
  t.match(await socketsOf(`${other}group = "root"\nowner = "root"`), [{ gid: 0, uid: 0 }])
  t.match(await socketsOf(`${other}group = "12345"\nowner = "4294967294"`), [
    { gid: 12345, uid: 4294967294 },
  ])
  for (const name of ['no-such-name', '4294967295', '-s', 'a\\u0000b', 'root:x'])
    t.match(
      await said(`${other}group = "${name}"\nowner = "${name}"`),
      [/^3: socket\[1\].group "[^]+" is no group/, /^4: socket\[1\].owner "[^]+" is no user/],
      name,
    )
  await says(`${other}group = "no-such-name"\nowner = "no-such-name"`, [
    '3: socket[1].group "no-such-name" is no group of this machine; choose one of: getent group',
    '4: socket[1].owner "no-such-name" is no user of this machine; choose one of: getent passwd',
  ])
})

void t.test('whom a socket serves', async () => {
  const serving = (...names: string[]) => `[[socket]]\naccounts = ${JSON.stringify(names)}`
  await says(serving('me@gmail.com', 'ME@Gmail.com', '*@gmail.com'), [])
  await says(serving('*@corp.example', 'one@CORP.example'), [])
  await says(serving('me@gmail.com', 'you@gmail.com', '*@example'), [
    '2: socket[1].accounts[2] names you@gmail.com, which no [[account]] serves; correct it, or add it to the mailboxes of one',
    '2: socket[1].accounts[3] names *@example, which no [[account]] serves; correct it, or add it to the mailboxes of one',
  ])
  await says(serving('me'), [
    '2: socket[1].accounts[1] is no mail address; write "name@domain", or "*@domain" for a whole domain',
  ])
  // An account that is wrong elsewhere is an account all the same.
  const wrong = google.replace('me@', 'you@').replace('client_id', 'id')
  await says(`${serving('you@gmail.com')}\n${wrong}mailboxes = ["team@gmail.com"]`, [
    '3: account[3].client_id is missing; write client_id = …, an OAuth client of the type "Desktop app", …apps.googleusercontent.com',
  ])
})

void t.test('other keys', async () => {
  await says('[[socket]]\nprotocol = "http"\nmod = "0600"', [
    '2: socket[1].protocol must be one of "line", "socketmap"',
    '3: socket[1].mod is no key that xoauthd knows; did you mean "mode"?',
  ])
  await says('[socket]\nmode = "0600"', [
    '1: socket must be written in double brackets: [[socket]]',
  ])
  t.same(await problemsOf(`socket = ["/run/a"]\n${google}`), [
    '1: socket[1] must be a table; write [[socket]]',
  ])
})

void t.test('a map for postfix', async (t) => {
  const table = '[[socket]]\npath = "/run/p"\nprotocol = "socketmap"\n'
  const map = '{ "SMTP.gmail.com" = "me@gmail.com", "[x.example]:587" = "ME@gmail.com" }'
  const [socket, control] = await socketsOf(`${table}map = ${map}`)
  t.match(socket, { protocol: 'socketmap', control: false })
  t.same(Object.fromEntries(socket?.map ?? []), {
    'smtp.gmail.com': 'me@gmail.com',
    '[x.example]:587': 'ME@gmail.com',
  })
  t.match(control, { protocol: 'line', control: true })

  await says(`[[socket]]\npath = "/run/p"\nmap = ${map}`, [
    '3: socket[1].map belongs to protocol = "socketmap"; set that, or remove it',
  ])
  await says(`${table}control = true`, [
    '4: socket[1].control needs protocol = "line"; remove one of them',
  ])
  await says('[[socket]]\nprotocol = "socketmap"', [
    '1: socket[1].path is the default path, where the control socket belongs; write another, or mode = "0600" and control = true',
  ])
  await says(`${table}map = { "a b" = "me@gmail.com" }`, [
    '4: socket[1].map.a b is no host; write e.g. "smtp.example.org", or "[smtp.example.org]:587"',
  ])
  await says(`${table}map = { a = "nobody" }`, [
    '4: socket[1].map.a is no mail address; write "name@domain"',
  ])
  await says(`${table}map = { a = "you@gmail.com" }`, [
    '4: socket[1].map.a names you@gmail.com, which this socket does not serve; correct it, or add it to accounts',
  ])
  await says(`${table}accounts = ["*@corp.example"]\nmap = { a = "me@gmail.com" }`, [
    '5: socket[1].map.a names me@gmail.com, which this socket does not serve; correct it, or add it to accounts',
  ])
})

void t.test('services that no account has', async () => {
  const other = '[[socket]]\npath = "/run/a"\n'
  await says(`${other}services = ["smtp", "smpt"]`, [
    '3: socket[1].services[2] names "smpt", which no [[account]] has; did you mean "smtp"?',
  ])
  await says(`${other}services = ["ews"]`, [
    '3: socket[1].services[1] names "ews", which no [[account]] has; remove it',
  ])
})
