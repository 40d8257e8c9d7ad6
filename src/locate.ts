/**
 * Names a key of the configuration file and finds its line.
 *
 * The one door to toml-eslint-parser, which keeps positions where smol-toml keeps values; it is loaded
 * only when there is something to complain of.
 */
import type { AST } from 'toml-eslint-parser'

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
 */
export async function createLocator(text: string): Promise<(path: KeyPath) => number> {
  const { parseTOML } = await import('toml-eslint-parser')
  // smol-toml lets a byte order mark pass, this parser does not.
  const [root] = parseTOML(text.replace(/^\ufeff/, '')).body
  const places = root.body.flatMap((node) =>
    node.type === 'TOMLKeyValue'
      ? placesOfPair(node, [])
      : [
          { path: node.resolvedKey, line: node.loc.start.line },
          ...node.body.flatMap((pair) => placesOfPair(pair, node.resolvedKey)),
        ],
  )
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
