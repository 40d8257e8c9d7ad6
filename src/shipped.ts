/** Files that come with the package. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** @param path below the package's folder, which lies above `src` and `dist` alike */
export function shippedPath(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url))
}

/** @param path below the package's folder */
export function readShipped(path: string): string {
  return readFileSync(shippedPath(path), 'utf8')
}

/**
 * Where a page of the documentation lies on this machine: beside the program, or where Debian has it.
 *
 * @param page below `docs`, e.g. `store.md`
 */
export function docsPath(page: string): string {
  const beside = shippedPath(`docs/${page}`)
  return existsSync(beside) ? beside : shippedPath(`../../share/doc/xoauthd/docs/${page}`)
}
