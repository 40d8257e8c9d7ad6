// Makes dist/: the program and what it needs of its packages, in a few files that start fast and are all
// that users install. Vendor libraries stay in chunks of their own, loaded when an account needs them.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { build } from 'esbuild'

rmSync('dist', { recursive: true, force: true })
await build({
  entryPoints: ['src/cli.ts', 'src/client.ts'],
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifyWhitespace: true,
  minifySyntax: true,
  // An uncaught exception prints its line.
  lineLimit: 120,
  legalComments: 'eof',
  // CommonJS packages inside the bundle call require() for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
})
execFileSync('node_modules/.bin/tsc', ['--project', 'tsconfig.client.json'], { stdio: 'inherit' })
