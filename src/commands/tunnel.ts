/** `tunnel`: a pipe to a mail server that is signed in already. */
import { choiceArgument, hostAndPort, type Common, type Define } from '../command-line.ts'
import type { HostPort } from '../endpoint.ts'
import type { AskToken } from '../imap-login.ts'
import { hostPortOf } from '../mail-connection.ts'
import { sayBye, tunnelImap } from '../tunnel.ts'
import { askToken, configured } from './context.ts'

/** Mail programs wait for a greeting; a token that is being fetched is worth the time. */
const tokenWaitS = 15

export function defineTunnel(define: Define): void {
  define('tunnel', "a pipe to the account's server, already signed in, for clients without OAuth")
    .addArgument(choiceArgument('<protocol>', 'what is spoken in it', ['imap']))
    .argument('<user>', 'the mailbox')
    .option('--host <host:port>', "the server, unless the account's", hostAndPort)
    .action(tunnel)
}

async function tunnel(
  _protocol: string,
  user: string,
  options: Common & { host?: string },
): Promise<void> {
  const { at, ask } = await wayTo(user, options).catch((error: unknown) => {
    sayBye(process.stdout, error)
    throw error
  })
  await tunnelImap(at, ask, { input: process.stdin, output: process.stdout })
}

/** The server, and who has tokens for it. */
async function wayTo(
  user: string,
  options: Common & { host?: string },
): Promise<{ at: HostPort; ask: AskToken }> {
  const known = options.host ?? (await configured(options, user)).config.hosts.imap
  const at = hostPortOf(known, 'imap', user)
  return { at, ask: await askToken(options, user, 'imap', tokenWaitS) }
}
