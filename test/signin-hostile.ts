/**
 * What others on the machine, and pages in the browser, can do to a sign-in that waits for its answer: many
 * that say nothing, slow and huge ones, other names, foreign pages, guesses. The real answer gets in.
 */
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { drip, gather, type Place } from './fixtures/crowd.ts'
import { createHome, type ProcessOptions } from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { accountAt } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer()
t.teardown(() => server.close())

/** A sign-in whose answer is known and not delivered yet. */
async function waiting(t: Test, options: ProcessOptions = {}) {
  const home = createHome(accountAt(server, me))
  t.teardown(() => home.remove())
  const { login, consent } = await startLogin(home, me, options)
  t.teardown(() => login.stop('SIGKILL'))
  const answer = await consent()
  const place: Place = { host: '127.0.0.1', port: Number(answer.port) }
  const succeeds = async () => {
    t.match(await visit(answer), { status: 200, page: /<h1>Signed in<\/h1>/ })
    t.equal(await login.ended, 0)
    t.match(login.stderr(), /\nSigned in as me@issuer\.example /)
  }
  return { login, answer, place, succeeds }
}

/** Sends bytes as they are. @returns all that comes until the other side closes */
async function raw({ port }: URL, bytes: string): Promise<string> {
  const client = createConnection(Number(port), '127.0.0.1')
  client.on('error', () => undefined)
  client.write(bytes)
  return text(client).catch(() => '')
}

void t.test('1,500 that say nothing, and 200 that say it byte by byte', async (t) => {
  const { place, answer, succeeds } = await waiting(t)
  const silent = await gather(place, 1_500)
  // The right answer, had they the time for it.
  const line = `GET ${answer.pathname}${answer.search.replace(/state=[^&]*/, 'state=x')} HTTP/1.1\r\n`
  const slow = await gather(place, 200, (client) => drip(client, line + 'X: y\r\n'.repeat(10_000)))
  await succeeds()
  await Promise.all([silent.disperse(), slow.disperse()])
})

void t.test('few descriptors', needs('prlimit', 'util-linux'), async (t) => {
  const { place, succeeds } = await waiting(t, {
    via: ['prlimit', '--nofile=64:64'],
  })
  const crowd = await gather(place, 150)
  await succeeds()
  const gone = [...crowd.gone].sort((a, b) => a - b)
  t.same(gone.slice(0, 80), [...gone.slice(0, 80).keys()], 'the longest silent went first')
  await crowd.disperse()
})

void t.test('requests that are none of a browser that comes back', async (t) => {
  const { answer, login } = await waiting(t)
  const before = server.to('token').length
  const target = `${answer.pathname}${answer.search}`
  const request = (...headers: string[]) =>
    [`GET ${target} HTTP/1.1`, ...headers, 'Connection: close', '', ''].join('\r\n')
  const own = `Host: ${answer.host}`
  const cases: [bytes: string, status: number][] = [
    // A page of a stranger whose own name was made to point here sends that name.
    [request('Host: rebound.example'), 404],
    [request(`Host: rebound.example:${answer.port}`), 404],
    [request(`Host: localhost.evil.example:${answer.port}`), 404],
    [request('Host: 10.0.0.1'), 404],
    [request('Host:'), 404],
    [`GET ${target} HTTP/1.0\r\n\r\n`, 404],
    // A page that asks behind the person's back.
    [request(own, 'Origin: https://evil.example'), 404],
    [request(own, 'Origin: null'), 404],
    [request(own, 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors'), 404],
    [request(own, 'Sec-Fetch-Site: same-origin', 'Sec-Fetch-Mode: cors'), 404],
    [request(own, 'Origin: https://evil.example', 'Upgrade: websocket'), 404],
    [request(own).replace('GET', 'POST'), 404],
    [request(own).replace('GET', 'HEAD'), 404],
    [request(own).replace('GET', 'OPTIONS'), 404],
    // No HTTP, and too much of it.
    ['\x16\x03\x01\x02\x00\r\n\r\n', 400],
    ['GET\r\n\r\n', 400],
    [request(own, `X: ${'x'.repeat(20_000)}`), 431],
    [`GET /?${'x'.repeat(20_000)} HTTP/1.1\r\n${own}\r\n\r\n`, 431],
    [request(own).replace(target, 'http://[/'), 404],
    [request(own).replace(target, '//evil.example/?'), 404],
  ]
  for (const [bytes, status] of cases) {
    const said = await raw(answer, bytes)
    t.match(said, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(bytes.slice(0, 120)))
    t.notMatch(said, /access-control-allow/i)
  }
  t.equal(await raw(answer, `CONNECT ${answer.host} HTTP/1.1\r\n${own}\r\n\r\n`), '')
  t.equal(login.child.exitCode, null)
  t.equal(server.to('token').length, before, 'nothing was redeemed')
  const real = [
    'Sec-Fetch-Site: cross-site',
    'Sec-Fetch-Mode: navigate',
    'Sec-Fetch-Dest: document',
  ]
  t.match(await raw(answer, request(own, ...real)), /^HTTP\/1\.1 200 [^]*<h1>Signed in<\/h1>/)
  t.equal(await login.ended, 0)
})

void t.test('guesses, 500 at once', async (t) => {
  const { answer, succeeds } = await waiting(t)
  const before = server.to('token').length
  const guess = (count: number) => {
    const url = new URL(answer)
    url.searchParams.set('state', Buffer.alloc(32, count).toString('base64url'))
    return visit(url)
  }
  const answers = await Promise.all(Array.from({ length: 500 }, (_, count) => guess(count)))
  for (const { status, page } of answers) {
    if (status !== 400 || !/does not belong to the sign-in/.test(page)) t.fail(page)
  }
  t.equal(server.to('token').length, before)
  await succeeds()
})

void t.test('a browser that goes before it is answered', async (t) => {
  const { answer, login } = await waiting(t)
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const browser = createConnection(Number(answer.port), '127.0.0.1')
  browser.on('error', () => undefined)
  browser.write(`GET ${answer.pathname}${answer.search} HTTP/1.1\r\nHost: ${answer.host}\r\n\r\n`)
  await asked
  browser.destroy()
  await once(browser, 'close')
  resume()
  t.equal(await login.ended, 0, "it is the terminal's")
})
