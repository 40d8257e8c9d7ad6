/**
 * A whole life at the level debug: sign-in, tokens, refreshes, servers that throw our secrets back at us,
 * sign-out. Nothing secret may be in what any process prints, in an argument list or an environment;
 * and nothing on disk is open to anybody else.
 */
import { lstatSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import t from 'tap'
import { startAuthorizationServer, theClient } from './fixtures/authorization-server.ts'
import { createHome, run, startDaemonProcess } from './fixtures/daemon.ts'
import { leaksIn } from './fixtures/leaks.ts'
import { startLogin, visit } from './fixtures/person.ts'
import { send } from './fixtures/raw-client.ts'
import { accountAt } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'

/** What anybody on the machine may look at, of a process that runs. */
const visible = (pid: number | undefined) =>
  ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${pid}/${name}`, 'utf8')).join('\n')

/** Every folder and file below a path, with its type and mode. */
function modesBelow(path: string): Record<string, string> {
  const names = readdirSync(path, { recursive: true }) as string[]
  return Object.fromEntries(
    names.map((name) => {
      const stats = lstatSync(join(path, name))
      const type = stats.isDirectory() ? 'd' : stats.isSocket() ? 's' : '-'
      return [relative('.', name), `${type}${(stats.mode & 0o777).toString(8)}`]
    }),
  )
}

void t.test('secrets stay where they belong', async (t) => {
  const server = await startAuthorizationServer({ behaviour: { rotates: true } })
  const home = createHome()
  t.teardown(async () => {
    await server.close()
    home.remove()
  })
  const seenByCommand = join(home.path, 'seen')
  const look = `cat /proc/$$/environ /proc/$$/cmdline /proc/$PPID/cmdline >> ${seenByCommand}; cat secret`
  const secret = `{ command = ["sh", "-c", "${look}"] }`
  const account = accountAt(server, me).replace(/client_secret = .*/, `client_secret = ${secret}`)
  home.configure(`${account}\n[log]\nlevel = "debug"\n`)
  writeFileSync(join(home.path, 'secret'), theClient.secret, { mode: 0o600 })
  const shown: string[] = []

  const daemon = await startDaemonProcess(home)
  t.teardown(() => daemon.stop())
  const { login, consent } = await startLogin(home, me, { args: ['--verbose'] })
  const answer = await consent()
  const { page } = await visit(answer)
  shown.push(page, visible(login.child.pid))
  await login.ended
  shown.push(login.stdout(), login.stderr())

  // Servers that repeat what they were sent, in words, in OAuth's words and as a page.
  const forms = (form: URLSearchParams) => [...form.values()].join(' ')
  const echoes = [
    (said: string) => ({ status: 500, body: said }),
    (said: string) => ({
      status: 400,
      body: { error: 'invalid_request', error_description: said },
    }),
    (said: string) => ({ status: 400, body: { error: 'invalid_grant', error_description: said } }),
  ]
  for (const echo of echoes) {
    server.fault({ endpoint: 'token', answer: ({ form }) => echo(forms(form)), times: 2 })
    shown.push(await send(home.socket, `REFRESH ${me}`))
    server.heal()
    shown.push(await send(home.socket, `SMTP,json,explain,min=9999 ${me}`))
  }
  shown.push(await send(home.socket, 'STATUS'), visible(daemon.child.pid))

  server.fault({ endpoint: 'token', answer: ({ form }) => echoes[2]!(forms(form)) })
  const second = await startLogin(home, me)
  shown.push((await visit(await second.consent())).page)
  await second.login.ended
  shown.push(second.login.stdout(), second.login.stderr())

  const token = await run(home, ['token', me, '--verbose'])
  t.same(leaksIn(token.stdout, server.secrets).length, 1, 'the search finds what is there')
  shown.push(token.stderr)
  t.same(modesBelow(join(home.path, 'run')), { xoauthd: 'd700', 'xoauthd/socket': 's600' })
  const state = modesBelow(join(home.path, 'state'))
  t.equal(state['xoauthd'], 'd700')
  const files = Object.values(state).filter((mode) => !mode.startsWith('d'))
  t.ok(files.length > 1)
  t.same(new Set(files.map((mode) => mode.slice(1))), new Set(['600']))

  const out = await run(home, ['logout', me, '--revoke', '--verbose'])
  shown.push(out.stdout, out.stderr, readFileSync(seenByCommand, 'utf8'))
  t.equal(out.code, 0)
  await daemon.stop()
  shown.push(daemon.stdout(), daemon.stderr())
  t.equal(daemon.stdout(), '')
  const known = [...server.secrets, theClient.secret]
  t.ok(known.length > 8)
  shown.forEach((text, at) => t.same(leaksIn(text, known), [], `output ${at}`))
})
