/** The units that are shipped: systemd itself reads them, and what they promise is in them. */
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { needs } from './fixtures/installed.ts'
import { temporaryFolder } from './fixtures/smarthost.ts'

const folder = fileURLToPath(new URL('../systemd', import.meta.url))
const analyze = promisify(execFile)
const unitsOf = (manager: string): string[] =>
  readdirSync(`${folder}/${manager}`).map((name) => `${folder}/${manager}/${name}`)

void t.test('systemd reads every unit', needs('systemd-analyze', 'systemd'), async (t) => {
  for (const manager of ['system', 'user']) {
    // A user's manager asks for the folder and does not look into it; sockets of others are in it, too.
    const env = { ...process.env, XDG_RUNTIME_DIR: await temporaryFolder(t) }
    const args = ['verify', `--${manager}`, ...unitsOf(manager)]
    const { stdout, stderr } = await analyze('systemd-analyze', args, { env })
    // It ends well even when it knew a key or a value not.
    t.equal(stdout + stderr, '', manager)
  }
})

void t.test('the system unit is confined', needs('systemd-analyze', 'systemd'), async (t) => {
  // Tenths; 10.0 is no confinement at all.
  const args = ['security', '--offline=true', '--threshold=18', `${folder}/system/xoauthd.service`]
  await t.resolves(analyze('systemd-analyze', args))
})

void t.test('tokens reach neither a core file nor swap', (t) => {
  for (const manager of ['system', 'user']) {
    const unit = readFileSync(`${folder}/${manager}/xoauthd.service`, 'utf8')
    t.match(unit, /^LimitCORE=0$/m, manager)
    t.match(unit, /^MemorySwapMax=0$/m, manager)
    // It would kill node's compiler.
    t.notMatch(unit, /^MemoryDenyWriteExecute=/m, manager)
  }
  t.end()
})

void t.test('a socket keeps its group when the service starts', (t) => {
  // systemd gives a runtime folder that is not the service's to its user, with the sockets in it.
  for (const path of unitsOf('system').filter((name) => name.endsWith('.socket')))
    t.match(readFileSync(path, 'utf8'), /^ExecStartPre=.* -o xoauthd .*\/run\/xoauthd$/m, path)
  t.end()
})
