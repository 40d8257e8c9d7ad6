/**
 * `setup`: the list, the configuration with an account's names and servers, and what it says of that
 * which stands in the way. That its configurations work, test/clients/ shows.
 */
import { mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { agents } from '../src/agents/index.ts'
import { isTooLong, xoauth2Bytes } from '../src/agents/lengths.ts'
import { doorsOf, socketFor, usualCaFile } from '../src/setup.ts'
import { createHome, run } from './fixtures/daemon.ts'
import { google, serviceAccount } from './fixtures/config.ts'
import { xoauth2 } from './fixtures/scripted-socket.ts'

const { home, bin } = createOffice()
t.teardown(() => home.remove())

function createOffice() {
  const home = createHome(google + serviceAccount)
  const bin = join(home.path, 'bin')
  mkdirSync(bin)
  symlinkSync(process.execPath, join(bin, 'xoauthd-token'))
  return { home, bin }
}

/** On a PATH that has nothing but the program itself. */
const setup = (args: readonly string[], path = bin) =>
  run(home, ['setup', ...args], { env: { PATH: path, SASL_PATH: bin, SECRET: 'x' } })

void t.test('without an agent: the list', async (t) => {
  const { code, stdout } = await setup([])
  t.equal(code, 0)
  t.same(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ')[0]),
    agents.map(({ name }) => name),
  )
})

void t.test('with the names and servers of the account', async (t) => {
  const { code, stdout, stderr } = await setup(['mbsync', 'me@gmail.com'])
  t.equal(code, 0)
  t.match(
    stdout,
    `
Host imap.gmail.com
Port 993
User me@gmail.com
`,
  )
  t.match(stdout, `PassCmd "${bin}/xoauthd-token me@gmail.com --service imap"`)
  t.equal(
    stderr,
    `xoauthd: warning: no mbsync here: apt install isync
xoauthd: warning: no libkdexoauth2.so here: apt install libsasl2-modules-kdexoauth2
`,
  )
})

void t.test('one address of a whole domain', async (t) => {
  const { stdout, stderr } = await setup(['msmtp', 'ann@corp.example'], `${bin}:/usr/bin`)
  t.match(stdout, 'host smtp.gmail.com\nport 465\nfrom ann@corp.example\nuser ann@corp.example\n')
  t.equal(stderr, '')
})

void t.test('a whole domain, for who can serve one', async (t) => {
  const { stdout } = await setup(['exim', '*@corp.example'])
  t.match(stdout, '\n*@corp.example: host=smtp.gmail.com port=587\n')
  t.match(await setup(['msmtp', '*@corp.example']), {
    code: 64,
    stdout: '',
    stderr: /msmtp is set up for one address, not for \*@corp\.example\nhint: /,
  })
})

void t.test('a service that the account does not have', async (t) => {
  const { stderr } = await setup(['mpop', 'me@gmail.com'])
  t.match(
    stderr,
    'the account of me@gmail.com has no service pop: add it to its services, then run: xoauthd login me@gmail.com\n',
  )
})

void t.test('a service that the file has no scopes for', async (t) => {
  const other = createHome(`[[account]]
user = "me@issuer.example"
provider = "oauth2"
issuer = "https://issuer.example"
client_id = "x"
scopes = { smtp = ["mail.send"], login = ["offline_access"] }
hosts = { imap = "imap.issuer.example:993" }
`)
  t.teardown(() => other.remove())
  const { stderr } = await run(other, ['setup', 'getmail'], { env: { PATH: bin } })
  t.match(
    stderr,
    'the account of me@issuer.example has no service imap: add it to its scopes and, where the file',
  )
})

void t.test('a plugin that no package has', async (t) => {
  const { stdout, stderr } = await setup(['postfix', '*@corp.example'])
  t.match(stdout, '\nrelayhost = [smtp.gmail.com]:465\n')
  t.match(stderr, /warning: no libxoauth2\.so here, and no package of Debian's has it: https:/)
})

void t.test('several files: told apart, or written', async (t) => {
  const { stdout, stderr } = await setup(['exim', 'me@gmail.com'])
  t.match(stdout, /^# ---- exim4\.conf \(\/etc\/exim4\/exim4\.conf\)\n[^]*\n# ---- accounts \(/)
  t.match(stdout, '\nme@gmail.com: host=smtp.gmail.com port=587\n')
  t.match(stderr, 'warning: no [[socket]] lets a group send as me@gmail.com by exim')
  const folder = join(home.path, 'new')
  const written = await setup(['exim', 'me@gmail.com', '--folder', folder])
  const names = ['exim4.conf', 'authenticator.conf', 'accounts'].map((name) => join(folder, name))
  t.equal(written.stdout, `${names.join('\n')}\n`)
  for (const name of names)
    t.equal(statSync(name).mode & 0o777, 0o644, 'exim reads it as Debian-exim')
  t.match(readFileSync(names[2] ?? '', 'utf8'), '\nme@gmail.com: ')
  const again = await setup(['exim', 'me@gmail.com', '--folder', folder])
  t.match(again, { code: 64, stderr: /xoauthd: \S+exim4\.conf is there already\nhint: / })
  await setup(['msmtp', 'me@gmail.com', '--folder', join(home.path, 'own')])
  const own = statSync(join(home.path, 'own', 'msmtprc'))
  t.equal(own.mode & 0o777, 0o600, 'msmtp refuses one that others may read')
})

void t.test('mistakes', async (t) => {
  t.match(await setup(['pine']), {
    code: 64,
    stdout: '',
    stderr: /no configuration for pine\nhint: /,
  })
  t.match(await setup(['msmtp']), { code: 64, stderr: /\nhint: give an address after/ })
  t.match(await setup(['msmtp', 'you@gmail.com']), {
    code: 67,
    stderr:
      /no account answers for you@gmail\.com\nhint: \S+ has me@gmail\.com, \*@corp\.example\n/,
  })
  t.match(await setup(['msmtp', 'me@gmail.com'], '/nowhere'), {
    code: 0,
    stdout: /passwordeval "xoauthd-token /,
    stderr: /no xoauthd-token is on the PATH/,
  })
})

const customer = {
  mailbox: 'me@example.org',
  login: () => 'me@example.org',
  remedyFor: () => undefined,
  hosts: { smtp: 'mail.example.org:587', imap: '[::1]:143' },
}

const place = {
  program: 'xoauthd',
  tokenProgram: 'xoauthd-token',
  caFile: usualCaFile,
  socket: '/run/xoauthd/a.sock',
}

void t.test('doors', (t) => {
  const at = doorsOf(customer, place)
  t.match(at('smtp'), { host: 'mail.example.org', port: 587, startTls: true })
  t.match(at('imap'), { host: '::1', port: 143, startTls: true })
  t.throws(() => at('pop'), { message: /the pop server of me@example\.org is not known/ })
  for (const agent of agents)
    if (!agent.services.includes('pop'))
      for (const { name, text } of agent.files(at))
        t.notMatch(text, /undefined|\[object|smtps:|imaps:/, `${agent.name}/${name} by STARTTLS`)
  const odd = doorsOf({ ...customer, mailbox: "o'neill@example.org" }, place)
  t.throws(() => odd('smtp'), { message: /has a character/ }, 'no quoting holds everywhere')
  t.end()
})

void t.test('the socket of a mail server', (t) => {
  const socket = (more: object) => ({
    ...{ path: '/run/a', mode: 0o660, gid: 7, uid: undefined, control: false },
    ...{ protocol: 'line' as const, map: new Map<string, string>() },
    ...{ accounts: ['*@example.org'], services: ['smtp'] },
    ...more,
  })
  const found = (more: object) => socketFor('line', [socket(more)], 'me@example.org')
  t.equal(found({}), '/run/a')
  for (const other of [
    { mode: 0o600 },
    { services: ['imap'] },
    { accounts: ['me@other.example'] },
    { protocol: 'socketmap' },
  ])
    t.equal(found(other), undefined, JSON.stringify(other))
  t.equal(socketFor('socketmap', [socket({ protocol: 'socketmap' })], 'me@example.org'), '/run/a')
  t.end()
})

void t.test('which agents a credential is too long for', (t) => {
  const login = 'me@example.org'
  t.equal(xoauth2Bytes(login, 5), xoauth2(login, 'token').length)
  const short = (bytes: number) =>
    agents.filter((agent) => isTooLong(agent, login, bytes)).map(({ name }) => name)
  t.same(short(3069), [])
  t.same(short(3070), ['exim', 'msmtp', 'mpop'])
  t.same(short(xoauth2Bytes(login, 4094)), ['exim', 'msmtp', 'mpop'])
  t.same(short(xoauth2Bytes(login, 4095)), ['exim', 'msmtp', 'mpop', 'neomutt'])
  t.same(short(5815), ['exim', 'msmtp', 's-nail', 'mpop', 'neomutt'])
  t.same(short(xoauth2Bytes(login, 8192)), [
    ...['exim', 'msmtp', 's-nail', 'mpop', 'mbsync', 'neomutt'],
  ])
  t.end()
})
