/** `git-credential`: a credential helper, for `credential.helper = "!xoauthd git-credential"`. */
import { text } from 'node:stream/consumers'
import { getTokenFrom } from '../client.ts'
import type { Common, Define } from '../command-line.ts'
import { eraseCredential, getCredential, type AskFor } from '../git-credential.ts'
import { socketsFor } from './context.ts'

const tokenWaitS = 15

export function defineGitCredential(define: Define): void {
  define('git-credential', "git's credential helper: a token as the password of a mail account")
    .argument('<operation>', 'get, erase, store; git may add others, which are ignored')
    .action(gitCredential)
}

async function gitCredential(operation: string, options: Common): Promise<void> {
  // "Ignore an operation that you do not know", says git, and tokens need no storing.
  if (operation !== 'get' && operation !== 'erase') return
  const paths = await socketsFor(options)
  const ask: AskFor = (service, mailbox, refused) =>
    getTokenFrom(paths, mailbox, { service, refused, wait: tokenWaitS })
  const description = await text(process.stdin)
  if (operation === 'erase') {
    await eraseCredential(description, ask)
    return
  }
  try {
    process.stdout.write(await getCredential(description, ask))
  } catch (error) {
    // Or git would ask a person for a password that there is not.
    process.stdout.write('quit=1\n')
    throw error
  }
}
