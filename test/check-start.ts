/** `xoauthd serve --check`: what would stop the daemon, or leave it without tokens, is told and nothing is made. */
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, run, start, type Home } from './fixtures/daemon.ts'
import { createEncryptedHome } from './fixtures/encrypted-home.ts'
import { makeAgeKey } from './fixtures/age.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer()
t.teardown(() => server.close())

const checked = (home: Home) => run(home, ['serve', '--check'])
const well = { code: 0, stdout: /1 account\(s\), all well\n$/, stderr: '' }

const robot = (program: string) => `[[account]]
user = "robot@example.org"
provider = "command"
command = ["${program}"]
`

void t.test('the store of sign-ins', async (t) => {
  const home = createHome(robot('true'))
  t.teardown(() => home.remove())
  const store = join(home.path, 'state', 'xoauthd')
  t.match(await checked(home), well)
  t.notOk(existsSync(store), 'it makes nothing')
  const encrypted = await createEncryptedHome(t, server, me)
  t.match(await checked(encrypted), well)
  chmodSync(encrypted.store, 0o755)
  const open = {
    code: 78,
    stdout: '',
    stderr: /the store \S+ is open to others \(mode 755\).*\n?.*hint.*chmod 700/s,
  }
  t.match(await checked(encrypted), open)
  t.equal(await start(encrypted, ['serve']).ended, 78, 'as serve does')
})

void t.test('the key of an encrypted store', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  home.keyIs(undefined)
  t.match(await checked(home), {
    code: 75,
    stdout: '',
    stderr: /^xoauthd: the store is locked: .* no \[store\] key\nhint: set \[store\] key/,
  })
  home.keyIs(`{ file = "${home.keyFile}" }`)
  chmodSync(home.keyFile, 0o644)
  t.match(await checked(home), {
    code: 75,
    stderr: /the store is locked: \S+ is open to others \(mode 0644\)\nhint: chmod o= /,
  })
  home.keyIs(`{ file = "${makeAgeKey(t).file}" }`)
  t.match(await checked(home), { code: 75, stderr: /locked: its key does not open / })
})

void t.test('programs', async (t) => {
  const home = createHome(robot('no-such-program'))
  t.teardown(() => home.remove())
  t.match(await checked(home), {
    code: 78,
    stderr: 'xoauthd: robot@example.org: the command "no-such-program" is not installed\nhint: ',
  })
  // Paths start at the configuration file.
  home.configure(robot('./prints'))
  t.match(await checked(home), { code: 78 })
  writeFileSync(join(home.path, 'prints'), '', { mode: 0o755 })
  t.match(await checked(home), well)
  home.configure(`${robot('true')}[notify]\ncommand = ["no-such-program", "x"]\n`)
  t.match(await checked(home), {
    code: 78,
    stderr: /^xoauthd: the command "no-such-program" of \[notify\] is not installed\n/,
  })
})
