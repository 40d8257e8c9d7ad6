/**
 * The sockets on which systemd listens already (sd_listen_fds(3)).
 *
 * They are told apart by their path, which the kernel knows: names of descriptors are optional, and
 * their order is nobody's promise.
 */
import { fstatSync, readFileSync } from 'node:fs'

const firstDescriptor = 3

/** @returns the inherited descriptors by the path that each listens on */
export function inheritedSockets(env: NodeJS.ProcessEnv): Map<string, number> {
  const sockets = new Map<string, number>()
  if (env['LISTEN_PID'] !== String(process.pid)) return sockets
  const paths = pathsByInode()
  for (let fd = firstDescriptor; fd < firstDescriptor + Number(env['LISTEN_FDS'] ?? 0); fd++) {
    const path = paths.get(fstatSync(fd).ino)
    if (path !== undefined) sockets.set(path, fd)
  }
  return sockets
}

/** `Num RefCount Protocol Flags Type St Inode Path`, after a line of headings. */
function pathsByInode(): Map<number, string> {
  const paths = new Map<number, string>()
  for (const line of readFileSync('/proc/self/net/unix', 'utf8').split('\n').slice(1)) {
    const match = /^\S+ \S+ \S+ \S+ \S+ \S+ +(\d+) (.+)$/.exec(line)
    if (match?.[1] !== undefined && match[2] !== undefined) paths.set(Number(match[1]), match[2])
  }
  return paths
}
