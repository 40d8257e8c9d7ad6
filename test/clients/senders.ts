/**
 * The real msmtp, s-nail, Emacs, git, curl, Python and nodemailer as examples/ use them: each sends a mail with what
 * `xoauthd setup` writes, and ends as its README says when there is no token or the server refuses it.
 */
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { dovecotProgram } from '../fixtures/dovecot.ts'
import { both, needs, needsPerl } from '../fixtures/installed.ts'
import { installNodemailer, sendByEmacs, settleEmacs } from '../fixtures/agents.ts'
import { tryAgent, type Trial } from '../fixtures/agent-trial.ts'
import type { Outcome } from '../fixtures/desk.ts'
import { me, openOffice, type Office } from '../fixtures/mail-office.ts'

const someone = 'someone@example.net'
const mail = `From: ${me}\nTo: ${someone}\nSubject: test\n\nhello\n`

void t.test('agents that send', needs(...dovecotProgram), async (t) => {
  const office = await openOffice(t)
  t.teardown(() => office.close())
  const trial = async (
    name: string,
    option: { skip: string | false },
    more: Omit<Trial, 'agent' | 'done'>,
  ) =>
    t.test(name, option, (t) =>
      tryAgent(t, office, { agent: name, done: arrives(office), ...more }),
    )

  await trial('msmtp', needs('msmtp', 'msmtp'), {
    act: (desk) => desk.run(['msmtp', `--file=${desk.file('msmtprc')}`, someone], { stdin: mail }),
    refused: { status: 77, says: /authentication failed \(method XOAUTH2\)/ },
    none: { status: 78, says: /msmtp: cannot read output of / },
  })

  await trial('s-nail', needs('s-nail', 's-nail'), {
    act: (desk) =>
      desk.run(['s-nail', '-n', '-A', 'me', '-s', 'test', someone], {
        stdin: 'hello\n',
        env: { MAILRC: desk.file('mailrc') },
      }),
    refused: { status: 4, says: /SMTP server: 334 / },
    none: { status: 4, says: /A password is necessary for smtp authentication/ },
  })

  await trial('emacs', needs('emacs', 'emacs-nox'), {
    prepare: settleEmacs,
    act: sendByEmacs,
    refused: { status: 255, says: /Sending failed: 535 / },
    none: { status: 255, says: /xoauthd: / },
  })

  const gitMail = both(
    needs('git', 'git'),
    needsPerl('Mail::Address', 'git-email libmailtools-perl'),
  )
  await trial('git', gitMail, {
    // xoauthd itself connects.
    oneWayIntoTls: true,
    async prepare(desk) {
      await copyFile(desk.file('gitconfig'), join(desk.home, '.gitconfig'))
      await writeFile(join(desk.home, 'file'), 'hello\n')
      const who = ['-c', 'user.name=Me', '-c', `user.email=${desk.mailbox}`] as const
      await desk.run(['git', 'init', '--quiet'])
      await desk.run(['git', 'add', 'file'])
      await desk.run(['git', ...who, 'commit', '--quiet', '--message', 'test'])
    },
    act: (desk) =>
      desk.run([
        ...(['git', 'send-email', '--quiet', '--confirm=never', '--suppress-cc=all'] as const),
        ...[`--to=${someone}`, '-1'],
      ]),
    refused: { status: 77, says: /xoauthd: / },
    none: { status: 75, says: /xoauthd: / },
  })

  await trial('curl', needs('curl', 'curl'), {
    async prepare({ home }) {
      await writeFile(join(home, 'mail'), mail)
    },
    act: (desk) => desk.run(['sh', desk.file('send.sh'), 'mail', someone]),
    refused: { status: 67, says: /curl: \(67\) / },
    none: { status: 'that of xoauthd', says: /^xoauthd: / },
  })

  await trial('python', needs('python3', 'python3'), {
    act: (desk) => desk.run(['python3', desk.file('send.py'), someone], { stdin: mail }),
    refused: { status: 1, says: /smtplib\.SMTPAuthenticationError: \(535, / },
    none: { status: 1, says: /CalledProcessError/ },
  })

  await trial(
    'nodemailer',
    { skip: false },
    {
      prepare: installNodemailer,
      act: (desk) => desk.run([process.execPath, desk.file('send.mjs'), someone]),
      refused: { status: 1, says: /Invalid login: 535 / },
      none: { status: 1, says: /XoauthdError/, silent: true },
    },
  )

  // It knows no OAuth in Debian 12; the README says so. When it learns, this fails.
  await t.test('swaks', needs('swaks', 'swaks'), async (t) => {
    const { mailServer } = office
    const before = mailServer.attempts.length
    const desk = await office.desk('msmtp')
    const { output } = await desk.run([
      ...(['swaks', '--server', 'localhost', '--port', String(mailServer.tlsPort)] as const),
      ...['--tls-on-connect', '--to', someone, '--from', me],
      ...['--auth', 'XOAUTH2', '--auth-user', me, '--auth-password', 'x'],
    ])
    t.match(output, /XOAUTH2 is not a recognized auth type/)
    t.same([mailServer.attempts.length, mailServer.anonymous], [before, []])
  })
})

function arrives({ mailServer }: Office) {
  let seen = mailServer.mails.length
  return (t: Test, { status, output }: Outcome) => {
    t.equal(status, 0, 'exit status', { output })
    const [one, ...more] = mailServer.mails.slice(seen)
    seen = mailServer.mails.length
    t.match(one, {
      user: me,
      from: me,
      to: [someone],
      body: /^Subject: (?:\[PATCH\] )?test[^]*hello/m,
    })
    t.same(more, [])
  }
}
