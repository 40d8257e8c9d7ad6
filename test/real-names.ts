/**
 * What the other tests stand on: an unchanged program meets a test's server under a real name, with TLS
 * and its checks in force, and cannot reach anything beyond this machine.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { createAuthority } from './fixtures/certificates.ts'
import { startGoogleServer } from './fixtures/google-server.ts'
import { withRealNames } from './fixtures/real-names.ts'

const program = `
import { get } from 'node:https'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'

const outcome = (name, stream, event) =>
  new Promise((resolve) => {
    stream.on(event, () => resolve([name, event])).on('error', (e) => resolve([name, e.code]))
  }).then((pair) => (stream.destroy(), pair))
const host = 'oauth2.googleapis.com'
console.log(JSON.stringify(Object.fromEntries(await Promise.all([
  outcome('https', get('https://' + host + '/token'), 'response'),
  fetch('https://' + host + '/token').then((r) => ['fetch', r.status], (e) => ['fetch', e.cause.code]),
  outcome('tls', connectTls({ host, port: 443, servername: host }), 'secureConnect'),
  outcome('tls by numbers', connectTls(443, host, { servername: host }), 'secureConnect'),
  outcome('another name in the certificate', get('https://wrong.example/'), 'response'),
  outcome('the named port', connect(587, 'smtp.gmail.com'), 'connect'),
  outcome('another port', connect({ host: 'smtp.gmail.com', port: 25 }), 'connect'),
  outcome('a name that is not redirected', connect(443, 'example.org'), 'connect'),
  outcome('an address elsewhere', connect({ host: '192.0.2.1', port: 443 }), 'connect'),
  outcome('this machine', connect(Number(process.argv[1]), '127.0.0.1'), 'connect'),
]))))
process.exit()
`

void t.test('a program with the preload', async (t) => {
  const authority = await createAuthority(t.testdir())
  const certificate = await authority.issue(['oauth2.googleapis.com'])
  const server = await startGoogleServer(certificate)
  t.teardown(() => server.close())
  const { port } = server
  const { execArgv, env } = withRealNames(
    { 'oauth2.googleapis.com': port, 'wrong.example': port, 'smtp.gmail.com:587': port },
    authority.caFile,
  )
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...execArgv, '--input-type=module', '--eval', program, String(port)],
    { env: { ...process.env, ...env } },
  )
  t.same(JSON.parse(stdout), {
    https: 'response',
    fetch: 400,
    tls: 'secureConnect',
    'tls by numbers': 'secureConnect',
    'another name in the certificate': 'ERR_TLS_CERT_ALTNAME_INVALID',
    'the named port': 'connect',
    'another port': 'ENOTFOUND',
    'a name that is not redirected': 'ENOTFOUND',
    'an address elsewhere': 'ENOTFOUND',
    'this machine': 'connect',
  })
  t.equal(server.to('token')[0]?.url.host, 'oauth2.googleapis.com')
})
