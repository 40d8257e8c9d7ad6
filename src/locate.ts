/**
 * Names a key of the configuration file and finds its line.
 *
 * The one door to toml-eslint-parser, which keeps positions where smol-toml keeps values; it is loaded
 * only when there is something to complain of.
 */
import type { AST } from 'toml-eslint-parser'
import { ConfigError } from './config-error.ts'

export type KeyPath = readonly (string | number)[]

/** `account[2].client_id`, counted as a person would. */
export function keyName(path: KeyPath): string {
  return path
    .map((key, at) => (typeof key === 'number' ? `[${key + 1}]` : at === 0 ? key : `.${key}`))
    .join('')
}

interface Place {
  readonly path: KeyPath
  readonly line: number
}

/**
 * @returns the line (from 1) of the key, else of the first key in it (a table that is only implied),
 *   else of the closest table around it (a key that is missing)
 * @rejects ConfigError when the text is not TOML after all
 */
export async function createLocator(
  text: string,
  file: string,
): Promise<(path: KeyPath) => number> {
  const places = await placesIn(text, file)
  return (path) => {
    const inside = places.filter((place) => startsWith(place.path, path))
    const exact = inside.find((place) => place.path.length === path.length) ?? inside[0]
    if (exact && path.length > 0) return exact.line
    const around = places.filter((place) => startsWith(path, place.path))
    return around.reduce(
      (best, place) => (place.path.length > best.path.length ? place : best),
      top,
    ).line
  }
}

async function placesIn(text: string, file: string): Promise<Place[]> {
  const { parseTOML, ParseError } = await import('toml-eslint-parser')
  try {
    // smol-toml lets a byte order mark pass, this parser does not.
    const [root] = parseTOML(text.replace(/^\ufeff/, '')).body
    return root.body.flatMap((node) =>
      node.type === 'TOMLKeyValue'
        ? placesOfPair(node, [])
        : [
            { path: node.resolvedKey, line: node.loc.start.line },
            ...node.body.flatMap((pair) => placesOfPair(pair, node.resolvedKey)),
          ],
    )
  } catch (error) {
    // smol-toml also takes the 30th of February.
    if (!(error instanceof ParseError)) throw error
    const message = `is not TOML: ${error.message} (column ${error.column + 1})`
    throw new ConfigError(file, [{ line: error.lineNumber, key: '', message }])
  }
}

const top: Place = { path: [], line: 1 }

export function startsWith(path: KeyPath, start: KeyPath): boolean {
  return start.every((key, at) => key === path[at])
}

function placesOfPair(pair: AST.TOMLKeyValue, at: KeyPath): Place[] {
  const keys = pair.key.keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value))
  return placesOf(pair.value, [...at, ...keys], pair.loc.start.line)
}

function placesOf(value: AST.TOMLContentNode, path: KeyPath, line: number): Place[] {
  const inner =
    value.type === 'TOMLInlineTable'
      ? value.body.flatMap((pair) => placesOfPair(pair, path))
      : value.type === 'TOMLArray'
        ? value.elements.flatMap((element, index) =>
            placesOf(element, [...path, index], element.loc.start.line),
          )
        : []
  return [{ path, line }, ...inner]
}
