/** Ten thousand clients at once, where the limit on descriptors lets us have them; see ../hostile.ts. */
import { clientLimit, clientShares } from '../../src/descriptors.ts'

/** What the others who are served beside them need. */
const spare = 200

process.env['CROWD'] ??= String(Math.min(10_000, clientShares(clientLimit()).line - spare))
await import('../hostile.ts')
