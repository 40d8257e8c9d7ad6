/**
 * Finds the line of a key in the configuration file.
 *
 * The one door to toml-eslint-parser, which keeps positions where smol-toml keeps values; it is loaded
 * only when there is something to complain of.
 */
export type KeyPath = readonly (string | number)[]

/** @returns the line (from 1) of the key, or of the closest table around it when it is missing */
export async function createLocator(text: string): Promise<(path: KeyPath) => number> {
  const { parseTOML } = await import('toml-eslint-parser')
  const lines: { path: KeyPath; line: number }[] = []
  for (const node of parseTOML(text).body[0].body) {
    const line = node.loc.start.line
    if (node.type === 'TOMLKeyValue') lines.push({ path: keysOf(node.key.keys), line })
    else {
      lines.push({ path: node.resolvedKey, line })
      for (const entry of node.body)
        lines.push({
          path: [...node.resolvedKey, ...keysOf(entry.key.keys)],
          line: entry.loc.start.line,
        })
    }
  }
  return (path) => {
    let best = { depth: 0, line: 1 }
    for (const candidate of lines) {
      const depth = candidate.path.length
      const around = depth <= path.length && candidate.path.every((key, at) => key === path[at])
      if (around && depth > best.depth) best = { depth, line: candidate.line }
    }
    return best.line
  }
}

function keysOf(keys: readonly { type: string; name?: string; value?: string }[]): string[] {
  return keys.map((key) => key.name ?? key.value ?? '')
}
