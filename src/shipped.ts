/** Files that come with the package. */
import { readFileSync } from 'node:fs'

/** @param path below the package's folder, which lies above `src` and `dist` alike */
export function readShipped(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
}
