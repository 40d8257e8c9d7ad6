/** What clients can do to the authentication server: slow, huge, malformed, many; it serves on. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { drip, gather, residentMb } from './fixtures/crowd.ts'
import { createHome, startDaemonFor, startDaemonProcess } from './fixtures/daemon.ts'
import { addressOf, ask, type Answered } from './fixtures/http-client.ts'
import { needs } from './fixtures/installed.ts'
import { send } from './fixtures/raw-client.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const auth = 'engine:secret'
const authorization = `Basic ${Buffer.from(auth).toString('base64')}`

const server = await startAuthorizationServer()
const home = createHome()
home.configure(`${accountAt(server, me)}
[http]
listen = "127.0.0.1:0"
user = "engine"
password = { env = "HTTP_PASSWORD" }
`)
await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: 'the-token' })
const daemon = await startDaemonFor(t, home, [server], { env: { HTTP_PASSWORD: 'secret' } })
const base = await addressOf(daemon)

const target = `/?account=${me}&proto=smtp`
const isWell = async () => (await ask(base, target, { auth })).json['accessToken'] === 'the-token'

/** Sends bytes as they are. @returns all that comes until the server closes */
async function raw(bytes: string): Promise<string> {
  const client = createConnection(Number(new URL(base).port), '127.0.0.1')
  client.on('error', () => undefined)
  client.write(bytes)
  return text(client).catch(() => '')
}

const get = (path: string, ...headers: string[]) =>
  [`GET ${path} HTTP/1.1`, ...headers, '', ''].join('\r\n')
const host = 'Host: localhost'
const close = 'Connection: close'
const mine = `Authorization: ${authorization}`

void t.test('malformed and oversized', async (t) => {
  // Over the limit, and read in one piece: what is left unread would reset the connection.
  const headerBytes = 20_000
  const cases: [bytes: string, status: number][] = [
    [get(target, close, mine), 400],
    [get(target, 'Host:', close, mine), 403],
    [get(target, host, 'Host: evil.example', close, mine), 403],
    [`GET ${target} HTTP/1.0\r\n${mine}\r\n\r\n`, 403],
    ['\x16\x03\x01\x02\x00\r\n\r\n', 400],
    ['GET\r\n\r\n', 400],
    [get(target, host, `X: ${'x'.repeat(headerBytes)}`), 431],
    [get(`/?account=${'x'.repeat(headerBytes)}`, host), 431],
    [get(`/?account=${'x'.repeat(10_000)}`, host, mine, close), 400],
    [get('/?account=%', host, mine, close), 400],
    [get('http://[/', host, mine, close), 403],
    [get(target, host, mine, close, 'Expect: 100-continue'), 200],
    [get(target, host, mine, 'Upgrade: websocket', 'Connection: upgrade, close'), 200],
  ]
  for (const [bytes, status] of cases) {
    const answer = await raw(bytes)
    const codes = [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1]))
    t.equal(codes.at(-1), status, JSON.stringify(bytes.slice(0, 60)))
  }
  t.equal(await raw('CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n'), '')
  t.ok(await isWell())
})

void t.test('pipelined requests', async (t) => {
  const last = get('/healthz', host, close)
  const answers = await raw(get(target, host, mine).repeat(10) + last)
  t.equal(answers.match(/HTTP\/1\.1 200/g)?.length, 11)
  // A guess ends its connection, so that guesses do not pile up behind one another.
  const wrong = get(target, host, 'Authorization: Basic eDp5')
  t.equal((await raw(wrong.repeat(10))).match(/HTTP\/1\.1 401/g)?.length, 1)
  await raw(wrong.repeat(1000))
  t.ok(await isWell())
})

void t.test('1,000 that say nothing, and 200 that say it byte by byte', async (t) => {
  const place = { host: '127.0.0.1', port: Number(new URL(base).port) }
  const before = residentMb(daemon.child.pid)
  const silent = await gather(place, 1_000)
  const slow = await gather(place, 200, (client) =>
    drip(client, get(target, host, `X: ${'x'.repeat(10_000)}`, mine)),
  )
  const answers = await Promise.all(Array.from({ length: 20 }, isWell))
  t.ok(answers.every(Boolean), 'others are served meanwhile')
  t.ok(residentMb(daemon.child.pid) - before < 150)
  await Promise.all([silent.disperse(), slow.disperse()])
  t.ok(await isWell())
})

for (const tls of [false, true])
  void t.test(
    `few descriptors${tls ? ', and TLS' : ''}`,
    needs('prlimit', 'util-linux'),
    async (t) => {
      const authority = await createAuthority(t.testdir())
      const issued = await authority.issue(['localhost', '127.0.0.1'])
      const own = createHome(`${accountAt(server, me)}
[http]
listen = "127.0.0.1:0"
user = "engine"
password = "secret"
${tls ? 'cert = { file = "cert.pem" }\nkey = { file = "key.pem" }' : ''}
`)
      writeFileSync(join(own.path, 'cert.pem'), issued.cert, { mode: 0o600 })
      writeFileSync(join(own.path, 'key.pem'), issued.key, { mode: 0o600 })
      await leaveSignIn(own.configFile, own.env, me, server.grant(me), { value: 'the-token' })
      // It asks for the other service by itself, and is kept waiting.
      const resume = server.hold('token')
      t.teardown(resume)
      const small = await startDaemonProcess(own, {
        via: ['prlimit', '--nofile=64:64'],
      })
      t.teardown(async () => {
        await small.stop()
        own.remove()
      })
      const at = await addressOf(small)
      const means = { auth, ca: readFileSync(authority.caFile, 'utf8') }
      const asked = () => ask(at, target, means)
      // Who waits for an answer keeps its place, whoever comes.
      const { waiting } = await new Promise<{ waiting: Promise<Answered> }>((resolve) => {
        const promised = ask(at, `/?account=${me}&proto=imap`, {
          ...means,
          onRead: () => resolve({ waiting: promised }),
        })
      })
      const crowd = await gather({ host: '127.0.0.1', port: Number(new URL(at).port) }, 150)
      await small.said(/^warn clients crowded out http=\S+ most=\d+$/m)
      for (let round = 0; round < 3; round++)
        t.equal((await asked()).json['accessToken'], 'the-token')
      t.equal(
        await send(own.socket, `SMTP,token ${me}`),
        'the-token',
        'the socket has its own share',
      )
      const gone = [...crowd.gone].sort((a, b) => a - b)
      t.same(gone, [...gone.keys()], 'those that were silent for longest went first')
      resume()
      t.equal((await waiting).status, 200)
      await crowd.disperse()
    },
  )

void t.test('500 connections, and one that is used again', async (t) => {
  const idle = await Promise.all(
    Array.from({ length: 500 }, async () => {
      const client = createConnection(Number(new URL(base).port), '127.0.0.1')
      client.on('error', () => undefined)
      await once(client, 'connect')
      return client
    }),
  )
  const answers = await Promise.all(Array.from({ length: 500 }, isWell))
  t.ok(answers.every(Boolean))
  for (const client of idle) client.destroy()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let round = 0; round < 3; round++)
    t.equal((await ask(base, target, { auth, agent })).status, 200)
  agent.destroy()
})

void t.test('headers that never end are cut', async (t) => {
  const answer = raw(`GET ${target} HTTP/1.1\r\n${host}\r\nX-`)
  t.ok(await isWell(), 'nobody waits for it')
  t.match(await answer, /^HTTP\/1\.1 408 /)
})

void t.test('a client that goes while its token is fetched', async (t) => {
  const resume = server.hold('token')
  const client = createConnection(Number(new URL(base).port), '127.0.0.1')
  client.write(get(`/?account=${me}`, host, mine))
  await once(client, 'connect')
  client.destroy()
  await once(client, 'close')
  resume()
  t.ok(await isWell())
  t.notMatch(daemon.stderr(), /error bug/)
})
