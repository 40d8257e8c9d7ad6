/**
 * Every fault, at every provider of the registry, in every phase. Whatever happens: the failure is of the
 * right class, the grant on disk is what it was, a living token is served, and when the fault ends all is
 * well within one tick, unless the server asked for more or a person has to act.
 */
import t, { type Test } from 'tap'
import { Failure, Unavailable, type Trouble } from '../src/errors.ts'
import { providers } from '../src/providers/index.ts'
import type { FaultAnswer } from './fixtures/faults.ts'
import {
  begin,
  dueAfterMs,
  obstacles,
  openScene,
  openStage,
  tickMs,
  type Phase,
  type Scene,
  type Stage,
} from './fixtures/fault-place.ts'
import { accountsOf } from './fixtures/keeper-place.ts'
import { rows, type Row } from './fixtures/provider-faults.ts'
import { subjects } from './fixtures/provider-subjects.ts'

interface Expected {
  /** More than one where it cannot be told which is right. */
  readonly codes: readonly Failure['code'][]
  /** Undefined where it does not matter. */
  readonly trouble: Trouble | undefined
  readonly retryAfterMs: number
}

void t.test('every provider of the registry is in the table', (t) => {
  t.same(Object.keys(subjects).sort(), Object.keys(providers).sort())
  t.end()
})

for (const [name, subject] of Object.entries(subjects))
  void t.test(name, async (t) => {
    const scene = await openScene(t, name, subject)
    const discovers = await asksForMetadata(t, scene)
    for (const phase of ['first token', 'refresh', 'discovery', 'sign-in'] as const) {
      if (phase === 'discovery' && !discovers) continue
      if (phase === 'sign-in' && subject.grant(scene.server) === undefined) continue
      await t.test(phase, async (t) => {
        for (const [trouble, row] of Object.entries(rows))
          if (appliesTo(phase, row))
            await t.test(trouble, (t) => answers(t, scene, phase, trouble, row))
        for (const trouble of Object.keys(obstacles))
          await t.test(trouble, (t) => obstructs(t, scene, phase, trouble))
      })
    }
    await t.test('called dead once, and well then', (t) => diesOnce(t, scene))
    await t.test('a slow answer', (t) => waits(t, scene))
    if (subject.rotates) await t.test('rotation', (t) => rotates(t, scene))
    if (subject.grant(scene.server) !== undefined)
      await t.test('somebody else', (t) => isNotFooled(t, scene))
  })

async function asksForMetadata(t: Test, scene: Scene): Promise<boolean> {
  const stage = await openStage(t, scene, 'first token')
  await begin(stage)
  await stage.get()
  return scene.server.to('discovery').length > 0
}

/** A good answer in which a field is wrong is one of the token endpoint. */
function appliesTo(phase: Phase, { answer }: Row): boolean {
  return phase !== 'discovery' || typeof answer !== 'object' || !('overlay' in answer)
}

async function answers(
  t: Test,
  scene: Scene,
  phase: Phase,
  trouble: string,
  row: Row,
): Promise<void> {
  const stage = await openStage(t, scene, phase)
  const endpoints =
    phase === 'discovery' ? (['discovery', 'metadata'] as const) : ['token' as const]
  const raise = () => {
    for (const endpoint of endpoints)
      scene.server.fault({ endpoint, answer: row.answer, times: Infinity })
  }
  await meets(t, scene, stage, phase, raise, expectedOf(scene, phase, trouble, row))
}

function expectedOf(scene: Scene, phase: Phase, trouble: string, row: Row): Expected {
  const { retryAfterMs = 0 } = row
  const code = scene.subject.exceptions[trouble] ?? row.code
  if (phase !== 'discovery') return { codes: [code], trouble: row.trouble, retryAfterMs }
  // No grant was shown, so it cannot be called dead.
  const codes = code === 'misconfigured' ? [code, 'unavailable' as const] : ['unavailable' as const]
  return { codes, trouble: undefined, retryAfterMs }
}

async function obstructs(t: Test, scene: Scene, phase: Phase, trouble: string): Promise<void> {
  const obstacle = obstacles[trouble]!
  const stage = await openStage(t, scene, phase, obstacle.timeoutMs)
  const expected = { codes: ['unavailable'], trouble: 'network', retryAfterMs: 0 } as const
  await meets(t, scene, stage, phase, () => obstacle.raise(t, scene), expected)
}

async function meets(
  t: Test,
  scene: Scene,
  stage: Stage,
  phase: Phase,
  raise: () => Promise<void> | void,
  expected: Expected,
): Promise<void> {
  t.teardown(() => scene.heal())
  if (phase === 'sign-in') return meetsSignIn(t, scene, stage, raise, expected)
  const living = phase === 'first token' ? undefined : await stage.get()
  await raise()
  if (phase === 'first token') {
    await begin(stage)
    await stage.get().catch(() => undefined)
  } else if (phase === 'refresh') stage.tick(dueAfterMs)
  else stage.tick(tickMs)
  await stage.quiet()

  const failure = failureIn(t, stage)
  expectClass(t, failure, expected)
  t.equal(await stage.stored(), stage.grant, 'the grant is on disk as it was')
  if (living !== undefined && phase === 'refresh') t.equal(await stage.get(), living, 'served')

  scene.heal()
  await recovers(t, scene, stage, failure, expected.retryAfterMs)
}

/** Only what a person has to change may take longer than a tick. */
async function recovers(
  t: Test,
  scene: Scene,
  stage: Stage,
  failure: Failure,
  askedMs: number,
): Promise<void> {
  if (failure.code === 'misconfigured')
    await stage.keeper.adopt(accountsOf([stage.account]), stage.nowMs)
  // A date in a header has whole seconds, and by then the test's own clock stands still for a while.
  else stage.tick(askedMs > 0 ? askedMs + tickMs : tickMs)
  // One of many mailboxes is fetched again when somebody needs it: the old token has ended by then, and a
  // mailbox that the provider did not know is asked for again in ten minutes.
  if (stage.grant === undefined && failure.code !== 'unavailable') stage.nowMs += 600_000
  await stage.quiet()
  const token = await stage.get()
  t.equal(stage.state().kind, 'live', 'well again')
  t.ok(scene.server.accept(token, scene.subject.mailbox), 'with a token that is good')
}

/** The command's own process: it leaves what was there, and works when it is run again. */
async function meetsSignIn(
  t: Test,
  scene: Scene,
  stage: Stage,
  raise: () => Promise<void> | void,
  expected: Expected,
): Promise<void> {
  const failure = await stage.signIn(raise).catch((error: unknown) => error)
  if (!(failure instanceof Failure)) throw new Error(`not refused: ${String(failure)}`)
  expectClass(t, failure, expected)
  t.equal(await stage.stored(), stage.grant, 'the last good sign-in is still there')
  scene.heal()
  await stage.signIn()
  t.not(await stage.stored(), stage.grant, 'and a good one takes its place')
}

function failureIn(t: Test, stage: Stage): Failure {
  const state = stage.state()
  if (!('failure' in state)) throw new Error('it did not fail')
  if (state.kind !== 'confirming') return state.failure
  t.equal(state.failure.code, 'unavailable', 'not believed yet')
  return state.failure.cause instanceof Failure ? state.failure.cause : state.failure
}

function expectClass(t: Test, failure: Failure, expected: Expected): void {
  t.ok(expected.codes.includes(failure.code), `${failure.code}: ${failure.message}`)
  if (failure instanceof Unavailable && expected.trouble !== undefined)
    t.equal(failure.trouble, expected.trouble, failure.message)
}

async function diesOnce(t: Test, scene: Scene): Promise<void> {
  const { server, subject } = scene
  const stage = await openStage(t, scene, 'refresh')
  const living = await stage.get()
  const body = { error: 'invalid_grant', error_description: 'Bad Request' }
  server.fault({ endpoint: 'token', answer: { status: 400, body } })
  stage.tick(dueAfterMs)
  await stage.quiet()
  t.equal(await stage.get(), living)
  if (subject.grant(server) === undefined) {
    // Nobody signs in here: it is the key that is called wrong.
    t.equal(failureIn(t, stage).code, 'misconfigured')
    return
  }
  t.equal(stage.state().kind, 'confirming')
  stage.tick(tickMs)
  await stage.quiet()
  t.equal(stage.state().kind, 'live', 'asked once more, and believed then')
  t.not(await stage.get(), living)
}

async function waits(t: Test, scene: Scene): Promise<void> {
  const stage = await openStage(t, scene, 'refresh')
  const living = await stage.get()
  const slow: FaultAnswer = 'slow'
  scene.server.fault({ endpoint: 'token', answer: slow })
  stage.tick(dueAfterMs)
  t.equal(await stage.get(), living, 'nobody waits for it who need not')
  await stage.quiet()
  t.not(await stage.get(), living)
}

/** A server that ends the whole family when an old token comes back, as RFC 9700 4.14.2 wants. */
async function rotates(t: Test, scene: Scene): Promise<void> {
  const { server } = scene
  t.teardown(() => {
    server.behaviour.rotates = false
    scene.heal()
  })
  for (const answer of ['reset', { status: 503 }, { status: 200, body: '<html>' }] as const) {
    server.behaviour.rotates = true
    const stage = await openStage(t, scene, 'refresh')
    const first = await stage.stored()
    server.fault({ endpoint: 'token', answer, times: 2 })
    for (const laterMs of [dueAfterMs, tickMs, tickMs]) {
      stage.tick(laterMs)
      await stage.quiet()
    }
    t.equal(stage.state().kind, 'live')
    t.not(await stage.stored(), first, 'the new one is on disk')
    stage.tick(dueAfterMs)
    await stage.quiet()
    t.equal(stage.state().kind, 'live', 'and no old one was ever shown again')
  }

  server.behaviour.rotates = 'when the next is used'
  const stage = await openStage(t, scene, 'refresh')
  for (const answer of ['lose', 'truncate'] as const) {
    server.fault({ endpoint: 'token', answer })
    stage.tick(dueAfterMs)
    await stage.quiet()
    stage.tick(tickMs)
    await stage.quiet()
    t.equal(stage.state().kind, 'live', `an answer that was lost (${answer})`)
  }
}

async function isNotFooled(t: Test, scene: Scene): Promise<void> {
  const { behaviour } = scene.server
  const stage = await openStage(t, scene, 'refresh')
  const was = { ...behaviour }
  t.teardown(() => Object.assign(behaviour, was))
  const before = await stage.stored()
  behaviour.signsInAs = 'mallory@elsewhere.example'
  await t.rejects(stage.signIn(), /mallory@elsewhere\.example signed in/)
  behaviour.signsInAs = was.signsInAs
  behaviour.givesRefreshToken = () => false
  await t.rejects(
    stage.signIn(),
    /no refresh token/,
    'a sign-in that would end with its first token',
  )
  behaviour.givesRefreshToken = was.givesRefreshToken
  t.equal(await stage.stored(), before, 'the better one is kept')
  await stage.signIn()
  t.not(await stage.stored(), before)
}
