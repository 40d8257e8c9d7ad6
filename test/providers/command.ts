/** The command provider: how the program is run, what counts as a token, and what is said of the rest. */
import t, { type Test } from 'tap'
import { everythingOf, leaksIn } from '../fixtures/leaks.ts'
import { failureOf, providerOf, smtpOf } from '../fixtures/provider-of.ts'

const robot = 'robot@corp.example'
const hidden = 'token-of-the-robot'

function running(
  t: Test,
  command: readonly string[],
  given: { env?: NodeJS.ProcessEnv; commandTimeoutMs?: number; user?: string } = {},
) {
  const account = { user: robot, settings: { command }, ...given }
  const { provider, signal } = providerOf(t, 'command', account)
  const refresh = (nowMs = Date.now()) => provider.refresh(undefined, smtpOf(robot), nowMs, signal)
  return { provider, signal, refresh }
}

const shell = (script: string) => ['sh', '-c', script]
const path = { PATH: process.env['PATH'] }

void t.test('a token', async (t) => {
  const nowMs = Date.now()
  const { provider, refresh } = running(t, ['printf', `${hidden}\\n`])
  t.same(await refresh(nowMs), {
    token: {
      value: hidden,
      obtainedAtMs: nowMs,
      expiresAtMs: nowMs + 60_000,
      expiryKnown: false,
    },
  })
  await provider.check()
  t.equal(provider.usesGrant, false)
  t.notOk('signIn' in provider)
  t.equal(provider.authority, 'the command "printf"')
})

void t.test('JSON', async (t) => {
  const nowMs = Date.now()
  const tokenOf = async (json: string) =>
    (await running(t, ['printf', '%s\n', json]).refresh(nowMs)).token
  for (const seconds of ['1800', '"1800"'])
    t.same(await tokenOf(`{ "access_token": "${hidden}",\n "expires_in": ${seconds}, "x": [] }`), {
      value: hidden,
      obtainedAtMs: nowMs,
      expiresAtMs: nowMs + 1_800_000,
      expiryKnown: true,
    })
  for (const json of [
    `{"access_token":"${hidden}"}`,
    `{"access_token":"${hidden}","expires_in":null}`,
  ])
    t.match(await tokenOf(json), { expiresAtMs: nowMs + 60_000, expiryKnown: false })
})

void t.test('how it is run', async (t) => {
  t.equal((await running(t, ['echo', '$HOME;true']).refresh()).token.value, '$HOME;true')
  const told = running(t, shell('echo $XOAUTHD_SERVICE:$XOAUTHD_MAILBOX:$FROM_DAEMON'), {
    env: { ...path, FROM_DAEMON: 'yes' },
  })
  t.equal((await told.refresh()).token.value, `smtp:${robot}:yes`)
  const keyOf = (service: string, mailbox: string) => told.provider.tokenKey({ service, mailbox })
  t.not(keyOf('smtp', robot), keyOf('imap', robot))
  t.not(keyOf('smtp', robot), keyOf('smtp', 'other@corp.example'))
  const input = running(t, shell('cat; echo end'), { env: path })
  t.equal((await input.refresh()).token.value, 'end', 'nothing is on its standard input')
  const noisy = running(t, shell(`echo warning >&2; echo ${hidden}`), { env: path })
  t.equal((await noisy.refresh()).token.value, hidden, 'stderr is no part of it')
  const again = running(t, shell('echo $$-$$'), { env: path })
  const [first, second] = [await again.refresh(), await again.refresh()]
  t.not(first.token.value, second.token.value, 'each time it is asked for')
})

void t.test('failures', async (t) => {
  const cases: readonly (readonly [readonly string[], string, RegExp])[] = [
    [shell(`echo ${hidden}; exit 3`), 'unavailable', /"sh" failed \(3\)/],
    [shell(`set -x; : ${hidden}; exit 1`), 'unavailable', /"sh" failed \(1\)/],
    [shell(`echo ${hidden} >&2`), 'unavailable', /gave no token/],
    [shell('kill -TERM $$'), 'unavailable', /failed \(SIGTERM\)/],
    [shell('yes token'), 'unavailable', /prints more than 65536 bytes/],
    [['true'], 'unavailable', /gave no token/],
    [['echo', 'please', 'sign', 'in', hidden], 'unavailable', /gave no token/],
    [['printf', `${hidden}\\n${hidden}\\n`], 'unavailable', /gave no token/],
    [['echo', `{"access_token":"${hidden}"`], 'unavailable', /only begins like JSON/],
    [['echo', `{"token":"${hidden}"}`], 'unavailable', /gave no token/],
    [['echo', `{"access_token":"${hidden} x"}`], 'unavailable', /gave no token/],
    [['echo', `{"access_token":"${hidden}","expires_in":0}`], 'unavailable', /expired already/],
    [['echo', `{"access_token":"${hidden}","expires_in":"soon"}`], 'unavailable', /expired/],
    [['echo', `{"error":"${hidden}"}`], 'unavailable', /gave no token/],
    [['no-such-program-of-xoauthd', hidden], 'misconfigured', /is not installed/],
    [['/etc/passwd', hidden], 'misconfigured', /failed \(EACCES\)/],
  ]
  for (const [command, code, says] of cases) {
    const failure = await failureOf(running(t, command, { env: path }).refresh())
    t.equal(failure.code, code, command.join(' '))
    t.match(failure.message, says)
    t.match(failure.hint, /by hand|one word|clocks/)
    t.same(leaksIn(everythingOf(failure), [hidden]), [], 'nothing that it printed')
  }
})

void t.test('a program that hangs', async (t) => {
  const deaf = shell('trap "" TERM; while :; do :; done')
  const { refresh } = running(t, deaf, { env: path, commandTimeoutMs: 200 })
  t.match(await failureOf(refresh()), {
    code: 'unavailable',
    message: /printed no token within 0\.2 s/,
  })

  const { provider } = running(t, ['sleep', '600'])
  const life = new AbortController()
  const failure = failureOf(provider.refresh(undefined, smtpOf(robot), Date.now(), life.signal))
  life.abort()
  t.equal((await failure).code, 'unavailable', 'whoever asks can give up')
})
