/** The rules between the keys of an account, between accounts, and between an account and its client. */
import t from 'tap'
import { providers } from '../src/providers/index.ts'
import { configOf, google, oauth2, says, serviceAccount } from './fixtures/config.ts'

/** As they stand in a sentence. */
const knownProviders = Object.keys(providers)
  .map((name) => `"${name}"`)
  .join(', ')

const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`)
const ownersOf = (key: string) =>
  quoted(
    Object.entries(providers)
      .filter(([, { settings, preset }]) => key in settings && preset !== true)
      .map(([name]) => name),
  )

void t.test('providers', async (t) => {
  const known = knownProviders
  const of = (provider: string) => `[[account]]\nuser = "me@gmail.com"\nprovider = ${provider}\n`
  await says(t, of('"gogle"'), [
    '3: account[1].provider "gogle" is no provider that xoauthd knows; did you mean "google"?',
  ])
  for (const [name, meant] of [
    ['Gmail', 'google'],
    ['outlook', 'microsoft'],
    ['office365', 'microsoft'],
    ['workspace', 'google-service-account'],
  ])
    await says(t, of(`"${name}"`), [
      `3: account[1].provider "${name}" is no provider that xoauthd knows; did you mean "${meant}"?`,
    ])
  for (const name of ['nothing-like-it', 'toString', '__proto__'])
    await says(t, of(`"${name}"`), [
      `3: account[1].provider "${name}" is no provider that xoauthd knows; write one of ${known}`,
    ])
  await says(t, of('""'), ['3: account[1].provider is empty'])
  await says(t, of('5'), ['3: account[1].provider must be a string in quotes, not 5'])
  // What belongs to every account is still looked at; what belongs to a provider cannot be.
  await says(t, `${of('"x"')}id = 5\ntenant = 5\n`, [
    `3: account[1].provider "x" is no provider that xoauthd knows; write one of ${known}`,
    '4: account[1].id must be a string in quotes, not 5',
  ])
})

void t.test('keys that belong to a provider', async (t) => {
  await says(t, serviceAccount.replace(/key = .*\n/, ''), [
    '1: account[1].key is missing; write key = …, the JSON key of the service account',
  ])
  await says(t, `${serviceAccount}client_id = "x"\nissuer = "x"\ntenant = "x"\nkeys = 1\n`, [
    `5: account[1].client_id belongs to provider = ${ownersOf('client_id').join(' or ')}; remove it`,
    '6: account[1].issuer belongs to provider = "oauth2"; remove it',
    '7: account[1].tenant belongs to provider = "microsoft" or "microsoft-app"; remove it',
    '8: account[1].keys is no key that xoauthd knows; did you mean "key"?',
  ])
  await says(t, `${google}key = "x"\n`, [
    '6: account[1].key belongs to provider = "google-service-account" or "oauth2"; remove it',
  ])
})

void t.test('combinations that cannot be', async (t) => {
  await says(t, google.replace('me@gmail', '*@gmail').replace('1.apps', '1.app'), [
    '2: account[1].user must be one address: a person signs in here; a whole domain needs provider = "google-service-account"',
    '4: account[1].client_id is no client id of Google; it ends in .apps.googleusercontent.com',
  ])
  await says(t, oauth2.replace('issuer =', 'token_endpoint ='), [
    '1: account[1].authorization_endpoint is missing beside token_endpoint',
  ])
  await says(t, `${oauth2}client_auth = "post"`, [
    '1: account[1].client_secret is missing; client_auth = "post" needs it',
  ])
  await says(t, `${oauth2}client_auth = "none"\nclient_secret = "x"`, [
    '7: account[1].client_secret is not used with client_auth = "none"',
  ])
  await says(t, `${oauth2}client_auth = "private"`, [
    '6: account[1].client_auth must be one of "post", "basic", "none", "private_key_jwt"',
  ])
  await says(
    t,
    `${oauth2}extra = { authorize = { state = "x" }, token = { code = "x" }, other = {} }`,
    ['6: account[1].extra.other is no key that xoauthd knows; remove it'],
  )
  await says(t, `${oauth2}extra = { authorize = { state = "x" }, token = { code = "x" } }`, [
    '6: account[1].extra may not set "state" in authorize; remove it',
    '6: account[1].extra may not set "code" in token; remove it',
  ])
  // What is wrong with the common keys does not hide what is wrong with the provider's.
  await says(t, `${oauth2.replace('issuer = ', '#')}id = 5\n`, [
    '1: account[1].issuer is missing; write issuer = "https://…", or authorization_endpoint and token_endpoint',
    '6: account[1].id must be a string in quotes, not 5',
  ])
})

void t.test('services', async (t) => {
  const servicesOf = async (text: string) => (await configOf(text)).accounts[0]?.services
  t.same(await servicesOf(google), ['smtp', 'imap'])
  t.same(await servicesOf(serviceAccount), ['smtp', 'imap', 'pop', 'gmail'])
  t.same(await servicesOf(`${oauth2}scopes = { x = ["a"], login = ["b"], pop = [] }`), ['x', 'pop'])
  t.same(await servicesOf(`${google}scopes = { drive = ["a"] }\nservices = ["drive"]`), ['drive'])

  await says(t, `${oauth2}scopes.smtp = ["a"]\nservices = ["smtp",\n"imap", "login"]`, [
    '8: account[1].services[2] names "imap", which this account has no scopes for; it knows smtp',
    '8: account[1].services[3] names "login", which this account has no scopes for; it knows smtp',
  ])
  await says(t, `${google}services = []`, [
    '6: account[1].services is empty, which leaves nothing; name at least one, or remove it',
  ])
  await says(t, `${google}services = ["SMTP"]\nscopes = { "a b" = [], login = [] }`, [
    '6: account[1].services[1] is no service name; write it in lower case, e.g. "smtp"',
    '7: account[1].scopes.a b is no service name; write it in lower case, e.g. "smtp"',
  ])
  for (const word of ['status', 'refresh', 'reload'])
    await says(t, `${oauth2}scopes = { ${word} = ["a"] }`, [
      `6: account[1].scopes.${word} is a word of the control socket; give the service another name`,
    ])
  await says(t, `${google}login_as = { smpt = "mailbox", smtp = "me" }`, [
    '6: account[1].login_as.smtp must be one of "mailbox", "person"',
  ])
  await says(t, `${google}login_as.imap = "person"\nlogin_as.smpt = "mailbox"\nsend = "graph"`, [
    '7: account[1].login_as.smpt is for "smpt", which this account has no scopes for; it knows smtp, imap, pop, gmail',
    '8: account[1].send needs the service "graph", which this account has no scopes for; it knows smtp, imap, pop, gmail',
  ])
})

void t.test('what an account is sent by', async (t) => {
  const config = await configOf(`${google}send = "gmail"\nhosts = { imap = "localhost:1993" }`)
  t.match(config.accounts[0], {
    services: ['smtp', 'imap', 'gmail'],
    hosts: { smtp: 'smtp.gmail.com:465', imap: 'localhost:1993', pop: 'pop.gmail.com:995' },
  })
  await says(t, `${google}send = "gmail"\nservices = ["imap"]`, [
    '6: account[1].send needs the service "gmail"; add it to services',
  ])
})

void t.test('names that two accounts share', async (t) => {
  const taken = (name: string) =>
    `"${name}" is a name of account[1] already; give it to one of them (case does not matter)`
  const other = oauth2.replace('me@issuer.example', 'you@issuer.example')
  await says(t, google + oauth2.replace('me@issuer.example', 'ME@Gmail.com'), [
    `7: account[2].user ${taken('ME@Gmail.com')}`,
  ])
  await says(t, `${google}id = "mine"\n${other}id = "Me@gmail.com"\nmailboxes = ["a@x", "MINE"]`, [
    `12: account[2].id ${taken('Me@gmail.com')}`,
    `13: account[2].mailboxes[2] ${taken('MINE')}`,
    '13: account[2].mailboxes[2] is no mail address; write "name@domain", or "*@domain" for a whole domain',
  ])
  await says(
    t,
    `${google}mailboxes = ["a@x", "*@y"]\n${other}mailboxes = [\n"*@Y",\n"A@x"\n]\n${oauth2}`,
    [`13: account[2].mailboxes[1] ${taken('*@Y')}`, `14: account[2].mailboxes[2] ${taken('A@x')}`],
  )
  await says(t, `${google}mailboxes = ["you@issuer.example"]\n${other}`, [
    `8: account[2].user ${taken('you@issuer.example')}`,
  ])
  // Whatever else is wrong with either of them.
  await says(t, `${google}colour = 1\n${google.replace('"google"', '"x"')}`, [
    '6: account[1].colour is no key that xoauthd knows; remove it',
    `8: account[2].user ${taken('me@gmail.com')}`,
    `9: account[2].provider "x" is no provider that xoauthd knows; write one of ${knownProviders}`,
  ])

  await says(t, `${google}id = "Me@gmail.com"\nmailboxes = ["ME@gmail.com", "a@x", "A@x"]`, [])
  await says(t, `${serviceAccount}${oauth2.replace('me@issuer', 'me@corp')}`, [])
  await says(
    t,
    `${serviceAccount}${google}mailboxes = ["x@corp.example", "*@sub.corp.example"]`,
    [],
  )
})

void t.test('clients', async (t) => {
  const shared = `[client.corp]\nclient_id = "1.apps.googleusercontent.com"\nclient_secret = "x"\n`
  const user = google.replace(/client_id[^]*/, 'client = "corp"\n')
  const settingsOf = async (text: string) => (await configOf(text)).accounts[0]?.settings
  t.same(await settingsOf(user + shared), {
    client_id: '1.apps.googleusercontent.com',
    client_secret: { kind: 'inline', value: 'x' },
  })
  t.match(await settingsOf(`${user}client_secret = { env = "OWN" }\n${shared}`), {
    client_id: '1.apps.googleusercontent.com',
    client_secret: { kind: 'env', variable: 'OWN' },
  })
  t.same(
    (await settingsOf(`${serviceAccount}client = "corp"\n${shared}`)) ?? {},
    { key: { kind: 'file', path: 'key.json' } },
    'what the provider has no use for stays behind',
  )

  await says(t, `${user}[client.corq]\n`, [
    '4: account[1].client names "corp", and there is no [client.corp]; did you mean "corq"?',
  ])
  await says(t, `${user}redirect_uri = "x"\n`, [
    '4: account[1].client names "corp", and there is no [client.corp]; write that table, or remove the key',
    '5: account[1].redirect_uri must be an http:// or https:// URL without a fragment, as the client registration has it',
  ])
  await says(t, `${user}[client.corp]\nclient_secret = "x"`, [
    '1: account[1].client_id is missing; write client_id = …, an OAuth client of the type "Desktop app", …apps.googleusercontent.com',
  ])
  await says(t, user.replace('"corp"', '5') + google.replace('me@', 'you@').concat('client = ""'), [
    '1: account[1].client_id is missing; write client_id = …, an OAuth client of the type "Desktop app", …apps.googleusercontent.com',
    '1: account[1].client_secret is missing; write client_secret = …, the secret of that client, as the console shows it',
    '4: account[1].client must be a string in quotes, not 5',
    '10: account[2].client is empty',
  ])
  await says(t, `client = "corp"\n${google}`, [
    '1: client must be a table of tables; write [client.NAME]',
  ])
  await says(t, `client = { corp = "x" }\n${google}`, [
    '1: client.corp must be a table; write [client.corp]',
  ])
  await says(
    t,
    `${google}[client.corp]\nclient_ids = "x"\ntenant = "x"\ncertificate = ""\ncloud = "x"`,
    [
      '7: client.corp.client_ids is no key that xoauthd knows; did you mean "client_id"?',
      '9: client.corp.certificate is empty',
      '10: client.corp.cloud must be one of "global", "us-gov", "us-dod", "china"',
    ],
  )
})

void t.test('what is wrong with a client is said once, where it stands', async (t) => {
  const two = (client: string) =>
    [1, 2]
      .map((each) => `[[account]]\nuser = "a${each}@x"\nprovider = "google"\nclient = "corp"\n`)
      .join('') + `[client.corp]\n${client}`
  await says(t, two('client_id = 5\nclient_secret = {}'), [
    '10: client.corp.client_id must be a string in quotes, not 5',
    '11: client.corp.client_secret must be a string, or one of { file = "…" }, { env = "…" }, { command = ["…"] }, { credential = "…" }',
  ])
  await says(t, two('client_id = "x"\nclient_secret = "x"'), [
    '10: client.corp.client_id is no client id of Google; it ends in .apps.googleusercontent.com',
  ])
})
