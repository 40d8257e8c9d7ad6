/**
 * The real msmtp on examples/msmtp/msmtprc: it sends with the token that its passwordeval prints,
 * and sends nothing when there is none, when the server refuses it or when it is too long.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startAuthorizationServer } from '../fixtures/authorization-server.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { createHome, shellLine, startDaemonProcess } from '../fixtures/daemon.ts'
import { needs } from '../fixtures/installed.ts'
import { startMailServer, type MailServer } from '../fixtures/mail-server.ts'
import { xoauth2 } from '../fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from '../fixtures/signed-in.ts'
import { temporaryFolder } from '../fixtures/smarthost.ts'

const example = join(import.meta.dirname, '../../examples/msmtp/msmtprc')
const me = 'me@example.org'
const program = needs('msmtp', 'msmtp')

interface Outcome {
  readonly status: number
  readonly errors: string
}

interface Installed {
  readonly mailServer: MailServer
  readonly send: () => Promise<Outcome>
}

/** msmtp with the shipped file, a server that takes `good`, and a command `xoauthd` in shell. */
async function install(t: Test, good: string, xoauthd: string): Promise<Installed> {
  return installWith(t, (user, token) => user === me && token === good, xoauthd)
}

async function installWith(
  t: Test,
  verify: (user: string, token: string) => boolean,
  xoauthd: string,
): Promise<Installed> {
  const folder = await temporaryFolder(t)
  const authority = await createAuthority(folder)
  const mailServer = await startMailServer({
    ...(await authority.issue(['localhost'])),
    mechanisms: ['LOGIN', 'XOAUTH2'],
    verify,
  })
  t.teardown(() => mailServer.close())
  const configuration = join(folder, 'msmtprc')
  await writeFile(
    configuration,
    (await readFile(example, 'utf8'))
      .replace('host smtp.gmail.com\nport 587', `host localhost\nport ${mailServer.port}`)
      .replace('tls_trust_file system', `tls_trust_file ${authority.caFile}`),
  )
  await writeFile(join(folder, 'xoauthd'), `#!/bin/sh\n${xoauthd}\n`, { mode: 0o755 })

  return {
    mailServer,
    async send() {
      const child = spawn('msmtp', ['--file', configuration, 'someone@example.net'], {
        env: { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` },
        timeout: 20_000,
      })
      child.stdin.on('error', () => undefined)
      child.stdin.end('Subject: test\n\nhello\n')
      const closed = once(child, 'close')
      const errors = await text(child.stderr)
      const [status] = (await closed) as [number]
      return { status, errors }
    },
  }
}

/** The program itself under its name, as a user has it. */
async function office(t: Test) {
  const server = await startAuthorizationServer()
  const home = createHome(accountAt(server, me))
  t.teardown(async () => {
    await server.close()
    home.remove()
  })
  const verify = (user: string, token: string) => server.accept(token, user)
  const msmtp = await installWith(t, verify, shellLine(home, '"$@"'))
  return { ...msmtp, server, home }
}

void t.test('a token', program, async (t) => {
  const { mailServer, send, server, home } = await office(t)
  await leaveSignIn(home.configFile, home.env, me, server.grant(me))
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.same(await send(), { status: 0, errors: '' })
  t.match(mailServer.mails, [{ user: me, from: me, to: ['someone@example.net'], body: /hello/ }])
})

void t.test('no token', program, async (t) => {
  const { mailServer, send, home } = await office(t)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  const { status, errors } = await send()
  t.equal(status, 78)
  t.match(
    errors,
    /^xoauthd: nobody has signed in for me@example\.org\nhint: run: xoauthd login me@example\.org\n/,
  )
  t.same([mailServer.attempts, mailServer.anonymous, mailServer.mails], [[], [], []])
})

void t.test('no daemon', program, async (t) => {
  const { mailServer, send } = await office(t)
  const { status, errors } = await send()
  t.equal(status, 78)
  t.match(errors, /^xoauthd: no xoauthd answers on \S+ or \S+\nhint: start it: /)
  t.same([mailServer.attempts, mailServer.anonymous, mailServer.mails], [[], [], []])
})

void t.test('a token that the server refuses', program, async (t) => {
  const { mailServer, send } = await install(t, 'good-token', 'echo stale-token')
  const { status, errors } = await send()
  t.equal(status, 77)
  t.match(errors, /535 [^\n]*not accepted/)
  t.match(mailServer.attempts, [{ mechanism: 'XOAUTH2', token: 'stale-token' }])
  t.same([mailServer.anonymous, mailServer.mails], [[], []])
})

void t.test('the longest token', program, async (t) => {
  const longest = 'x'.repeat(3069 - xoauth2(me, '').length)
  const { mailServer, send } = await install(t, longest, `echo ${longest}`)
  t.match(await send(), { status: 0 })
  t.equal(mailServer.mails.length, 1)
})

void t.test('a token that is one byte longer', program, async (t) => {
  const tooLong = 'x'.repeat(3070 - xoauth2(me, '').length)
  const { mailServer, send } = await install(t, tooLong, `echo ${tooLong}`)
  const { status, errors } = await send()
  t.equal(status, 65)
  t.match(errors, /longer than 4094 characters/)
  t.same([mailServer.attempts, mailServer.anonymous, mailServer.mails], [[], [], []])
})
