/** Every fault, at every provider that asks for metadata, after a restart with a token that lives. */
import { testPhase } from '../fixtures/fault-table.ts'

testPhase('discovery')
