/**
 * Tokens of 16 KB through the agents that read mail and have no limit that is known, at an IMAP server
 * that has none itself: dovecot takes no more than 8192 bytes of base64.
 */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { inAerc, inTerminal, settleAerc, settleGetmail } from '../fixtures/agents.ts'
import type { Desk, Outcome } from '../fixtures/desk.ts'
import { dovecotProgram } from '../fixtures/dovecot.ts'
import { startImapServer } from '../fixtures/imap-server.ts'
import { both, needs } from '../fixtures/installed.ts'
import { openOffice, type Office } from '../fixtures/mail-office.ts'

interface Reader {
  readonly agent: string
  readonly option: { readonly skip: string | false }
  /** What `setup` wrote that names the server. */
  readonly file: string
  readonly act: (desk: Desk) => Promise<Outcome>
}

const longest = 16_384

const readers: readonly Reader[] = [
  {
    agent: 'getmail',
    option: needs('getmail', 'getmail6'),
    file: 'getmailrc',
    async act(desk) {
      await settleGetmail(desk)
      return desk.run(['getmail', '--getmaildir', desk.home, '--rcfile', desk.file('getmailrc')])
    },
  },
  {
    agent: 'offlineimap',
    option: needs('offlineimap', 'offlineimap3'),
    file: 'offlineimaprc',
    async act(desk) {
      await copyFile(desk.file('offlineimap.py'), join(desk.home, '.offlineimap.py'))
      return desk.run(['offlineimap', '-o', '-u', 'basic', '-c', desk.file('offlineimaprc')])
    },
  },
  {
    agent: 'curl',
    option: needs('curl', 'curl'),
    file: 'fetch.sh',
    act: (desk) => desk.run(['sh', desk.file('fetch.sh'), '1']),
  },
  {
    agent: 'python',
    option: needs('python3', 'python3'),
    file: 'fetch.py',
    act: (desk) => desk.run(['python3', desk.file('fetch.py'), '1']),
  },
  {
    agent: 'mutt',
    option: needs('mutt', 'mutt'),
    file: 'muttrc',
    act: (desk) =>
      inTerminal(desk, `mutt -n -F '${desk.file('muttrc')}'`, { until: /\(no mailbox\)/ }),
  },
  {
    agent: 'aerc',
    option: both(needs('aerc', 'aerc'), needs('script', 'bsdutils')),
    file: 'accounts.conf',
    async act(desk) {
      await settleAerc(desk)
      return inAerc(desk, { until: /Disconnected/ })
    },
  },
  {
    // By xoauthd tunnel.
    agent: 'fetchmail',
    option: needs('fetchmail', 'fetchmail'),
    file: 'fetchmailrc',
    act: (desk) => desk.run(['fetchmail', '--fetchmailrc', desk.file('fetchmailrc')]),
  },
]

void t.test('the longest tokens', needs(...dovecotProgram), async (t) => {
  const office = await openOffice(t)
  t.teardown(() => office.close())
  for (const each of readers)
    await t.test(each.agent, each.option, (t) => tryLongest(t, office, each))
})

/** The server refuses what it got, so that each program ends. */
async function tryLongest(t: Test, office: Office, { agent, file, act }: Reader): Promise<void> {
  await office.setTokenBytes(longest)
  const server = await startImapServer({
    ...office.certificate,
    offers: 'AUTH=XOAUTH2 SASL-IR',
    judge: () => 'NO [AUTHENTICATIONFAILED] not here',
  })
  t.teardown(() => server.close())
  const desk = await office.desk(agent)
  await desk.edit(file, (text) =>
    text
      .replaceAll(String(office.dovecot.imapPort), String(server.port))
      .replace(/tunnel imap [^"]+/, `$& --host localhost:${server.port}`),
  )
  const { output } = await act(desk)
  t.ok(server.credentials.length > 0, 'it signed in', { output })
  for (const credential of server.credentials) {
    const [, sent = ''] = /auth=Bearer ([^\x01]*)\x01\x01$/.exec(credential) ?? []
    t.equal(sent.length, longest, 'whole')
    t.ok(office.server.find(sent), 'and as it was')
  }
}
