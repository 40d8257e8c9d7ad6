/**
 * Whatever keeps a mail from being sent, exim with examples/exim/ defers it: it stays on the queue,
 * unfrozen, without a bounce, and the server sees neither a wrong credential nor mail without one.
 * Each case holds with the shipped retry rules for a message that is three years old; where the
 * authenticator is what defers, also without any retry rule, and ends at once with its cause.
 */
import { chmod, rename, rm } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { needs } from '../fixtures/installed.ts'
import type { MailServerOptions } from '../fixtures/mail-server.ts'
import { startScriptedSocket, xoauth2 } from '../fixtures/scripted-socket.ts'
import { createSmarthost, type Smarthost } from '../fixtures/smarthost.ts'

const alice = 'alice@example.org'
const credential = xoauth2(alice, 'good-token')

interface Case {
  readonly name: string
  /** What mainlog says of it. */
  readonly log: RegExp
  readonly sender?: string
  /** Default: up. `dead` is what a killed one leaves, a socket without a listener. */
  readonly daemon?: 'missing' | 'dead' | 'forbidden' | 'silent' | 'up'
  /** What it answers; by default a good credential. */
  readonly answer?: string
  readonly server?: Partial<MailServerOptions>
  readonly refused?: true
  readonly macros?: Readonly<Record<string, string>>
  /** exim itself defers, and only the shipped retry rules keep it from a bounce some day. */
  readonly byRetryRule?: true
  /** The server cannot change into one that takes the mail. */
  readonly incurable?: true
}

const cases: readonly Case[] = [
  { name: 'the socket is missing', daemon: 'missing', log: /No such file or directory/ },
  { name: 'the daemon is down', daemon: 'dead', log: /Connection refused/ },
  { name: 'the socket is not for exim', daemon: 'forbidden', log: /Permission denied/ },
  { name: 'the daemon hangs', daemon: 'silent', log: /socket read timed out/ },
  {
    name: 'a sign-in is needed',
    answer: `ERR sign-in-needed ${alice} never signed in | run: xoauthd login ${alice}\n`,
    log: /xoauthd: ERR sign-in-needed alice@example.org never signed in \| run: xoauthd login/,
  },
  { name: 'the answer is empty', answer: '', log: /xoauthd: the answer is no credential/ },
  { name: 'the answer is a page', answer: `<p>${credential}</p>`, log: /is no credential/ },
  { name: 'the answer is cut', answer: credential.slice(0, -2), log: /is no credential/ },
  { name: 'the answer has no token', answer: xoauth2(alice, ''), log: /is no credential/ },
  { name: 'the answer goes on', answer: `${credential}more`, log: /is no credential/ },
  { name: 'the answer is a flood', answer: 'x'.repeat(1 << 20), log: /is no credential/ },
  {
    name: 'the token is one byte too long for exim',
    answer: xoauth2(alice, 'x'.repeat(3070 - xoauth2(alice, '').length)),
    log: /xoauthd: a token of 3070 bytes, exim takes 3069/,
  },
  {
    name: 'the server refuses the token after a challenge',
    refused: true,
    log: /refused the token: \{"status":"400","schemes":"Bearer",[^\n]*\} \(xoauthd was told\)/,
  },
  {
    name: 'the server refuses the token at once',
    refused: true,
    server: { refusal: 'direct', mechanisms: ['LOGIN', 'XOAUTH2'] },
    log: /authenticator failed [^\n]* 535 [^]*refused the token, or takes none \(xoauthd was told\)/,
  },
  {
    name: 'the server refuses the token at once and has no LOGIN',
    refused: true,
    server: { refusal: 'direct' },
    log: /authentication required but authentication attempt\(s\) failed/,
    byRetryRule: true,
  },
  {
    name: 'the server answers 454',
    refused: true,
    server: { refusal: 'temporary' },
    log: /: 454 4\.7\.0 Temporary authentication failure/,
    byRetryRule: true,
  },
  {
    name: 'the server takes passwords only',
    server: { mechanisms: ['LOGIN', 'PLAIN'] },
    incurable: true,
    log: /refused the token, or takes none/,
  },
  {
    name: 'the server offers no AUTH',
    server: { mechanisms: [] },
    log: /server did not advertise AUTH support/,
    byRetryRule: true,
  },
  {
    name: 'the server offers no TLS',
    server: { starttls: false },
    log: /a TLS session is required, but the server did not offer TLS support/,
    byRetryRule: true,
  },
  {
    name: 'the server is someone else',
    macros: { XOAUTHD_CAS: '/dev/null' },
    log: /certificate verification failed/,
    byRetryRule: true,
  },
  {
    name: 'the sender has no account',
    sender: 'mallory@example.org',
    log: /\/accounts has no account for mallory@example\.org/,
    byRetryRule: true,
  },
]

for (const each of cases) {
  void t.test(each.name, needs('exim4', 'exim4-daemon-light'), async (t) => {
    let cured = false
    const smarthost = await createSmarthost(t, {
      server: { verify: () => cured || !each.refused, ...each.server },
      accounts: (host, port) => [`${alice}: host=${host} port=${port}`],
      ...(each.macros && { macros: each.macros }),
    })
    const { exim, mailServer } = smarthost
    const mend = await startBroken(smarthost, each, () => cured)

    await exim.submit(each.sender ?? alice, 'someone@example.net')
    await exim.age(1000)
    await exim.runQueue()
    await isHeldBack(t, smarthost, each)

    if (!each.byRetryRule) {
      await exim.setRetryRules([])
      await exim.runQueue()
      await isHeldBack(t, smarthost, each)
    }
    if (!each.byRetryRule && !each.incurable) {
      cured = true
      await mend()
      await exim.runQueue()
      t.same(await exim.queue(), [], 'sent by the first run after the cause is gone')
      t.match(mailServer.mails, [{ user: alice, from: alice, to: ['someone@example.net'] }])
    }
    await mailServer.close()
    t.notMatch(mailServer.errors.join('\n'), /invalid userdata/, 'no empty credential was offered')
  })
}

async function isHeldBack(t: Test, { exim, mailServer }: Smarthost, each: Case): Promise<void> {
  t.same(await exim.queue(), [{ sender: each.sender ?? alice, frozen: false }], 'on the queue')
  const log = await exim.mainlog()
  t.match(log, each.log)
  t.notMatch(log, /<= <>|\*\* |good-token/, 'no bounce, no failure, no token in the log')
  t.same(mailServer.mails, [])
  t.same(mailServer.anonymous, [], 'nothing sent without a sign-in')
  const offered = new Set(mailServer.attempts.map(({ token }) => token))
  t.same([...offered], each.refused ? ['good-token'] : [], 'no other credential was offered')
}

/** Brings up the daemon in the case's state; what it resolves with makes it an ordinary one. */
async function startBroken(
  { socket, startDaemon }: Smarthost,
  { daemon = 'up', answer = credential }: Case,
  cured: () => boolean,
): Promise<() => Promise<unknown>> {
  const start = () =>
    startDaemon(() => {
      if (cured()) return credential
      return daemon === 'silent' ? undefined : answer
    })
  switch (daemon) {
    case 'missing':
      return start
    case 'dead':
      await abandonSocket(socket)
      return async () => {
        await rm(socket)
        await start()
      }
    case 'forbidden':
      await start()
      await chmod(socket, 0)
      return () => chmod(socket, 0o666)
    case 'silent':
    case 'up':
      await start()
      return () => Promise.resolve()
  }
}

/** Leaves what a killed daemon leaves: a socket's file that nobody listens on. */
async function abandonSocket(path: string): Promise<void> {
  const daemon = await startScriptedSocket(`${path}-`, () => '')
  await rename(`${path}-`, path)
  await daemon.close()
}
