/** Files that come with the package. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** @param path below the package's folder, which lies above `src` and `dist` alike */
export function shippedPath(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url))
}

/** @param path below the package's folder */
export function readShipped(path: string): string {
  return readFileSync(shippedPath(path), 'utf8')
}
