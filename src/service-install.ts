/**
 * Putting the systemd units in place, with the paths of this machine.
 *
 * Promises that a unit which somebody has changed is not written over unless that is asked for, and that
 * nothing is enabled or started: the commands for that are given back to be read first.
 */
import { mkdir, readFile, readdir, realpath, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { configHome } from './config-file.ts'
import { Misconfigured, NotAllowed } from './errors.ts'
import { shippedPath } from './shipped.ts'

export interface ServiceInstall {
  /** For the whole machine instead of the person who asks. */
  readonly system: boolean
  /** Whether units that are there and differ are written over. */
  readonly force: boolean
  /** The `node` and the program that the units are to start. */
  readonly node: string
  readonly program: string
}

export interface InstalledService {
  /** The units that were written; those that were the same already are not in it. */
  readonly written: readonly string[]
  /** What to run now, a command a line. */
  readonly next: readonly string[]
}

/** systemd hides these from the system's unit (ProtectHome=). */
const hidden = /^\/(?:home|root|run\/user)\//

const nextOf = {
  user: [
    'systemctl --user daemon-reload',
    'systemctl --user enable --now xoauthd.socket xoauthd.service',
    'loginctl enable-linger        (where mail is to leave while nobody is logged in)',
  ],
  system: [
    'useradd --system --home-dir /var/lib/xoauthd --shell /usr/sbin/nologin xoauthd',
    'systemctl daemon-reload',
    'systemctl enable --now xoauthd.socket xoauthd-exim.socket    (the second only for exim)',
    'systemctl enable --now xoauthd.service',
  ],
}

/**
 * @rejects NotAllowed when only root may; Misconfigured when a unit differs or could not start
 */
export async function installService(
  env: NodeJS.ProcessEnv,
  { system, force, node, program }: ServiceInstall,
): Promise<InstalledService> {
  const manager = system ? 'system' : 'user'
  if (system && process.getuid?.() !== 0)
    throw new NotAllowed('only root may put units into /etc/systemd/system', {
      hint: 'run it with sudo, or without --system for yourself alone',
    })
  const start = [await realpath(node), await realpath(program)] as const
  const unseen = start.find((path) => system && hidden.test(path))
  if (unseen !== undefined)
    throw new Misconfigured(`${unseen} cannot be seen by a unit of the system`, {
      hint: 'install node and xoauthd below /usr, e.g. npm install --global --prefix /usr/local',
    })
  const folder = system ? '/etc/systemd/system' : join(configHome(env), 'systemd/user')
  await mkdir(folder, { recursive: true })
  const shipped = shippedPath(`systemd/${manager}`)
  const names = await readdir(shipped)
  const units = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(shipped, name), 'utf8')
      const path = join(folder, name)
      const wanted = text.replace(/^(ExecStart=)\/usr\/bin\/env xoauthd /m, `$1${start.join(' ')} `)
      return { path, wanted, there: await readFile(path, 'utf8').catch(() => undefined) }
    }),
  )
  const changed = units.filter(({ wanted, there }) => there !== undefined && there !== wanted)
  if (changed.length > 0 && !force)
    throw new Misconfigured(
      `${changed.map(({ path }) => path).join(', ')} differs from what would be written`,
      { hint: 'compare it with systemctl cat; --force writes over it' },
    )
  const missing = units.filter(({ wanted, there }) => there !== wanted)
  for (const { path, wanted } of missing) await writeFile(path, wanted, { mode: 0o644 })
  return { written: missing.map(({ path }) => path), next: nextOf[manager] }
}
