/** `install-service`: the systemd units, with the paths of this machine. */
import type { Common, Define } from '../command-line.ts'
import { installService } from '../service-install.ts'

interface Flags extends Common {
  readonly system?: boolean
  readonly force?: boolean
}

export function defineInstallService(define: Define): void {
  define('install-service', 'put the systemd units in place', [
    'xoauthd install-service',
    'sudo xoauthd install-service --system',
  ])
    .option('--system', 'for the whole machine instead of yourself')
    .option('--force', 'write over units that differ')
    .action(async ({ system = false, force = false }: Flags) => {
      const { written, next } = await installService(process.env, {
        system,
        force,
        node: process.execPath,
        program: process.argv[1] ?? '',
      })
      const lines = [
        ...(written.length > 0 ? written.map((path) => `wrote ${path}`) : ['all units are there']),
        'Now run:',
        ...next.map((line) => `  ${line}`),
      ]
      process.stderr.write(`${lines.join('\n')}\n`)
    })
}
