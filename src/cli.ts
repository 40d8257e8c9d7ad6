/** The program: its commands, each a name and a call. */
import { createCommandLine } from './command-line.ts'
import { defineAsk } from './commands/ask.ts'
import { defineSetup } from './commands/setup.ts'
import { defineServe } from './commands/serve.ts'
import { defineSignIn } from './commands/sign-in.ts'

const commandLine = createCommandLine()
const { define } = commandLine
defineServe(define)
defineSignIn(define)
defineAsk(define)
defineSetup(define)
await commandLine.run()
