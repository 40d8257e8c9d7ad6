/**
 * The real mpop, mbsync, getmail, offlineimap, fetchmail, and curl and Python as examples/ use them: each fetches a
 * mail from dovecot with what `xoauthd setup` writes, and ends as its README says when there is no token
 * or the server refuses it.
 */
import { readFile, readdir } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { dovecotProgram } from '../fixtures/dovecot.ts'
import { both, needs, needsSaslPlugin } from '../fixtures/installed.ts'
import { makeMaildir, settleGetmail } from '../fixtures/agents.ts'
import { tryAgent } from '../fixtures/agent-trial.ts'
import type { Desk, Outcome } from '../fixtures/desk.ts'
import { me, openOffice } from '../fixtures/mail-office.ts'

const dovecot = needs(...dovecotProgram)

void t.test('agents that fetch', dovecot, async (t) => {
  const office = await openOffice(t)
  t.teardown(() => office.close())
  const mail =
    'From: ann@example.net\nTo: me@example.org\nSubject: test\nMessage-ID: <1@example.net>\n\nhello\n'
  await office.dovecot.deliver(me, mail)

  await t.test('mpop', needs('mpop', 'mpop'), (t) =>
    tryAgent(t, office, {
      agent: 'mpop',
      prepare: makeMaildir,
      act: (desk) => desk.run(['mpop', `--file=${desk.file('mpoprc')}`, '--half-quiet']),
      done: hasMail,
      refused: { status: 77, says: /authentication failed \(method XOAUTH2\)/ },
      none: { status: 78, says: /mpop: cannot read output of / },
    }),
  )

  const plugin = needsSaslPlugin('libkdexoauth2.so', 'libsasl2-modules-kdexoauth2')
  await t.test('mbsync', both(needs('mbsync', 'isync'), plugin), (t) =>
    tryAgent(t, office, {
      agent: 'mbsync',
      prepare: makeMaildir,
      act: (desk) =>
        desk.run(['mbsync', '-c', desk.file('mbsyncrc'), '-a'], {
          until: /IMAP wants more steps despite successful SASL authentication/,
        }),
      done: hasMail,
      // It would hang for ever.
      refused: { status: null, says: /IMAP wants more steps/ },
      none: { status: 1, says: /Skipping account me, PassCmd exited with status (77|75|69)/ },
    }),
  )

  await t.test('getmail', needs('getmail', 'getmail6'), (t) =>
    tryAgent(t, office, {
      agent: 'getmail',
      // Its XOAUTH2 has no STARTTLS.
      oneWayIntoTls: true,
      prepare: settleGetmail,
      act: (desk) =>
        desk.run(['getmail', '--getmaildir', desk.home, '--rcfile', desk.file('getmailrc')]),
      done: hasMail,
      refused: { status: 127, says: /credential\/login error/ },
      none: {
        status: 127,
        says: /External program error \(.* exited with (77|75|69)\)/,
        silent: true,
      },
    }),
  )

  await t.test('offlineimap', needs('offlineimap', 'offlineimap3'), (t) =>
    tryAgent(t, office, {
      agent: 'offlineimap',
      prepare: (desk) =>
        desk.edit('offlineimaprc', (text) =>
          text.replace('~/.offlineimap.py', desk.file('offlineimap.py')),
        ),
      act: async (desk) => {
        const sync = () =>
          desk.run(['offlineimap', '-o', '-u', 'basic', '-c', desk.file('offlineimaprc')])
        const ended = await sync()
        // Its IMAP library misses an answer now and then while TLS begins: another thread of it reads then.
        return ended.output.includes('Failed to start TLS connection') ? sync() : ended
      },
      done: hasMail,
      refused: { status: 1, says: /All authentication types failed/ },
      none: { status: 100, says: /CalledProcessError/ },
    }),
  )

  const fetchmail = both(needs('fetchmail', 'fetchmail'), needs('procmail', 'procmail'))
  await t.test('fetchmail', fetchmail, (t) =>
    tryAgent(t, office, {
      agent: 'fetchmail',
      // xoauthd itself connects.
      oneWayIntoTls: true,
      // One that is seen it fetches only when it is told to. It forgets which it has, and its lock, elsewhere
      // than in $HOME when root runs it.
      act: (desk) =>
        desk.run([
          ...(['fetchmail', '--all', '--fetchmailrc', desk.file('fetchmailrc')] as const),
          ...['--pidfile', join(desk.home, 'pid'), '--idfile', join(desk.home, 'ids')],
        ]),
      done: hasMail,
      refused: { status: 2, says: /xoauthd: / },
      none: { status: 2, says: /xoauthd: / },
    }),
  )

  const printsMail = (t: Test, { status, output }: Outcome) => {
    t.equal(status, 0, 'exit status', { output })
    t.match(output, /^From: ann@example\.net[^]*hello/m)
  }
  await t.test('curl', needs('curl', 'curl'), (t) =>
    tryAgent(t, office, {
      agent: 'curl',
      act: (desk) => desk.run(['sh', desk.file('fetch.sh'), '1']),
      done: printsMail,
      refused: { status: 67, says: /curl: \(67\) / },
      none: { status: 'that of xoauthd', says: /^xoauthd: / },
    }),
  )

  await t.test('python', needs('python3', 'python3'), (t) =>
    tryAgent(t, office, {
      agent: 'python',
      act: (desk) => desk.run(['python3', desk.file('fetch.py'), '1']),
      done: printsMail,
      refused: { status: 1, says: /imaplib\.IMAP4\.error: / },
      none: { status: 1, says: /CalledProcessError/ },
    }),
  )
})

async function hasMail(t: Test, { status, output }: Outcome, { home }: Desk): Promise<void> {
  t.equal(status, 0, 'exit status', { output })
  const names = existsSync(join(home, 'Mail'))
    ? await readdir(join(home, 'Mail'), { recursive: true })
    : []
  const mails = names.filter((name) => /(?:new|cur)\/./.test(name))
  t.equal(mails.length, 1, names.join(' '))
  t.match(await readFile(join(home, 'Mail', mails[0] ?? ''), 'utf8'), /^Subject: test[^]*hello/m)
}
