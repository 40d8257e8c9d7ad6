/**
 * A sign-in moves from a desktop to a server, and comes in from other programs: encrypted on the way,
 * tried before it is kept, never in the place of a better one, never for another registration.
 */
import { chownSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readArrival } from '../src/transfer.ts'
import { age, makeAgeKey } from './fixtures/age.ts'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, run, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { createEncryptedHome, signInsIn } from './fixtures/encrypted-home.ts'
import { accountAt, leaveSignIn } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer({ behaviour: { rotates: true } })
t.teardown(() => server.close())

function homeOf(t: Test, toml = accountAt(server, me)): Home {
  const home = createHome(toml)
  t.teardown(() => home.remove())
  return home
}

const storeOf = (home: Home) => join(home.path, 'state', 'xoauthd')
const grantIn = (home: Home) =>
  (JSON.parse(signInsIn(storeOf(home))[0]?.toString() ?? '{}') as { grant?: string }).grant

void t.test('from a desktop to a server', async (t) => {
  const desktop = homeOf(t)
  const headless = homeOf(t)
  const { file, recipient } = makeAgeKey(t)
  await leaveSignIn(desktop.configFile, desktop.env, me, server.grant(me), { value: 'a token' })
  const text = await run(desktop, ['export', me, '--to', recipient])
  t.match(text, {
    code: 0,
    stdout: /^-----BEGIN AGE ENCRYPTED FILE-----\n[^]*-----END AGE ENCRYPTED FILE-----\n$/,
    stderr: /^Two daemons must not use one sign-in: .*: xoauthd logout me@issuer\.example\n$/,
  })
  const plain = age(['-d', '-i', file], Buffer.from(text.stdout)).toString()
  t.match(JSON.parse(plain), { account: me, grant: grantIn(desktop), tokens: {} })
  t.notMatch(plain, 'a token')

  const daemon = await startDaemonProcess(headless)
  t.teardown(() => daemon.stop())
  t.match(await run(headless, ['import'], { stdin: text.stdout }), {
    code: 78,
    stderr: /is encrypted, and no key is there to open it\nhint: name the secret key with --ident/,
  })
  const other = makeAgeKey(t).file
  t.match(await run(headless, ['import', '--identity', other], { stdin: text.stdout }), {
    code: 78,
    stderr: /the key does not open this age file/,
  })
  t.match(await run(headless, ['import', '--identity', file], { stdin: text.stdout }), {
    code: 0,
    stdout: '',
    stderr: `Signed in as ${me} for smtp, imap.\n`,
  })
  const token = await run(headless, ['token', me])
  t.ok(server.accept(token.stdout.trim(), me), 'the daemon was told')
  t.match(JSON.parse(signInsIn(storeOf(headless))[0]!.toString()), {
    signedInAtMs: (JSON.parse(plain) as { signedInAtMs: number }).signedInAtMs,
  })

  // What is dead by now does not take the place of what lives.
  const kept = grantIn(headless)
  t.match(await run(headless, ['import', '--identity', file], { stdin: text.stdout }), { code: 77 })
  t.equal(grantIn(headless), kept)
})

void t.test('by the key of the store, and a file of recipients', async (t) => {
  const home = await createEncryptedHome(t, server, me)
  const recipients = join(home.path, 'recipients')
  writeFileSync(recipients, `# the server\n${home.key.recipient}\n`)
  const text = await run(home, ['export', me, '--to', recipients])
  t.equal(text.code, 0)
  const file = join(home.path, 'moved.age')
  writeFileSync(file, text.stdout)
  t.match(await run(home, ['import', file]), { code: 0 })
  t.notMatch(signInsIn(home.store)[0]!.toString('latin1'), me, 'encrypted again')
  t.match(await run(home, ['export', me, '--to', '/nowhere']), {
    code: 78,
    stderr: /^xoauthd: \/nowhere cannot be read \(ENOENT\)/,
  })
  t.match(await run(home, ['export', me]), { code: 64, stderr: /--to <recipient>/ })
  t.match(await run(home, ['import', '/nowhere']), {
    code: 78,
    stderr: /cannot be read.*\nhint: correct the path/,
  })
  t.match(await run(home, ['import', me], { stdin: server.grant(me) }), {
    code: 78,
    stderr:
      /hint: the argument is a file; an account is named with: xoauthd import --user me@issuer\.example\n$/,
  })
})

void t.test('for another registration', async (t) => {
  const home = homeOf(t)
  const record = { format: 1, version: 'v', account: me, signedInAtMs: 1, refreshedAtMs: 1 }
  const foreign = { ...record, grant: 'g', binding: 'oauth2 another', tokens: {} }
  t.match(await run(home, ['import'], { stdin: JSON.stringify(foreign) }), {
    code: 78,
    stderr: /^xoauthd: the sign-in is for "oauth2 another", and me@issuer\.example is "oauth2 /,
  })
  t.match(await run(home, ['export', me, '--to', makeAgeKey(t).recipient]), {
    code: 77,
    stdout: '',
    stderr: /nobody has signed in for me@issuer\.example\nhint: run: xoauthd login/,
  })
})

void t.test('from other programs', async (t) => {
  const home = homeOf(t)
  const mutt = {
    registration: 'other',
    authflow: 'localhostauthcode',
    email: me,
    access_token: 'a',
    access_token_expiration: '2026-01-01T00:00:00',
    refresh_token: server.grant(me),
  }
  const oama = {
    email: me,
    service: 'other',
    scope: 'mail.send',
    refresh_token: server.grant(me),
    access_token: 'a',
    token_type: 'Bearer',
    exp_date: '2026-01-01 00:00 UTC',
    expires_in: 3599,
  }
  for (const stdin of [JSON.stringify(mutt), JSON.stringify(oama, null, 2)]) {
    t.match(await run(home, ['import'], { stdin }), {
      code: 0,
      stderr:
        /^xoauthd: warning: the server did not say whose sign-in this is; me@issuer\.example is assumed, and xoauthd check me@issuer\.example tries it\nSigned in as/,
    })
    t.match(grantIn(home), /^refresh\./)
  }
  const scopes = 'openid email mail.send mail.read'
  t.match(await run(home, ['import', '--user', me], { stdin: server.grant(me, scopes) }), {
    code: 0,
    stderr: /^Signed in as/,
  })
  const before = grantIn(home)
  const stranger = server.grant('you@issuer.example', scopes)
  t.match(await run(home, ['import', '--user', me], { stdin: stranger }), {
    code: 75,
    stderr: /answered for you@issuer\.example, and this account is me@issuer\.example/,
  })
  t.equal(grantIn(home), before, 'what is there stays')
  t.match(await run(home, ['import'], { stdin: server.grant(me) }), {
    code: 78,
    stderr: /does not say whose it is\nhint: name the account with --user/,
  })
  t.match(await run(home, ['import', '--user', me], { stdin: `${server.grant(me)}\n` }), {
    code: 0,
  })
  t.not(grantIn(home), before)
  t.match(await run(home, ['import', '--user', 'x@y.example'], { stdin: 'abcdefgh' }), { code: 67 })
  t.match(await run(home, ['import', '--user', me], { stdin: 'a sentence, no token' }), {
    code: 78,
    stderr: /holds no sign-in and no refresh token/,
  })
})

void t.test(
  "another user's store",
  { skip: process.getuid?.() === 0 ? false : 'only root may give a folder away' },
  async (t) => {
    const home = homeOf(t)
    await leaveSignIn(home.configFile, home.env, me, server.grant(me))
    const before = readFileSync(home.configFile)
    chownSync(storeOf(home), 65_534, 65_534)
    t.match(await run(home, ['import', '--user', me], { stdin: server.grant(me) }), {
      code: 77,
      stderr: /belongs to nobody\nhint: run: runuser -u nobody -- xoauthd import/,
    })
    t.ok(before.equals(readFileSync(home.configFile)))
  },
)

void t.test('what can be brought', (t) => {
  t.same(readArrival(' 1//0abcdefg-hij\n'), {
    kind: 'refresh-token',
    user: undefined,
    refreshToken: '1//0abcdefg-hij',
  })
  for (const text of ['', '{}', '[]', '{"refresh_token":5}', '{"refresh_token":"a b c d e f"}'])
    t.throws(() => readArrival(text), { code: 'misconfigured', message: /no refresh token/ })
  t.throws(() => readArrival('{"format":1}'), { message: 'what was brought is damaged' })
  t.throws(() => readArrival('{"format":2}'), { message: /written by a newer xoauthd/ })
  t.end()
})
