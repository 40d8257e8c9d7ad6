/** JSON from outside: an object, or nothing that anybody has to look at further. */

export type JsonObject = Readonly<Record<string, unknown>>

/** @returns undefined for whatever is no object, a list too */
export function asObject(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? // Any object can be asked for any key, and nothing is believed of what it holds.
      (value as JsonObject)
    : undefined
}

/** @returns undefined when the text is no JSON, or no object */
export function parseObject(text: string): JsonObject | undefined {
  try {
    return asObject(JSON.parse(text))
  } catch {
    return undefined
  }
}
