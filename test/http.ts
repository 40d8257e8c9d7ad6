/**
 * The authentication server's contract, line by line, with a real daemon: what EmailEngine asks and gets,
 * who may ask, and what each failure looks like.
 */
import { createServer as createTcpServer } from 'node:net'
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createAuthority } from './fixtures/certificates.ts'
import { createHome, run, startDaemonProcess, type Running } from './fixtures/daemon.ts'
import { addressOf, ask, type Asking } from './fixtures/http-client.ts'
import { leaksIn } from './fixtures/leaks.ts'
import { send } from './fixtures/raw-client.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'
import { temporaryFolder } from './fixtures/smarthost.ts'

const me = 'me@issuer.example'
const team = 'team@issuer.example'
const stranger = 'stranger@issuer.example'
const googler = 'me@gmail.com'
const token = 'token-that-must-not-be-in-any-log'
const auth = 'engine:pass w%C3%B6rd'

const server = await startAuthorizationServer()
const home = createHome()
t.teardown(async () => {
  await server.close()
  home.remove()
})

const accounts = `${accountAt(server, me, `id = "first"\nmailboxes = ["${team}"]\nlogin_as = { smtp = "person" }`)}
${accountAt(server, stranger)}
[[account]]
user = "${googler}"
provider = "google"
client_id = "1.apps.googleusercontent.com"
client_secret = "x"
[[account]]
user = "*@corp.example"
id = "corp"
provider = "google-service-account"
key = { file = "missing.json" }
`
const table = (more = '', listen = '127.0.0.1:0') =>
  `${accounts}\n[http]\nlisten = "${listen}"\n${more}\n`
const login = 'user = "engine"\npassword = "pass w%C3%B6rd"'

/** A daemon on `[http]` with these lines. */
async function serving(t: Test, more = login, listen?: string) {
  home.configure(table(more, listen))
  await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: token })
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  const base = await addressOf(daemon)
  const get = (query: string, asking: Asking = {}) =>
    ask(base, `/authentication?${query}`, { auth, ...asking })
  return { daemon, base, get }
}

async function reload(daemon: Running, outcome: RegExp): Promise<void> {
  const before = daemon.stderr().length
  const said = daemon.said(new RegExp(`^[^]{${before}}[^]*${outcome.source}`))
  daemon.child.kill('SIGHUP')
  await said
}

void t.test('what EmailEngine asks', async (t) => {
  const { daemon, base, get } = await serving(t)
  const good = await get(`account=${me}&proto=smtp`)
  t.equal(good.status, 200)
  t.same(Object.keys(good.json), ['user', 'accessToken', 'expires'])
  t.match(good.json, { user: me, accessToken: token })
  const { expires } = good.json
  t.ok(Number.isInteger(expires) && Number(expires) > Date.now() / 1000, 'whole seconds')
  t.ok(Number(expires) < Date.now() / 1000 + 3700, 'since 1970')
  t.match(good.headers, { 'cache-control': 'no-store', 'content-type': 'application/json' })

  // Any path, a query of its own beside it, an id, any case, and an encoded @.
  for (const target of ['/', '/a/b', '/authentication', '//x', '*/'])
    t.equal((await ask(base, `${target}?x=1&account=first&proto=smtp&y`, { auth })).status, 200)
  for (const name of ['first', me.toUpperCase(), 'me%40issuer.example'])
    t.match((await get(`account=${name}&proto=smtp`)).json, { user: me, accessToken: token })

  // imap unless it says otherwise; that token is another, and the mailbox's own name goes with it.
  const imap = await get(`account=${team}`)
  t.equal(imap.json['user'], team)
  t.match(server.find(String(imap.json['accessToken'])), { scope: 'mail.read' })
  t.equal((await get(`account=${team}&proto=smtp`)).json['user'], me, 'login_as')

  const head = await get(`account=${me}&proto=smtp`, { method: 'HEAD' })
  t.same([head.status, head.body], [200, ''])
  t.same(head.headers['content-length'], good.headers['content-length'])
  await daemon.said(
    /^info answered socket=http\S+ service=smtp mailbox=me@issuer.example result=ok/m,
  )
  t.same(leaksIn(daemon.stderr(), [token, auth, 'pass w%C3%B6rd']), [])
})

void t.test('the fetch of Node, which EmailEngine asks with', async (t) => {
  // It sends Sec-Fetch-Mode as browsers do, but nothing else of theirs.
  const { base, get } = await serving(t)
  const headers = { authorization: `Basic ${Buffer.from(auth).toString('base64')}` }
  const query = `account=${encodeURIComponent(me)}&proto=smtp`
  const response = await fetch(`${base}/authentication?${query}`, { headers })
  t.equal(response.status, 200)
  t.match(await response.json(), { user: me, accessToken: token })
  t.equal((await get(query, { headers: { 'sec-fetch-mode': 'cors' } })).status, 200)
})

void t.test('what cannot be answered', async (t) => {
  const { get } = await serving(t)
  const cases: [query: string, status: number, body: object][] = [
    ['', 400, { error: 'bad-request', message: 'account is missing' }],
    ['account=', 400, { error: 'bad-request' }],
    ['account=a&account=b', 400, { message: 'account stands twice' }],
    [`account=${me}&proto=ftp`, 400, { message: 'proto is imap, smtp or api' }],
    [`account=${me}&proto=`, 400, { error: 'bad-request' }],
    ['account=%zz', 400, { message: /percent-encoded/ }],
    ['account=%ff@issuer.example', 400, { message: /percent-encoded/ }],
    [`account=${'x'.repeat(300)}`, 400, { error: 'bad-request' }],
    ['account=nobody@example.net', 404, { error: 'unknown-account', message: /nobody@example/ }],
    ['account=ya29.secret', 404, { error: 'unknown-account', message: 'no such account' }],
    ['account=corp', 404, { error: 'unknown-account', message: /whole domain/ }],
    ['account=*@corp.example', 404, { error: 'unknown-account' }],
    ['account=constructor', 404, { error: 'unknown-account' }],
    [`account=${stranger}`, 403, { error: 'sign-in-needed', hint: /xoauthd login stranger@/ }],
    ['account=you@corp.example', 403, { error: 'misconfigured', message: /missing.json/ }],
    // The API of each provider.
    [`account=${googler}&proto=api`, 403, { error: 'not-allowed', message: /service gmail/ }],
    [`account=${me}&proto=api`, 403, { error: 'not-allowed', message: /service graph/ }],
  ]
  for (const [query, status, body] of cases) {
    const answer = await get(query)
    t.equal(answer.status, status, query)
    t.match(answer.json, body, query)
    t.equal(answer.headers['cache-control'], 'no-store', query)
    t.equal(answer.headers['retry-after'], undefined, query)
  }
})

void t.test('credentials', async (t) => {
  const { base, daemon } = await serving(t)
  const target = `/?account=${me}&proto=smtp`
  const basic = (text: string) => ({
    authorization: `Basic ${Buffer.from(text).toString('base64')}`,
  })
  const status = async (headers: Record<string, string>) =>
    (await ask(base, target, { headers })).status
  t.equal(await status(basic(auth)), 200, 'as it is')
  t.equal(await status(basic('engine:pass%20w%25C3%25B6rd')), 200, 'as it stands in a URL')
  t.equal(await status({ authorization: basic(auth).authorization.replace('Basic', 'bAsIc') }), 200)
  const missing = await ask(base, target)
  t.match(missing, { status: 401, json: { error: 'not-allowed' } })
  t.match(missing.headers, { 'www-authenticate': /^Basic realm=/, 'cache-control': 'no-store' })
  const wrong = [
    basic('engine:pass wörd'),
    basic('engine:'),
    basic('engine'),
    basic(''),
    basic('Engine:pass w%C3%B6rd'),
    basic(`${auth}\0`),
    basic('%zz:%zz'),
    { authorization: 'Bearer x' },
    { authorization: 'Basic ***' },
    { authorization: '' },
  ]
  const beganAt = performance.now()
  for (const answer of await Promise.all(wrong.map((headers) => ask(base, target, { headers })))) {
    t.match(answer, { status: 401, headers: { connection: 'close' } })
    t.notOk(answer.json['accessToken'])
  }
  t.ok(performance.now() - beganAt > 900, 'a guess takes its time')
  await daemon.said(
    /^info answered socket=http\S+ .*result=not-allowed .*wrong \(from 127\.0\.0\.1\)/m,
  )
})

void t.test('who may ask, and how', async (t) => {
  const limits = `allow = ["127.0.0.1", "10.0.0.0/8"]\npath = "/authentication"\naccounts = ["${me}"]\nservices = ["smtp"]\nhosts = ["Tokens.example"]`
  const { base, get } = await serving(t, `${login}\n${limits}`)
  const port = new URL(base).port
  const query = `account=${me}&proto=smtp`
  const status = async (asking: Asking) => (await get(query, asking)).status
  t.equal(await status({}), 200)
  t.equal(await status({ localAddress: '127.0.0.2' }), 403, 'not in allow')
  t.equal(
    await status({ localAddress: '127.0.0.2', headers: { 'x-forwarded-for': '127.0.0.1' } }),
    403,
    'what it says of itself is not believed',
  )
  t.equal((await ask(base, '/healthz', { localAddress: '127.0.0.2' })).status, 403)
  t.equal((await ask(base, `/other?${query}`, { auth })).status, 404)
  t.match((await get(`account=${me}`)).json, { error: 'not-allowed' })
  t.equal((await get(`account=${stranger}&proto=smtp`)).status, 403)

  for (const headers of [
    { origin: 'http://127.0.0.1' },
    { origin: 'null' },
    // What browsers send with a picture and with an address that is typed in.
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
    { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' },
  ])
    t.equal(await status({ headers }), 403, JSON.stringify(headers))
  for (const host of ['rebound.example', 'localhost.evil.example', 'x@evil', '10.0.0.1', '%'])
    t.equal(await status({ headers: { host } }), 403, host)
  for (const host of [
    'localhost',
    'LOCALHOST:1',
    '[::1]:80',
    `127.0.0.1:${port}`,
    'tokens.example',
  ])
    t.equal(await status({ headers: { host } }), 200, host)

  const absolute = (authority: string) =>
    ask(base, `http://${authority}/authentication?${query}`, { auth })
  t.equal((await absolute(`127.0.0.1:${port}`)).status, 200)
  t.equal((await absolute('rebound.example')).status, 403)
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE']) {
    const answer = await get(query, { method, body: method === 'POST' ? 'x'.repeat(100_000) : '' })
    t.match(answer, { status: 405, headers: { allow: 'GET, HEAD' } }, method)
  }
})

void t.test('healthz', async (t) => {
  const { base } = await serving(t)
  const answer = await ask(base, '/healthz')
  t.match(answer, {
    status: 200,
    body: '{"status":"ok"}\n',
    headers: { 'cache-control': 'no-store' },
  })
  t.equal((await ask(base, '/healthz', { headers: { origin: 'x' } })).status, 403)
  t.equal((await ask(base, '/healthz', { headers: { host: 'evil' } })).status, 403)
})

void t.test('trouble is waited for', async (t) => {
  server.fault({ endpoint: 'token', answer: { status: 503 } })
  const { get } = await serving(t)
  t.equal((await get(`account=${me}`)).status, 200, 'one failure is seen by nobody')
})

void t.test('a provider that asks for more time than there is', async (t) => {
  server.heal()
  home.configure(table(login))
  await leaveSignIn(home.configFile, home.env, me, server.grant(me))
  server.fault({
    endpoint: 'token',
    answer: { status: 503, headers: { 'retry-after': '120' } },
    times: Infinity,
  })
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  t.teardown(() => server.heal())
  const base = await addressOf(daemon)
  const answer = await ask(base, `/?account=${me}`, { auth })
  t.match(answer, { status: 429, json: { error: 'unavailable' } })
  const retryS = Number(answer.headers['retry-after'])
  t.ok(Number.isInteger(retryS) && retryS > 20 && retryS <= 120, String(retryS))
  t.equal(answer.json['retry_after'], retryS)
})

void t.test('a UNIX path', async (t) => {
  const path = join(home.path, 'http.sock')
  const limits = `mode = "0660"\naccounts = ["${me}"]\nservices = ["smtp"]`
  const { daemon, base } = await serving(t, limits, path)
  t.equal(base, path)
  t.equal(statSync(path).mode & 0o777, 0o660)
  const target = `/?account=${me}&proto=smtp`
  t.match((await ask(path, target)).json, { user: me, accessToken: token })
  t.equal((await ask(path, target, { headers: { host: 'whatever' } })).status, 200)
  t.equal((await ask(path, target, { headers: { origin: 'http://x' } })).status, 403)
  // As long as this one lives, no other has it; then its name is gone.
  t.equal(await daemon.stop(), 0)
  t.throws(() => statSync(path), { code: 'ENOENT' })
})

void t.test('IPv6, where it is there', async (t) => {
  const probe = createTcpServer().listen(0, '::1')
  const there = await once(probe, 'listening').then(
    () => true,
    () => false,
  )
  probe.close()
  if (!there) {
    t.comment('this machine has no IPv6')
    return
  }
  const { base, get } = await serving(t, `${login}\nallow = ["::1"]`, '[::1]:0')
  t.match(base, /^http:\/\/\[::1\]:\d+$/)
  t.equal((await get(`account=${me}&proto=smtp`)).status, 200)
})

void t.test('TLS, and a reload', async (t) => {
  const folder = await temporaryFolder(t)
  const authority = await createAuthority(folder)
  const [first, second] = [
    await authority.issue(['127.0.0.1']),
    await authority.issue(['127.0.0.1']),
  ]
  const certFile = join(home.path, 'cert.pem')
  const keyFile = join(home.path, 'key.pem')
  const passwordFile = join(home.path, 'password')
  const install = ({ cert, key }: { cert: string; key: string }, password: string) => {
    writeFileSync(certFile, cert, { mode: 0o644 })
    writeFileSync(keyFile, key, { mode: 0o600 })
    writeFileSync(passwordFile, password, { mode: 0o600 })
  }
  install(first, 'one')
  const ca = readFileSync(authority.caFile, 'utf8')
  const secure = `cert = "cert.pem"\nkey = { file = "key.pem" }\nuser = "engine"\npassword = { file = "password" }`
  // Others may reach it, since nothing travels in clear.
  const { daemon, base } = await serving(t, secure, '0.0.0.0:0')
  const port = new URL(base).port
  const asked = (auth: string) =>
    ask(`https://127.0.0.1:${port}`, `/?account=${me}&proto=smtp`, { auth, ca })
  t.equal((await asked('engine:one')).status, 200)
  await t.rejects(ask(`http://127.0.0.1:${port}`, '/healthz'), 'not in clear')

  install(second, 'two')
  await reload(daemon, /info reloaded/)
  t.equal((await asked('engine:two')).status, 200, 'both are read again')
  t.equal((await asked('engine:one')).status, 401)

  // What does not fit changes nothing.
  writeFileSync(certFile, first.cert)
  await reload(
    daemon,
    /error reload failed reason="cert and key of \[http\] [^]*warn configuration kept/,
  )
  t.equal((await asked('engine:two')).status, 200)
  home.configure(table(`${secure}\nnonsense = 1`, '0.0.0.0:0'))
  await reload(daemon, /warn configuration kept/)
  t.equal((await asked('engine:two')).status, 200)

  // Another place, and none.
  install(first, 'one')
  home.configure(table(login))
  const moved = daemon.said(/^info listening http=(http:\S+)$/m)
  await reload(daemon, /info reloaded/)
  const there = (await moved)[1] ?? ''
  t.equal((await ask(there, '/healthz')).status, 200)
  await t.rejects(asked('engine:one'), 'nobody is there any more')
  home.configure(accounts)
  await reload(daemon, /info reloaded/)
  await t.rejects(ask(there, '/healthz'))
  t.equal(await send(home.socket, `SMTP,token ${me}`), token)
  t.equal(await daemon.stop(), 0)
  t.same(leaksIn(daemon.stderr(), [token, first.key, second.key]), [])
})

void t.test('a place that is taken', async (t) => {
  const other = createTcpServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const bound = other.address()
  const port = typeof bound === 'object' && bound ? bound.port : 0
  home.configure(table(login, `127.0.0.1:${port}`))
  const { code, stderr } = await run(home, ['serve'])
  t.equal(code, 78)
  t.match(stderr, /cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\)\nhint: /)

  // A reload that cannot have it keeps the one that is open.
  home.configure(table(login))
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  await addressOf(daemon)
  home.configure(table(login, `127.0.0.1:${port}`))
  await reload(daemon, /error reload failed [^]*warn configuration kept/)
  const again = [...daemon.stderr().matchAll(/listening http=(\S+)/g)].at(-1)?.[1] ?? ''
  t.equal((await ask(again, '/healthz')).status, 200)
})
