/** Which account answers for a mailbox, and under which name. */
import t from 'tap'
import { createAccounts, type Accounts } from '../src/accounts.ts'
import { createCommandRunner } from '../src/run-command.ts'
import { createSecretReader } from '../src/secret.ts'
import { createTransport } from '../src/transport.ts'
import { configOf, google, oauth2, serviceAccount } from './fixtures/config.ts'

async function accountsOf(text: string): Promise<Accounts> {
  const transport = createTransport('0')
  t.teardown(() => transport.close())
  return createAccounts(await configOf(text), {
    transport,
    readSecret: createSecretReader('/', {}),
    runCommand: createCommandRunner('/', {}),
  })
}

const person = (user: string, more = '') => `${google.replace('me@gmail.com', user)}${more}\n`
const domain = (user: string, more = '') =>
  `${serviceAccount.replace('*@corp.example', user)}${more}\n`

void t.test('the most exact name wins, in whatever order they stand', async (t) => {
  const tables = [
    domain('*@corp.example', 'id = "domain"'),
    person('Boss@Corp.example', 'id = "person"'),
    person('other@gmail.com', 'id = "lists"\nmailboxes = ["Team@corp.example", "*@Lists.example"]'),
    domain('*@shop.example', 'id = "shop"\nmailboxes = ["*@shop2.example"]'),
    person('sole@lists.example', 'id = "sole"'),
  ]
  for (const order of [tables, tables.toReversed()]) {
    const accounts = await accountsOf(order.join(''))
    const found = (name: string) => {
      const match = accounts.find(name)
      return match && `${match.account.id} ${match.mailbox}`
    }
    t.equal(found('boss@corp.example'), 'person Boss@Corp.example', 'the spelling of the file')
    t.equal(found('BOSS@CORP.EXAMPLE'), 'person Boss@Corp.example')
    t.equal(found('team@corp.example'), 'lists Team@corp.example', 'a list before a domain')
    t.equal(found('Any.One@Corp.Example'), 'domain any.one@corp.example', 'lower case for a domain')
    t.equal(found('a@lists.example'), 'lists a@lists.example')
    t.equal(found('sole@LISTS.example'), 'sole sole@lists.example')
    t.equal(found('A@shop2.example'), 'shop a@shop2.example')
    for (const name of ['a@sub.corp.example', 'a@example', 'person', '', '*@gmail.com'])
      t.equal(found(name), undefined, name)
  }
})

void t.test('names of commands', async (t) => {
  const accounts = await accountsOf(
    domain('*@corp.example', 'id = "Corp"') + person('Me@gmail.com', 'mailboxes = ["you@x"]'),
  )
  const named = (name: string) => {
    const match = accounts.findByName(name)
    return match && [match.account.user, match.mailbox]
  }
  t.same(named('corp'), ['*@corp.example', '*@corp.example'])
  t.same(named('*@CORP.example'), ['*@corp.example', '*@corp.example'])
  t.same(named('One@corp.example'), ['*@corp.example', 'one@corp.example'])
  t.same(named('me@gmail.com'), ['Me@gmail.com', 'Me@gmail.com'])
  t.same(named('YOU@x'), ['Me@gmail.com', 'you@x'])
  t.equal(named('nobody'), undefined)
})

void t.test('what an account is', async (t) => {
  const { all } = await accountsOf(
    domain('*@corp.example') +
      person('a@gmail.com', 'mailboxes = ["*@x"]\nmax_mailboxes = 3') +
      oauth2,
  )
  t.match(all, [
    { kind: 'google-service-account', wildcard: true, maxMailboxes: 100_000 },
    { kind: 'google', wildcard: true, maxMailboxes: 3, mailboxes: ['*@x'], id: 'a@gmail.com' },
    { kind: 'oauth2', wildcard: false, services: ['smtp', 'imap'] },
  ])
  t.same(
    all.map(({ provider }) => provider.authority),
    ['oauth2.googleapis.com', 'oauth2.googleapis.com', 'issuer.example'],
  )
})

void t.test('whose name goes into the string', async (t) => {
  const { all } = await accountsOf(
    person(
      'Me@gmail.com',
      'mailboxes = ["team@x"]\nlogin_as = { smtp = "person", imap = "mailbox" }',
    ),
  )
  const login = (service: string) => all[0]?.loginName({ service, mailbox: 'team@x' })
  t.equal(login('smtp'), 'Me@gmail.com')
  t.equal(login('imap'), 'team@x')
  t.equal(login('pop'), 'team@x')
})

void t.test('what could be served, with the scopes that are there', async (t) => {
  const known = async (text: string) => (await accountsOf(text)).all[0]?.knownServices
  t.ok((await known(google))?.includes('pop'), 'not one of the usual')
  t.same(await known(`${oauth2}scopes = { smtp = ["s"], calendar = ["c"], login = ["l"] }\n`), [
    'smtp',
    'calendar',
  ])
})

void t.test('what a reload sees', async (t) => {
  const printOf = async (text: string) => (await accountsOf(text)).all[0]?.fingerprint()
  const before = await printOf(google)
  t.equal(await printOf(`# a remark\n[log]\nlevel = "debug"\n${google}`), before)
  t.equal(await printOf(google.replace('{ env = "SECRET" }', "{env='SECRET'}")), before)
  for (const change of ['services = ["smtp"]', 'scopes.smtp = ["x"]', 'mailboxes = ["a@x"]'])
    t.not(await printOf(`${google}${change}\n`), before, change)
  t.not(await printOf(google.replace('"1.apps', '"2.apps')), before, 'another client')
})

void t.test('a provider that the configuration cannot have let through', async (t) => {
  const config = await configOf(google)
  const accounts = config.accounts.map((account) => ({ ...account, provider: 'none' }))
  const transport = createTransport('0')
  t.teardown(() => transport.close())
  const readSecret = createSecretReader('/', {})
  const surroundings = { transport, readSecret, runCommand: createCommandRunner('/', {}) }
  t.throws(() => createAccounts({ ...config, accounts }, surroundings), /let none through/)
})
