/**
 * Four programs that read mail through `xoauthd tunnel`, for real: fetchmail, which knows no OAuth at all,
 * and three more that need no plugin, no token and no limit this way.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { needs } from '../fixtures/installed.ts'
import { me, openTunnelOffice } from '../fixtures/tunnel-office.ts'

const example = join(import.meta.dirname, '../../examples/fetchmail/fetchmailrc')
const mail = 'From: you@example.net\r\nSubject: to be fetched\r\n\r\nhello {3}\r\n. LOGIN x y\r\n'
const office = await openTunnelOffice(t)
const { dovecot, folder, command, home } = office
const path = (name: string) => join(folder, name)

interface Outcome {
  readonly code: number | null
  readonly output: string
}

async function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...home.env, ...office.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = (await closed) as [number | null]
  return { code, output: `${out}${errors}` }
}

/** Every file below a folder, together. */
async function contents(name: string): Promise<string> {
  const entries = await readdir(path(name), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const texts = files.map((file) => readFile(join(file.parentPath, file.name), 'utf8'))
  return (await Promise.all(texts)).join('\n')
}

async function fetchmailrc(name: string, account: string): Promise<string[]> {
  const shipped = await readFile(example, 'utf8')
  const configuration = shipped
    .replaceAll('xoauthd tunnel imap me@example.org', account)
    // It looks the name up although it does not connect.
    .replace('imap.gmail.com', 'localhost')
    .replace(/mda ".*"/, `mda "cat >> ${path(name)}"`)
  await writeFile(path(`${name}rc`), configuration, { mode: 0o600 })
  return [
    '--fetchmailrc',
    path(`${name}rc`),
    '--pidfile',
    path(`${name}.pid`),
    '--idfile',
    path('ids'),
  ]
}

void t.test('fetchmail, by its plugin', needs('fetchmail', 'fetchmail'), async (t) => {
  await dovecot.deliver(me, mail)
  const args = await fetchmailrc('fetched', command)
  const { code, output } = await runProgram('fetchmail', [...args, '--keep'])
  t.equal(code, 0, output)
  t.match(await readFile(path('fetched'), 'utf8'), /Subject: to be fetched[^]*\. LOGIN x y/)
})

void t.test('mbsync, by Tunnel', needs('mbsync', 'isync'), async (t) => {
  await dovecot.deliver(me, mail)
  await mkdir(path('synced'))
  await writeFile(
    path('mbsyncrc'),
    `IMAPStore remote
Tunnel "${command}"

MaildirStore local
Path ${folder}/synced/
Inbox ${folder}/synced/INBOX

Channel me
Far :remote:
Near :local:
Create Near
SyncState *
`,
  )
  const { code, output } = await runProgram('mbsync', ['-c', path('mbsyncrc'), 'me'])
  t.equal(code, 0, output)
  t.match(await contents('synced'), /Subject: to be fetched[^]*\. LOGIN x y/)
})

void t.test('neomutt, by tunnel', needs('neomutt', 'neomutt'), async (t) => {
  await dovecot.deliver(me, mail)
  await writeFile(
    path('neomuttrc'),
    `set tunnel = "${command}"
set tunnel_is_secure = yes
set imap_user = "${me}"
set folder = "imap://localhost/"
set spoolfile = "+INBOX"
set header_cache = ""
push "<tag-pattern>~A<enter><tag-prefix><copy-message>${folder}/mutted<enter>y<quit>"
`,
  )
  // It wants a screen.
  const neomutt = `neomutt -F ${path('neomuttrc')}`
  const terminal = ['-qec', neomutt, '/dev/null']
  const { output } = await runProgram('script', terminal, { TERM: 'xterm' })
  t.match(await readFile(path('mutted'), 'utf8').catch(() => output), /Subject: to be fetched/)
})

void t.test('offlineimap, by preauthtunnel', needs('offlineimap', 'offlineimap3'), async (t) => {
  await dovecot.deliver(me, mail)
  await writeFile(
    path('offlineimaprc'),
    `[general]
accounts = me
metadata = ${folder}/offlineimap
[Account me]
localrepository = local
remoterepository = remote
[Repository local]
type = Maildir
localfolders = ${folder}/offline
[Repository remote]
type = IMAP
remoteuser = ${me}
preauthtunnel = ${command}
folderfilter = lambda name: name == 'INBOX'
`,
  )
  const { code, output } = await runProgram('offlineimap', [
    '-c',
    path('offlineimaprc'),
    '-1',
    '-o',
  ])
  t.equal(code, 0, output)
  t.match(await contents('offline'), /Subject: to be fetched[^]*\. LOGIN x y/)
})

void t.test('nobody saw a token', async (t) => {
  t.ok(dovecot.offered.length > 0)
  t.ok(dovecot.offered.every((token) => office.server.accept(token, me)))
  t.notMatch(dovecot.log(), /auth failed/)
  for (const name of ['fetchedrc', 'mbsyncrc', 'neomuttrc', 'offlineimaprc'])
    for (const secret of office.server.secrets)
      t.notOk((await readFile(path(name), 'utf8').catch(() => '')).includes(secret))
})
