/**
 * Warm requests while everything else is refreshed: a daemon with 1,000 accounts at an authorization
 * server on this machine, whose tokens all come due within 20 s, half a minute after the start.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openStore } from '../src/store.ts'
import { startAuthorizationServer, theClient } from '../test/fixtures/authorization-server.ts'
import { createHome } from '../test/fixtures/daemon.ts'
import { registeredAt } from '../test/fixtures/signed-in.ts'
import type { Client } from './load.ts'

const program = fileURLToPath(new URL('../bin/xoauthd.js', import.meta.url))
const hourMs = 3_600_000
/** A token is due when a quarter to a third of its life is left. */
const due = { lifeMs: 240_000, obtainedAgoMs: 130_000 }
const requests = 500
const warmUp = 5_000
const longestMs = 120_000

export interface Refreshing {
  readonly idleP99Us: number
  readonly busyP99Us: number
  /** How many refreshes were made while the busy figure was taken. */
  readonly refreshes: number
}

export async function measureRefreshing(
  client: Client,
  accounts: number,
  rounds: number,
): Promise<Refreshing> {
  const server = await startAuthorizationServer()
  const users = Array.from({ length: accounts }, (_, n) => `user${n}@issuer.example`)
  const asked = 'warm@issuer.example'
  const home = createHome([asked, ...users].map((user) => registeredAt(server, user)).join('\n'))
  const store = await openStore(join(home.path, 'state', 'xoauthd'))
  const nowMs = Date.now()
  const leave = (user: string, obtainedAtMs: number, lifeMs: number) => {
    const token = { value: `of ${user}`, obtainedAtMs, expiresAtMs: obtainedAtMs + lifeMs }
    return store.replace(user, {
      grant: server.grant(user),
      binding: `oauth2 ${theClient.id} at ${server.issuer}`,
      signedInAtMs: nowMs,
      refreshedAtMs: nowMs,
      tokens: { '': { ...token, expiryKnown: true } },
    })
  }
  await leave(asked, nowMs, hourMs)
  await Promise.all(users.map((user) => leave(user, nowMs - due.obtainedAgoMs, due.lifeMs)))
  await store.close()
  const daemon = spawn(process.execPath, [program, 'serve'], {
    env: home.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  for await (const text of daemon.stderr) if (String(text).includes('info ready')) break
  daemon.stderr.resume()
  const target = {
    name: 'xoauthd',
    path: home.socket,
    request: `SMTP ${asked}`,
    bytes: 0,
    pid: daemon.pid,
    stop: async () => {},
  }
  const deadlineMs = performance.now() + longestMs
  await client.run(target, warmUp, 1)
  const measure = async (into: number[]) => into.push((await client.run(target, requests, 1)).p99Us)
  const refreshed = () => server.to('token').length
  const idle: number[] = []
  do await measure(idle)
  while (refreshed() === 0 && idle.length < rounds)
  await server.reached(1)
  const busy: number[] = []
  do await measure(busy)
  while (refreshed() < accounts && performance.now() < deadlineMs)
  const refreshes = refreshed()
  daemon.kill()
  await once(daemon, 'exit')
  await server.close()
  home.remove()
  const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? NaN
  return { idleP99Us: middle(idle), busyP99Us: middle(busy), refreshes }
}
