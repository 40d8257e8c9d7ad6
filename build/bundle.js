// Makes dist/: the program and what it needs of its packages, in a few files that start fast and are all
// that users install. Vendor libraries stay in chunks of their own, loaded when an account needs them.
// `--maps FOLDER` writes what leads back to the sources, apart from what is installed.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'

const { maps } = parseArgs({ options: { maps: { type: 'string' } } }).values
for (const folder of ['dist', ...(maps ? [maps] : [])]) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
}
const { outputFiles } = await build({
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
  ...(maps ? { sourcemap: 'external', sourcesContent: false } : {}),
  write: false,
})
for (const { path, contents } of outputFiles)
  writeFileSync(path.endsWith('.map') ? join(maps, basename(path)) : path, contents)
execFileSync('node_modules/.bin/tsc', ['--project', 'tsconfig.client.json'], { stdio: 'inherit' })
