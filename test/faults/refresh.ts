/** Every fault, at every provider, while a token lives and the next one is due. */
import { testPhase } from '../fixtures/fault-table.ts'

testPhase('refresh')
