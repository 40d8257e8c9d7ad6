/**
 * The tunnel against IMAP servers of every kind: how it signs in, what the client is told, what happens
 * to a token that is refused, and how the two sides end.
 */
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { XoauthdError, type TokenReply } from '../src/client.ts'
import type { AskToken } from '../src/imap-login.ts'
import type { HostPort } from '../src/endpoint.ts'
import { tunnelImap } from '../src/tunnel.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { run, start } from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'
import { startImapServer, type ImapServerOptions } from './fixtures/imap-server.ts'
import { useRealNames } from './fixtures/real-names.ts'
import { me, openTunnelOffice } from './fixtures/tunnel-office.ts'

const host = 'imap.example.org'
const authority = await createAuthority(t.testdir())
const certificate = await authority.issue([host])
const xoauth2 = (token: string) => `user=${me}\x01auth=Bearer ${token}\x01\x01`
const refusal = 'NO [AUTHENTICATIONFAILED] Invalid credentials'

/** A daemon that gives `stale` first, and `fresh` when that was refused. */
function tokens(asked: boolean[] = []): AskToken {
  return async (refused) => {
    asked.push(refused)
    const token = refused ? 'fresh' : 'stale'
    return Promise.resolve({ user: me, access_token: token, xoauth2: xoauth2(token) } as TokenReply)
  }
}

/** Opens a tunnel to a server of one test. */
async function open(
  t: Test,
  options: Partial<ImapServerOptions>,
  {
    ask = tokens(),
    port = 993,
    reading = true,
  }: { ask?: AskToken; port?: number; reading?: boolean } = {},
) {
  const server = await startImapServer({
    ...certificate,
    offers: 'SASL-IR AUTH=PLAIN AUTH=XOAUTH2',
    ...options,
  })
  t.teardown(() => server.close())
  useRealNames({ [`${host}:${port}`]: server.port }, authority.caFile)
  return { server, ...through({ host, port }, ask, reading) }
}

function through(at: HostPort, ask: AskToken, reading = true) {
  const pipe = { input: new PassThrough(), output: new PassThrough() }
  const ended = tunnelImap(at, ask, pipe).finally(() => pipe.output.end())
  ended.catch(() => undefined)
  return { ...pipe, ended, said: reading ? text(pipe.output) : Promise.resolve('') }
}

const preauth = '* PREAUTH [CAPABILITY IMAP4rev1 IDLE] signed in by xoauthd\r\n'

void t.test('the ways to sign in', async (t) => {
  const bearer = `n,a=${me},\x01auth=Bearer stale\x01\x01`
  const ways: Record<string, [Partial<ImapServerOptions>, number, string, string]> = {
    'an initial response': [{}, 993, `x1 AUTHENTICATE XOAUTH2 `, xoauth2('stale')],
    'no initial response': [
      { offers: 'AUTH=XOAUTH2' },
      993,
      'x1 AUTHENTICATE XOAUTH2',
      xoauth2('stale'),
    ],
    'OAUTHBEARER alone': [
      { offers: 'SASL-IR AUTH=OAUTHBEARER' },
      993,
      'x1 AUTHENTICATE OAUTHBEARER ',
      bearer,
    ],
    'a greeting that does not say what is offered': [
      { greeting: '* OK ready' },
      993,
      'x2 AUTHENTICATE XOAUTH2 ',
      xoauth2('stale'),
    ],
    STARTTLS: [{ starttls: true }, 143, 'x2 AUTHENTICATE XOAUTH2 ', xoauth2('stale')],
  }
  for (const [name, [options, port, command, credential]] of Object.entries(ways)) {
    const { server, input, ended, said } = await open(t, options, { port })
    input.end('a LOGOUT\r\n')
    await ended
    t.equal(await said, `${preauth}a OK done\r\n`, name)
    t.ok(
      server.lines.some((line) => line.startsWith(command)),
      command,
    )
    t.same(server.credentials, [credential])
  }
})

void t.test('a refused token is replaced once', async (t) => {
  const asked: boolean[] = []
  const judge = (credential: string) => (credential.includes('fresh') ? undefined : refusal)
  const ask = tokens(asked)
  const { server, input, ended, said } = await open(
    t,
    { judge, challenge: '{"status":"400"}' },
    { ask },
  )
  input.end()
  await ended
  t.match(await said, preauth)
  t.same(asked, [false, true])
  t.same(server.credentials, [xoauth2('stale'), xoauth2('fresh')])
  t.ok(server.lines.includes('answer to the challenge: '))

  const bye = await open(t, {
    judge: (credential) => (judge(credential) ? '* BYE out' : undefined),
  })
  bye.input.end()
  await bye.ended
  t.match(await bye.said, preauth, 'BYE counts as a refusal')
})

void t.test('what goes wrong is told as BYE', async (t) => {
  const judge = () => refusal
  const twice = await open(t, { judge, challenge: '{"status":"400","of":"fresh"}' })
  await t.rejects(twice.ended, { name: 'LoginRefused', code: 'not-allowed' })
  t.match(
    await twice.said,
    /^\* BYE xoauthd: imap\.example\.org says to the token for me@example\.org: NO \[AUTH[^\n]* \(\{"status":"400","of":"\*\*\*"\}\)\r\n$/,
  )
  t.notMatch(await twice.said, 'fresh')
  t.equal(twice.server.credentials.length, 2)

  const asked: boolean[] = []
  const busy = await open(t, { judge: () => 'NO [UNAVAILABLE] later' }, { ask: tokens(asked) })
  await t.rejects(busy.ended, { code: 'unavailable' })
  t.same(asked, [false], 'a server in trouble has not refused the token')
  t.match(await busy.said, /^\* BYE xoauthd: .*later/)

  const cases: [Partial<ImapServerOptions>, RegExp][] = [
    [{ greeting: '* BYE too many connections' }, /does not let us in: \* BYE too many/],
    [{ offers: 'AUTH=PLAIN' }, /offers neither XOAUTH2 nor OAUTHBEARER/],
    [{ greeting: `* OK ${'x'.repeat(70_000)}` }, /does not speak as a mail server/],
  ]
  for (const [options, message] of cases) {
    const { ended, said, server } = await open(t, options)
    await t.rejects(ended, { code: 'unavailable', message })
    t.match(await said, /^\* BYE xoauthd: [^\n]*\r\n$/)
    t.same(server.credentials, [])
  }
  const gone = through({ host: 'localhost', port: 1 }, tokens())
  await t.rejects(gone.ended, {
    code: 'unavailable',
    message: 'no connection to localhost:1: ECONNREFUSED',
    hint: /^is it the right server .* may port 1 be used from here\?$/,
  })

  const needed = new XoauthdError('sign-in-needed', 'nobody has signed in', 'run: xoauthd login')
  const nobody = await open(t, {}, { ask: () => Promise.reject(needed) })
  await t.rejects(nobody.ended, needed)
  t.equal(await nobody.said, '* BYE xoauthd: nobody has signed in\r\n')
  t.same(nobody.server.lines, [], 'the server is not even asked')
})

void t.test('no credential goes to somebody else', async (t) => {
  const wrong = await authority.issue(['other.example.org'])
  const { server, ended, said } = await open(t, { ...wrong })
  await t.rejects(ended, {
    code: 'unavailable',
    message: /ERR_TLS_CERT_ALTNAME_INVALID/,
    hint: /authority/,
  })
  t.match(await said, /^\* BYE /)
  t.same(server.credentials, [])

  const early = await open(
    t,
    { starttls: true, greeting: '* OK ready\r\nx OK now\r\n* OK injected' },
    { port: 143 },
  )
  await t.rejects(early.ended, { message: /spoke before TLS was there/ })
})

void t.test('a login of the client stays here', async (t) => {
  const { server, input, ended, said } = await open(t, {})
  input.end('a LOGIN me@example.org unused\r\nb NOOP\r\nc LOGOUT\r\n')
  await ended
  t.match(await said, /^\* PREAUTH [^\n]*\n[^]*a NO xoauthd has signed in already/)
  t.same(server.lines.slice(-2), ['b NOOP', 'c LOGOUT'])
})

void t.test('the server speaks on after the client has closed its side', async (t) => {
  let answer = (): void => undefined
  const asked = new Promise<void>((resolve) => (answer = resolve))
  const { input, ended, said } = await open(t, {
    speak: async (line) => {
      await asked
      return `${line.split(' ')[0] ?? ''} OK at last\r\n`
    },
  })
  input.end('a LOGOUT\r\n')
  await once(input, 'end')
  answer()
  await ended
  t.equal(await said, `${preauth}a OK at last\r\n`)
})

void t.test('a server that breaks off', async (t) => {
  const { input, ended } = await open(t, {
    speak: (_line, socket) => {
      socket.destroy()
      return ''
    },
  })
  input.write('a NOOP\r\n')
  await t.rejects(ended, { code: 'unavailable', message: /^imap\.example\.org broke off: / })

  const bye = await open(t, { speak: (_line, socket) => (socket.end('* BYE idle\r\n'), '') })
  bye.input.write('a NOOP\r\n')
  await bye.ended
  t.equal(await bye.said, `${preauth}* BYE idle\r\n`)
})

void t.test('a client that is slower than the server', async (t) => {
  const size = 8 * 1024 * 1024
  const speak = () => `* 1 FETCH (BODY[] {${size}}\r\n${'m'.repeat(size)})\r\na OK done\r\n`
  const { input, output, ended, server } = await open(t, { speak }, { reading: false })
  input.write('a FETCH 1 BODY[]\r\n')
  let most = 0
  let length = 0
  for await (const chunk of output) {
    length += (chunk as Buffer).length
    most = Math.max(most, output.readableLength)
    if (length > size) input.end()
    await new Promise(setImmediate)
  }
  await ended
  t.ok(length > size)
  t.ok(most < size / 4, `${most} bytes waited`)
  t.match(server.lines.at(-2), 'a FETCH')
})

void t.test('the command', needs('dovecot', 'dovecot-imapd'), async (t) => {
  const { home, env, server, dovecot } = await openTunnelOffice(t)
  const command = ['tunnel', 'imap', me]
  const well = await run(home, command, { env, stdin: 'a EXAMINE INBOX\r\n' })
  t.match(well, { code: 0, stderr: '' })
  t.match(
    well.stdout,
    /^\* PREAUTH \[CAPABILITY IMAP4rev1 [^]*a OK \[READ-ONLY\][^]*\* BYE [^]*xoauthd OK /,
  )

  const given = ['--host', `localhost:${dovecot.imapPort}`, '--config', '/nowhere']
  const named = [...command, '--socket', home.socket, ...given]
  t.match(await run(home, named, { env, stdin: 'a LOGOUT\r\n' }), { code: 0, stderr: '' })

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    const running = start(home, command, { env })
    await once(running.child.stdout!, 'data')
    await running.stop(signal)
    t.equal(running.child.signalCode, signal, `ended by ${signal}, as its parent expects`)
  }

  t.match(await run(home, command, { env: { NODE_EXTRA_CA_CERTS: '' } }), {
    code: 75,
    stdout: /^\* BYE xoauthd: no connection to localhost:\d+: /,
    stderr: /^xoauthd: no connection to localhost:\d+: .*\nhint: something between here /,
  })
  t.match(await run(home, ['tunnel', 'imap', 'nobody@example.org'], { env }), {
    code: 67,
    stdout: '* BYE xoauthd: no account answers for nobody@example.org\r\n',
    stderr: /^xoauthd: no account answers for nobody@example\.org\n/,
  })
  t.match(await run(home, [...command, '--host', 'foo'], { env }), {
    code: 64,
    stdout: '',
    stderr:
      /^xoauthd: option '--host <host:port>' argument 'foo' is invalid\. It must be host:port/,
  })
  home.configure(
    '[[account]]\nuser = "you@nowhere.example"\nprovider = "command"\ncommand = ["true"]\n',
  )
  t.match(await run(home, ['tunnel', 'imap', 'you@nowhere.example'], { env }), {
    code: 78,
    stdout: /^\* BYE xoauthd: where the imap server of you@nowhere\.example is, is not known\r\n$/,
  })
  t.match(await run(home, ['tunnel', 'pop', me], { env }), { code: 64, stdout: '' })
  for (const secret of server.secrets) t.notOk(well.stdout.includes(secret))
})
