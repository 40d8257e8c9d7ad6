/**
 * Postfix's protocol byte by byte, on a socket of a real daemon: what each key is answered, several
 * requests on a connection, and what a client can do wrong.
 */
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { createAudit } from '../src/audit.ts'
import { createScope } from '../src/credentials.ts'
import { Unavailable } from '../src/errors.ts'
import { createLog } from '../src/log.ts'
import { readNetstring, writeNetstring } from '../src/netstring.ts'
import { openSocketmap, type SocketmapService } from '../src/socketmap.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, startDaemonFor } from './fixtures/daemon.ts'
import { converse, send } from './fixtures/raw-client.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const stranger = 'stranger@issuer.example'
const hidden = 'hidden@elsewhere.example'

const server = await startAuthorizationServer()
const home = createHome()
const path = join(home.path, 'postfix')
home.configure(`${[me, stranger, hidden].map((user) => accountAt(server, user)).join('\n')}
[[account]]
user = "*@corp.example"
provider = "google-service-account"
key = { file = "missing.json" }
[[socket]]
path = "${path}"
protocol = "socketmap"
accounts = ["*@issuer.example", "*@corp.example"]
services = ["smtp"]
map = { "SMTP.issuer.example" = "${me}", "[2001:db8::1]:25" = "${me}", "next.example:587" = "${stranger}" }
`)
await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: 'the-token' })
const daemon = await startDaemonFor(t, home, [server])

const request = (key: string) => writeNetstring(`sasl ${key}`)
const good = writeNetstring(`OK ${me}:the-token`)

void t.test('keys', async (t) => {
  const nothing = writeNetstring('NOTFOUND ')
  const cases: [key: string, answer: string | RegExp][] = [
    [me, good],
    [me.toUpperCase(), good],
    ['smtp.issuer.example', good],
    ['[smtp.issuer.EXAMPLE]:587', good],
    ['[smtp.issuer.example]', good],
    ['smtp.issuer.example:25', good],
    ['[2001:db8::1]:25', good],
    // Nothing is known of these, and postfix asks on by another key.
    ['nobody@example.net', nothing],
    ['@issuer.example', nothing],
    ['*@corp.example', nothing],
    ['smtp.example.net', nothing],
    ['constructor', nothing],
    ['', nothing],
    ['me@issuer.example x', nothing],
    // Something is known of these, so nothing may be sent without a login.
    [stranger, /^\d+:TEMP nobody has signed in for stranger@issuer\.example,$/],
    ['next.example:587', /^\d+:TEMP nobody has signed in /],
    ['you@corp.example', /^\d+:TEMP .*missing\.json/],
    [hidden, /^\d+:PERM this socket does not serve smtp for hidden@elsewhere\.example,$/],
  ]
  for (const [key, answer] of cases) {
    const said = await send(path, request(key))
    if (typeof answer === 'string') t.equal(said, answer, key)
    else t.match(said, answer, key)
  }
  t.equal(await send(path, writeNetstring(`other ${me}`)), good, 'any name')
  t.match(await send(path, writeNetstring('sasl')), /^\d+:PERM /)
  await daemon.said(/^info answered socket=\S+postfix service=smtp mailbox=me@\S+ result=ok\b/m)
  t.notMatch(daemon.stderr(), /the-token/)
})

void t.test('several requests a connection, in any pieces', async (t) => {
  t.equal(await send(path, request(me).repeat(100)), good.repeat(100))
  const pieces = await converse(path, (client) => {
    client.setNoDelay()
    const bytes = request(me).repeat(2).split('')
    const next = () => {
      const byte = bytes.shift()
      if (byte === undefined) client.end()
      else client.write(byte, () => setImmediate(next))
    }
    next()
  })
  t.equal(pieces, good.repeat(2))
  const client = createConnection(path).setEncoding('utf8')
  for (let round = 0; round < 3; round++) {
    client.write(request(me))
    t.same(await once(client, 'data'), [good])
  }
  client.destroy()
})

void t.test('what is no request', async (t) => {
  for (const bytes of ['x', ':,', '01:a,', '1025:', '99999', '1:ab', '-1:,', '5:sasl \n', '1;a,'])
    t.equal(await send(path, bytes), '', bytes)
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      send(path, index % 2 ? request(me) : 'x'.repeat(5000)),
    ),
  )
  t.same(new Set(answers.filter((_, index) => index % 2)), new Set([good]))
  t.equal(await send(path, request(me)), good)
})

void t.test('clients that stall, and a daemon that stops', async (t) => {
  const own = join(home.path, 'own')
  const nowhere = openSync('/dev/null', 'w')
  t.teardown(() => closeSync(nowhere))
  const waiting = new Map<string, () => void>()
  let long = 0
  const service: SocketmapService = {
    accounts: () => ({
      all: [],
      findByName: () => undefined,
      find: (mailbox) => ({ mailbox, account: undefined as never }),
    }),
    credentials: {
      get: ({ mailbox, service }) => {
        const credential = { mailbox, user: mailbox, service, accessToken: 'x', expiresAtMs: 0 }
        if (mailbox.startsWith('bug')) throw new TypeError('a bug')
        if (mailbox.startsWith('down')) throw new Unavailable('the provider is down')
        if (mailbox.startsWith('long')) {
          long++
          return { ...credential, accessToken: 'x'.repeat(90_000) }
        }
        return new Promise((resolve) => waiting.set(mailbox, () => resolve(credential)))
      },
    },
    scope: createScope({ accounts: undefined, services: undefined }),
    purpose: 'smtp',
    map: new Map(),
    audit: createAudit(() => undefined, true),
    log: createLog('error', nowhere),
    now: Date.now,
  }
  const name = { path: own, mode: 0o600, gid: undefined, uid: undefined }
  const listener = await openSocketmap(name, service, 1_024, undefined, 50)
  t.equal(await converse(own, (client) => client.write('20:half')), '', 'half a request')
  t.match(await send(own, request('bug@x')), /^\d+:TEMP an internal error/)
  t.match(await send(own, request('down@x')), /^\d+:TEMP the provider is down,$/)
  // Asks on and on and never reads: what it leaves in the socket's buffer is all that it costs.
  const greedy = createConnection(own)
  await once(greedy, 'connect')
  greedy.write(request('long@x').repeat(20))
  const more = setInterval(() => greedy.write('1'), 20)
  t.teardown(() => clearInterval(more))
  greedy.on('error', () => undefined)
  const cut = new Promise((resolve) => greedy.on('close', resolve))
  while (long === 0) await new Promise((resolve) => setImmediate(resolve))
  const others = Array.from({ length: 50 }, () => send(own, request('down@x')))
  for (const said of await Promise.all(others)) t.match(said, /^\d+:TEMP the provider is down,$/)
  await cut
  clearInterval(more)
  t.ok(long < 20, `cut after ${long} answers of 20`)
  t.match(await send(own, request('down@x')), /^\d+:TEMP the provider is down,$/)
  // One that is being answered gets its answer; one that waits for nothing is let go.
  const idle = createConnection(own)
  await once(idle, 'connect')
  idle.write(request('down@x'))
  await once(idle, 'data')
  const open = createConnection(own).setEncoding('utf8')
  open.write(request('slow@x'))
  while (!waiting.has('slow@x')) await new Promise((resolve) => setImmediate(resolve))
  await listener.leave()
  const drained = listener.drain()
  await once(idle, 'end')
  waiting.get('slow@x')?.()
  t.same(await once(open, 'data'), [writeNetstring('OK slow@x:x')])
  idle.destroy()
  await drained
})

void t.test('netstrings', (t) => {
  const read = (text: string) => readNetstring(Buffer.from(text), 100)
  t.same(read('5:hello,rest'), { text: 'hello', bytes: 8 })
  t.same(read('2:ü,'), { text: 'ü', bytes: 5 })
  t.same(read('0:,'), { text: '', bytes: 3 })
  t.equal(writeNetstring('ü'), '2:ü,')
  for (const text of ['', '1', '100', '100:', '5:hell', '5:hello'])
    t.equal(read(text), 'incomplete')
  for (const text of ['a', '1a', '1000', '101:', '00', ':', '5:helloo', ' 1:a,'])
    t.equal(read(text), 'malformed', text)
  t.end()
})
