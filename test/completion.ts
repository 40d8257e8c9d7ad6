/** The completions, as the real shells take them. */
import { execFile } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createHome, run, shellLine } from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'

const home = createHome(`
[[account]]
user = "me@issuer.example"
provider = "oauth2"
issuer = "https://issuer.example"
client_id = "mail"
mailboxes = ["team@issuer.example"]

[[account]]
user = "*@corp.example"
provider = "google-service-account"
key = { file = "corp.json" }
`)
t.teardown(() => home.remove())
const command = join(home.path, 'xoauthd')
writeFileSync(command, `#!/bin/sh\n${shellLine(home, '"$@"')}\n`)
chmodSync(command, 0o755)
const env = { ...home.env, PATH: `${home.path}:${process.env['PATH'] ?? ''}` }

/** @returns what the shell prints, line by line */
async function inShell(shell: string, script: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(shell, ['-c', script], { env })
  return stdout.split('\n').filter(Boolean)
}

async function scriptOf(shell: string): Promise<string> {
  const path = join(home.path, `completion.${shell}`)
  const { code, stdout, stderr } = await run(home, ['completion', shell])
  t.same({ code, stderr }, { code: 0, stderr: '' })
  writeFileSync(path, stdout)
  return path
}

void t.test('the names that are completed', async (t) => {
  t.same(await run(home, ['completion', 'accounts']), {
    code: 0,
    stdout: 'me@issuer.example\nteam@issuer.example\n',
    stderr: '',
  })
  t.match(await run(home, ['completion', 'tcsh']), { code: 64, stderr: /Allowed choices are bash/ })
})

void t.test('bash', needs('bash', 'bash'), async (t) => {
  const script = await scriptOf('bash')
  const complete = (line: string) =>
    inShell(
      'bash',
      `. ${script}; COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; _xoauthd; printf '%s\\n' "\${COMPREPLY[@]}"`,
    )
  t.same(await complete('xoauthd tok'), ['token'])
  t.same(await complete('xoauthd token --for'), ['--format'])
  t.same(await complete('xoauthd token --format ba'), ['base64'])
  t.same(await complete('xoauthd token me'), ['me@issuer.example'])
  t.same(await complete('xoauthd token me@iss'), ['issuer.example'], '@ ends a word in bash')
  t.same(await complete('xoauthd completion f'), ['fish'])
  t.same(await complete(`xoauthd serve --config ${home.configFile.slice(0, -3)}`), [
    home.configFile,
  ])
})

void t.test('zsh', needs('zsh', 'zsh'), async (t) => {
  const script = await scriptOf('zsh')
  // Completion works in a terminal alone; what its parts are given can be seen without one.
  const complete = (words: string) =>
    inShell(
      'zsh',
      `compdef() { :; }; _arguments() { print -l -- "$@"; }; _describe() { print -l -- $commands; }
      compadd() { print -l -- \${(P)2}; }
      . ${script}; words=(${words}); CURRENT=\${#words}; _xoauthd`,
    )
  t.match(await complete("xoauthd ''"), ['serve:run the daemon in the foreground'])
  const parts = await complete("xoauthd token ''")
  t.ok(parts.includes('--min=[how long it must still live]: : '))
  t.ok(parts.some((part) => /^--format=.*\(xoauth2 .*json\)$/.test(part)))
  t.ok(parts.includes('*: :_xoauthd_accounts'))
  t.same(
    await inShell(
      'zsh',
      `compdef() { :; }; compadd() { print -l -- $names; }; . ${script}; _xoauthd_accounts`,
    ),
    ['me@issuer.example', 'team@issuer.example'],
  )
})

void t.test('fish', needs('fish', 'fish'), async (t) => {
  const script = await scriptOf('fish')
  const complete = async (line: string) =>
    (await inShell('fish', `source ${script}; complete -C '${line}'`)).map(
      (each) => each.split('\t')[0],
    )
  t.same(await complete('xoauthd tok'), ['token'])
  t.same(await complete('xoauthd token --form'), ['--format'])
  t.same(await complete('xoauthd token --format b'), ['base64'])
  t.same(await complete('xoauthd token te'), ['team@issuer.example'])
  t.ok((await complete('xoauthd completion ')).includes('zsh'))
})
