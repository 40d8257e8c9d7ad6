/** The program: its commands, each a name and a call. */
import { createCommandLine } from './command-line.ts'
import { defineAsk } from './commands/ask.ts'
import { defineGitCredential } from './commands/git-credential.ts'
import { defineSendmail } from './commands/sendmail.ts'
import { defineServe } from './commands/serve.ts'
import { defineSignIn } from './commands/sign-in.ts'
import { defineTunnel } from './commands/tunnel.ts'

const commandLine = createCommandLine()
const { define } = commandLine
defineServe(define)
defineSignIn(define)
defineAsk(define)
defineTunnel(define)
defineSendmail(define)
defineGitCredential(define)
await commandLine.run()
