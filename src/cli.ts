/** The program. */
import { createCommandLine } from './command-line.ts'
import { defineCommands } from './commands/index.ts'

const commandLine = createCommandLine()
defineCommands(commandLine)
await commandLine.run()
