/** Who makes room when there is none, and how many clients a limit on descriptors allows. */
import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { listen } from '../src/claim.ts'
import { createConnections } from '../src/connections.ts'
import { clientLimit, clientShares, clientsWithin } from '../src/descriptors.ts'
import { createLog } from '../src/log.ts'
import { makeTemporary } from './fixtures/keeper-place.ts'

/** A socket that answers `later` when `release` is called, and all else with itself. */
async function place(t: Test, most: number) {
  const path = join(makeTemporary(t), 'here')
  const said: string[] = []
  const asked: string[] = []
  const log = { ...createLog('error'), warn: (event: string) => void said.push(event) }
  let release: (words: string) => void = () => undefined
  const connections = createConnections({ most, log, stallMs: 300 })
  const clients = connections.clientsOf((line) => {
    asked.push(line)
    return line === 'later' ? new Promise((resolve) => (release = resolve)) : line
  })
  const server = createServer({ allowHalfOpen: true }, clients.take)
  await listen(server, path)
  t.teardown(() => {
    clients.cutAll()
    server.close()
  })
  const come = async (words?: string): Promise<{ client: Socket; heard: Promise<string> }> => {
    const accepted = once(server, 'connection')
    const client = createConnection({ path, allowHalfOpen: true })
    const heard = text(client)
    await accepted
    const before = asked.length
    if (words !== undefined) client.write(words)
    while (words?.endsWith('\n') === true && asked.length === before)
      await new Promise(setImmediate)
    return { client, heard }
  }
  return { come, said, release: (words: string) => release(words) }
}

void t.test('an answer arrives whole, whatever letters it has', async (t) => {
  const { come } = await place(t, 3)
  for (const words of ['plain', 'jörg@müller.example', '郵便@例え.jp', 'é'.repeat(500)]) {
    const { client, heard } = await come(words)
    client.end()
    t.equal(await heard, words)
  }
})

void t.test('who has been answered goes first, then the oldest that is silent', async (t) => {
  const { come, release } = await place(t, 3)
  const waits = await come('later\n')
  const silent = await come()
  const answered = await come('at once\n')
  t.equal(await answered.heard, 'at once')
  const gone: string[] = []
  for (const [name, { client }] of Object.entries({ waits, silent, answered }))
    client.on('close', () => gone.push(name))
  answered.client.on('error', () => undefined)
  const next = await come()
  const last = await come()
  t.equal(await silent.heard, '', 'the second newcomer took the place of the silent one')
  t.notOk(waits.client.closed)
  release('here it is')
  t.equal(await waits.heard, 'here it is', 'who was promised an answer gets it')
  t.equal(await next.heard, '')
  t.equal(await last.heard, '', 'and all are cut in the end')
})

void t.test('it is said how many were crowded out', async (t) => {
  const { come, said } = await place(t, 1)
  for (let count = 0; count < 3; count++) await come()
  while (said.length === 0) await new Promise(setImmediate)
  t.same(said, ['clients crowded out'], 'once for all of a while')
})

void t.test('who goes on after the line is cut', async (t) => {
  const { come } = await place(t, 1)
  const { client, heard } = await come('once\n')
  const end = heard.catch((error: unknown) => error)
  const flood = () => {
    if (client.writable) client.write('x'.repeat(1 << 16), flood)
  }
  flood()
  t.match(await end, { code: /^(?:ECONNRESET|EPIPE)$/ }, 'it is not read for ever')
})

void t.test('descriptors', (t) => {
  t.equal(clientsWithin(64, 25), 23, 'a quarter of a small limit is ours')
  t.equal(clientsWithin(1_024, 24), 872)
  t.equal(clientsWithin(30, 28), 8, 'a few there must be')
  t.equal(clientsWithin(Infinity, 30), 16_384)
  t.same(clientShares(16_384), { line: 12_288, http: 2_048, socketmap: 1_024 })
  t.same(clientShares(23), { line: 15, http: 4, socketmap: 4 })
  t.same(clientShares(8), { line: 8, http: 4, socketmap: 4 })
  const limit = clientLimit()
  t.ok(limit >= 8 && limit <= 16_384)
  t.end()
})
