/** Every fault, at every provider, when there is a grant and no token yet. */
import { testPhase } from '../fixtures/fault-table.ts'

testPhase('first token')
