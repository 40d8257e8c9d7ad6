/**
 * kill -9 of the real, built daemon at random moments of rotating refreshes: after each restart the
 * grant on disk still refreshes, and no file is half-written.
 *
 * The server accepts a refresh token until the one after it has been used, as servers with replay
 * detection do for an answer that was lost; using an older one ends the grant, and the test.
 * KILLS=500 makes it longer.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ask } from '../../src/client.ts'
import { openStore } from '../../src/store.ts'
import { startAuthorizationServer, theClient } from '../fixtures/authorization-server.ts'
import { createHome } from '../fixtures/daemon.ts'

const kills = Number(process.env['KILLS'] ?? 200)
const program = fileURLToPath(new URL('../../bin/xoauthd.js', import.meta.url))
const user = 'me@issuer.example'

void t.test(`${kills} kills`, async (t) => {
  const server = await startAuthorizationServer({ behaviour: { rotates: 'when the next is used' } })
  const home = createHome(`
[[account]]
user = "${user}"
provider = "oauth2"
issuer = "${server.issuer}"
client_id = "${theClient.id}"
client_secret = "${theClient.secret}"
`)
  t.teardown(() => server.close())
  t.teardown(() => home.remove())
  const storePath = join(home.path, 'state', 'xoauthd')
  const store = await openStore(storePath)
  await store.replace(user, {
    grant: server.grant(user),
    binding: `oauth2 ${theClient.id} at ${server.issuer}`,
    signedInAtMs: Date.now(),
    refreshedAtMs: Date.now(),
    tokens: {},
  })
  await store.close()

  for (let kill = 0; kill < kills; kill++) {
    const daemon = spawn(process.execPath, [program, 'serve'], {
      env: home.env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const ended = once(daemon, 'exit')
    for await (const line of daemon.stderr) if (String(line).includes('info ready')) break
    const reply = await ask([home.socket], `REFRESH ${user}`)
    if (!reply.includes('"refreshed"')) t.fail(`after ${kill} kills: ${reply}`)
    // Refreshes go on one after another until the kill comes in the middle of some step of one.
    setTimeout(() => daemon.kill('SIGKILL'), Math.random() * 40)
    while (daemon.signalCode === null) {
      const answered = ask([home.socket], `REFRESH ${user}`).catch(() => '')
      await Promise.race([answered, ended])
    }
    await ended
    for (const name of readdirSync(storePath).filter((file) => file.endsWith('.json')))
      JSON.parse(readFileSync(join(storePath, name), 'utf8'))
  }
  t.comment(`${kills} kills, ${server.to('token').length} rotating refreshes, 0 grants lost`)
  t.pass('every grant outlived its daemon')
})
