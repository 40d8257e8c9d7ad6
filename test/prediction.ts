/** When a sign-in will end, learnt from the last one and told by the provider; remembered in the store. */
import t from 'tap'
import { SignInNeeded, Unavailable } from '../src/errors.ts'
import { lifeAfter, lifeGoesOn, readLife } from '../src/grant-life.ts'
import { explainEnd, predictEnd, type Foreknown } from '../src/prediction.ts'
import { googleEnds, microsoftEnds } from '../src/providers/grant-ends.ts'
import { daemonStatus } from '../src/status.ts'
import { statusTable } from '../src/status-table.ts'
import {
  accountOf,
  accountsOf,
  createPlace,
  createSignedIn,
  failing,
  grantOf,
  hourMs,
  startMs,
  tokenOf,
} from './fixtures/keeper-place.ts'

const dayMs = 24 * hourMs

function known(given: Partial<Foreknown>): Foreknown {
  const none = { life: undefined, ends: [], credential: undefined }
  return { signedInAtMs: startMs, refreshedAtMs: startMs, ...none, ...given }
}

void t.test('nothing is made up', (t) => {
  t.equal(predictEnd(known({})), undefined)
  t.equal(
    predictEnd(known({ ends: [googleEnds[0]!] })),
    undefined,
    'most applications are published',
  )
  const life = { lastLivedMs: 3 * dayMs, lastBecause: 'password' }
  t.equal(predictEnd(known({ life })), undefined, 'an accident is not repeated')
  t.equal(predictEnd(known({ life: { lastLivedMs: 3 * dayMs } })), undefined)
  const back = { lastLivedMs: -5, lastBecause: 'testing' }
  t.equal(predictEnd(known({ life: back })), undefined, 'a clock that was set back teaches nothing')
  t.equal(predictEnd(known({ life: back, signedInAtMs: undefined })), undefined)
  t.end()
})

void t.test('what ended the last one', (t) => {
  for (const [because, lastLivedMs, warningMs] of [
    ['testing', 7 * dayMs, 1.75 * dayMs],
    ['sign-in-frequency', 30 * dayMs, 3 * dayMs],
    ['session-policy', 16 * hourMs, 4 * hourMs],
  ] as const) {
    const end = predictEnd(known({ life: { lastLivedMs, lastBecause: because } }))
    t.match(end, { because, atMs: startMs + lastLivedMs }, because)
    t.equal((end?.atMs ?? 0) - (end?.warnAtMs ?? 0), warningMs)
    t.match(end?.sentence, /7 days|30 days|16 hours/)
  }
  t.end()
})

void t.test('what providers do, and what ends with the registration', (t) => {
  const refreshedAtMs = startMs + 5 * dayMs
  t.match(predictEnd(known({ ends: microsoftEnds, refreshedAtMs })), {
    because: 'inactivity',
    atMs: refreshedAtMs + 90 * dayMs,
  })
  t.match(predictEnd(known({ ends: googleEnds })), { atMs: startMs + 180 * dayMs })
  const atMs = startMs + 40 * dayMs
  const credential = { what: 'the certificate', atMs, hint: 'make a new one' }
  t.match(
    predictEnd(known({ ends: microsoftEnds, credential })),
    { because: 'secret-expired', atMs, warnAtMs: startMs + 10 * dayMs },
    'the first of them counts',
  )
  const nobody = { signedInAtMs: undefined, refreshedAtMs: undefined }
  t.match(predictEnd(known({ ...nobody, credential })), { atMs })
  t.end()
})

void t.test('a week at Google', (t) => {
  const dead = new SignInNeeded('revoked', { because: 'ended' })
  for (const [livedMs, because] of [
    [5.9 * dayMs, 'ended'],
    [6.1 * dayMs, 'testing'],
    [7 * dayMs, 'testing'],
    [8.1 * dayMs, 'ended'],
  ] as const)
    t.equal(explainEnd(dead, googleEnds, livedMs).because, because, `${livedMs / dayMs} days`)
  const said = explainEnd(dead, googleEnds, 7 * dayMs)
  t.match(said.message, /after a week.*in testing: revoked$/)
  t.match(said.hint, /Publish app/)
  t.equal(explainEnd(dead, microsoftEnds, 7 * dayMs), dead)
  const policy = new SignInNeeded('x', { because: 'session-policy' })
  t.equal(explainEnd(policy, googleEnds, 7 * dayMs), policy, 'what the provider says is better')
  const nobody = new SignInNeeded('nobody', { certain: true })
  t.equal(explainEnd(nobody, googleEnds, 7 * dayMs), nobody)
  t.end()
})

void t.test('what is remembered', (t) => {
  const life = { endedAtMs: startMs + dayMs, endedBecause: 'testing', lastLivedMs: 5 }
  t.match(lifeAfter({ signedInAtMs: startMs, life }), {
    lastLivedMs: dayMs,
    lastBecause: 'testing',
  })
  const alive = { lastLivedMs: 5, lastBecause: 'testing' }
  t.match(
    lifeAfter({ signedInAtMs: startMs, life: alive }),
    alive,
    'one that was alive is no lesson',
  )
  t.equal(lifeAfter(undefined), undefined)
  t.equal(lifeAfter({ signedInAtMs: startMs }), undefined)
  t.equal(lifeGoesOn(life)?.endedAtMs, undefined)
  t.equal(lifeGoesOn(undefined), undefined)
  t.equal(readLife('x'), undefined)
  t.equal(readLife(null), undefined)
  t.match(readLife({ endedAtMs: 'x', lastLivedMs: 7, lastBecause: '' }), {
    endedAtMs: undefined,
    lastLivedMs: 7,
    lastBecause: undefined,
  })
  t.end()
})

void t.test('from one sign-in to the next, through the store', async (t) => {
  const place = await createPlace(t)
  const provider = createSignedIn({ grantEnds: googleEnds })
  const account = accountOf('me@example.com', provider)
  await place.store.replace(account.user, grantOf('first'))
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  const status = () => {
    const noStore = {
      path: 's',
      encrypted: false,
      plain_files: 0,
      locked: false,
      unsaved: [],
      message: '',
      hint: '',
    }
    const daemon = { startedAtMs: startMs, file: 'f', store: noStore, sockets: [] }
    return daemonStatus({ ...daemon, kept: place.keeper.kept() }, place.nowMs)
  }
  t.match(status().accounts[0], {
    ends_at: (startMs + 180 * dayMs) / 1000,
    ends_because: 'inactivity',
    ends_warning: '',
  })

  place.nowMs += 7 * dayMs - hourMs
  provider.answer = failing(new SignInNeeded('revoked', { because: 'ended' }))
  place.tick(hourMs)
  await place.quiet()
  const endedAtMs = place.nowMs
  t.match((await place.store.read(account.user))?.stored, {
    grant: 'first',
    life: { endedAtMs, endedBecause: 'testing' },
  })
  place.tick(30_000)
  await place.quiet()
  t.match(status().accounts[0], {
    state: 'sign-in-needed',
    message: /after a week/,
    hint: /publish the application.*; run: xoauthd login me@example\.com$/,
  })

  const before = (await place.store.read(account.user))?.stored
  const signedInAtMs = place.nowMs
  const life = lifeAfter(before)
  const token = tokenOf('fresh', place.nowMs)
  const next = {
    ...grantOf('second', { '': token }),
    signedInAtMs,
    refreshedAtMs: signedInAtMs,
    life,
  }
  await place.store.replace(account.user, next)
  provider.answer = ({ atMs }) => ({ token: tokenOf('later', atMs) })
  await place.keeper.refresh(account, account.user)
  const endsAtMs = signedInAtMs + 7 * dayMs
  t.match(status().accounts[0], { ends_because: 'testing', ends_warning: '' })
  t.equal(status().accounts[0]?.ends_at, endsAtMs / 1000)
  t.notOk(place.lines.some((line) => line.includes('ends soon')))

  for (let days = 0; days < 6; days++) {
    place.tick(dayMs)
    await place.quiet()
  }
  t.equal(place.lines.filter((line) => line.startsWith('warn ends soon')).length, 1, 'said once')
  t.match(status().accounts[0]?.ends_warning, /last sign-in lived 7 days; publish/)
  const table = statusTable(status(), place.nowMs / 1000)
  t.match(table, /ENDS\n.*in 24 h \(testing\)/s)
  t.match(table, /me@example\.com: will end soon: the application is in testing/)
})

void t.test('a grant that was called dead by mistake', async (t) => {
  const place = await createPlace(t)
  const provider = createSignedIn()
  const account = accountOf('me@example.com', provider)
  await place.store.replace(account.user, grantOf('first'))
  await place.keeper.adopt(accountsOf([account]), place.nowMs)
  await place.quiet()
  const good = provider.answer
  provider.answer = failing(new SignInNeeded('dead'))
  place.tick(45 * 60_000)
  await place.quiet()
  t.equal((await place.store.read(account.user))?.stored.life?.endedAtMs, place.nowMs)
  provider.answer = good
  place.tick(30_000)
  await place.quiet()
  t.equal((await place.store.read(account.user))?.stored.life?.endedAtMs, undefined)
  t.equal(await place.ask(account), 't3')

  provider.answer = failing(new Unavailable('down', { trouble: 'network' }))
  place.tick(45 * 60_000)
  await place.quiet()
  t.equal((await place.store.read(account.user))?.stored.life?.endedAtMs, undefined)
})
