/** The configuration on disk: which file is taken, whether it is trusted, and where the store is. */
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { readConfig } from '../src/config-file.ts'
import { google } from './fixtures/config.ts'

const withSecret = google.replace('{ env = "SECRET" }', '"hush"')

/** A home directory for the files of a test. */
function place(t: Test) {
  const home = t.testdir()
  const write = (name: string, mode = 0o600, text = google): string => {
    const path = join(home, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    chmodSync(path, mode)
    return path
  }
  const refused = async (given: string | undefined, env: NodeJS.ProcessEnv, message: string) =>
    t.rejects(readConfig(given, env), { name: 'ConfigError', message }, message)
  return { home, write, refused }
}

void t.test('which file', async (t) => {
  const { home, write } = place(t)
  const taken = async (given: string | undefined, env: NodeJS.ProcessEnv) =>
    (await readConfig(given, { HOME: home, ...env })).file
  const usual = write('.config/xoauthd/config.toml')
  const xdg = write('xdg/xoauthd/config.toml')
  const named = write('named.toml')
  const given = write('given.toml')

  const XDG_CONFIG_HOME = join(home, 'xdg')
  t.equal(await taken(given, { XOAUTHD_CONFIG: named, XDG_CONFIG_HOME }), given)
  t.equal(await taken(undefined, { XOAUTHD_CONFIG: named, XDG_CONFIG_HOME }), named)
  t.equal(await taken(undefined, { XOAUTHD_CONFIG: '', XDG_CONFIG_HOME }), xdg)
  t.equal(await taken(undefined, {}), usual)
  t.equal(
    await taken(undefined, { XDG_CONFIG_HOME: 'xdg' }),
    usual,
    'a relative path counts as none',
  )
  symlinkSync(given, join(home, 'link.toml'))
  t.equal(await taken(join(home, 'link.toml'), {}), join(home, 'link.toml'))

  const here = process.cwd()
  process.chdir(home)
  t.teardown(() => process.chdir(here))
  t.equal(await taken('given.toml', {}), given, 'relative to where the command was given')
})

void t.test('no file', async (t) => {
  const { home, write, refused } = place(t)
  const usual = join(home, '.config/xoauthd/config.toml')
  const both = `${usual}: does not exist, nor does /etc/xoauthd/config.toml; make one with: xoauthd add ADDRESS`
  await refused(undefined, { HOME: home }, both)
  write('.config', 0o600, 'a file where a folder should be')
  await refused(undefined, { HOME: home }, both)
  // Node's idea of the home, which is not to be that of whoever runs this test.
  const before = process.env['HOME']
  t.teardown(() => {
    process.env['HOME'] = before
  })
  process.env['HOME'] = home
  await refused(undefined, { HOME: 'relative' }, both)
  const named = join(home, 'named.toml')
  const message = `${named}: does not exist; make it with: xoauthd add ADDRESS --config ${named}`
  await refused(named, {}, message)
  await refused(undefined, { XOAUTHD_CONFIG: named }, message)
})

void t.test('a file that cannot be read', async (t) => {
  const { home, write, refused } = place(t)
  mkdirSync(join(home, 'folder'), { mode: 0o755 })
  await refused(join(home, 'folder'), {}, `${home}/folder: cannot be read: it is a folder`)
  symlinkSync('loop', join(home, 'loop'))
  await refused(join(home, 'loop'), {}, `${home}/loop: cannot be read: ELOOP`)
  const closed = write('closed.toml', 0o000)
  await t.test('by another user', async (t) => {
    if (process.getuid?.() === 0) {
      // Nothing is closed to root; nobody, for a moment, is somebody else.
      process.seteuid?.(65534)
      t.teardown(() => process.seteuid?.(0))
    }
    await refused(closed, {}, `${closed}: cannot be read: this user may not`)
  })
})

void t.test('a file that others can write', async (t) => {
  const { write, refused } = place(t)
  for (const [mode, shown] of [
    [0o620, '0620'],
    [0o666, '0666'],
    [0o602, '0602'],
  ] as const) {
    const path = write('config.toml', mode, 'not even read')
    await refused(
      path,
      {},
      `${path}: can be written by others than its owner (mode ${shown}), and it may name commands; run: chmod go-w ${path}`,
    )
  }
  t.ok(await readConfig(write('config.toml', 0o644), {}), 'others may read what holds no secret')
})

void t.test(
  'a file of somebody else',
  { skip: process.getuid?.() !== 0 && 'only root can give it away' },
  async (t) => {
    const { home, write, refused } = place(t)
    const path = write('config.toml', 0o644, 'not even read')
    chownSync(path, 54321, 0)
    await refused(
      path,
      {},
      `${path}: belongs to user 54321, who is neither root nor this user (0), and it may name commands; run as root: chown 0 ${path}`,
    )
    t.ok(await readConfig(write('root.toml', 0o644), { HOME: home }))
  },
)

void t.test('a file with a secret', async (t) => {
  const { write, refused } = place(t)
  for (const mode of [0o600, 0o400, 0o640])
    t.ok(await readConfig(write('config.toml', mode, withSecret), {}), mode.toString(8))
  const path = write('config.toml', 0o644, withSecret)
  await refused(
    path,
    {},
    `${path}: holds a secret, and ${path} is open to others (mode 0644); run: chmod o= ${path}`,
  )
  if (process.getuid?.() !== 0) return
  chmodSync(path, 0o640)
  chownSync(path, 0, 54321)
  await refused(
    path,
    {},
    `${path}: holds a secret, and ${path} can be read by group 54321, which is not a group of this process (mode 0640); run: chmod g= ${path}`,
  )
})

void t.test('problems of the text', async (t) => {
  const { write, refused } = place(t)
  const path = write('config.toml', 0o600, '')
  await refused(
    path,
    {},
    `${path}:1: account is missing; write at least one [[account]] with user and provider`,
  )
})

void t.test('where the store is', async (t) => {
  const { home, write } = place(t)
  const path = write('etc/config.toml')
  const storeOf = async (env: NodeJS.ProcessEnv, text = '') =>
    (await readConfig(write('etc/config.toml', 0o600, google + text), { HOME: home, ...env }))
      .storePath
  t.equal(await storeOf({}), join(home, '.local/state/xoauthd'))
  t.equal(await storeOf({ XDG_STATE_HOME: '/s' }), '/s/xoauthd')
  t.equal(await storeOf({ XDG_STATE_HOME: 's' }), join(home, '.local/state/xoauthd'))
  t.equal(await storeOf({ STATE_DIRECTORY: '/a:/b', XDG_STATE_HOME: '/s' }), '/a')
  t.equal(await storeOf({ STATE_DIRECTORY: '/a' }, '[store]\npath = "/b/../c"'), '/c')
  t.equal(await storeOf({}, '[store]\npath = "~/c"'), join(home, 'c'))
  t.equal(await storeOf({}, '[store]\npath = "c"'), join(dirname(path), 'c'))
})

void t.test(
  'the store of the system',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const path = `/etc/xoauthd-test-${process.pid}.toml`
    writeFileSync(path, google, { mode: 0o600 })
    t.teardown(() => rmSync(path))
    t.equal((await readConfig(path, {})).storePath, '/var/lib/xoauthd')
  },
)
