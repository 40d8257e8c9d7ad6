/** The version of this program, which its package.json has. */
import { readShipped } from './shipped.ts'

export const { version } = JSON.parse(readShipped('package.json')) as { version: string }
