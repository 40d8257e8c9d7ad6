/** What is installed: npm's package and Debian's, each in an empty place, and taken away again. */
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { needs } from './fixtures/installed.ts'
import { root } from './fixtures/root.ts'
import { startScriptedSocket } from './fixtures/scripted-socket.ts'

const { env } = process
/** What an installed program finds: nothing of the repository, and nothing of the tests. */
const plain = { PATH: env['PATH'], HOME: t.testdir(), LANG: 'C.UTF-8' }
const exec = promisify(execFile)

function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(folder, name)))
    .filter((stats) => stats.isFile())
    .reduce((sum, { size }) => sum + size, 0)
}

void t.test("npm's package", async (t) => {
  const folder = t.testdir({ prefix: {} })
  const options = { cwd: root, env: { ...plain, npm_config_ignore_scripts: 'true' } }
  await exec('npm', ['pack', '--silent', '--pack-destination', folder], options)
  const [tarball = ''] = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  const prefix = join(folder, 'prefix')
  // Without a dependency nothing is asked of a registry.
  const install = ['install', '--global', '--offline', '--no-audit', '--prefix', prefix]
  await exec('npm', [...install, join(folder, tarball)], { env: plain })
  const installed = join(prefix, 'lib/node_modules/xoauthd')
  t.ok(bytesIn(installed) <= 3_000_000, 'at most 3 MB')
  t.notOk(readdirSync(installed).includes('node_modules'), 'no dependency')
  const { stdout } = await exec(join(prefix, 'bin/xoauthd'), ['--version'], { env: plain })
  t.match(stdout, /^\d+\.\d+\.\d+\n$/)
  const file = join(folder, 'config.toml')
  writeFileSync(
    file,
    '[[account]]\nuser = "me@gmail.com"\nprovider = "google"\nclient_id = "x.apps.googleusercontent.com"\nclient_secret = "s"\n',
    { mode: 0o600 },
  )
  const check = await exec(join(prefix, 'bin/xoauthd'), ['serve', '--check', '--config', file], {
    env: plain,
  })
  t.match(check.stdout, /1 account\(s\), all well/)
  await namesItsPages(t, join(prefix, 'bin/xoauthd'))
})

/** What a message tells to read is there, whatever the program is run from. */
async function namesItsPages(t: Test, program: string): Promise<void> {
  const path = join(mkdtempSync(join(tmpdir(), 'xo-')), 'socket')
  const store = { path: '/s', encrypted: false, plain_files: 0, message: '', hint: '' }
  const daemon = await startScriptedSocket(
    path,
    () => `${JSON.stringify({ version: 1, store, accounts: [] })}\n`,
  )
  const { stdout } = await exec(program, ['status', '--socket', path], { env: plain })
  await daemon.close()
  rmSync(dirname(path), { recursive: true })
  const [, page = ''] = /more in (\S+\/docs\/store\.md)$/m.exec(stdout) ?? []
  t.ok(existsSync(page), stdout)
}

void t.test("Debian's package", needs('dpkg-deb', 'dpkg'), async (t) => {
  const folder = t.testdir({ admin: { info: {}, updates: {}, status: '', available: '' } })
  await exec(process.execPath, ['build/deb.js', folder], { cwd: root, env: plain })
  const [deb = ''] = readdirSync(folder).filter((name) => name.endsWith('.deb'))
  t.match(basename(deb), /^xoauthd_\d+\.\d+\.\d+_all\.deb$/)
  const { stdout: fields } = await exec('dpkg-deb', ['--field', join(folder, deb), 'Depends'])
  t.equal(fields, 'nodejs (>= 20.19)\n')

  const target = join(folder, 'machine')
  mkdirSync(join(target, 'var/lib/dpkg/info'), { recursive: true })
  mkdirSync(join(target, 'var/lib/dpkg/updates'))
  for (const name of ['status', 'available']) writeFileSync(join(target, 'var/lib/dpkg', name), '')
  const dpkg = (...args: string[]) =>
    exec(
      'dpkg',
      [
        '--force-not-root',
        '--force-depends',
        '--force-script-chrootless',
        '--log=/dev/null',
        `--root=${target}`,
        ...args,
      ],
      { env: { ...plain, PATH: `${plain.PATH ?? ''}:/usr/sbin:/sbin` } },
    )
  // As systemd-sysusers makes it, which leaves alone what is there.
  const user = 'xoauthd:x:998:998::/var/lib/xoauthd:/usr/sbin/nologin\n'
  mkdirSync(join(target, 'etc'))
  writeFileSync(join(target, 'etc/passwd'), user)
  writeFileSync(join(target, 'etc/group'), 'xoauthd:x:998:\n')
  await dpkg('--install', join(folder, deb))
  const program = join(target, 'usr/bin/xoauthd')
  t.match((await exec(program, ['--version'], { env: plain })).stdout, /^\d+\.\d+\.\d+\n$/)
  await namesItsPages(t, program)
  const there = readdirSync(target, { recursive: true, encoding: 'utf8' })
  for (const path of [
    'usr/lib/systemd/system/xoauthd.service',
    'usr/lib/systemd/user/xoauthd.socket',
    'usr/share/man/man5/xoauthd.toml.5.gz',
    'usr/share/bash-completion/completions/xoauthd',
    'etc/xoauthd',
  ])
    t.ok(there.includes(path), path)

  for (const path of ['var/lib/xoauthd', 'run/xoauthd'])
    mkdirSync(join(target, path), { recursive: true })
  writeFileSync(join(target, 'var/lib/xoauthd/grant'), '')
  writeFileSync(join(target, 'etc/xoauthd/config.toml'), '')
  await dpkg('--remove', 'xoauthd')
  const kept = readdirSync(target, { recursive: true, encoding: 'utf8' })
  t.ok(kept.includes('var/lib/xoauthd/grant'), 'removal keeps the sign-ins')
  t.ok(kept.includes('etc/xoauthd/config.toml'), 'and the configuration')
  await dpkg('--purge', 'xoauthd')
  const left = readdirSync(target, { recursive: true, encoding: 'utf8' })
  t.same(
    left.filter((path) => /xoauthd/.test(path)),
    [],
    'purge leaves no file and no folder',
  )
  const users = readFileSync(join(target, 'etc/passwd'), 'utf8')
  t.ok(
    users.includes(user),
    'but the user, lest another one gets its number and what it may still own',
  )
})
