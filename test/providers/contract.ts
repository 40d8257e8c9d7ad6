/**
 * The contract that every provider of the registry keeps: what a refresh brings, and which failure each
 * kind of trouble is, with one request and without a secret in it. A provider without an entry in
 * fixtures/provider-subjects.ts fails here.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Unavailable, type Failure } from '../../src/errors.ts'
import { providers } from '../../src/providers/index.ts'
import type { Grant, Issued, Provider } from '../../src/providers/provider.ts'
import type { AuthorizationServer } from '../fixtures/authorization-server.ts'
import { createBrowser } from '../fixtures/browser.ts'
import { createAuthority, type Certificate } from '../fixtures/certificates.ts'
import { everythingOf, leaksIn } from '../fixtures/leaks.ts'
import { rows, type Row } from '../fixtures/provider-faults.ts'
import { failureOf, problemsOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'
import { speakOtherwise, subjects, type Subject } from '../fixtures/provider-subjects.ts'
import { useRealNames } from '../fixtures/real-names.ts'

/** One provider before one server. */
interface Held {
  readonly subject: Subject
  readonly server: AuthorizationServer
  readonly provider: Provider
  /** Ends with the test. */
  readonly signal: AbortSignal
  newGrant(): Grant | undefined
  refresh(grant?: Grant, nowMs?: number, signal?: AbortSignal): Promise<Issued>
  /** Lets another port answer for its names. */
  pointTo(port: number): void
}

const authority = await createAuthority(t.testdir())

void t.test('every provider of the registry is held to the contract', (t) => {
  t.same([...Object.keys(subjects), ...speakOtherwise].sort(), Object.keys(providers).sort())
  t.end()
})

for (const [name, subject] of Object.entries(subjects))
  void t.test(name, async (t) => {
    const certificate = await authority.issue(subject.names)
    const held = await hold(t, name, subject, certificate)

    await t.test('what it says of itself', (t) => describes(t, held))
    await t.test('a token and its expiry', (t) => succeeds(t, held))
    await t.test('the grant', (t) => keepsGrants(t, held))
    await t.test('a sign-in', (t) => signsIn(t, held))
    for (const [trouble, row] of Object.entries(rows))
      await t.test(trouble, (t) => fails(t, held, trouble, row))
    await t.test('a server that repeats what it was told', (t) => keepsSecrets(t, held))
    await t.test('no answer at all', (t) => givesUp(t, held))
    await t.test('nobody listens', async (t) => {
      await meets(t, held, await unusedPort(), /ECONNREFUSED/)
    })
    await t.test('a certificate for another name', async (t) => {
      await distrusts(t, held, await authority.issue(['portal.example']))
    })
    await t.test('a certificate of an unknown authority', async (t) => {
      const stranger = await createAuthority(t.testdir())
      await distrusts(t, held, await stranger.issue(subject.names))
    })
  })

async function hold(
  t: Test,
  name: string,
  subject: Subject,
  certificate: Certificate,
): Promise<Held> {
  const server = await subject.startServer(certificate)
  t.teardown(() => server.close())
  const { known, usual } = providers[name]!.services(subject.scopes)
  t.same(
    ['smtp', ...usual].filter((service) => !known.includes(service)),
    [],
    'the usual services are known',
  )
  t.same(problemsOf(name, subject), [], 'a valid account')
  const { provider, transport, signal } = providerOf(t, name, subject)
  const held: Held = {
    subject,
    server,
    provider,
    signal,
    newGrant: () => subject.grant(server),
    refresh: (grant, nowMs = Date.now(), refreshSignal = signal) =>
      provider.refresh(grant, smtpOf(subject.mailbox), nowMs, refreshSignal),
    pointTo(port) {
      // A connection that is still open would lead to where the name pointed before.
      transport.close()
      const names = Object.fromEntries(subject.names.map((host) => [host, port]))
      useRealNames(names, authority.caFile)
    },
  }
  held.pointTo(server.port)
  // What it learns once, such as where the endpoints are, is not part of a refresh.
  await held.refresh(held.newGrant())
  return held
}

async function describes(t: Test, { provider, server, subject }: Held): Promise<void> {
  const before = server.requests.length
  await provider.check()
  t.equal(server.requests.length, before, 'a check asks nobody')
  t.ok(subject.names.includes(provider.authority), 'the authority is who is asked')
  t.equal(provider.signIn !== undefined, provider.usesGrant)
  t.same(leaksIn(provider.binding, subject.secrets), [])
}

async function succeeds(t: Test, held: Held): Promise<void> {
  const { server, subject } = held
  const nowMs = Date.now()
  const { token } = await onlyRequest(t, held, held.refresh(held.newGrant(), nowMs))
  t.ok(server.accept(token.value, subject.mailbox), "a living token of the mailbox's owner")
  t.equal(token.obtainedAtMs, nowMs)
  t.equal(token.expiresAtMs, nowMs + server.behaviour.lifetimeS * 1000)

  const hourMs = 3_600_000
  const told: readonly (readonly [unknown, number])[] = [
    [1800, 1_800_000],
    ['1800', 1_800_000],
    [0.5, 500],
    [undefined, hourMs],
    [null, hourMs],
  ]
  for (const [expires_in, lifetimeMs] of told) {
    server.fault({ endpoint: 'token', answer: { overlay: { expires_in, token_type: 'bearer' } } })
    const issued = await held.refresh(held.newGrant(), nowMs)
    t.equal(
      issued.token.expiresAtMs - nowMs,
      lifetimeMs,
      `expires_in: ${JSON.stringify(expires_in)}`,
    )
  }
  for (const expires_in of [1e300, '1e999']) {
    const overlay = { expires_in, token_type: undefined, scope: undefined }
    server.fault({ endpoint: 'token', answer: { overlay } })
    const { expiresAtMs } = (await held.refresh(held.newGrant(), nowMs)).token
    t.ok(Number.isFinite(new Date(expiresAtMs).getTime()), 'a lifetime beyond all dates is a date')
  }
}

async function keepsGrants(t: Test, held: Held): Promise<void> {
  const { server, subject, provider } = held
  const first = held.newGrant()
  const { grant } = await held.refresh(first)
  t.equal(grant, first, 'the same where the server keeps it')
  if (!provider.usesGrant) return
  t.not(first, undefined)
  if (!subject.rotates) return
  server.behaviour.rotates = true
  t.teardown(() => (server.behaviour.rotates = false))
  const second = (await held.refresh(first)).grant
  const third = (await held.refresh(second)).grant
  t.equal(new Set([first, second, third]).size, 3, 'the new one where the server rotates')
  let last = third
  for (const overlay of [{ expires_in: 0 }, { token_type: 'mac' }, { access_token: 'has blank' }]) {
    server.fault({ endpoint: 'token', answer: { overlay } })
    const unusable = await failureOf(held.refresh(last))
    t.same(leaksIn(everythingOf(unusable), server.secrets), [])
    last = (await held.refresh(unusable.grant)).grant
    t.not(last, unusable.grant, `the new one beside ${JSON.stringify(overlay)}`)
  }
  const failure = await failureOf(held.refresh(first))
  t.equal(failure.code, 'sign-in-needed', 'a server that sees an old one again')
  t.same(leaksIn(everythingOf(failure), server.secrets), [])
}

async function signsIn(t: Test, held: Held): Promise<void> {
  const { provider, server, subject } = held
  const signedIn = await provider.signIn?.(createBrowser(), held.signal)
  if (signedIn === undefined) return
  const { token } = await held.refresh(signedIn.grant)
  t.ok(server.accept(token.value, subject.mailbox))

  server.fault({ endpoint: 'token', answer: { status: 503 } })
  const failure = await failureOf(provider.signIn?.(createBrowser(), held.signal))
  t.equal(failure.code, 'unavailable')
  t.same(leaksIn(everythingOf(failure), [...server.secrets, ...subject.secrets]), [])
}

async function fails(t: Test, held: Held, trouble: string, row: Row): Promise<void> {
  held.server.fault({ endpoint: 'token', answer: row.answer })
  const failure = await onlyRequest(t, held, failureOf(held.refresh(held.newGrant())))
  expectFailure(t, held, failure, { ...row, code: held.subject.exceptions[trouble] ?? row.code })
}

async function keepsSecrets(t: Test, held: Held): Promise<void> {
  for (const status of [400, 401, 403, 500])
    for (const inError of [true, false]) {
      held.server.fault({
        endpoint: 'token',
        answer: ({ form, headers }) => {
          const told = [...form.values(), headers.authorization].join(' ')
          const [error, rest] = inError ? [told, 'no'] : ['invalid_request', told]
          return { status, body: { error, error_description: rest } }
        },
      })
      const failure = await failureOf(held.refresh(held.newGrant()))
      expectNoSecret(t, held, failure)
    }
}

async function givesUp(t: Test, held: Held): Promise<void> {
  held.server.fault({ endpoint: 'token', answer: 'hang' })
  const controller = new AbortController()
  const arrived = held.server.nextRequest()
  const failure = failureOf(held.refresh(held.newGrant(), Date.now(), controller.signal))
  await arrived
  controller.abort()
  expectFailure(t, held, await failure, { ...unreachable, says: /no answer in time/ })
}

async function distrusts(t: Test, held: Held, certificate: Certificate): Promise<void> {
  const other = await held.subject.startServer(certificate)
  t.teardown(() => other.close())
  await meets(t, held, other.port, /certificate/)
  t.equal(other.requests.length, 0, 'nothing was sent to it')
}

/** One refresh while something else answers for the server. */
async function meets(t: Test, held: Held, port: number, says: RegExp): Promise<void> {
  held.pointTo(port)
  t.teardown(() => held.pointTo(held.server.port))
  const failure = await failureOf(held.refresh(held.newGrant()))
  expectFailure(t, held, failure, { ...unreachable, says })
}

const unreachable = { code: 'unavailable', trouble: 'network' } as const

/** Retries are the keeper's business: whatever came of it, one request was made. */
async function onlyRequest<Result>(t: Test, held: Held, outcome: Promise<Result>): Promise<Result> {
  const before = held.server.requests.length
  const result = await outcome
  const paths = held.server.requests.slice(before).map(({ endpoint }) => endpoint)
  t.same(paths, ['token'], 'one request')
  return result
}

function expectFailure(t: Test, held: Held, failure: Failure, row: Omit<Row, 'answer'>): void {
  t.equal(failure.code, row.code, failure.message)
  if (failure instanceof Unavailable) {
    t.equal(failure.trouble, row.trouble)
    // A date in a header has whole seconds.
    const differenceMs = Math.abs((failure.retryAfterMs ?? -1) - (row.retryAfterMs ?? -1))
    t.ok(differenceMs < 2000, `wait ${failure.retryAfterMs} ms`)
  }
  if (row.says) t.match(`${failure.message} | ${failure.hint ?? ''}`, row.says)
  t.ok(failure.message.length < 500, 'a message of one line')
  expectNoSecret(t, held, failure)
}

function expectNoSecret(t: Test, { server, subject }: Held, failure: Failure): void {
  t.same(leaksIn(everythingOf(failure), [...server.secrets, ...subject.secrets]), [], 'no secret')
}

async function unusedPort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  await new Promise((resolve) => listener.close(resolve))
  return port
}
