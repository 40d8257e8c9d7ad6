/**
 * `login` and `logout` end to end: the browser comes back to the port that was printed, or its address
 * is pasted; whatever else comes in is refused and waited past; a sign-in that fails keeps the old one.
 */
import { once } from 'node:events'
import { readFileSync, readdirSync, symlinkSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import { createHome, run, startDaemonProcess, type Home } from './fixtures/daemon.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { accountAt } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
const server = await startAuthorizationServer()
t.teardown(() => server.close())

function homeOf(t: Test, more = ''): Home {
  const home = createHome(accountAt(server, me, more))
  t.teardown(() => home.remove())
  return home
}

function stored(home: Home): string {
  const folder = join(home.path, 'state', 'xoauthd')
  const [name] = readdirSync(folder).filter((file) => file.startsWith(me))
  return name === undefined ? '' : readFileSync(join(folder, name), 'utf8')
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  return port
}

void t.test('a secret that is not there is noticed before anybody has to sign in', async (t) => {
  const home = homeOf(t)
  const toml = readFileSync(home.configFile, 'utf8')
  home.configure(toml.replace(/^client_secret = .*$/m, 'client_secret = { file = "nope" }'))
  const asked = server.requests.length
  t.match(await run(home, ['login', me]), {
    code: 78,
    stderr: /^xoauthd: \S+\/nope does not exist\nhint: /,
  })
  t.equal(server.requests.length, asked)
})

void t.test('from a browser to a token, and out again', async (t) => {
  const home = homeOf(t)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  await daemon.said(/^warn sign-in-needed .*hint="run: xoauthd login me@issuer\.example"$/m)

  const { login, url, consent } = await startLogin(home, me)
  // Its lines come one by one.
  await login.said(
    /^Open this address in a browser and sign in:\n\nhttp:[^]*paste its address here\.\nIf the page complains of the redirect URI, .*\nWaiting for the sign-in to end\. Ctrl-C gives up\.\n/,
  )
  t.notMatch(login.stderr(), /ssh/)
  const answer = await consent()
  t.match(answer.origin, /^http:\/\/127\.0\.0\.1:\d+$/)
  // Browsers connect before they have anything to ask; that must not keep the command.
  const early = connect(Number(answer.port), '127.0.0.1')
  early.on('error', () => undefined)
  await once(early, 'connect')

  const elsewhere = (path: string) => new URL(path, answer.origin)
  t.equal((await visit(elsewhere('/favicon.ico'))).status, 404)
  t.equal((await visit(answer, { method: 'POST' })).status, 404)
  t.equal((await visit(answer, { headers: { host: 'evil.example' } })).status, 404)
  t.equal((await visit(answer, { headers: { host: 'not a host' } })).status, 404)
  const forged = new URL(answer)
  forged.searchParams.set('state', 'guessed')
  t.match(await visit(forged), { status: 400, page: /does not belong to the sign-in/ })
  t.equal((await visit(elsewhere('/?code=stolen'))).status, 400)
  t.notMatch(login.stderr(), /Signed in/)

  // The page comes after the exchange, and a second one while it goes on is told so.
  const resume = server.hold('token')
  const asked = server.nextRequest('token')
  const first = visit(answer)
  await asked
  t.match(await visit(answer), { status: 400, page: /was used already/ })
  resume()
  t.match(await first, { status: 200, page: /<h1>Signed in<\/h1>/ })
  t.equal(await login.ended, 0)
  t.match(
    login.stderr(),
    /\nSigned in as me@issuer\.example for smtp, imap\.\nNext: xoauthd check me@issuer\.example\n$/,
  )
  t.equal(login.stdout(), '')
  t.equal(url.searchParams.get('code_challenge_method'), 'S256')

  // It told the daemon, which needs no restart.
  const token = await run(home, ['token', me])
  t.ok(server.accept(token.stdout.trim(), me))

  const grant = (JSON.parse(stored(home)) as { grant: string }).grant
  server.fault({ endpoint: 'revoke', answer: { status: 503 } })
  const failed = await run(home, ['logout', me, '--revoke'])
  t.match(failed, {
    code: 75,
    stderr: /^xoauthd: me@issuer\.example is still signed in: .*\nhint: /,
  })
  t.not(stored(home), '', 'the grant is kept')

  const out = await run(home, ['logout', me, '--revoke'])
  t.same(out, { code: 0, stdout: '', stderr: `Signed out ${me}.\n` })
  t.equal(server.to('revoke').at(-1)?.form.get('token'), grant)
  t.equal(stored(home), '')
  t.match(await run(home, ['token', me]), { code: 77, stderr: /nobody has signed in/ })
  t.match(await run(home, ['logout', me]), { code: 0, stderr: `Nobody was signed in as ${me}.\n` })
})

void t.test('a terminal that goes away does not undo a sign-in', async (t) => {
  const home = homeOf(t)
  const { login, consent } = await startLogin(home, me)
  const answer = await consent()
  login.child.stderr?.destroy()
  t.match(await visit(answer), { status: 200 })
  t.equal(await login.ended, 0)
  t.match(stored(home), 'grant')
})

void t.test('a pasted address', async (t) => {
  const home = homeOf(t)
  const { login, consent } = await startLogin(home, me, {
    args: ['--no-browser'],
    env: { SSH_CONNECTION: '192.0.2.1 1 192.0.2.2 22', DISPLAY: ':0' },
  })
  const answer = await consent()
  await login.said(
    new RegExp(`\n  ssh -N -L ${answer.port}:127\\.0\\.0\\.1:${answer.port} \\S+@\\S+\n`),
  )
  login.child.stdin?.write('\nhello\n')
  await login.said(/That is not the address that the browser ended at/)
  login.child.stdin?.write(`${answer.origin}/?code=x&state=y\n`)
  await login.said(/This answer does not belong to the sign-in/)
  login.child.stdin?.write(`  ${answer.href}\r\n`)
  t.equal(await login.ended, 0)
  t.match(
    login.stderr(),
    /\nNext: xoauthd serve \(or [^)]*\), then xoauthd check me@issuer\.example\n$/,
  )
  t.match(stored(home), /"grant":"refresh\./)
})

void t.test('a sign-in that fails keeps the old one', async (t) => {
  const home = homeOf(t)
  const first = await startLogin(home, me)
  await visit(await first.consent())
  t.equal(await first.login.ended, 0)
  const old = stored(home)
  t.match(old, /"grant":"refresh\./)

  async function fails(setUp: () => unknown, code: number, reason: RegExp): Promise<void> {
    setUp()
    const { login, consent } = await startLogin(home, me)
    const { status, page } = await visit(await consent())
    t.equal(status, 400, reason.source)
    // There it is a sentence.
    t.match(page, new RegExp(reason.source, 'i'))
    t.equal(await login.ended, code)
    t.match(login.stderr(), new RegExp(`\nxoauthd: .*${reason.source}[^]*\nhint: .*\n$`))
    t.equal(stored(home), old)
  }
  const { behaviour } = server
  const overlay = { code: undefined, error: 'access_denied', error_description: 'You said <no>' }
  await fails(
    () => server.fault({ endpoint: 'authorize', answer: { overlay } }),
    77,
    /access_denied/,
  )
  await fails(
    () => (behaviour.signsInAs = 'you@issuer.example'),
    77,
    /you@issuer\.example signed in/,
  )
  behaviour.signsInAs = undefined
  await fails(
    () => (behaviour.withholds = ['mail.read']),
    78,
    /consent was not given for mail\.read/,
  )
  behaviour.withholds = []
  await fails(() => (behaviour.givesRefreshToken = () => false), 78, /no refresh token came/)
  behaviour.givesRefreshToken = () => true
  const error = { status: 400, body: { error: 'invalid_client' } }
  await fails(() => server.fault({ endpoint: 'token', answer: error }), 78, /invalid_client/)
  const trial = () => {
    server.fault({ endpoint: 'token', answer: { overlay: {} } })
    server.fault({ endpoint: 'token', answer: error })
  }
  await fails(trial, 78, /invalid_client/)
})

void t.test('where the answer comes in', async (t) => {
  const port = await freePort()
  const fixed = `redirect_uri = "http://localhost:${port}/back"`
  const home = homeOf(t, fixed)
  const { login, consent } = await startLogin(home, me)
  const answer = await consent()
  t.match(answer.href, `http://localhost:${port}/back?`)
  t.equal((await visit(new URL(`/${answer.search}`, answer))).status, 404, 'only its own path')
  const busy = await run(home, ['login', me])
  t.match(busy, { code: 78, stderr: /^xoauthd: cannot listen on 127\.0\.0\.1:\d+ .*EADDRINUSE/ })
  t.match(await visit(answer), { status: 200 })
  t.equal(await login.ended, 0)

  home.configure(accountAt(server, me, 'redirect_uri = "https://mail.example/oauth"'))
  const elsewhere = await startLogin(home, me)
  await elsewhere.login.said(/sends the answer where xoauthd cannot listen:\npaste the/)
  elsewhere.login.child.stdin?.end(`${(await elsewhere.consent()).search}\n`)
  t.equal(await elsewhere.login.ended, 0)

  const silent = await run(home, ['login', me])
  t.match(silent, {
    code: 75,
    stderr: /\nxoauthd: the sign-in was not finished\nhint: run login again\n$/,
  })

  const listen = `listen = "127.0.0.1:${port}"\nredirect_uri = "https://mail.example/oauth"`
  home.configure(accountAt(server, me, listen))
  const proxied = await startLogin(home, me)
  const back = await proxied.consent()
  t.equal(back.host, 'mail.example')
  const behind = new URL(`http://127.0.0.1:${port}${back.pathname}${back.search}`)
  t.match(await visit(behind, { headers: { host: 'mail.example' } }), { status: 200 })
  t.equal(await proxied.login.ended, 0)
})

void t.test('an account that is not there', async (t) => {
  const home = homeOf(t)
  t.match(await run(home, ['login', 'nobody@example.net']), {
    code: 67,
    stderr:
      /^xoauthd: no account answers for nobody@example\.net\nhint: \S+ has me@issuer\.example\n$/,
  })
})

void t.test('a terminal that cannot be read', async (t) => {
  const home = homeOf(t)
  // As nohup leaves it: open for writing alone.
  const { login, consent } = await startLogin(home, me, {
    via: ['sh', '-c', 'exec "$@" 0>/dev/null', 'sh'],
  })
  t.match(await visit(await consent()), { status: 200 })
  t.equal(await login.ended, 0)
  t.match(login.stderr(), /\nSigned in as me@issuer\.example /)
  t.notMatch(login.stderr(), 'EBADF')
})

void t.test('a daemon that uses another store than the file names', async (t) => {
  const home = homeOf(t)
  const first = await startLogin(home, me)
  await visit(await first.consent())
  t.equal(await first.login.ended, 0)
  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  const old = join(home.path, 'state', 'xoauthd')
  home.configure(`${accountAt(server, me)}\n[store]\npath = "other"\n`)
  const said = `xoauthd that runs uses the store ${old}, and ${home.configFile} names ${home.path}/other`
  const warning = new RegExp(`^xoauthd: warning: the ${said}: .*restart it$`, 'm')

  const out = await run(home, ['logout', me])
  t.match(out, { code: 0, stderr: `Nobody was signed in as ${me}.\n` })
  t.match(out.stderr, warning)
  t.equal((await run(home, ['token', me])).code, 0, 'as it says')
  const { login, consent } = await startLogin(home, me)
  await visit(await consent())
  t.equal(await login.ended, 0)
  t.match(login.stderr(), warning)
  t.match(login.stderr(), /\nNext: restart xoauthd, then xoauthd check me@issuer\.example\n$/)
  const brought = await run(home, ['import', '--user', me], { stdin: server.grant(me) })
  t.match(brought, { code: 0, stderr: warning })
  const { findings } = JSON.parse((await run(home, ['check', '--json'])).stdout) as {
    findings: readonly Record<string, unknown>[]
  }
  t.match(
    findings.filter(({ check }) => check === 'store'),
    [
      {
        verdict: 'problem',
        saw: `the ${said}`,
        hint: 'restart xoauthd to use the one of the file',
      },
    ],
  )

  // The same folder by another name is no other store.
  symlinkSync(old, join(home.path, 'link'))
  home.configure(`${accountAt(server, me)}\n[store]\npath = "link"\n`)
  t.match(await run(home, ['logout', me]), { code: 0, stderr: `Signed out ${me}.\n` })
  t.match(await run(home, ['token', me]), { code: 77 })
})
