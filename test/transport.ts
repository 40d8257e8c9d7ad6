/**
 * The way to the providers, against real servers and a real proxy: its limits, whom it does not talk
 * to, and that it judges nothing.
 */
import { getEventListeners, once } from 'node:events'
import http, { type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { createTransport, maxConnectionsPerHost, type Seen } from '../src/transport.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { everythingOf, leaksIn } from './fixtures/leaks.ts'
import { startProxy } from './fixtures/proxy.ts'
import { useRealNames } from './fixtures/real-names.ts'

const forever = new AbortController().signal

function transportOf(t: Test, timeoutMs?: number) {
  const transport = createTransport('1.2.3', timeoutMs)
  t.teardown(() => transport.close())
  return transport
}

/** A plain server of this machine. */
async function serve(t: Test, listener: RequestListener) {
  const server = http.createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` }
}

function errorOf(seen: Seen): NodeJS.ErrnoException {
  if (seen.kind === 'answer') throw new Error(`it answered ${seen.status}`)
  return seen.error
}

/** Sets variables of the environment for one test. */
function environment(t: Test, variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) {
    t.teardown(() => Reflect.deleteProperty(process.env, name))
    process.env[name] = value
  }
}

void t.test('a request and its answer', async (t) => {
  const { url } = await serve(t, (request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      const { method, headers } = request
      response.writeHead(418, { 'retry-after': '3' })
      response.end(JSON.stringify({ method, headers, body }))
    })
  })
  const transport = transportOf(t)
  const posted = await transport.send(
    { method: 'POST', url, headers: { 'content-type': 'text/plain' }, body: 'größe=é' },
    forever,
  )
  t.match(posted, { kind: 'answer', status: 418, headers: { 'retry-after': '3' } })
  t.match(JSON.parse(posted.kind === 'answer' ? posted.body : ''), {
    method: 'POST',
    body: 'größe=é',
    headers: {
      accept: 'application/json',
      'content-length': '10',
      'content-type': 'text/plain',
      'user-agent': 'xoauthd/1.2.3',
    },
  })
  const got = await transport.send({ method: 'GET', url }, forever)
  t.match(got, { kind: 'answer', body: /"method":"GET"/ })
  t.notMatch(got, { body: /content-length/ })
})

void t.test('redirects are not followed', async (t) => {
  const paths: string[] = []
  const { url } = await serve(t, (request, response) => {
    paths.push(request.url ?? '')
    response.writeHead(307, { location: '/elsewhere' }).end()
  })
  const seen = await transportOf(t).send({ method: 'POST', url, body: 'secret=1' }, forever)
  t.match(seen, { kind: 'answer', status: 307 })
  t.same(paths, ['/'])
})

void t.test('answers that are too large', async (t) => {
  const limit = 256 * 1024
  const { url } = await serve(t, (request, response) => {
    response.end('é'.repeat(Number(request.url?.slice(1)) / 2))
  })
  const transport = transportOf(t)
  const full = await transport.send({ method: 'GET', url: `${url}${limit}` }, forever)
  t.equal(full.kind === 'answer' && full.body, 'é'.repeat(limit / 2))
  const over = await transport.send({ method: 'GET', url: `${url}${limit + 2}` }, forever)
  t.equal(errorOf(over).message, 'the answer is too large')
})

void t.test('answers that do not come, or do not end', async (t) => {
  const { url } = await serve(t, (request, response) => {
    if (request.url === '/half') response.writeHead(200, { 'content-length': 9 }).write('half')
    if (request.url === '/slow') setTimeout(() => response.end('at last'), 200)
    if (request.url === '/gone') {
      response.writeHead(200, { 'content-length': 9 })
      response.write('half', () => response.destroy())
    }
    if (request.url === '/chunk') response.write('half', () => response.destroy())
    if (request.url === '/garbage') response.socket?.end('secret-of-a-stranger')
  })
  const error = async (path: string, timeoutMs?: number, signal = forever) =>
    errorOf(await transportOf(t, timeoutMs).send({ method: 'GET', url: url + path }, signal))

  t.equal((await error('never', 50)).message, 'no answer in time')
  t.equal((await error('half', 50)).message, 'no answer in time')
  const patient = { method: 'GET', url: `${url}slow`, timeoutMs: 60_000 } as const
  const slow = await transportOf(t, 50).send(patient, forever)
  t.match(slow, { kind: 'answer', body: 'at last' }, 'a request may take longer by its own word')
  t.equal((await error('gone')).message, 'the answer was cut off')
  t.equal((await error('chunk')).message, 'the answer was cut off')
  const garbage = await error('garbage')
  t.match(garbage.code, /^HPE_/)
  t.same(leaksIn(everythingOf(garbage), ['secret-of-a-stranger']), [])

  t.equal((await error('', undefined, AbortSignal.abort())).code, 'ABORT_ERR')
  const controller = new AbortController()
  const aborted = error('half', undefined, controller.signal)
  setImmediate(() => controller.abort())
  t.equal((await aborted).code, 'ABORT_ERR')
})

void t.test('whom it does not talk to', async (t) => {
  const transport = transportOf(t)
  for (const url of [
    'http://issuer.example/token',
    'http://127.0.0.1.issuer.example/',
    'https://user:password@issuer.example/',
    'ftp://127.0.0.1/',
    'token',
  ]) {
    const error = errorOf(await transport.send({ method: 'GET', url }, forever))
    t.match(error.message, /is not an https URL/)
  }
})

void t.test('connections are kept, but never too many', async (t) => {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const warnings: Error[] = []
  process.on('warning', (warning) => warnings.push(warning))
  const transport = transportOf(t)
  const send = () => transport.send({ method: 'POST', url: server.endpoints.token }, forever)
  const release = server.hold('token')
  const count = maxConnectionsPerHost + 8
  const answers = Promise.all(Array.from({ length: count }, send))
  await server.reached(maxConnectionsPerHost)
  t.equal(server.inFlight, maxConnectionsPerHost)
  release()
  t.equal((await answers).filter(({ kind }) => kind === 'answer').length, count)
  t.equal(server.maxInFlight, maxConnectionsPerHost)
  t.same(getEventListeners(forever, 'abort'), [], 'the signal that they share forgets them')
  t.same(warnings, [])

  await t.test('and dropped when it is closed', async (t) => {
    const { server, url } = await serve(t, (_request, response) => void response.end('{}'))
    let connections = 0
    server.on('connection', () => connections++)
    const transport = transportOf(t)
    await transport.send({ method: 'GET', url }, forever)
    await transport.send({ method: 'GET', url }, forever)
    t.equal(connections, 1)
    transport.close()
    await transport.send({ method: 'GET', url }, forever)
    t.equal(connections, 2)
  })
})

void t.test('a proxy', async (t) => {
  const authority = await createAuthority(t.testdir())
  const certificate = await authority.issue(['issuer.example'])
  const issuer = 'https://issuer.example'
  const server = await startAuthorizationServer({ ...certificate, issuer })
  t.teardown(() => server.close())
  useRealNames({ 'issuer.example': server.port }, authority.caFile)
  const proxy = await startProxy()
  t.teardown(() => proxy.close())
  const url = server.endpoints.discovery
  const request = { method: 'POST', url, body: 'client_secret=the-secret' } as const

  await t.test('carries what it cannot read', async (t) => {
    environment(t, { HTTPS_PROXY: proxy.url })
    const transport = transportOf(t)
    t.match(await transport.send(request, forever), { kind: 'answer', status: 200 })
    t.match(await transport.send(request, forever), { kind: 'answer', status: 200 })
    t.match(proxy.asked[0], { target: 'issuer.example:443' })
    t.equal(server.requests.length, 2)
  })

  await t.test('with a password', async (t) => {
    environment(t, { HTTPS_PROXY: proxy.url.replace('//', '//me:proxy-password@') })
    await transportOf(t).send(request, forever)
    const expected = Buffer.from('me:proxy-password').toString('base64')
    t.equal(proxy.asked.at(-1)?.headers['proxy-authorization'], `Basic ${expected}`)
  })

  await t.test('is left out where NO_PROXY says so, and for this machine', async (t) => {
    const before = proxy.asked.length
    environment(t, { HTTPS_PROXY: proxy.url, NO_PROXY: 'other.example,.example' })
    t.match(await transportOf(t).send(request, forever), { kind: 'answer' })
    delete process.env['NO_PROXY']
    const own = await authority.issue(['127.0.0.1'])
    const local = await startAuthorizationServer(own)
    t.teardown(() => local.close())
    const seen = await transportOf(t).send({ method: 'GET', url: local.issuer }, forever)
    t.match(seen, { kind: 'answer', status: 404 })
    t.equal(proxy.asked.length, before)
  })

  await t.test('that refuses does not answer for the server', async (t) => {
    environment(t, { HTTPS_PROXY: proxy.url })
    for (const body of ['{"error":"invalid_grant"}', '<html>', '']) {
      proxy.refusal = `403 Forbidden\r\nContent-Length: ${body.length}\r\n\r\n${body}`
      const error = errorOf(await transportOf(t).send(request, forever))
      t.match(error.message, /the proxy answered HTTP 403/)
    }
    t.same(proxy.overheard, [], 'and is told nothing')
    proxy.refusal = undefined
  })

  await t.test('that is not there, or is none', async (t) => {
    const gone = await startProxy()
    await gone.close()
    const password = 'the-proxy-password'
    for (const address of [
      gone.url.replace('//', `//me:${password}@`),
      `http://me:${password}@[`,
      `nonsense://me:${password}@127.0.0.1:1`,
    ]) {
      environment(t, { HTTPS_PROXY: address })
      const error = errorOf(await transportOf(t).send(request, forever))
      t.same(leaksIn(everythingOf(error), [password]), [], error.message)
    }
  })
})
