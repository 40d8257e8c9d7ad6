/** Every fault, at every provider, between the browser and the grant in the store. */
import { testPhase } from '../fixtures/fault-table.ts'

testPhase('sign-in')
