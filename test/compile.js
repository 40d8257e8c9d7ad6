/**
 * The tree that the tests run from: the repository once more under `.tap/compiled`, every TypeScript file compiled
 * beside a link to itself, everything else a link. Tests and the programs they start then share plain JavaScript
 * that Node loads by itself: a start takes a quarter of what a compiling loader needs, and there are many hundreds.
 */
import { mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'

export const compiledTree = '.tap/compiled'

/** Compiled file by file: stacks, and the report of what was covered, speak of the sources by their maps. */
const folders = ['src', 'test', 'bench', 'build']
const linked = ['bin', 'dist', 'docs', 'examples', 'man', 'systemd']

/** Makes the tree anew. Types are not looked at: `npm run check` does that once. */
export async function compile() {
  rmSync(compiledTree, { recursive: true, force: true })
  mkdirSync(compiledTree, { recursive: true })
  const top = readdirSync('.', { withFileTypes: true }).filter((entry) => entry.isFile())
  for (const name of [...linked, ...top.map((entry) => entry.name)]) link(name)
  const sources = folders.flatMap((folder) => mirror(folder))
  await build({
    entryPoints: sources,
    outbase: '.',
    outdir: compiledTree,
    bundle: true,
    plugins: [eachByItself],
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    sourcemap: 'inline',
    sourcesContent: false,
    logLevel: 'warning',
  })
}

/** Leaves every import where it is, and turns the name of a source into that of what is compiled from it. */
const eachByItself = {
  name: 'each file by itself',
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ kind, path }) => {
      if (kind === 'entry-point') return undefined
      return { path: path.startsWith('.') ? compiledName(path) : path, external: true }
    })
  },
}

/** @returns {string} */
export function compiledName(path) {
  return path.replace(/(?<!\.d)\.ts$/, '.js')
}

/** Links every file of a folder and of those below it, and returns the ones to compile. */
function mirror(folder) {
  mkdirSync(join(compiledTree, folder), { recursive: true })
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return mirror(path)
    link(path)
    return /(?<!\.d)\.ts$/.test(path) ? [path] : []
  })
}

function link(path) {
  symlinkSync(resolve(path), join(compiledTree, path))
}
