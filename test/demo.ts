/** `npm run demo` as a stranger runs it: it shows what it promises, and leaves nothing behind. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'

const root = join(import.meta.dirname, '..')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: { demo: string }
}
/** `NAME=value node argument …`: without a shell between us, a signal reaches the demo itself. */
const words = scripts.demo.split(' ')
const settings = words.slice(0, words.indexOf('node')).map((word): [string, string] => {
  const [name = '', value = ''] = word.split('=')
  return [name, value]
})
const args = words.slice(words.indexOf('node') + 1)

/** An access token has 43 characters, a credential in base64 over 100; an address with its port has 30. */
const secret = /[\w-]{40,}|[\w+/=-]{60,}/

void t.test('it shows the mail and a refresh, and no secret', async (t) => {
  const folder = temporaryFolder(t)
  const { code, stdout, stderr } = await startDemo(folder).ended
  t.equal(stderr, '')
  t.equal(code, 0)
  t.match(stdout, /^\s*Signed in as me@demo\.example for smtp\.$/m)
  t.match(stdout, /^\s*S: 235 /m)
  t.match(stdout, /^\s*info refreshed account=me@demo\.example expires_in=1\d$/m)
  t.match(stdout, /^\s*me@demo\.example +fresh /m)
  t.match(stdout, /^\s*Subject: Hello from xoauthd$/m)
  const credentials = stdout.match(/user=me@demo\.example\^Aauth=Bearer .*…\^A\^A$/gm) ?? []
  t.equal(new Set(credentials).size, 2, 'the socket gave two tokens')
  t.notMatch(stdout, secret)
  t.notMatch(stdout, 'oidc-provider')
  nothingIsLeft(t, folder)
})

void t.test('Ctrl-C leaves nothing behind', async (t) => {
  const folder = temporaryFolder(t)
  const demo = startDemo(folder)
  demo.onOutput(/^\s*info ready /m, () => demo.child.kill('SIGINT'))
  const { code, stderr } = await demo.ended
  t.equal(code, 130)
  t.match(stderr, /^demo: step \d+: stopped by SIGINT$/m)
  nothingIsLeft(t, folder)
})

void t.test('nor does a reader who goes away', async (t) => {
  const folder = temporaryFolder(t)
  const demo = startDemo(folder)
  demo.onOutput(/^\s*info ready /m, () => demo.child.stdout.destroy())
  const { code } = await demo.ended
  t.equal(code, 1)
  nothingIsLeft(t, folder)
})

void t.test('a step that fails is named', async (t) => {
  const folder = temporaryFolder(t)
  const { code, stderr } = await startDemo(join(folder, 'missing')).ended
  t.equal(code, 1)
  t.match(stderr, /^demo: .*ENOENT.*missing/m)
  nothingIsLeft(t, folder)
})

function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'xo-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function startDemo(temporary: string) {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...Object.fromEntries(settings), TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part))
  const ended = Promise.all([text(child.stderr), once(child, 'close')]).then(([stderr]) => ({
    code: child.exitCode,
    stdout,
    stderr,
  }))
  return {
    child,
    ended,
    onOutput(pattern: RegExp, act: () => void): void {
      const look = () => {
        if (!pattern.test(stdout)) return
        child.stdout.off('data', look)
        act()
      }
      child.stdout.on('data', look)
    },
  }
}

function nothingIsLeft(t: Test, folder: string): void {
  t.strictSame(readdirSync(folder), [], 'no file')
  t.strictSame(processesOf(folder), [], 'no process')
}

/** Everything that the demo starts has a home in its temporary folder. */
function processesOf(folder: string): string[] {
  if (!existsSync('/proc/self/environ')) return []
  return readdirSync('/proc').filter((id) => {
    try {
      return /^\d+$/.test(id) && readFileSync(`/proc/${id}/environ`, 'latin1').includes(folder)
    } catch {
      return false // it has just ended, or is another user's
    }
  })
}
