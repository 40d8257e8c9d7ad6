/**
 * Tokens that are longer than a mail agent can send: the XOAUTH2 string of an account, measured against
 * what each agent was found to take.
 */
import type { Agent } from './agent.ts'

/** `user=` and `^Aauth=Bearer ` and the `^A^A` at the end. */
const frameBytes = 20

/** @returns the length of the XOAUTH2 string, in bytes before base64 */
export function xoauth2Bytes(login: string, tokenBytes: number): number {
  return frameBytes + Buffer.byteLength(login) + tokenBytes
}

/**
 * Whether an agent cannot send a credential.
 *
 * @param bytes of the XOAUTH2 string
 * @param login the name in it
 */
export function isTooLong({ limit }: Agent, login: string, bytes: number): boolean {
  if (!limit) return false
  return (limit.of === 'string' ? bytes : bytes - xoauth2Bytes(login, 0)) > limit.bytes
}

/** @returns a sentence about one agent, for a person who is about to use it */
export function tooLong({ name, version, limit }: Agent, bytes: number): string {
  const most = limit?.of === 'token' ? 'a token of at most' : 'at most'
  return `this account's credential has ${bytes} bytes, and ${name} ${version} sends ${most} ${limit?.bytes ?? 0}`
}
