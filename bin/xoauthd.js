#!/usr/bin/env node
// Loading takes a moment, in which SIGHUP would kill the daemon and SIGUSR1 open Node's debugger; a
// reload needs nothing more, since the file has not been read yet. `serve` has its own handlers then.
if (process.argv.includes('serve'))
  for (const signal of ['SIGHUP', 'SIGUSR1']) process.on(signal, () => undefined)
await import('../dist/cli.js')
