/** What the file may say of a Microsoft account, and the sentence for what it may not. */
import t from 'tap'
import { configOf, says } from './fixtures/config.ts'

const id = '11111111-1111-4111-8111-111111111111'
const person = `[[account]]
user = "me@uni.example"
provider = "microsoft"
client_id = "${id}"
`
const application = `[[account]]
user = "*@corp.example"
provider = "microsoft-app"
client_id = "${id}"
tenant = "corp.onmicrosoft.com"
client_secret = { env = "SECRET" }
`

void t.test('defaults', async (t) => {
  t.match((await configOf(person)).accounts[0], {
    services: ['smtp', 'imap'],
    loginAs: { smtp: 'person' },
    hosts: { smtp: 'smtp.office365.com:587', imap: 'outlook.office365.com:993' },
    settings: { tenant: 'common', cloud: 'global' },
  })
  t.match((await configOf(application)).accounts[0], {
    services: ['smtp', 'imap', 'pop', 'ews', 'graph'],
    loginAs: {},
    settings: { tenant: 'corp.onmicrosoft.com' },
  })
  const own = `${person}login_as = { smtp = "mailbox", imap = "person" }\nhosts.smtp = "relay.example:587"\ncloud = "china"`
  t.match((await configOf(own)).accounts[0], {
    loginAs: { smtp: 'mailbox', imap: 'person' },
    hosts: { smtp: 'relay.example:587', imap: 'partner.outlook.cn:993' },
  })
})

void t.test('a client that accounts share', async (t) => {
  const shared = `[client.corp]\nclient_id = "${id}"\ntenant = "uni.example"\ncloud = "us-gov"\ncertificate = { file = "c.pem" }\n`
  const account = person.replace(/client_id.*\n/, 'client = "corp"\n')
  t.match((await configOf(account + shared)).accounts[0]?.settings, {
    client_id: id,
    tenant: 'uni.example',
    cloud: 'us-gov',
    certificate: { kind: 'file', path: 'c.pem' },
  })
})

void t.test('the day a secret ends', async (t) => {
  for (const day of ['2027-01-31', '"2027-01-31"'])
    t.match(
      (await configOf(`${application}client_secret_expires = ${day}`)).accounts[0]?.settings,
      {
        client_secret_expires: Date.UTC(2027, 0, 31),
      },
    )
  for (const day of ['"soon"', '5', '"2027-13-01"'])
    await says(t, `${application}client_secret_expires = ${day}`, [
      '7: account[1].client_secret_expires must be a day, e.g. 2027-01-31',
    ])
  await says(t, `${person}client_secret_expires = 2027-01-31`, [
    '5: account[1].client_secret_expires is of a client_secret, and there is none; remove it',
  ])
})

void t.test('combinations that cannot be', async (t) => {
  await says(t, person.replace('me@', '*@'), [
    '2: account[1].user must be one address: a person signs in here; a whole tenant needs provider = "microsoft-app"',
  ])
  await says(t, person.replace(id, 'mail'), [
    '4: account[1].client_id is no application ID of Entra, which looks like 00000000-0000-0000-0000-000000000000',
  ])
  await says(t, `${person}tenant = "https://uni.example"\ncloud = "mars"`, [
    '5: account[1].tenant is no tenant; write its ID or a domain of it, e.g. "corp.onmicrosoft.com"',
    '6: account[1].cloud must be one of "global", "us-gov", "us-dod", "china"',
  ])
  await says(t, `${application}certificate = { file = "c.pem" }`, [
    '7: account[1].certificate cannot stand beside client_secret; remove one of them',
  ])
  await says(t, application.replace(/client_secret.*\n/, ''), [
    '1: account[1].certificate is missing; the application needs it, or a client_secret, to prove itself',
  ])
  for (const tenant of ['common', 'organizations', 'consumers'])
    await says(t, application.replace('corp.onmicrosoft.com', tenant), [
      `5: account[1].tenant must be one tenant's ID or domain, and not "${tenant}": an application belongs to one`,
    ])
  await says(
    t,
    `${person}scopes.smtp = ["https://outlook.office.com/SMTP.Send", "https://graph.microsoft.com/Mail.Send"]`,
    [
      '5: account[1].scopes names scopes of https://outlook.office.com and https://graph.microsoft.com for "smtp"; a token is for one resource',
    ],
  )
  await says(t, `${person}cloud_hosts = { login = "https://login.example/", mail = "outlook" }`, [
    '5: account[1].cloud_hosts.login must be a host name in lower case, without https:// and without a path',
    '5: account[1].cloud_hosts.mail must be an https:// URL (http:// only for 127.0.0.1, [::1] and localhost)',
  ])
})
