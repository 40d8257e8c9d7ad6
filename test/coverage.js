/**
 * What of src ran: in the tests that import it, compiled, and in the program that they start, bundled. Node itself
 * writes it down (NODE_V8_COVERAGE), a file a process; here they become one report on the sources.
 */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Report } from 'c8'

/**
 * Prints the report.
 *
 * @param {string} folder where Node wrote what was covered
 * @param {string} mapsFolder the bundle's maps
 * @param {string} compiledSource where the compiled sources are, as a part of their addresses
 * @returns {Promise<{ pct: number, total: number }>} of the statements
 */
export async function report(folder, mapsFolder, compiledSource) {
  const maps = readMaps(mapsFolder)
  for (const name of readdirSync(folder)) keepOurs(join(folder, name), maps, compiledSource)
  const told = new Report({
    reporter: ['text'],
    tempDirectory: folder,
    reportsDirectory: '.tap/report',
    include: ['src/**'],
    exclude: [],
    excludeAfterRemap: true,
  })
  await told.run()
  return (await told.getCoverageMapFromAllCoverageFiles()).getCoverageSummary().statements
}

/** The bundle's maps lie beside it only now, so that no start has to read them. */
function keepOurs(file, maps, compiledSource) {
  const written = parse(file)
  if (!written) return
  const { result, 'source-map-cache': known = {} } = written
  const compiled = result.filter(({ url }) => url.includes(compiledSource))
  const bundled = result.filter(({ url }) => maps.has(url))
  const cache = [
    ...compiled.map(({ url }) => [url, withPaths(known[url])]),
    ...bundled.map(({ url }) => [url, maps.get(url)]),
  ]
  const ours = {
    result: [...compiled, ...bundled],
    'source-map-cache': Object.fromEntries(cache),
  }
  writeFileSync(file, JSON.stringify(ours))
}

/** @returns undefined for what a process began to write when it was killed */
function parse(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    rmSync(file)
    return undefined
  }
}

/** By the address of what is bundled, in the form in which Node writes a map down. */
function readMaps(folder) {
  return new Map(
    readdirSync(folder).map((name) => {
      const bundle = resolve('dist', basename(name, '.map'))
      const map = JSON.parse(readFileSync(join(folder, name), 'utf8'))
      const sources = map.sources.map((source) => resolve('dist', source))
      const lines = readFileSync(bundle, 'utf8').split('\n')
      const lineLengths = lines.map(({ length }) => length)
      return [pathToFileURL(bundle).href, { lineLengths, data: { ...map, sources }, url: null }]
    }),
  )
}

/** One source has to have one name, or it counts twice. */
function withPaths(map) {
  const sources = map.data.sources.map((source) => fileURLToPath(source))
  return { ...map, data: { ...map.data, sources } }
}
