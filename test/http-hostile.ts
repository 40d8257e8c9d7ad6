/** What clients can do to the authentication server: slow, huge, malformed, many; it serves on. */
import { once } from 'node:events'
import { Agent } from 'node:http'
import { createConnection } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, startDaemonFor } from './fixtures/daemon.ts'
import { addressOf, ask } from './fixtures/http-client.ts'
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
