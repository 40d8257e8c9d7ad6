/** What a key may hold, and what is said of what it may not. */
import t from 'tap'
import { configOf, google, oauth2, problemsOf, says, serviceAccount } from './fixtures/config.ts'

void t.test('values of a wrong type', async (t) => {
  await says(t, `log = 5\nstore = []\n${google}`, [
    '1: log must be a table, not 5',
    '2: store must be a table, not a list',
  ])
  await says(t, `[log]\nlevel = "loud"\naudit = "yes"\n[store]\npath = true\n${google}`, [
    '2: log.level must be one of "error", "warn", "info", "debug"',
    '3: log.audit must be true or false, not "yes"',
    '5: store.path must be a string in quotes, not true',
  ])
  await says(t, `log = 1979-05-27\nstore.path = 07:32:00\n${google}`, [
    '1: log must be a table, not a date',
    '2: store.path must be a string in quotes, not a date',
  ])
  await says(t, `${google}hosts = []\nmailboxes = { pop = 1 }\nscopes = [["x"]]`, [
    '6: account[1].hosts must be a table, not a list',
    '7: account[1].mailboxes must be a list in brackets, not a table',
    '8: account[1].scopes must be a table, not a list',
  ])
  await says(t, `${google}mailboxes = "me@x.example"\nid = ""\nmax_mailboxes = "1"`, [
    '6: account[1].mailboxes must be a list in brackets, not "me@x.example"',
    '7: account[1].id is empty',
    '8: account[1].max_mailboxes must be a number, not "1"',
  ])
  await says(t, `${google}max_mailboxes = 1.5`, [
    '6: account[1].max_mailboxes must be a whole number',
  ])
  await says(t, `${google}max_mailboxes = nan`, [
    '6: account[1].max_mailboxes must be a number, not NaN',
  ])
  await says(t, `${google}max_mailboxes = 0`, ['6: account[1].max_mailboxes must be at least 1'])
  await says(t, `${google}hosts = { smtp = "smtp.gmail.com" }\nlisten = "host:65536"`, [
    '6: account[1].hosts.smtp must be "host:port", e.g. "smtp.example.org:465"',
    '7: account[1].listen must be "host:port" on this very machine: localhost, 127.x.x.x or [::1], e.g. "127.0.0.1:8025"',
  ])
  for (const host of ['0.0.0.0', '[::]', '192.0.2.1', 'mail.example'])
    await says(t, `${google}listen = "${host}:8080"`, [
      '6: account[1].listen must be "host:port" on this very machine: localhost, 127.x.x.x or [::1], e.g. "127.0.0.1:8025"',
    ])
  for (const host of ['localhost', '127.1.2.3', '[::1]'])
    t.same(await problemsOf(`${google}listen = "${host}:8080"`), [], host)
})

void t.test('addresses of servers', async (t) => {
  const rule = 'must be an https:// URL (http:// only for 127.0.0.1, [::1] and localhost)'
  for (const url of [
    'issuer.example',
    'http://issuer.example',
    'http://127.0.0.1.example',
    'https://me:secret@issuer.example',
    'https://issuer.example/#x',
    'ftp://localhost',
  ])
    await says(
      t,
      `${oauth2}token_endpoint = "${url}"`,
      [`6: account[1].token_endpoint ${rule}`],
      url,
    )
  for (const uri of ['nowhere', 'http://127.0.0.1/#x', 'javascript:alert(1)', 'app:/back'])
    await says(t, `${google}redirect_uri = "${uri}"`, [
      '6: account[1].redirect_uri must be an http:// or https:// URL without a fragment, as the client registration has it',
    ])
})

void t.test('secrets', async (t) => {
  const secretOf = async (form: string) =>
    (await configOf(serviceAccount.replace('{ file = "key.json" }', form))).accounts[0]?.settings[
      'key'
    ]
  t.same(await secretOf('"hush"'), { kind: 'inline', value: 'hush' })
  t.same(await secretOf('{ file = "a b" }'), { kind: 'file', path: 'a b' })
  t.same(await secretOf('{ env = "A" }'), { kind: 'env', variable: 'A' })
  t.same(await secretOf('{ command = ["a", ""] }'), { kind: 'command', command: ['a', ''] })
  t.same(await secretOf('{ credential = "c" }'), { kind: 'credential', name: 'c' })

  const forms =
    '4: account[1].key must be a string, or one of { file = "…" }, { env = "…" }, { command = ["…"] }, { credential = "…" }'
  for (const form of [
    '5',
    '{}',
    '["x"]',
    '{ fiel = "x" }',
    '{ file = 5 }',
    '{ file = "x", env = "Y" }',
  ])
    await says(t, serviceAccount.replace('{ file = "key.json" }', form), [forms], form)
  await says(t, serviceAccount.replace('{ file = "key.json" }', '""'), [
    '4: account[1].key is empty',
  ])
  for (const form of [
    '{ file = "AGE-SECRET-KEY-1ABC" }',
    '{ env = "-----BEGIN PRIVATE KEY-----" }',
    '{ command = ["echo", "AGE-SECRET-KEY-1ABC"] }',
  ])
    await says(t, serviceAccount.replace('{ file = "key.json" }', form), [
      '4: account[1].key has the key itself where its place belongs; write the key into a file of mode 0600, and here the name of that file',
    ])
  await says(t, serviceAccount.replace('"key.json"', '""'), ['4: account[1].key.file is empty'])
  await says(t, serviceAccount.replace('file = "key.json"', 'command = []'), [
    '4: account[1].key.command is empty; write the program and its arguments, e.g. ["pass", "show", "mail"]',
  ])
})
