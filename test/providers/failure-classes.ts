/** Every kind of thing that can be seen of a request, and the class of failure that it is. */
import t from 'tap'
import { failureFrom, judge, type FailureClass } from '../../src/providers/failure-classes.ts'
import type { Seen } from '../../src/transport.ts'

const nowMs = Date.parse('2026-03-01T12:00:00Z')
const asked = { host: 'h.example', nowMs, secrets: [] }

function error(code: string): Seen {
  return { kind: 'no-answer', error: Object.assign(new Error('x'), code === '' ? {} : { code }) }
}

function answer(status: number, body: unknown = '', headers: Record<string, string> = {}): Seen {
  return {
    kind: 'answer',
    status,
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  }
}

const oauth = (code: string, description?: string, date?: string): Seen =>
  answer(400, { error: code, error_description: description }, date === undefined ? {} : { date })
const minutes = (count: number): string => new Date(nowMs + count * 60_000).toUTCString()

const table: readonly (readonly [FailureClass, readonly Seen[]])[] = [
  [
    'network',
    [
      'ENOTFOUND',
      'EAI_AGAIN',
      'ECONNREFUSED',
      'ECONNRESET',
      'ETIMEDOUT',
      'ENETUNREACH',
      'EHOSTUNREACH',
      'EPIPE',
      'ABORT_ERR',
      '',
    ].map(error),
  ],
  [
    'intercepted',
    [
      ...[
        'CERT_HAS_EXPIRED',
        'DEPTH_ZERO_SELF_SIGNED_CERT',
        'ERR_TLS_CERT_ALTNAME_INVALID',
        'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      ].map(error),
      answer(200, '<html>portal</html>'),
      answer(200),
      answer(204),
      answer(302),
      answer(307),
      answer(403, '<html>forbidden</html>'),
      answer(403, { error: 'access_denied' }),
      answer(404, { error: 'not_found' }),
      answer(400),
      answer(400, '{"error":"invalid_gr'),
      answer(400, { error: { code: 400 } }),
      answer(407, { error: 'invalid_grant' }),
      answer(418, { message: 'x' }),
    ],
  ],
  [
    'provider',
    [
      ...[408, 425, 429, 500, 501, 502, 503, 504, 599].map((status) => answer(status)),
      answer(500, { error: 'invalid_grant' }),
      answer(429, { error: 'invalid_client' }),
      ...[
        'temporarily_unavailable',
        'server_error',
        'slow_down',
        'rate_limit_exceeded',
        'internal_failure',
      ].map((code) => oauth(code)),
      answer(403, { error: 'rate_limit_exceeded' }),
    ],
  ],
  [
    'configuration',
    [
      ...[
        'invalid_client',
        'unauthorized_client',
        'invalid_scope',
        'unsupported_grant_type',
        'invalid_request',
        'invalid_target',
        'nobody_knows',
      ].map((code) => oauth(code)),
      answer(403, { error: 'unauthorized_client' }),
      oauth('invalid_client', 'Invalid client secret.', minutes(-60)),
    ],
  ],
  [
    'clock',
    [
      oauth(
        'invalid_grant',
        'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.',
      ),
      oauth('invalid_grant', 'Bad Request', minutes(-6)),
      oauth('invalid_grant', 'Bad Request', minutes(6)),
      oauth('login_required', undefined, minutes(60)),
      oauth('invalid_client', 'Client assertion is not within its valid time range.', minutes(-60)),
    ],
  ],
  [
    'sign-in',
    [
      ...[
        'invalid_grant',
        'interaction_required',
        'consent_required',
        'login_required',
        'access_denied',
        'authorization_declined',
      ].map((code) => oauth(code)),
      answer(200, { error: 'invalid_grant' }),
      answer(401, { error: 'invalid_grant' }),
      answer(400, { error: 'invalid_grant', error_subtype: 'invalid_rapt' }),
      oauth('invalid_grant', 'Bad Request', minutes(4)),
      oauth('invalid_grant', 'Bad Request', 'no date'),
    ],
  ],
]

for (const [expected, all] of table)
  void t.test(expected, (t) => {
    for (const seen of all) t.equal(judge(seen, asked)?.class, expected, JSON.stringify(seen))
    t.end()
  })

void t.test('a success is none', (t) => {
  t.equal(judge(answer(200, { access_token: 'x' }), asked), undefined)
  t.equal(judge(answer(201, {}), asked), undefined)
  t.end()
})

void t.test('how long the server wants us to wait', (t) => {
  const waits: readonly (readonly [string, number | undefined])[] = [
    ['17', 17_000],
    ['0', 0],
    [' 60 ', 60_000],
    ['86400', 3_600_000],
    ['99999999999999999999', 3_600_000],
    [minutes(10), 600_000],
    [minutes(600), 3_600_000],
    [minutes(-10), undefined],
    ['-5', undefined],
    ['soon', undefined],
    ['', undefined],
  ]
  for (const [header, waitMs] of waits)
    for (const status of [429, 503]) {
      const judged = judge(answer(status, '', { 'retry-after': header }), asked)
      t.equal(judged?.waitMs, waitMs, `Retry-After: ${header}`)
    }
  t.equal(judge(answer(429), asked)?.waitMs, undefined)
  t.end()
})

void t.test('what the rest of the program makes of each class', (t) => {
  const made = table.map(([, [seen]]) => {
    const judged = seen && judge(seen, asked)
    const failure = judged && failureFrom(judged)
    return failure && [failure.code, Reflect.get(failure, 'trouble') as unknown]
  })
  t.same(made, [
    ['unavailable', 'network'],
    ['unavailable', 'network'],
    ['unavailable', 'provider'],
    ['misconfigured', undefined],
    ['unavailable', 'clock'],
    ['sign-in-needed', undefined],
  ])
  t.end()
})
