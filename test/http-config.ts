/** What `[http]` may say, and the sentence about each mistake. */
import t from 'tap'
import { configOf, google, problemsOf } from './fixtures/config.ts'

const login = 'user = "engine"\npassword = "x"\n'
const read = async (lines: string) => (await configOf(`${google}[http]\n${lines}`)).http
/** The lines are counted from `[http]`. */
const says = async (lines: string, problems: readonly string[]) =>
  t.same(await problemsOf(`[http]\n${lines}\n${google}`), problems, lines)

void t.test('where it listens', async (t) => {
  t.equal((await configOf(google)).http, undefined)
  t.same(await read(`listen = "127.0.0.1:8025"\n${login}`), {
    listen: { kind: 'tcp', host: '127.0.0.1', port: 8025 },
    path: undefined,
    login: { user: 'engine', password: { kind: 'inline', value: 'x' } },
    allow: undefined,
    hosts: [],
    accounts: undefined,
    services: undefined,
    tls: undefined,
  })
  t.match(await read(`listen = "[::1]:8025"\n${login}`), { listen: { host: '::1' } })
  t.match(await read(`listen = "localhost:0"\n${login}`), { listen: { host: 'localhost' } })
  const unix = (path: string) => ({ listen: { kind: 'unix', path, mode: 0o600 }, login: undefined })
  t.match(await read('listen = "/run/h.sock"'), unix('/run/h.sock'))
  t.match(await read('listen = "~/h.sock"'), unix('/home/me/h.sock'))
  t.match(await read('listen = "./h.sock"'), unix('/etc/mail/h.sock'))
  t.match(
    await read(
      'listen = "/run/h"\nmode = "0660"\naccounts = ["me@gmail.com"]\nservices = ["smtp"]',
    ),
    {
      listen: { mode: 0o660 },
    },
  )
  const tls = 'cert = "chain.pem"\nkey = { file = "/k.pem" }\nhosts = ["Tokens.Example"]'
  t.match(await read(`listen = "0.0.0.0:443"\n${login}${tls}`), {
    tls: {
      cert: { kind: 'file', path: '/etc/mail/chain.pem' },
      key: { kind: 'file', path: '/k.pem' },
    },
    hosts: ['tokens.example'],
  })
  const { holdsSecret } = await configOf(`${google}[http]\nlisten = "[::1]:1"\n${login}`)
  t.ok(holdsSecret, 'the password is in the file')
})

void t.test('mistakes', async (t) => {
  t.same(await problemsOf(`http = 5\n${google}`), ['1: http must be a table; write [http]'])
  await says(login, [
    '1: http.listen is missing; write listen = …, where it listens: host:port, or the path of a UNIX socket',
  ])
  for (const host of ['0.0.0.0', '192.0.2.1', '[::]', 'mail.example.org', '128.0.0.1'])
    await says(`listen = "${host}:1"\n${login}`, [
      `2: http.listen is ${host.replace(/[[\]]/g, '')}, which others can reach, and tokens would travel in clear; set cert and key, or listen on 127.0.0.1, [::1] or a UNIX path`,
    ])
  await says(`listen = "8025"\n${login}`, [
    '2: http.listen must be "host:port", e.g. "127.0.0.1:8025", or the absolute path of a UNIX socket',
  ])
  const needed =
    'is missing; every program that reaches a TCP port may try, so it needs user and password (a UNIX path needs none)'
  await says('listen = "[::1]:1"\nuser = "x"', [`1: http.password ${needed}`])
  await says('listen = "[::1]:1"', [`1: http.user ${needed}`, `1: http.password ${needed}`])
  await says('listen = "/run/h"\nuser = "x"', [
    '1: http.password is missing; user and password belong together',
  ])
  await says(`listen = "[::1]:1"\n${login}mode = "0600"\ncert = "x"`, [
    '1: http.key is missing; cert and key belong together',
    '5: http.mode belongs to a UNIX path, and listen is host:port; remove it',
  ])
  await says('listen = "/run/h"\nmode = "0666"\nallow = ["::1"]\ngroup = "no-such-group"', [
    '1: http.accounts is missing; a socket that others may open must say what it serves',
    '1: http.services is missing; a socket that others may open must say what it serves',
    '4: http.allow belongs to host:port; who may open a UNIX path is said by mode and group',
    '5: http.group "no-such-group" is no group of this machine; choose one of: getent group',
  ])
  await says('listen = "/run/user/7/xoauthd/socket"', [
    '2: http.listen is the path of a [[socket]]: /run/user/7/xoauthd/socket; write another',
  ])
  await says(`listen = "/${'x'.repeat(107)}"`, [
    '2: http.listen is 108 bytes long, where 107 are the most that a socket may have; choose a shorter one',
  ])
  await says(
    `listen = "[::1]:1"\n${login.replace('engine', 'a:b')}path = "x"\nallow = ["::1", "10.0.0.0/33", "x"]\nhosts = ["a:1", "http://b"]`,
    [
      '3: http.user must be a name without a colon',
      '5: http.path must begin with "/" and be written as in a URL',
      '6: http.allow[2] is no network: "10.0.0.0/33"; write an address or a block, e.g. "192.0.2.7" or "10.0.0.0/8"',
      '6: http.allow[3] is no network: "x"; write an address or a block, e.g. "192.0.2.7" or "10.0.0.0/8"',
      '7: http.hosts[1] is no host name; write it alone, e.g. "tokens.example.org"',
      '7: http.hosts[2] is no host name; write it alone, e.g. "tokens.example.org"',
    ],
  )
  await says(
    `listen = "[::1]:1"\n${login}accounts = ["you@x.example"]\nservices = ["smpt"]\ncolour = 1`,
    [
      '5: http.accounts[1] names you@x.example, which no [[account]] serves; correct it, or add it to the mailboxes of one',
      '6: http.services[1] names "smpt", which no [[account]] has; did you mean "smtp"?',
      '7: http.colour is no key that xoauthd knows; remove it',
    ],
  )
})
