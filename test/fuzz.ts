/**
 * Whatever bytes come: the parser says what they are, and the socket of a real daemon never answers on
 * a plain format to anything but a request that is well formed and can be served.
 *
 * FUZZ_LINES and FUZZ_MESSAGES make it longer, as `npm run test:long` does; FUZZ_SEED repeats a run.
 */
import fc from 'fast-check'
import { join } from 'node:path'
import t from 'tap'
import { credentialIn } from '../src/client.ts'
import { oneLine } from '../src/errors.ts'
import { failureReply, formats, parseRequest, replies, type Credential } from '../src/protocol.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, startDaemonFor } from './fixtures/daemon.ts'
import { converse, send } from './fixtures/raw-client.ts'
import { isWellFormed, lines, messages, seeds, wellFormed } from './fixtures/requests.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const lineCount = Number(process.env['FUZZ_LINES'] ?? 20_000)
const messageCount = Number(process.env['FUZZ_MESSAGES'] ?? 1_000)
const me = 'me@example.com'

/** A reply taken apart again. */
const readers: Readonly<
  Record<
    (typeof formats)[number],
    (reply: string) => { user?: string | undefined; accessToken: string }
  >
> = {
  xoauth2: readXoauth2,
  base64: (reply) => readXoauth2(Buffer.from(reply, 'base64').toString()),
  oauthbearer(reply) {
    const [, name = '', accessToken = ''] =
      /^n,a=([^,]*),\x01auth=Bearer ([^\x01]*)\x01\x01$/.exec(reply) ?? []
    return { user: name.replaceAll('=2C', ',').replaceAll('=3D', '='), accessToken }
  },
  token: (reply) => ({ accessToken: reply }),
  json: (reply) => readXoauth2((JSON.parse(reply) as { xoauth2: string }).xoauth2),
}

function readXoauth2(reply: string) {
  const [, user, accessToken = ''] =
    /^user=(.*)\x01auth=Bearer ([^\x01]*)\x01\x01$/.exec(reply) ?? []
  return { user, accessToken }
}

function checkLine(line: string): void {
  const request = parseRequest(line)
  switch (request.kind) {
    case 'credential':
      if (!isWellFormed(line)) throw new Error('taken for a request')
      return
    case 'malformed': {
      // Its class says that it is `bad-request`.
      const reply = failureReply(request.failure, request)
      const silent = request.format !== 'json' && !request.explain
      if (silent ? reply !== '' : !/^[^\n]+\n$/.test(reply)) throw new Error(`answered: ${reply}`)
      return
    }
    case 'status':
    case 'reload':
    case 'refresh':
      if (!/^(?:STATUS|RELOAD|REFRESH [^ ]+@[^ ]+)\r?$/.test(line)) throw new Error('an order')
  }
}

for (const seed of seeds) {
  void t.test(`${lineCount / seeds.length} lines, FUZZ_SEED=${seed}`, (t) => {
    const numRuns = Math.ceil(lineCount / seeds.length)
    fc.assert(fc.property(lines, checkLine), { seed, numRuns })
    t.pass('each is a request or malformed, and no failure is told that was not asked for')
    t.end()
  })

  void t.test(`what is written is read, FUZZ_SEED=${seed}`, (t) => {
    const numRuns = Math.ceil(lineCount / seeds.length / 10)
    fc.assert(
      fc.property(wellFormed, ({ line, request }) => {
        const read = parseRequest(line)
        if (JSON.stringify(read) !== JSON.stringify(request)) throw new Error(JSON.stringify(read))
        if (!isWellFormed(line)) throw new Error('the grammar is told in two ways')
      }),
      { seed, numRuns },
    )
    const text = fc.string({
      unit: fc.constantFrom('a', 'z', '0', '.', '-', '+', '=', ',', '@', 'ä'),
      minLength: 1,
    })
    const credential = fc.record<Credential>({
      mailbox: text,
      user: text,
      service: text,
      accessToken: fc.stringMatching(/^[A-Za-z0-9._~+/=-]+$/),
      expiresAtMs: fc.nat(),
    })
    fc.assert(
      fc.property(credential, (given) => {
        for (const format of formats) {
          const reply = credentialIn(replies[format](given, 0))
          const { user, accessToken } = readers[format](reply)
          if (accessToken !== given.accessToken) throw new Error(`${format}: the token`)
          if (user !== undefined && user !== given.user) throw new Error(`${format}: the user`)
        }
      }),
      { seed, numRuns },
    )
    t.pass('requests, and replies in every format')
    t.end()
  })
}

void t.test('the socket of a daemon', async (t) => {
  const server = await startAuthorizationServer()
  const home = createHome()
  const path = join(home.path, 'mail')
  // No control: an order that comes up by chance is to do nothing.
  home.configure(`${accountAt(server, me)}\n[[socket]]\npath = "${path}"\n`)
  await leaveSignIn(home.configFile, home.env, me, server.grant(me), { value: 'kept' })
  const daemon = await startDaemonFor(t, home, [server])

  async function checkMessage([bytes, cuts]: readonly [Buffer, readonly number[]]): Promise<void> {
    const reply = await converse(path, (client) => {
      client.setNoDelay()
      let from = 0
      for (const cut of cuts) client.write(bytes.subarray(from, (from += cut)))
      client.end(bytes.subarray(from))
    })
    const newline = bytes.indexOf(10)
    const line = bytes.toString('utf8', 0, newline < 0 ? bytes.length : newline)
    const request = parseRequest(line)
    const told = /^(?:ERR (?:[a-z]+-?)+ [^\n]+|\{"error":"[a-z-]+","message":"[^\n]+)\n$/
    const mayTell = /,(?:explain|json)\b/.test(line)
    if (reply === '' || (mayTell && told.test(reply))) {
      if (request.kind !== 'credential') return
      const { service, mailbox, minMs, refused, waitMs } = request
      const plain = minMs === undefined && !refused && waitMs > 0
      // A `refused` of another client may have had it wait for a refresh, for longer than it would.
      if (service === 'smtp' && mailbox.toLowerCase() === me && plain)
        credentialIn(await send(path, `SMTP,explain,wait=60 ${me}`))
      return
    }
    if (request.kind !== 'credential' || request.mailbox.toLowerCase() !== me)
      throw new Error(`answered: ${oneLine(reply)}`)
    credentialIn(reply)
  }

  for (const seed of seeds) {
    const atOnce = 20
    const numRuns = Math.ceil(messageCount / seeds.length / atOnce)
    const several = fc.array(messages, { minLength: atOnce, maxLength: atOnce })
    await fc.assert(
      fc.asyncProperty(several, async (all) => {
        await Promise.all(all.map(checkMessage))
      }),
      // Shrinking asks a daemon thousands of times; the seed and the message tell enough.
      { seed, numRuns, endOnFailure: true },
    )
    t.pass(`${messageCount / seeds.length} messages, FUZZ_SEED=${seed}`)
  }
  // A message that said `refused`, or asked for a longer life, has had another token fetched.
  const good = ['kept', ...server.secrets].map((value) => xoauth2(me, value))
  t.ok(good.includes(await send(path, `SMTP,wait=60 ${me}`)), 'and it goes on')
  t.notMatch(daemon.stderr(), /^error /m)
  t.equal(daemon.child.exitCode, null)
})
