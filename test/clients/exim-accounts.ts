/**
 * Several accounts on one exim with examples/exim/: each mail leaves under the account of its
 * sender, in a session of its own, and an account that cannot send holds up nobody else.
 */
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { needs } from '../fixtures/installed.ts'
import type { MailServerOptions } from '../fixtures/mail-server.ts'
import { xoauth2 } from '../fixtures/scripted-socket.ts'
import { createSmarthost, type Smarthost } from '../fixtures/smarthost.ts'

const alice = 'alice@example.org'
const bob = 'bob@example.org'
const someone = 'someone@example.net'
const exim4 = needs('exim4', 'exim4-daemon-light')

/** alice and bob by name, all of corp.example by its domain; the token of each names its user. */
async function office(t: Test, server: Partial<MailServerOptions> = {}): Promise<Smarthost> {
  return createSmarthost(t, {
    server: { verify: (user, token) => token === `token-of-${user}`, ...server },
    accounts: (host, port) => [
      `${alice}: host=${host} port=${port}`,
      `${bob}: host=${host} port=${port}`,
      `team@example.org: host=${host} port=${port} user=${alice}`,
      `*@corp.example: host=${host} port=${port}`,
    ],
  })
}

const userOf = (request: string) => request.slice(request.indexOf(' ') + 1).toLowerCase()
const tokenFor = (request: string) => xoauth2(userOf(request), `token-of-${userOf(request)}`)

void t.test('the accounts of one queue run', exim4, async (t) => {
  let busy = true
  const { exim, mailServer, startDaemon } = await office(t, {
    refusal: 'temporary',
    verify: (user, token) => !busy && token === `token-of-${user}`,
  })
  const daemon = await startDaemon(tokenFor)
  const senders = [alice, bob, alice, bob, 'eve@corp.example', 'Alice@Example.ORG']
  for (const sender of senders) await exim.submit(sender, someone)
  // The 454 puts all of them on exim's list of what waits for this server. Whoever is first to get
  // through would take the others along on its own session.
  await exim.runQueue()
  t.same(mailServer.mails, [])
  busy = false
  const [asked, tried] = [daemon.requests.length, mailServer.attempts.length]
  await exim.exim(['-qf'])

  t.same(await exim.queue(), [])
  t.same(
    mailServer.mails.map(({ user, from }) => [user, from.toLowerCase()]).sort(),
    senders.map((sender) => [sender.toLowerCase(), sender.toLowerCase()]).sort(),
    'each under its own account',
  )
  t.equal(mailServer.attempts.length - tried, senders.length, 'each in a session of its own')
  t.equal(daemon.requests.length - asked, senders.length, 'the daemon is asked once for each')
  t.match(await exim.mainlog(), /=> someone@example\.net [^\n]* CV=yes A=xoauthd:bob@example\.org /)
})

void t.test('an address that sends through another account', exim4, async (t) => {
  const { exim, mailServer, startDaemon } = await office(t)
  const daemon = await startDaemon(tokenFor)
  await exim.submit('team@example.org', someone)
  await exim.runQueue()
  t.match(mailServer.mails, [{ user: alice, from: 'team@example.org' }])
  t.same(daemon.requests, [`SMTP,explain ${alice}`])
})

void t.test('a bounce leaves with the account of whom it tells', exim4, async (t) => {
  const { exim, mailServer, startDaemon } = await office(t)
  await startDaemon(tokenFor)
  await exim.submit('<>', bob)
  await exim.submit('<>', someone)
  await exim.runQueue()
  t.match(mailServer.mails, [{ user: bob, from: '', to: [bob] }])
  t.same(await exim.queue(), [{ sender: '', frozen: false }], 'nobody to send the other one')
})

void t.test('the longest credential that exim can send', exim4, async (t) => {
  const token = 'x'.repeat(3069 - xoauth2(alice, '').length)
  const { exim, mailServer, startDaemon } = await office(t, { verify: (_, got) => got === token })
  await startDaemon(() => xoauth2(alice, token))
  await exim.submit(alice, someone)
  await exim.runQueue()
  t.match(mailServer.mails, [{ user: alice }])
})

for (const refusal of ['challenge', 'direct'] as const) {
  void t.test(`alice is refused (${refusal}), bob is not`, exim4, async (t) => {
    const { exim, mailServer, startDaemon } = await office(t, {
      refusal,
      mechanisms: ['LOGIN', 'XOAUTH2'],
    })
    let refreshed = false
    const daemon = await startDaemon((request) => {
      refreshed ||= request === `SMTP,refused,explain ${alice}`
      return refreshed || userOf(request) === bob ? tokenFor(request) : xoauth2(alice, 'stale')
    })
    await exim.submit(alice, someone)
    await exim.runQueue()
    t.same(daemon.requests, [`SMTP,explain ${alice}`, `SMTP,refused,explain ${alice}`])
    t.same(mailServer.mails, [])

    await exim.submit(bob, someone)
    await exim.runQueue()
    t.same(await exim.queue(), [], 'no retry time holds up the server, for bob or for alice')
    t.same(mailServer.mails.map(({ user }) => user).sort(), [alice, bob])
    t.same(
      mailServer.attempts.map(({ token }) => token).filter((token) => token === 'stale'),
      ['stale'],
      'the refused token is not offered again',
    )
    t.same(mailServer.anonymous, [])
  })
}

void t.test('alice needs a sign-in, bob does not', exim4, async (t) => {
  const { exim, mailServer, startDaemon } = await office(t)
  await startDaemon((request) =>
    userOf(request) === alice ? 'ERR sign-in-needed grant dead | sign in\n' : tokenFor(request),
  )
  for (const sender of [alice, bob, alice, bob]) await exim.submit(sender, someone)
  await exim.runQueue()
  t.same(await exim.queue(), [
    { sender: alice, frozen: false },
    { sender: alice, frozen: false },
  ])
  t.same(
    mailServer.mails.map(({ user }) => user),
    [bob, bob],
  )
})

void t.test(
  'a sender without an account holds up nobody, and goes when it has one',
  exim4,
  async (t) => {
    const { exim, mailServer, startDaemon, folder } = await office(t)
    await startDaemon(tokenFor)
    await exim.submit('mallory@example.org', someone)
    await exim.runQueue()
    await exim.submit(alice, someone)
    await exim.runQueue()
    t.same(await exim.queue(), [{ sender: 'mallory@example.org', frozen: false }])
    t.match(mailServer.mails, [{ user: alice }])

    const server = `host=127.0.0.1 port=${mailServer.port}`
    await appendFile(join(folder, 'accounts'), `mallory@example.org: ${server}\n`)
    await exim.runQueue()
    t.same(await exim.queue(), [])
    t.match(mailServer.mails, [{ user: alice }, { user: 'mallory@example.org' }])
  },
)

void t.test('a server that does not exist holds up no other', exim4, async (t) => {
  const { exim, mailServer, startDaemon } = await createSmarthost(t, {
    server: { verify: (user, token) => token === `token-of-${user}` },
    accounts: (host, port) => [
      // Not a name at all, so that no resolver is asked.
      `${alice}: host=no..such..name`,
      `${bob}: host=${host} port=${port}`,
    ],
  })
  await startDaemon(tokenFor)
  await exim.submit(alice, someone)
  await exim.age(1000)
  await exim.runQueue()
  await exim.submit(bob, someone)
  await exim.runQueue()
  t.same(await exim.queue(), [{ sender: alice, frozen: false }])
  t.match(mailServer.mails, [{ user: bob }])
})

void t.test('the authenticator alone, pasted: the sender is the mailbox', exim4, async (t) => {
  const { exim, mailServer, startDaemon } = await createSmarthost(t, {
    server: { verify: (user, token) => token === `token-of-${user}` },
    accounts: (host, port) => [`*: host=${host} port=${port} user=not-asked-for@example.org`],
    macros: { XOAUTHD_MAILBOX: '$sender_address' },
  })
  await startDaemon(tokenFor)
  await exim.submit(bob, someone)
  await exim.runQueue()
  t.match(mailServer.mails, [{ user: bob }])
})
