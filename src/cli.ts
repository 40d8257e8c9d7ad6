/** The program. */
import { createCommandLine, endureOutputs } from './command-line.ts'

const [, , name, ...flags] = process.argv
const commandLine = createCommandLine()
// The daemon itself has its log alone, which copes by itself and wants no stream on the same descriptor.
if (name !== 'serve' || flags.some((flag) => /^(?:--check|--help|-h)$/.test(flag))) endureOutputs()
// The daemon starts in less time and memory without what only the others need.
if (name === 'serve') {
  const { defineServe } = await import('./commands/serve.ts')
  defineServe(commandLine.define)
} else {
  const { defineCommands } = await import('./commands/index.ts')
  defineCommands(commandLine)
}
await commandLine.run()
