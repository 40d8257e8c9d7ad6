/** What `npm install` puts on the disk: the files that package.json packs, MB. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export function installedMb(): number {
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const output = execFileSync('npm', args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [packed] = JSON.parse(output) as readonly { readonly unpackedSize: number }[]
  return (packed?.unpackedSize ?? NaN) / 2 ** 20
}
