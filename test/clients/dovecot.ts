/**
 * The dovecot of the tests: it takes a good token by every door and mechanism, and no other; what it was
 * offered is known. On this the tests of the clients rest.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createAuthority } from '../fixtures/certificates.ts'
import { dovecotProgram, startDovecot, type Dovecot } from '../fixtures/dovecot.ts'
import { needs } from '../fixtures/installed.ts'
import { xoauth2 } from '../fixtures/scripted-socket.ts'
import { temporaryFolder } from '../fixtures/smarthost.ts'

const run = promisify(execFile)
const me = 'me@example.org'
const dovecot = needs(...dovecotProgram)
const base64 = (bytes: string) => Buffer.from(bytes).toString('base64')

async function start(t: Test): Promise<Dovecot & { readonly caFile: string }> {
  const folder = await temporaryFolder(t)
  const authority = await createAuthority(folder)
  const server = await startDovecot({
    folder: join(folder, 'd'),
    ...(await authority.issue(['localhost'])),
    find: (token) => (token === 'good-token' ? { user: me, scope: 'mail.read' } : undefined),
    scope: 'mail.read',
  })
  t.teardown(() => server.close())
  return { ...server, caFile: authority.caFile }
}

/** Sends the lines at once, which both protocols allow, and reads to the end. */
async function converse(port: number, lines: readonly string[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  socket.on('secureConnect', () => socket.write(lines.map((line) => `${line}\r\n`).join('')))
  return text(socket)
}

void t.test('a mail in and out', dovecot, async (t) => {
  const server = await start(t)
  await server.deliver(me, 'Subject: test\n\nhello\n')
  t.same(await server.mails(me), ['Subject: test\n\nhello\n'])
  const good = base64(xoauth2(me, 'good-token'))
  const imap = await converse(server.imapPort, [
    `a AUTHENTICATE XOAUTH2 ${good}`,
    'b SELECT INBOX',
    'c FETCH 1 BODY[TEXT]',
    'd LOGOUT',
  ])
  t.match(imap, /hello/)
  const bearer = base64(`n,a=${me},\x01auth=Bearer good-token\x01\x01`)
  const pop = await converse(server.popPort, [`AUTH OAUTHBEARER ${bearer}`, 'RETR 1', 'QUIT'])
  t.match(pop, /hello/)
  t.same(server.offered, ['good-token', 'good-token'])
  await server.logged(/Login: user=<me@example.org>, method=XOAUTH2/)
})

void t.test('a bad token, and a good one of somebody else', dovecot, async (t) => {
  const server = await start(t)
  for (const [user, token] of [
    [me, 'bad-token'],
    ['you@example.org', 'good-token'],
  ] as const) {
    const said = await converse(server.imapPort, [
      `a AUTHENTICATE XOAUTH2 ${base64(xoauth2(user, token))}`,
      '',
      'b LOGOUT',
    ])
    t.match(said, /^a NO /m, user)
  }
  t.same(server.offered, ['bad-token', 'good-token'])
  t.notMatch(server.log(), /bad-token|good-token/)
})

void t.test('by STARTTLS', dovecot, async (t) => {
  const server = await start(t)
  const url = `imap://localhost:${server.imapStarttlsPort}/`
  const args = ['-sS', '--user', me, '--oauth2-bearer', 'good-token', '--cacert', server.caFile]
  t.match((await run('curl', [...args, '--ssl-reqd', url])).stdout, /LIST/)
  t.same(server.offered, ['good-token'])
})
