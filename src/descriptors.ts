/**
 * How many clients there may be at once: as many as the limit on this process's descriptors allows, less
 * what the daemon itself needs to go on while they are all here.
 */
import { readFileSync, readdirSync } from 'node:fs'

/** Four times the backlog that the kernel allows today, and all the same a bound on memory. */
const mostClients = 16_384
const mostSocketmap = 1_024
/** With fewer, one program that asks for several mailboxes at once would be in its own way. */
const fewestClients = 8
/** 32 requests to a provider, each with a connection, its lock and the file that it is written to. */
const ownDescriptors = 128

/**
 * @param limit the most descriptors that the process may have; Node raised it as far as it may go
 * @param open those it has already
 */
export function clientsWithin(limit: number, open: number): number {
  const own = open + Math.min(ownDescriptors, Math.floor(limit / 4))
  return Math.min(mostClients, Math.max(fewestClients, limit - own))
}

/** Each kind of listener has a part of its own, so that a crowd at one does not close the others. */
export interface ClientShares {
  readonly line: number
  readonly http: number
  readonly socketmap: number
}

/** @param most how many clients there may be in all */
export function clientShares(most: number): ClientShares {
  const eighth = Math.max(fewestClients >> 1, most >> 3)
  return {
    line: Math.max(fewestClients, most - 2 * eighth),
    http: eighth,
    // Postfix has at most a hundred processes that ask (default_process_limit), and proxymap asks for all.
    socketmap: Math.min(mostSocketmap, eighth),
  }
}

/** @returns how many clients this process can have beside what it has open now */
export function clientLimit(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    const [, soft] = /^Max open files +(\d+)/m.exec(limits) ?? []
    return clientsWithin(Number(soft ?? Infinity), readdirSync('/proc/self/fd').length)
  } catch {
    // Only Linux tells.
    return mostClients
  }
}
