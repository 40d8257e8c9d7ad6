/**
 * The line protocol byte by byte, on the sockets of a real daemon: what each request is answered, what
 * a client can do wrong, and who is served where.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { getToken } from '../src/client.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, startDaemonFor } from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'
import { converse, send } from './fixtures/raw-client.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'Me+tag=a@issuer.example'
const two = 'two@issuer.example'
const stranger = 'stranger@issuer.example'
const sendToken = 'send.token-of-me'
const root = process.getuid?.() === 0
const group = root ? 'daemon' : String(process.getgid?.())

const server = await startAuthorizationServer()
const home = createHome()
const mail = join(home.path, 'mail')
home.configure(`${accountAt(server, me)}
${accountAt(server, two)}
${accountAt(server, stranger)}
[[socket]]
path = "${mail}"
mode = "0660"
group = "${group}"
accounts = ["${me}"]
services = ["smtp"]
[[socket]]
path = "own"
`)
await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: sendToken })
await leaveSignIn(home.configFile, home.env, two, server.grant(two), { value: 'earlier' })
const daemon = await startDaemonFor(t, home, [server])
const { socket } = home

const good = xoauth2(me, sendToken)

void t.test('a request ends with a newline, with CRLF, or with a half-close', async (t) => {
  for (const end of ['\n', '\r\n', '']) t.equal(await send(socket, `SMTP ${me}${end}`), good)
  t.equal(await converse(socket, (client) => client.write(`smtp ${me}\n`)), good, 'still open')
  t.equal(await send(socket, `Smtp ${me.toUpperCase()}`), good, 'in any case')
})

void t.test('socat, as in the first lines of the manual', needs('socat', 'socat'), async (t) => {
  const line = `printf 'SMTP ${me}' | socat - UNIX-CONNECT:${socket}`
  const { stdout } = await promisify(execFile)('sh', ['-c', line])
  t.equal(stdout, good)
})

void t.test('formats', async (t) => {
  const asked = (options: string) => send(socket, `SMTP,${options} ${me}\n`)
  t.equal(await asked('xoauth2'), good)
  t.equal(await asked('base64'), Buffer.from(good).toString('base64'))
  t.equal(await asked('token'), sendToken)
  const escaped = 'Me+tag=3Da@issuer.example'
  t.equal(await asked('oauthbearer'), `n,a=${escaped},\x01auth=Bearer ${sendToken}\x01\x01`)
  const json = await asked('json')
  t.match(json, /^[^\n]+\n$/)
  const { expires_at, expires_in, ...rest } = JSON.parse(json) as Record<string, unknown>
  t.same(rest, {
    mailbox: me,
    user: me,
    service: 'smtp',
    access_token: sendToken,
    xoauth2: good,
  })
  t.ok(Number.isInteger(expires_at) && Number.isInteger(expires_in))
  const askedAtS = Number(expires_at) - Number(expires_in)
  t.ok(Math.abs(askedAtS - Date.now() / 1000) < 60, 'both are of the same token')
})

void t.test('a Node program', async (t) => {
  const reply = await getToken(me, { socket, service: 'smtp', min: 60, wait: 1 })
  t.match(reply, { mailbox: me, access_token: sendToken, xoauth2: good })
  await t.rejects(getToken(stranger, { socket }), { code: 'sign-in-needed', hint: /^run: / })
  await t.rejects(getToken(me, { socket: home.configFile }), { code: 'no-daemon' })
})

void t.test('a failure writes nothing, unless it is asked for', async (t) => {
  const failures = {
    [`SMTP nobody@example.net`]: 'unknown-account',
    [`SMTP ${stranger}`]: 'sign-in-needed',
    [`POP ${me}`]: 'not-allowed',
    [`SMTP me`]: 'bad-request',
    [`SMTP  ${me}`]: 'bad-request',
    [`SMTP ${me} `]: 'bad-request',
    [`SMTP ${me}\x00`]: 'bad-request',
    [`SMTP,what ${me}`]: 'bad-request',
    [`SMTP,token,base64 ${me}`]: 'bad-request',
    [`${'x'.repeat(2048)} ${me}`]: 'bad-request',
    [`SMTP ${'x'.repeat(2048)}@issuer.example`]: 'bad-request',
    ['']: 'bad-request',
  }
  for (const [line, code] of Object.entries(failures)) {
    const name = `${code}: ${JSON.stringify(line.slice(0, 30))}`
    const options = line.replace(' ', ',explain ')
    t.equal(await send(socket, `${line}\n`), '', name)
    if (line === '') continue
    t.match(await send(socket, options), new RegExp(`^ERR ${code} [^\n]+\n$`), name)
    if (/,token/.test(line)) continue
    const said = JSON.parse(await send(socket, line.replace(' ', ',json '))) as object
    t.match(said, { error: code, message: /./ }, name)
  }
  const explained = await send(socket, `SMTP,explain ${stranger}`)
  t.equal(
    explained,
    `ERR sign-in-needed nobody has signed in for ${stranger} | run: xoauthd login ${stranger}\n`,
  )
  t.equal(await send(socket, ''), '', 'a client that says nothing')
})

void t.test('random bytes', async (t) => {
  for (let length = 1; length <= 4096; length *= 4)
    t.equal(await send(socket, randomBytes(length)), '', `${length} bytes`)
})

void t.test(
  'a client that writes byte by byte, and one that goes on after its newline',
  async (t) => {
    const slow = await converse(socket, (client) => {
      client.setNoDelay()
      const bytes = `SMTP ${me}\n`.split('')
      const next = () => {
        const byte = bytes.shift()
        if (byte === undefined) client.end()
        else client.write(byte, () => setImmediate(next))
      }
      next()
    })
    t.equal(slow, good)
    t.equal(await send(socket, `SMTP ${me}\nIMAP ${me}\n${'x'.repeat(9000)}`), good)
  },
)

void t.test('clients that go before they are answered', async (t) => {
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const gone = converse(socket, async (client) => {
    client.write(`SMTP,min=3500,token ${two}\n`)
    await asked
    client.destroy()
  }).catch(() => undefined)
  await asked
  await gone
  await Promise.all(
    Array.from({ length: 20 }, () => converse(socket, (one) => one.destroy()).catch(() => '')),
  )
  resume()
  const token = await send(socket, `SMTP,min=3500,token ${two}`)
  t.match(server.find(token), { user: two }, 'what was fetched for it serves the next')
})

void t.test('256 at once', async (t) => {
  const answers = await Promise.all(Array.from({ length: 256 }, () => send(socket, `SMTP ${me}`)))
  t.same(new Set(answers), new Set([good]))
})

void t.test('each socket serves its own', async (t) => {
  const { mode, gid } = statSync(mail)
  t.equal(mode & 0o777, 0o660)
  if (root) t.equal(gid, Number((await promisify(execFile)('id', ['-g', group])).stdout))
  t.equal(statSync(socket).mode & 0o777, 0o600)
  t.equal(await send(mail, `SMTP ${me}`), good)
  for (const line of [`IMAP,explain ${me}`, `SMTP,explain ${stranger}`])
    t.match(await send(mail, line), /^ERR not-allowed /)
})

void t.test('only a control socket is told what to do', async (t) => {
  const asked = server.requests.length
  for (const path of [mail, join(home.path, 'own')])
    for (const line of ['STATUS', 'RELOAD', `REFRESH ${me}`])
      t.equal(await send(path, `${line}\n`), '')
  t.equal(server.requests.length, asked)
  t.notMatch(daemon.stderr(), /reloaded/)
  t.match(JSON.parse(await send(socket, 'STATUS')), { version: 1 })
  for (const line of ['status', 'STATUS ', 'RELOAD now', 'REFRESH', 'REFRESH x'])
    t.equal(await send(socket, line), '', line)
})

void t.test('min, wait and refused', async (t) => {
  const resume = server.hold('token')
  t.match(await send(socket, `SMTP,min=3500,wait=0,explain ${me}`), /^ERR unavailable [^\n]*0 s/)
  resume()
  const longer = await send(socket, `SMTP,min=3500,token ${me}`)
  t.ok(server.accept(longer, me))
  t.match(await send(socket, `SMTP,min=7200,explain ${me}`), /^ERR unavailable /)

  // Within 30 s of the last fetch the newest token is given, refused or not.
  t.equal(await send(socket, `SMTP,refused,token ${me}`), longer)
})

void t.test('each answer leaves one line', async (t) => {
  await send(mail, `SMTP nobody@example.net`)
  await daemon.said(/^info answered socket=\S+\/mail .*result=unknown-account reason="no account/m)
  t.match(
    daemon.stderr(),
    /^info answered socket=\S+\/mail service=smtp mailbox="Me\S+ result=ok\b/m,
  )
})
