/**
 * Writes the configurations of examples/ from the templates that `xoauthd setup` prints, for
 * me@example.org at Gmail. `--check` only says whether they are current.
 */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { agents } from '../src/agents/index.ts'
import { gmailHosts } from '../src/providers/googleapis.ts'
import { doorsOf, usualPlaceOf } from '../src/setup.ts'

const mailbox = 'me@example.org'
const folder = new URL('../examples/', import.meta.url)

/** @returns the text of each file, by its path below examples/ */
export function exampleFiles(): { path: string; text: string; executable: boolean }[] {
  const customer = { mailbox, login: () => mailbox, remedyFor: () => undefined, hosts: gmailHosts }
  return agents.flatMap((agent) =>
    agent
      .files(doorsOf(customer, usualPlaceOf(agent)))
      .map(({ name, text, executable = false }) => ({
        path: `${agent.name}/${name}`,
        text,
        executable,
      })),
  )
}

async function main(check: boolean): Promise<void> {
  for (const { path, text, executable } of exampleFiles()) {
    const target = fileURLToPath(new URL(path, folder))
    const current = await readFile(target, 'utf8').catch(() => undefined)
    if (current === text) continue
    if (check) {
      process.stderr.write(`examples/${path} is not current; run: npm run examples\n`)
      process.exitCode = 1
    } else {
      await mkdir(dirname(target), { recursive: true })
      await writeFile(target, text)
      await chmod(target, executable ? 0o755 : 0o644)
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.includes('--check'))
