/** What other people's programs this machine has: on the PATH, and plugins of Cyrus SASL. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** @returns the path of a program; daemons in sbin and the parts of git are not on an ordinary user's PATH */
export function locate(program: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = [
    ...(env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/sbin',
    '/usr/lib/git-core',
  ]
  return folders.map((folder) => join(folder, program)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** @param name of the plugin's file, e.g. `libxoauth2.so` */
export function hasSaslPlugin(name: string, env: NodeJS.ProcessEnv): boolean {
  return saslFolderOf(name, env) !== undefined
}

/** @returns the folder where a plugin's file is */
export function saslFolderOf(name: string, env: NodeJS.ProcessEnv): string | undefined {
  return saslFolders(env).find((folder) => existsSync(join(folder, name)))
}

/** Where Cyrus SASL looks: $SASL_PATH, or the folder of the machine's architecture. */
function saslFolders(env: NodeJS.ProcessEnv): string[] {
  const named = env['SASL_PATH']
  if (named !== undefined && named !== '') return named.split(delimiter)
  const library = '/usr/lib'
  const triplets = existsSync(library) ? readdirSync(library) : []
  return [library, ...triplets.map((name) => join(library, name))].map((path) =>
    join(path, 'sasl2'),
  )
}
