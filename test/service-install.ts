/** `install-service`: units with this machine's paths, which systemd takes, and nothing written over. */
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createHome, run } from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'
import { temporaryFolder } from './fixtures/smarthost.ts'

void t.test('for a person', needs('systemd-analyze', 'systemd'), async (t) => {
  const home = createHome()
  t.teardown(() => home.remove())
  const folder = join(home.path, '.config/systemd/user')
  // Not absolute, so it counts for nothing.
  const install = (...flags: string[]) =>
    run(home, ['install-service', ...flags], { env: { XDG_CONFIG_HOME: 'here' } })
  t.match(await install(), {
    code: 0,
    stdout: '',
    stderr: /^wrote \S+xoauthd\.service\nwrote \S+xoauthd\.socket\nNow run:\n {2}systemctl --user /,
  })
  t.same(readdirSync(folder).sort(), ['xoauthd.service', 'xoauthd.socket'])
  const unit = join(folder, 'xoauthd.service')
  const text = readFileSync(unit, 'utf8')
  t.match(text, /^ExecStart=\/\S*node \/\S+\.js serve$/m)
  const { stdout, stderr } = await promisify(execFile)(
    'systemd-analyze',
    ['verify', '--user', ...readdirSync(folder).map((name) => join(folder, name))],
    { env: { ...process.env, XDG_RUNTIME_DIR: await temporaryFolder(t) } },
  )
  t.equal(stdout + stderr, '', 'systemd reads them')

  t.match(await install(), { code: 0, stderr: /^all units are there\n/ })
  writeFileSync(unit, text.replace('RestartSec=5', 'RestartSec=50'))
  t.match(await install(), { code: 78, stderr: /xoauthd\.service differs .*\nhint: .*--force/ })
  t.match(readFileSync(unit, 'utf8'), /RestartSec=50/, 'what somebody changed is kept')
  t.match(await install('--force'), { code: 0, stderr: /^wrote \S+xoauthd\.service\nNow run:/ })
  t.equal(readFileSync(unit, 'utf8'), text)
})

void t.test('for the machine', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const home = createHome()
  t.teardown(() => home.remove())
  const { code, stderr } = await run(home, ['install-service', '--system', '--verbose'], {
    // Still the owner of every file here, but no longer uid 0.
    via: ['unshare', '--user'],
  })
  t.match({ code, stderr }, { code: 77, stderr: /only root may .*\nhint: run it with sudo/ })
  // In a mount namespace of its own, so that this machine's units stay as they are.
  const inside = await run(home, ['install-service', '--system'], {
    via: ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /etc/systemd && exec "$@"', 'sh'],
  })
  t.match(inside, {
    code: 0,
    stderr: /wrote \/etc\/systemd\/system\/xoauthd\.service\n[^]*useradd /,
  })
})
