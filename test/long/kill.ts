/** The durability of grants under kill -9, at length: KILLS=2000 makes it longer still. */
import t from 'tap'
import { killAgainAndAgain } from '../fixtures/kill.ts'

const kills = Number(process.env['KILLS'] ?? 500)

void t.test(`${kills} kills`, (t) => killAgainAndAgain(t, kills))
