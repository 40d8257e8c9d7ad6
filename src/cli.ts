/** The program. */
import { createCommandLine } from './command-line.ts'

const commandLine = createCommandLine()
// The daemon starts in less time and memory without what only the others need.
if (process.argv[2] === 'serve') {
  const { defineServe } = await import('./commands/serve.ts')
  defineServe(commandLine.define)
} else {
  const { defineCommands } = await import('./commands/index.ts')
  defineCommands(commandLine)
}
await commandLine.run()
