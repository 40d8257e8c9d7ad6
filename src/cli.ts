/** The program: its commands, each a name and a call. */
import { createCommandLine } from './command-line.ts'
import { defineAsk } from './commands/ask.ts'
import { defineMove } from './commands/move.ts'
import { defineServe } from './commands/serve.ts'
import { defineSignIn } from './commands/sign-in.ts'
import { defineStore } from './commands/store.ts'

const commandLine = createCommandLine()
const { define } = commandLine
defineServe(define)
defineSignIn(define)
defineAsk(define)
defineStore(define)
defineMove(define)
await commandLine.run()
