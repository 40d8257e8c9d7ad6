/**
 * The commands of examples/exim/README.md do what it says, on the shipped configuration.
 */
import t from 'tap'
import { needs } from '../fixtures/installed.ts'
import { xoauth2 } from '../fixtures/scripted-socket.ts'
import { createSmarthost } from '../fixtures/smarthost.ts'

const alice = 'alice@example.org'
const someone = 'someone@example.net'
const exim4 = needs('exim4', 'exim4-daemon-light')

const withAlice = {
  server: { verify: (_: string, token: string) => token === 'good-token' },
  accounts: (host: string, port: number) => [`${alice}: host=${host} port=${port}`],
}

void t.test('the commands of the README', exim4, async (t) => {
  const { exim, startDaemon, socket } = await createSmarthost(t, withAlice)
  await startDaemon(() => xoauth2(alice, 'good-token'))
  t.match(await exim.exim(['-bV']), /\nConfiguration file is [^\n]*exim4\.conf\n$/)
  t.match(
    await exim.exim(['-f', alice, '-bt', someone]),
    /^someone@example\.net\n {2}router = smarthost, transport = smarthost\n/,
  )
  t.match(
    await exim.exim(['-f', 'mallory@example.org', '-bt', someone]),
    /cannot be resolved at this time: [^\n]* has no account for mallory@example\.org/,
  )
  const ask = `\${readsocket{${socket}}{SMTP,explain ${alice}}{10s}{ }}`
  t.match(
    await exim.exim(['-be', `\${length_30:${ask}}`]),
    /^user=alice@example\.org\x01auth=Be\n$/,
  )
})

void t.test('a program on this machine sends over SMTP, nobody else may', exim4, async (t) => {
  const { exim, mailServer, startDaemon } = await createSmarthost(t, withAlice)
  await startDaemon(() => xoauth2(alice, 'good-token'))
  const session = (from: string) =>
    ['HELO here', `MAIL FROM:<${from}>`, `RCPT TO:<${someone}>`, 'DATA', 'hello', '.', 'QUIT', '']
      .map((line) => `${line}\r\n`)
      .join('')
  t.match(await exim.exim(['-odq', '-bs'], session(alice)), /250 OK id=/)
  await exim.runQueue()
  t.match(mailServer.mails, [{ user: alice, from: alice, to: [someone], body: /hello/ }])

  t.match(await exim.exim(['-bh', '192.0.2.1'], session(alice)), /550 relay not permitted/)
})
