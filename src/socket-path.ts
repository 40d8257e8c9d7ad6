/** Where the daemon listens, and where its clients look, when nothing says otherwise. */
import { isAbsolute, join } from 'node:path'

export function defaultSocketPath(env: NodeJS.ProcessEnv): string {
  const [runtime] = (env['RUNTIME_DIRECTORY'] ?? '').split(':')
  if (runtime !== undefined && isAbsolute(runtime)) return join(runtime, 'socket')
  return join(userRuntimeDirectory(env), 'xoauthd', 'socket')
}

/** cron and MTAs have no $XDG_RUNTIME_DIR, but systemd makes the same folder for every session. */
export function userRuntimeDirectory(env: NodeJS.ProcessEnv): string {
  const directory = env['XDG_RUNTIME_DIR']
  return directory !== undefined && isAbsolute(directory)
    ? directory
    : `/run/user/${process.getuid?.() ?? 0}`
}
