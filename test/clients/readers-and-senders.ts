/**
 * The real neomutt, mutt and aerc as examples/ use them: each fetches a mail in a terminal and sends one
 * with what `xoauthd setup` writes, and ends as its README says when there is no token or the server
 * refuses it.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { dovecotProgram } from '../fixtures/dovecot.ts'
import { both, needs } from '../fixtures/installed.ts'
import { inAerc, inTerminal, settleAerc } from '../fixtures/agents.ts'
import { tryAgent } from '../fixtures/agent-trial.ts'
import { me, openOffice, signedOut, slow } from '../fixtures/mail-office.ts'

/** What both show when they could not sign in; they stay open then, and are killed. */
const noMailbox = /\(no mailbox\)/
const someone = 'someone@example.net'
const mail =
  'From: ann@example.net\nTo: me@example.org\nSubject: waiting\nMessage-ID: <1@example.net>\n\nhello\n'

void t.test('agents that do both', needs(...dovecotProgram), async (t) => {
  const office = await openOffice(t)
  t.teardown(() => office.close())
  await office.dovecot.deliver(me, mail)
  const { mailServer } = office

  for (const [program, rc, refusal] of [
    ['neomutt', 'neomuttrc', /SMTP session failed: 334 /],
    ['mutt', 'muttrc', /SMTP session failed: 535 /],
  ] as const) {
    await t.test(`${program} sends`, needs(program, program), (t) =>
      tryAgent(t, office, {
        agent: program,
        act: (desk) =>
          desk.run([program, '-n', '-F', desk.file(rc), '-s', program, someone], {
            stdin: 'hello\n',
          }),
        done(t, { status, output }) {
          t.equal(status, 0, 'exit status', { output })
          const sent = new RegExp(`^Subject: ${program}[^]*hello`, 'm')
          t.match(mailServer.mails.at(-1), { user: me, from: me, to: [someone], body: sent })
        },
        refused: { status: 1, says: refusal },
        none: { status: 1, says: /Command returned empty string/ },
      }),
    )

    const keys = '<copy-message>~/copy<enter>y<quit>y'
    const programs = both(needs(program, program), needs('script', 'bsdutils'))
    await t.test(`${program} reads`, programs, (t) =>
      tryAgent(t, office, {
        agent: program,
        act: (desk) =>
          inTerminal(desk, `${program} -n -F '${desk.file(rc)}' -e 'push "${keys}"'`, {
            until: noMailbox,
          }),
        async done(t, { output }, desk) {
          const copy = await readFile(join(desk.home, 'copy'), 'utf8').catch(() => undefined)
          t.match(copy, /^Subject: waiting[^]*hello/m, 'a mail', { output })
        },
        refused: { status: null, says: noMailbox },
        none: { status: null, says: noMailbox },
      }),
    )
  }

  const aerc = both(needs('aerc', 'aerc'), needs('script', 'bsdutils'))
  await t.test('aerc reads', aerc, (t) =>
    tryAgent(t, office, {
      agent: 'aerc',
      prepare: settleAerc,
      // It shows the list of messages, and stays open.
      act: (desk) => inAerc(desk, { until: /waiting|Disconnected|Failed to load config/ }),
      done(t, { output }) {
        t.match(output, /waiting/, 'the subject is on the screen')
      },
      refused: { status: null, says: /Disconnected/ },
      none: { status: null, says: /Invalid source credentials/, silent: true },
    }),
  )

  await t.test('aerc sends', aerc, async (t) => {
    const desk = await office.desk('aerc')
    await settleAerc(desk)
    // What was there before is not drawn again: an "e" of "Sending...".
    const ends = /ssage sent|send:: .*\(\d+\)|ReadCredentials\(.*status \d+/
    const keys = [
      { after: /waiting/, type: `:compose -H "To: ${someone}" -H "Subject: aerc" hello\r` },
      { after: /Send this email/, type: ':send\r' },
    ]
    const send = () => inAerc(desk, { keys, until: ends, env: { EDITOR: 'true' } })
    const mails = mailServer.mails.length

    office.refusing = 'smtp'
    t.match((await send()).output, /send:: conn\.Auth: XOAUTH2 authentication error/, 'refused')
    office.refusing = false
    t.equal(mailServer.mails.length, mails)
    const asked = mailServer.attempts.length

    t.match((await send()).output, /ssage sent/)
    const sent = { user: me, from: me, to: [someone], body: /^Subject: aerc[^]*hello/m }
    t.match(mailServer.mails.slice(mails), [sent])
    t.match(mailServer.attempts.slice(asked), [{ user: me, mechanism: 'XOAUTH2' }])

    // It has read the mailbox, and there is no token when it sends.
    const accounts = join(desk.home, '.config', 'aerc', 'accounts.conf')
    const text = await readFile(accounts, 'utf8')
    const command = /(?<=^outgoing-cred-cmd = ).*/m
    const without = (change: (line: string) => string) =>
      writeFile(accounts, text.replace(command, change))
    const troubles: [trouble: string, exit: number, change: (line: string) => string][] = [
      ['signed out', 77, (line) => line.replace(me, signedOut)],
      ['slow', 75, (line) => line.replace(me, slow)],
      ['down', 69, (line) => `XOAUTHD_SOCKET=${join(desk.home, 'nobody')} ${line}`],
    ]
    for (const [trouble, exit, change] of troubles) {
      await without(change)
      const says = new RegExp(`ReadCredentials\\(outgoing\\): .*exit status ${exit}`)
      t.match((await send()).output, says, trouble)
    }
    t.equal(mailServer.attempts.length, asked + 1)
    t.same(mailServer.anonymous, [])
  })
})
