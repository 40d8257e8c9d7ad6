/**
 * The daemon under a real `systemd --user` of an ordinary user, from the units that `install-service`
 * writes and by the commands that it says: nothing that a token needs is lost in the confinement, and the
 * socket is there whatever becomes of the service.
 */
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startAuthorizationServer, theClient } from './fixtures/authorization-server.ts'
import { both, needs } from './fixtures/installed.ts'
import { send } from './fixtures/raw-client.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'
import { temporaryFolder } from './fixtures/smarthost.ts'
import { startUserManager } from './fixtures/user-manager.ts'

const me = 'me@issuer.example'
const needsRoot = { skip: process.getuid?.() !== 0 && 'needs root, to make namespaces' }

async function openPlace(t: Test) {
  const server = await startAuthorizationServer()
  t.teardown(() => server.close())
  const manager = await startUserManager(await temporaryFolder(t))
  t.teardown(() => manager.close())
  const file = join(manager.home, '.config/xoauthd/config.toml')
  mkdirSync(join(manager.home, '.config/xoauthd'), { recursive: true })
  const configure = (toml: string) => writeFileSync(file, toml, { mode: 0o600 })
  // A secret that a program prints has to work in the confinement, too.
  const secretFile = join(manager.home, 'secret')
  writeFileSync(secretFile, theClient.secret)
  const account = (user: string) =>
    accountAt(server, user).replace(
      /^client_secret = .*$/m,
      `client_secret = { command = ["cat", "${secretFile}"] }`,
    )
  configure(account(me))
  await leaveSignIn(file, manager.env, me, server.grant(me), { value: 'kept' })
  manager.own()
  return { server, manager, configure, account, socket: join(manager.runtime, 'xoauthd/socket') }
}

void t.test('systemd --user', both(needs('systemctl', 'systemd'), needsRoot), async (t) => {
  const { server, manager, configure, account, socket } = await openPlace(t)
  const systemctl = (words: string) => manager.run(`systemctl --user ${words}`)
  const property = async (unit: string, name: string) =>
    (await systemctl(`show --value --property ${name} ${unit}`)).stdout.trim()
  const mainPid = async () => Number(await property('xoauthd.service', 'MainPID'))
  const kept = xoauth2(me, 'kept')

  const installed = await manager.run('xoauthd install-service')
  t.equal(installed.code, 0, installed.stderr)
  const [reload = '', enable = ''] = [...installed.stderr.matchAll(/^ {2}(systemctl .*)$/gm)].map(
    ([, line]) => line,
  )
  t.match([reload, enable], ['systemctl --user daemon-reload', /^systemctl --user enable --now /])
  for (const line of [reload, enable]) {
    const ran = await manager.run(line)
    t.equal(ran.code, 0, `${line} ${ran.stderr}`)
  }
  t.equal(await property('xoauthd.socket', 'ActiveState'), 'active')
  t.equal(await property('xoauthd.service', 'ActiveState'), 'active')
  t.equal(statSync(socket).mode & 0o777, 0o600)
  t.equal(statSync(join(manager.runtime, 'xoauthd')).mode & 0o777, 0o700)
  t.equal(await send(socket, `SMTP ${me}`), kept)

  await t.test('confined as the unit says', async (t) => {
    const inside = (
      await manager.run(`cat /proc/${await mainPid()}/status /proc/${await mainPid()}/limits`)
    ).stdout
    t.match(inside, new RegExp(`^Uid:\\t${manager.uid}\\t`, 'm'))
    t.match(inside, /^NoNewPrivs:\t1$/m)
    t.match(inside, /^Seccomp:\t2$/m)
    t.match(inside, /^Max core file size +0 +0 /m)
    t.equal(await property('xoauthd.service', 'MemorySwapMax'), '0')
  })

  await t.test('a token is fetched in the confinement', async (t) => {
    t.same(await manager.run(`xoauthd refresh ${me}`), { code: 0, stdout: '', stderr: '' })
    const { stdout } = await manager.run(`xoauthd token ${me}`)
    t.ok(server.accept(stdout.trim(), me))
  })

  await t.test('a reload reads the file again', async (t) => {
    const before = await mainPid()
    configure(account(me) + account('you@issuer.example'))
    manager.own()
    t.match(await systemctl('reload xoauthd'), { code: 0 })
    const { stdout } = await manager.run('xoauthd status')
    t.match(stdout, 'you@issuer.example')
    t.equal(await mainPid(), before)
  })

  await t.test('stopped, the socket is there, and who asks starts it', async (t) => {
    t.match(await systemctl('stop xoauthd.service'), { code: 0 })
    t.equal(await mainPid(), 0)
    t.ok(existsSync(socket))
    const answer = await send(socket, `SMTP ${me}`)
    t.match(answer, /^user=me@issuer\.example\x01auth=Bearer /)
    t.ok(server.accept(answer.slice(answer.indexOf('Bearer ') + 7, -2), me))
    t.ok((await mainPid()) > 0)
  })

  await t.test('killed, it comes back', async (t) => {
    const before = await mainPid()
    t.match(await systemctl('kill --signal=SIGKILL xoauthd.service'), { code: 0 })
    t.match(await send(socket, `SMTP ${me}`), /^user=/)
    const after = await mainPid()
    t.ok(after > 0 && after !== before)
  })

  await t.test('check is content', async (t) => {
    const { stdout } = await manager.run(`xoauthd check ${me}`)
    t.comment(stdout)
    t.match(stdout, /^ok {7}daemon {10}version /m)
    t.match(stdout, new RegExp(`^ok {7}socket {10}${socket}, mode 0600$`, 'm'))
    t.match(stdout, /^ok {7}core files {6}off$/m)
  })

  await t.test(
    'a file that is wrong: nobody waits for ever, and it is not started again and again',
    async (t) => {
      await systemctl('stop xoauthd.service')
      configure('[[account]]\n')
      manager.own()
      // systemd gives up after some starts, and closes the socket on whoever waits there.
      const answer = await send(socket, `SMTP ${me}`).catch(
        (error: unknown) => (error as NodeJS.ErrnoException).code,
      )
      t.match(answer, /^(?:ECONNRESET)?$/, 'not a byte')
      t.equal(await property('xoauthd.service', 'ExecMainStatus'), '78')
      t.equal(await property('xoauthd.service', 'NRestarts'), '0', 'nothing mends it')
      configure(account(me))
      manager.own()
      t.match(await manager.run(`xoauthd token ${me}`), {
        code: 69,
        stderr: /\nhint: start it: systemctl --user start xoauthd /,
      })
      await systemctl('reset-failed')
      t.match(await systemctl('start xoauthd'), { code: 0 })
      t.match(await send(socket, `SMTP ${me}`), /^user=/)
    },
  )

  await t.test('gone when it is taken away', async (t) => {
    t.match(await systemctl('disable --now xoauthd.socket xoauthd.service'), { code: 0 })
    t.notOk(existsSync(socket))
  })
})
