/** The durability of grants under kill -9, in short; test/long/kill.ts has it at length. */
import t from 'tap'
import { killAgainAndAgain } from './fixtures/kill.ts'

void t.test('50 kills', (t) => killAgainAndAgain(t, 50))
