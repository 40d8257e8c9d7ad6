/**
 * Every kind of secret in one run at the level debug: whatever any process prints, logs, answers or shows
 * in its arguments is searched for each of them, in every form that it may have; servers throw all that
 * they are sent back. Nothing on disk is open to others, and no core file can be written.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, lstatSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeAgeKey } from './fixtures/age.ts'
import { theClient, type SeenRequest } from './fixtures/authorization-server.ts'
import { run, start, startDaemonProcess } from './fixtures/daemon.ts'
import {
  echo,
  forms,
  httpPassword,
  keyed,
  me,
  openEveryKind,
  robot,
} from './fixtures/every-kind.ts'
import type { Answer } from './fixtures/faults.ts'
import { addressOf, ask } from './fixtures/http-client.ts'
import { needs } from './fixtures/installed.ts'
import { leaksIn } from './fixtures/leaks.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'
import { leaveSignIn } from './fixtures/signed-in.ts'
import { relay } from './fixtures/token-server.ts'

const world = await openEveryKind(t)
const { home, toml, spelled, surely, issuer, google, microsoft, tokens, storeKey, offered } = world
const { env } = surely
const secretsNow = world.secrets

/** What anybody on the machine sees of the processes that run. */
const listings = new Set<string>()
function lookAround(): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    for (const name of ['cmdline', 'comm'])
      try {
        listings.add(readFileSync(`/proc/${pid}/${name}`, 'utf8').replaceAll('\0', ' '))
      } catch {
        // It has ended.
      }
}

/** Each request finds some process of ours at work. */
async function lookAtEachRequest(): Promise<void> {
  for (;;) {
    await Promise.race([issuer, google, microsoft].map((server) => server.nextRequest('token')))
    lookAround()
  }
}

/** What a server may make of a request that it does not like. */
const echoes: readonly ((said: string) => Answer)[] = [
  (said) => ({ status: 400, body: { error: 'invalid_request', error_description: said } }),
  (said) => ({
    status: 400,
    body: { error: 'invalid_request', error_description: JSON.stringify(said) },
  }),
  (said) => ({ status: 401, body: { error: 'invalid_client', error_description: `{${said}}` } }),
  (said) => ({ status: 400, body: { error: said } }),
  (said) => ({
    status: 400,
    body: {
      error: 'invalid_request',
      error_description: encodeURIComponent(said).replace(/%../g, (hex) => hex.toLowerCase()),
    },
  }),
  (said) => ({
    status: 400,
    body: {
      error: 'invalid_request',
      error_description: Buffer.from(said).toString('base64').slice(0, 150),
    },
  }),
  (said) => ({ status: 400, body: { error: 'invalid_grant', error_description: said } }),
  // A host in trouble is left alone for a while, so this comes last.
  (said) => ({ status: 500, body: said }),
]
/** One value at a time: only so much of a server's words is shown. */
const saidIn = ({ form, headers }: SeenRequest, at: number) => {
  const values = [headers.authorization ?? '', ...form.values()].filter(
    (value) => value.length > 20,
  )
  return values[at % Math.max(1, values.length)] ?? ''
}

void t.test('no secret is seen anywhere', needs('ps', 'procps'), async (t) => {
  home.configure(toml)
  const shown: Record<string, string> = {}
  const note = (what: string, ...texts: string[]) => {
    shown[what] = (shown[what] ?? '') + texts.join('\n')
  }
  const command = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(home, [...args, '--verbose'], surely)
    note(args.join(' '), stderr)
    return { code, stdout, stderr }
  }
  void lookAtEachRequest()

  for (const user of [
    ...forms.map((form) => `${form}@issuer.example`),
    'basic@issuer.example',
    echo,
  ]) {
    const client = user === echo ? theClient.id : `${user.split('@')[0]}-client`
    await leaveSignIn(
      home.configFile,
      { ...home.env, ...env },
      user,
      issuer.grant(user, '', client),
    )
  }
  t.equal((await command('store', 'encrypt')).code, 0)
  const daemon = await startDaemonProcess(home, { ...surely, via: ['prlimit', '--core=0'] })
  t.teardown(() => daemon.stop('SIGKILL'))
  const base = await addressOf(daemon)

  // A sign-in whose answer is pasted, one by a code on another device.
  const signIn = await startLogin(home, me, { ...surely, args: ['--verbose', '--no-browser'] })
  const answer = await signIn.consent()
  signIn.login.child.stdin?.write(
    `${answer.origin}/?code=${answer.searchParams.get('code')}&state=x\n`,
  )
  await signIn.login.said(/does not belong/)
  signIn.login.child.stdin?.write(`${answer.href}\n`)
  t.equal(await signIn.login.ended, 0)
  note('login', signIn.login.stdout(), signIn.login.stderr())
  issuer.behaviour.signsInAs = keyed
  const device = start(home, ['login', '--device', '--verbose', keyed], surely)
  t.equal(await device.ended, 0, device.stderr())
  issuer.behaviour.signsInAs = undefined
  note('login --device', device.stdout(), device.stderr())

  // Everybody has a token.
  const mailboxes = [
    ...forms.map((form) => `${form}@issuer.example`),
    ...['basic@issuer.example', echo, keyed, 'ann@corp.example', 'ann@corp.onmicrosoft.com'],
    ...[robot, 'ann@fleet.example'],
  ]
  const known: string[] = []
  for (const mailbox of mailboxes) {
    const { code, stdout } = await command('token', mailbox, '--wait', '60')
    t.equal(code, 0, mailbox)
    known.push(stdout.trim())
  }
  const { json } = await ask(base, `/?account=${me}&proto=smtp`, { auth: `engine:${httpPassword}` })
  t.equal(json['accessToken'], known[0])
  const guess = await ask(base, `/?account=${me}`, { auth: `engine:${httpPassword}x` })
  note('a guess over HTTP', String(guess.status), guess.body, JSON.stringify(guess.headers))

  // Servers that say again what they are sent.
  let turn = 0
  const echoed = (echoOf: (said: string) => Answer) => (request: SeenRequest) =>
    echoOf(saidIn(request, turn))
  for (const [index, echoOf] of echoes.entries()) {
    for (turn = 0; turn < 4; turn++) {
      for (const server of [issuer, google, microsoft])
        server.fault({ endpoint: 'token', answer: echoed(echoOf), times: 50 })
      tokens.says(echoOf(`relay1:${relay.password}`), echoOf(relay.password))
      for (const mailbox of mailboxes)
        note(`refresh ${mailbox}`, await send(home.socket, `REFRESH ${mailbox}`))
      for (const server of [issuer, google, microsoft]) server.heal()
    }
    // Each other one: a login takes a process.
    if (index % 2 === 1) continue
    const failed = await startLogin(home, me, surely)
    issuer.fault({ endpoint: 'token', answer: echoed(echoOf) })
    note('the page of a sign-in that failed', (await visit(await failed.consent())).page)
    await failed.login.ended
    note('a login that failed', failed.login.stdout(), failed.login.stderr())
    issuer.heal()
  }
  appendFileSync(join(home.path, 'broken'), '')
  await command('refresh', robot)
  for (const mailbox of mailboxes)
    for (const format of ['json', 'explain'])
      note('answers', await send(home.socket, `SMTP,${format},min=99999 ${mailbox}`))
  for (const mailbox of mailboxes) {
    const found = await ask(base, `/?account=${mailbox}&proto=api`, {
      auth: `engine:${httpPassword}`,
    })
    if (found.status !== 200) note('answers over HTTP', found.body)
  }
  note('STATUS', await send(home.socket, 'STATUS'))
  const table = await command('status')
  note('status', table.stdout)

  // Mail servers that do the same.
  const looked = await command('check', echo)
  note('check', looked.stdout)
  t.match(looked.stdout, /I do not like/)
  t.ok(offered.length > 1)
  t.match(looked.stdout, /core files +off/)

  // What goes from here and comes back.
  const other = makeAgeKey(t)
  const exported = await command('export', 'file@issuer.example', '--to', other.recipient)
  t.equal(exported.code, 0)
  note('export', exported.stdout)
  const brought = issuer.grant(me, '', 'string-client')
  for (const [stdin, code] of [
    [brought, 0],
    [`a sentence with ${brought}`, 78],
    [`{"refresh_token":"${brought} x"}`, 78],
  ] as const) {
    const imported = await run(home, ['import', '--user', me, '--verbose'], { ...surely, stdin })
    note('import', imported.stdout, imported.stderr)
    t.equal(imported.code, code)
  }

  // Mistakes on the very line of a secret.
  for (const [right, wrong] of [
    [`client_secret = ${spelled.string}`, `client_secret = ${spelled.string} x`],
    [`client_secret = ${spelled.string}`, `client_secret = [${spelled.string}]`],
    [`client_secret = ${spelled.string}`, `client_secrets = ${spelled.string}`],
    [`client_secret = ${spelled.string}`, `client_secret = ${spelled.string.slice(0, -1)}`],
    [`password = { env = "HTTP_PASSWORD" }`, `password = ${JSON.stringify(httpPassword)}x`],
    [`key = { file = "store-key" }`, `key = { file = "${storeKey.identity}" }`],
    [`key = { file = "store-key" }`, `key = { "${storeKey.identity}" }`],
    [`key = { file = "store-key" }`, `key = { identity = "${storeKey.identity}" }`],
    [`key = { file = "store-key" }`, `keys = "${storeKey.identity}"`],
  ] as const) {
    t.ok(toml.includes(right))
    home.configure(toml.replace(right, wrong))
    note('reload', await send(home.socket, 'RELOAD'))
    const checked = await command('serve', '--check')
    t.equal(checked.code, 78)
    note('serve --check', checked.stdout)
  }
  home.configure(toml)
  await command('store', 'rekey')

  issuer.fault({
    endpoint: 'revoke',
    answer: ({ form }) => ({ status: 503, body: [...form.values()].join(' ') }),
  })
  t.not((await command('logout', me, '--revoke')).code, 0)
  t.equal((await command('logout', me, '--revoke')).code, 0)
  lookAround()
  listings.add(execFileSync('ps', ['-ef'], { encoding: 'utf8' }))

  for (const place of ['state', 'run']) {
    const below = readdirSync(join(home.path, place), { recursive: true }) as string[]
    for (const name of below) {
      const stats = lstatSync(join(home.path, place, name))
      t.equal(stats.mode & 0o077, 0, `${place}/${name}`)
    }
  }
  await daemon.stop()
  note('the daemon', daemon.stdout(), daemon.stderr())
  note('processes', ...listings)

  const everything = [...secretsNow(), ...known, brought, answer.searchParams.get('code') ?? '']
  const secrets = [...new Set(everything)].filter((secret) => secret !== '')
  t.ok(secrets.length > 60, `${secrets.length} secrets`)
  t.same(leaksIn(known.join('\n'), [known[1] ?? '']).length, 1, 'the search finds what is there')
  for (const [what, text] of Object.entries(shown))
    t.same(leaksIn(text, secrets), [], `${what}, ${text.length} letters`)
  t.ok((shown['processes']?.length ?? 0) > 1_000)
})
