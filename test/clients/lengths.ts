/**
 * Tokens of 1 KB to 12 KB through the agents: what fits arrives, what does not ends as documented, and
 * xoauthd knew. Where no limit is known what was tried is the most that the SMTP server here takes, 12 KB.
 * Who reads without a limit is in longest-tokens.ts; exim's limit is met in exim-defer.ts.
 */
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { agents } from '../../src/agents/index.ts'
import { isTooLong, xoauth2Bytes } from '../../src/agents/lengths.ts'
import { dovecotProgram } from '../fixtures/dovecot.ts'
import { installNodemailer, makeMaildir, sendByEmacs, settleEmacs } from '../fixtures/agents.ts'
import { both, needs, needsSaslPlugin } from '../fixtures/installed.ts'
import type { Desk, Outcome } from '../fixtures/desk.ts'
import { me, openOffice, type Office } from '../fixtures/mail-office.ts'

const mail = 'Subject: test\n\nhello\n'
const someone = 'someone@example.net'

interface Case {
  readonly agent: string
  readonly option: { readonly skip: string | false }
  readonly prepare?: (desk: Desk) => Promise<unknown>
  readonly act: (desk: Desk) => Promise<Outcome>
  /** Bytes of tokens that arrive. */
  readonly fit: readonly number[]
  readonly tooLong: readonly number[]
  readonly says: RegExp
}

const noLimit = { fit: [1024, 3049, 3050, 4096, 8192, 12_000], tooLong: [], says: /./ }

const cases: readonly Case[] = [
  {
    agent: 'msmtp',
    option: needs('msmtp', 'msmtp'),
    act: (desk) => desk.run(['msmtp', `--file=${desk.file('msmtprc')}`, someone], { stdin: mail }),
    fit: [1024, 3035],
    tooLong: [3036, 3049, 3050, 4096, 8192],
    says: /longer than 4094 characters/,
  },
  {
    agent: 'mpop',
    option: needs('mpop', 'mpop'),
    act: (desk) => fetch(desk, ['mpop', `--file=${desk.file('mpoprc')}`]),
    fit: [1024, 3035],
    tooLong: [3036, 4096],
    says: /mpop: /,
  },
  {
    agent: 'neomutt',
    option: needs('neomutt', 'neomutt'),
    act: (desk) =>
      desk.run(['neomutt', '-n', '-F', desk.file('neomuttrc'), someone], { stdin: mail }),
    fit: [3049, 3050, 4094],
    tooLong: [4095, 8192],
    says: /OAUTH token is too big/,
  },
  {
    agent: 's-nail',
    option: needs('s-nail', 's-nail'),
    act: (desk) =>
      desk.run(['s-nail', '-n', '-A', 'me', someone], {
        stdin: mail,
        env: { MAILRC: desk.file('mailrc') },
      }),
    fit: [4096, 5780],
    tooLong: [5781, 8192],
    says: /s-nail: /,
  },
  {
    agent: 'mutt',
    option: needs('mutt', 'mutt'),
    act: (desk) => desk.run(['mutt', '-n', '-F', desk.file('muttrc'), someone], { stdin: mail }),
    ...noLimit,
  },
  {
    agent: 'curl',
    option: needs('curl', 'curl'),
    prepare: ({ home }) => writeFile(join(home, 'mail'), mail),
    act: (desk) => desk.run(['sh', desk.file('send.sh'), 'mail', someone]),
    ...noLimit,
  },
  {
    agent: 'python',
    option: needs('python3', 'python3'),
    act: (desk) => desk.run(['python3', desk.file('send.py'), someone], { stdin: mail }),
    ...noLimit,
  },
  {
    agent: 'nodemailer',
    option: { skip: false },
    prepare: installNodemailer,
    act: (desk) => desk.run([process.execPath, desk.file('send.mjs'), someone]),
    ...noLimit,
  },
  {
    agent: 'emacs',
    option: needs('emacs', 'emacs-nox'),
    prepare: settleEmacs,
    act: sendByEmacs,
    ...noLimit,
  },
  {
    // By xoauthd sendmail.
    agent: 'git',
    option: needs('git', 'git-email'),
    act: (desk) => desk.run(['xoauthd', 'sendmail', someone], { stdin: `From: ${me}\n${mail}` }),
    ...noLimit,
  },
  {
    agent: 'mbsync',
    option: both(
      needs('mbsync', 'isync'),
      needsSaslPlugin('libkdexoauth2.so', 'libsasl2-modules-kdexoauth2'),
    ),
    act: (desk) => fetch(desk, ['mbsync', '-c', desk.file('mbsyncrc'), '-a']),
    // dovecot takes no more than 8192 bytes of base64; mbsync itself may hang up before it has read all.
    fit: [1024, 3050, 4096, 6000],
    tooLong: [8192],
    says: /Authentication response too large|PassCmd exited|IMAP/,
  },
]

void t.test('lengths', needs(...dovecotProgram), async (t) => {
  const office = await openOffice(t)
  t.teardown(() => office.close())
  await office.dovecot.deliver(me, mail)
  for (const each of cases)
    await t.test(each.agent, each.option, (t) => tryLengths(t, office, each))

  await t.test('status warns', async (t) => {
    await office.setTokenBytes(3035)
    t.notMatch(await office.status(), /too long/)
    await office.setTokenBytes(3036)
    t.match(
      await office.status(),
      /\nme@example\.org: its credential of 3070 bytes is too long for exim 4\.96, msmtp 1\.8\.23, mpop 1\.4\.18\n/,
    )
  })
})

async function tryLengths(t: Test, office: Office, trial: Case) {
  const { agent, prepare, act, fit, tooLong, says } = trial
  const known = agents.find(({ name }) => name === agent)
  await office.setTokenBytes(8192)
  const desk = await office.desk(agent)
  const warning = new RegExp(`this account's credential has 8226 bytes, and ${agent} \\S+ sends `)
  if (tooLong.length > 0) t.match(desk.warnings, warning)
  else t.equal(desk.warnings, '')
  await prepare?.(desk)
  for (const bytes of [...fit, ...tooLong]) {
    await office.setTokenBytes(bytes)
    const before = office.offered.length
    const { status, output } = await act(desk)
    const fits = fit.includes(bytes)
    t.equal(known && isTooLong(known, me, xoauth2Bytes(me, bytes)), !fits, `${bytes} is foreseen`)
    t.equal(status === 0, fits, `${bytes}`, { output })
    const offered = office.offered.slice(before)
    t.same(
      offered.map((token) => token.length),
      fits ? [bytes] : [],
      'whole or not at all',
    )
    if (!fits) t.match(output, says, `${bytes}`)
  }
}

/** Always as if for the first time. */
async function fetch(desk: Desk, command: readonly [string, ...string[]]): Promise<Outcome> {
  const folder = join(desk.home, 'Mail')
  await rm(folder, { recursive: true, force: true })
  await rm(join(desk.home, '.mpop_uidls'), { recursive: true, force: true })
  await makeMaildir(desk)
  const outcome = await desk.run(command)
  const got = (await readdir(folder, { recursive: true })).filter((n) => /(?:new|cur)\/./.test(n))
  return { ...outcome, status: got.length === 1 ? outcome.status : (outcome.status ?? 1) || 1 }
}
