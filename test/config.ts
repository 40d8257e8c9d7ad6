/** The file as a whole: what each key becomes, and what is said of a file that is wrong. */
import t from 'tap'
import type { Config } from '../src/config.ts'
import { providers } from '../src/providers/index.ts'
import { configOf, file, google, says, serviceAccount } from './fixtures/config.ts'

void t.test('the least there can be', async (t) => {
  t.same(await configOf(google), {
    file,
    accounts: [
      {
        user: 'me@gmail.com',
        provider: 'google',
        id: 'me@gmail.com',
        mailboxes: [],
        services: ['smtp', 'imap'],
        loginAs: {},
        scopes: {},
        hosts: {
          smtp: 'smtp.gmail.com:465',
          imap: 'imap.gmail.com:993',
          pop: 'pop.gmail.com:995',
        },
        send: undefined,
        maxMailboxes: 100_000,
        settings: {
          client_id: '1.apps.googleusercontent.com',
          client_secret: { kind: 'env', variable: 'SECRET' },
        },
      },
    ],
    sockets: [
      {
        path: '/run/user/7/xoauthd/socket',
        mode: 0o600,
        gid: undefined,
        uid: undefined,
        accounts: undefined,
        services: undefined,
        control: true,
        protocol: 'line',
        map: new Map(),
      },
    ],
    http: undefined,
    storePath: '',
    storeKey: undefined,
    notifyCommand: undefined,
    log: { level: 'info', audit: true },
    holdsSecret: false,
  } satisfies Config)
})

void t.test('everything there can be', async (t) => {
  const config = await configOf(`
[store]
path = "~/grants"
[log]
level = "debug"
audit = false
[client.shared]
client_id = "shared"
client_secret = "hush"
redirect_uri = "https://corp.example/back"
[[account]]
user = "Me@Issuer.example"
provider = "oauth2"
id = "mine"
mailboxes = ["team@issuer.example", "*@team.example"]
services = ["smtp", "x-1"]
login_as = { smtp = "person", imap = "mailbox" }
client = "shared"
client_id = "own"
client_auth = "basic"
authorization_endpoint = "https://issuer.example/a"
token_endpoint = "http://127.0.0.1:8080/t"
revocation_endpoint = "http://[::1]/r"
listen = "[::1]:8400"
extra = { authorize = { a = "1" }, token = { b = "2" } }
hosts = { smtp = "smtp.issuer.example:465", imap = "[::1]:993", pop = "pop:995" }
send = "smtp"
max_mailboxes = 1
[account.scopes]
smtp = ["send"]
imap = []
x-1 = ["x"]
login = ["openid"]
[[socket]]
path = "~/s"
mode = "660"
group = "0"
owner = "root"
accounts = ["ME@issuer.example", "*@team.example"]
services = ["smtp"]
protocol = "line"
control = false
`)
  t.match(config.accounts, [
    {
      user: 'Me@Issuer.example',
      id: 'mine',
      mailboxes: ['team@issuer.example', '*@team.example'],
      services: ['smtp', 'x-1'],
      loginAs: { smtp: 'person', imap: 'mailbox' },
      scopes: { smtp: ['send'], imap: [], 'x-1': ['x'], login: ['openid'] },
      hosts: { smtp: 'smtp.issuer.example:465', imap: '[::1]:993', pop: 'pop:995' },
      send: 'smtp',
      maxMailboxes: 1,
    },
  ])
  t.same(config.accounts[0]?.settings, {
    client_id: 'own',
    client_secret: { kind: 'inline', value: 'hush' },
    client_auth: 'basic',
    authorization_endpoint: 'https://issuer.example/a',
    token_endpoint: 'http://127.0.0.1:8080/t',
    revocation_endpoint: 'http://[::1]/r',
    redirect_uri: 'https://corp.example/back',
    listen: '[::1]:8400',
    extra: { authorize: { a: '1' }, token: { b: '2' } },
  })
  t.match(config.sockets, [
    { path: '/home/me/s', mode: 0o660, gid: 0, uid: 0, services: ['smtp'], control: false },
    { path: '/run/user/7/xoauthd/socket', mode: 0o600, control: true },
  ])
  t.same(config.log, { level: 'debug', audit: false })
  t.equal(config.storePath, '~/grants')
  t.ok(config.holdsSecret)
})

void t.test('a file without accounts', async (t) => {
  const missing = '1: account is missing; write at least one [[account]] with user and provider'
  for (const text of ['', '# nothing\n', '\ufeff', 'account = []', '[log]\n'])
    await says(t, text, [missing], JSON.stringify(text))
  for (const text of ['[account]\nuser = "me@gmail.com"', 'account = 5'])
    await says(t, text, ['1: account must be written in double brackets: [[account]]'])
  await says(t, 'account = [\n{},\n5]', [
    '2: account[1].user is missing; write user = …, who signs in, or "*@domain" for any mailbox of a domain',
    '2: account[1].provider is missing; write provider = …, the kind of server that issues the tokens: ' +
      Object.keys(providers).join(', '),
    '3: account[2] must be a table; write [[account]]',
  ])
})

void t.test('what is not TOML', async (t) => {
  const notClosed =
    'a list or an inline table is not closed before this, or a comma is missing; write , between its values and ] or } at its end'
  const header =
    'the name of a table is not closed; it ends with as many brackets as it begins with, as in [[account]]'
  const bare = (key: string) =>
    `the value of ${key} is neither a text, a number nor true or false; a text stands in quotation marks: ${key} = "…"`
  const open = 'a text does not end on its line; write the quotation mark at its end too'
  const cases: [text: string, says: string][] = [
    ['a = 1\nb = [1\n', `3: ${notClosed} (column 1)`],
    ['a = [1\nb = 1\n', `2: ${notClosed} (column 1)`],
    ['a = { b = 1\n', `2: ${notClosed} (column 1)`],
    ['a = ["x" "y"]\n', `1: ${notClosed} (column 10)`],
    [
      'a = ["x",\nb = 1\n',
      '2: a list before this line is not closed; write ] after its last value (column 1)',
    ],
    ['[[account]\nuser = 1\n', `1: ${header} (column 11)`],
    ['[account\nuser = 1\n', `1: ${header} (column 9)`],
    ['user = me@x.example # me\n', `1: ${bare('user')} (column 8)`],
    [`${google}\n id = me`, `7: ${bare('id')} (column 7)`],
    ['user = me@x.example"\n', `1: ${bare('user')} (column 8)`],
    ['user = \n', '1: user has no value; write user = "…" (column 8)'],
    [
      '[[socket]]\nmode = 0660\n',
      '2: a number does not begin with 0; what is none must be a string in quotes: mode = "…" (column 8)',
    ],
    ['a = "me\nb = 1\n', `1: ${open} (column 8)`],
    ["a = 'me\r\nb = 1\r\n", `1: ${open} (column 8)`],
    ['a = ["me\n]', `1: ${open} (column 9)`],
    ['a = """me\n', '1: a text does not end; write the quotation marks at its end too (column 5)'],
    [`${google}user = "x"`, '6: user stands in this table already; keep one of the two (column 1)'],
    [
      '[log]\n[log]\n',
      '2: this table is there already; keep one of the two, or write [[…]] where there may be several (column 2)',
    ],
    ['user me\n', '1: this is neither key = value, a [table] nor a # remark (column 6)'],
    // The parser's own words.
    ['a = "\x01"\n', '1: control characters are not allowed in strings (column 6)'],
    ['a = 1x\n', '1: illegal character in numeric literal (column 6)'],
  ]
  for (const [text, expected] of cases)
    await says(t, text, [expected.replace(': ', ': is not TOML: ')])
  await says(t, `${google}id = 1979-02-30`, ['6: is not TOML: Unexpected invalid date (column 15)'])
  await t.rejects(configOf('a ='), { name: 'ConfigError', file, problems: [{ line: 1, key: '' }] })
})

void t.test('keys that there are not', async (t) => {
  await says(t, `colour = 1\n${google}`, ['1: colour is no key that xoauthd knows; remove it'])
  await says(t, `[[acount]]\n[sockets]\n[[account]]`, [
    '1: acount is no key that xoauthd knows; did you mean "account"?',
    '2: sockets is no key that xoauthd knows; did you mean "socket"?',
    '3: account[1].user is missing; write user = …, who signs in, or "*@domain" for any mailbox of a domain',
    '3: account[1].provider is missing; write provider = …, the kind of server that issues the tokens: ' +
      Object.keys(providers).join(', '),
  ])
  await says(t, `[log]\nLEVEL = "info"\naudti = 1\n[store]\npaht = "x"\n${google}`, [
    '2: log.LEVEL is no key that xoauthd knows; did you mean "level"?',
    '3: log.audti is no key that xoauthd knows; did you mean "audit"?',
    '5: store.paht is no key that xoauthd knows; did you mean "path"?',
  ])
  // No name of a property that every object has passes for a key.
  await says(t, `constructor = 1\n__proto__ = 2\n${google}toString = 3\nhosts.valueOf = 4`, [
    '1: constructor is no key that xoauthd knows; remove it',
    '2: __proto__ is no key that xoauthd knows; remove it',
    '8: account[1].toString is no key that xoauthd knows; remove it',
    '9: account[1].hosts.valueOf is no key that xoauthd knows; remove it',
  ])
})

void t.test('keys of another table', async (t) => {
  const there = 'it belongs to an [[account]]: move it there, below that line'
  await says(t, `user = "me@gmail.com"\nclient_id = "x"\n${google}`, [
    `1: user stands above every table; ${there}`,
    `2: client_id stands above every table; ${there}`,
  ])
  await says(
    t,
    `${google}[log]\nmailboxes = []\n[client.corp]\nservices = []\n[[socket]]\nclient_secret = "x"`,
    [
      `7: log.mailboxes is no key of [log]; ${there}`,
      `9: client.corp.services is no key of [client.corp]; ${there}`,
      `11: socket[1].client_secret is no key of [[socket]]; ${there}`,
    ],
  )
  await says(t, `${google}mode = "0660"\nlevel = "debug"\n[notify]\nlevle = 1`, [
    '6: account[1].mode is no key of [[account]]; it belongs to a [[socket]] or [http]: move it there, below that line',
    '7: account[1].level is no key of [[account]]; it belongs to [log]: move it there, below that line',
    '9: notify.levle is no key that xoauthd knows; remove it',
  ])
})

void t.test('the key of the store, and who is told', async (t) => {
  const config = await configOf(
    `${google}[store]\nkey = { file = "k" }\n[notify]\ncommand = ["tell", "me"]`,
  )
  t.same(config.storeKey, { kind: 'file', path: 'k' })
  t.same(config.notifyCommand, ['tell', 'me'])
  t.notOk(config.holdsSecret)
  await says(t, `${google}[store]\nkey = 1\n[notify]\ncommand = []`, [
    '7: store.key must be a string, or one of { file = "…" }, { env = "…" }, { command = ["…"] }, { credential = "…" }',
    '9: notify.command is empty; write the program and its arguments, e.g. ["pass", "show", "mail"]',
  ])
})

void t.test('whether the file itself holds a secret', async (t) => {
  t.notOk((await configOf(google + serviceAccount)).holdsSecret)
  t.ok((await configOf(`${google}[store]\nkey = "AGE"`)).holdsSecret)
  t.ok((await configOf(google.replace('{ env = "SECRET" }', '"hush"'))).holdsSecret)
  t.ok((await configOf(`${google}[client.unused]\nclient_secret = "hush"`)).holdsSecret)
})

void t.test('everything that is wrong, at once and in the order of the file', async (t) => {
  await says(
    t,
    `[[socket]]
mode = 660
group = "no-such-group"
[[account]]
user = "me"
provider = "google"
client_id = "1.example"
client_secret = 5
services = ["graph"]
colour = 1
[log]
level = "loud"
[[account]]
user = "*@issuer.example"
provider = "oauth2"
client_id = "x"
login_as = { smtp = "person" }
[[socket]]
path = "s"
accounts = ["you@gmail.com"]
`,
    [
      '2: socket[1].mode must be a string in quotes, not 660',
      '3: socket[1].group "no-such-group" is no group of this machine; choose one of: getent group',
      '5: account[1].user is no mail address; write "name@domain", or "*@domain" for a whole domain',
      '8: account[1].client_secret must be a string, or one of { file = "…" }, { env = "…" }, { command = ["…"] }, { credential = "…" }',
      '9: account[1].services[1] names "graph", which this account has no scopes for; it knows smtp, imap, pop, gmail',
      '10: account[1].colour is no key that xoauthd knows; remove it',
      '12: log.level must be one of "error", "warn", "info", "debug"',
      '13: account[2].issuer is missing; write issuer = "https://…", or authorization_endpoint and token_endpoint',
      '14: account[2].user must be one address: a person signs in here',
      '17: account[2].login_as.smtp cannot be "person", since nobody signs in for a whole domain; write "mailbox"',
      '20: socket[2].accounts[1] names you@gmail.com, which no [[account]] serves; correct it, or add it to the mailboxes of one',
    ],
  )
})

void t.test('a problem as it is printed', async (t) => {
  await t.rejects(configOf(`x = 1\n${google}`), {
    message: `${file}:1: x is no key that xoauthd knows; remove it`,
    problems: [{ line: 1, key: 'x', message: 'is no key that xoauthd knows; remove it' }],
  })
})
