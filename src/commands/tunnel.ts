/** `tunnel`: a pipe to a mail server that is signed in already. */
import { choiceArgument, hostAndPort, type Common, type Define } from '../command-line.ts'
import { hostPortOf } from '../mail-connection.ts'
import { tunnelImap } from '../tunnel.ts'
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
  const known = options.host ?? (await configured(options, user)).config.hosts.imap
  const at = hostPortOf(known, 'imap', user)
  const ask = await askToken(options, user, 'imap', tokenWaitS)
  await tunnelImap(at, ask, { input: process.stdin, output: process.stdout })
}
