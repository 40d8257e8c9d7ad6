/** Which bytes of a client reach an IMAP server: all but a login of its own, however it is written. */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createImapGuard } from '../src/imap-guard.ts'

/** What is said in turns: by the client (`C`) or by the server (`S`). */
type Turn = readonly ['C' | 'S', string]

function play(turns: readonly Turn[], cut = Infinity) {
  const heard = { server: '', client: '', bye: false }
  const guard = createImapGuard({
    server: (bytes) => (heard.server += bytes.toString('latin1')),
    client: (bytes) => (heard.client += bytes.toString('latin1')),
  })
  for (const [who, text] of turns)
    for (let at = 0; at < text.length; at += cut) {
      const bytes = Buffer.from(text.slice(at, at + cut), 'latin1')
      if (who === 'C') guard.fromClient(bytes)
      else guard.fromServer(bytes)
    }
  heard.bye = guard.saidBye
  return heard
}

/** The same whether the bytes come together or one by one. */
function both(
  t: Test,
  turns: readonly Turn[],
  wanted: { server?: string; client?: string | RegExp; bye?: boolean },
  name: string,
) {
  t.match(play(turns), wanted, name)
  t.match(play(turns, 1), wanted, `${name}, byte by byte`)
}

const no = 'xoauthd has signed in already; switch the login off in this client\r\n'

void t.test('commands pass', (t) => {
  const said = 'a SELECT INBOX\r\nb FETCH 1 BODY[]\r\nc IDLE\r\nDONE\r\nd LOGOUT\r\n'
  both(t, [['C', said]], { server: said, client: '' }, 'as they are')
  both(t, [['C', 'a LIST "" login\nb SEARCH SUBJECT "x LOGIN y"\r\n']], { client: '' }, 'words')
  t.end()
})

void t.test('a login does not', (t) => {
  for (const login of [
    'a LOGIN me secret',
    'a login "me" "secret"',
    'a Authenticate PLAIN AGEAYg==',
  ])
    both(
      t,
      [['C', `${login}\r\nb NOOP\r\n`]],
      { server: 'b NOOP\r\n', client: `a NO ${no}` },
      login,
    )
  both(
    t,
    [
      ['C', 'a LOGIN {2}\r\n'],
      ['C', 'b NOOP\r\n'],
    ],
    { server: 'b NOOP\r\n', client: `a NO ${no}` },
    'a literal that nobody asked for',
  )
  both(
    t,
    [['C', 'a LOGIN {2+}\r\nme {6+}\r\nsecret\r\nb NOOP\r\n']],
    { server: 'b NOOP\r\n', client: `a NO ${no}` },
    'literals that do not wait',
  )
  both(
    t,
    [['C', 'a STARTTLS\r\nb COMPRESS DEFLATE\r\n']],
    { server: '', client: /^a NO [^]*\nb NO / },
    'others',
  )
  t.end()
})

void t.test('a message is none of ours', (t) => {
  const message = 'x LOGIN me secret\r\n{9}\r\n'
  const size = message.length
  both(
    t,
    [
      ['C', `a APPEND INBOX {${size}}\r\n`],
      ['S', '* 3 EXISTS\r\n+ go on\r\n'],
      ['C', `${message} {3}\r\n`],
      ['S', '+ more\r\n'],
      ['C', 'b L\r\nb LOGIN x y\r\n'],
    ],
    { server: `a APPEND INBOX {${size}}\r\n${message} {3}\r\nb L\r\n`, client: /\nb NO / },
    'a literal that waits',
  )
  both(
    t,
    [['C', `a APPEND INBOX {${size}+}\r\n${message}\r\nb APPEND x {0+}\r\n\r\n`]],
    { client: '' },
    'one that does not',
  )
  both(
    t,
    [
      ['C', 'a APPEND nowhere {9999}\r\n'],
      ['S', 'a NO [TRYCREATE] no\r\n'],
      ['C', 'b LOGIN me secret\r\n'],
    ],
    { server: 'a APPEND nowhere {9999}\r\n', client: /\nb NO xoauthd/ },
    'one that the server does not take',
  )
  t.end()
})

void t.test('an answer of ours stands between those of the server', (t) => {
  const fetched = '* 1 FETCH (BODY[] {12}\r\nx OK done\r\n12 UID 4)\r\n'
  for (let at = 1; at < fetched.length; at++) {
    const { client } = play([
      ['S', fetched.slice(0, at)],
      ['C', 'b LOGIN x y\r\n'],
      ['S', `${fetched.slice(at)}a OK done\r\n`],
    ])
    t.equal(client, `${fetched}b NO ${no}a OK done\r\n`, `after ${at} bytes`)
  }
  t.end()
})

void t.test('good-bye', (t) => {
  both(t, [['S', '* 1 EXISTS\r\n* BYE see you\r\na OK\r\n']], { bye: true }, 'is noticed')
  both(
    t,
    [['S', '* 1 FETCH (BODY[] {7}\r\n* BYE \r\n)\r\n']],
    { bye: false },
    'in a message it is not',
  )
  t.end()
})

void t.test('a command without an end', (t) => {
  const long = 'x'.repeat(1024 * 1024)
  t.throws(() => play([['C', `a ${long}`]]), /too long/)
  t.end()
})

void t.test('no cut changes what arrives', (t) => {
  const turns: readonly Turn[] = [
    ['C', 'a LOGIN {2+}\r\nme x\r\nb APPEND x {5+}\r\nhello\r\nc NOOP\r\n'],
    ['S', '* 1 FETCH (BODY[] {3}\r\nabc)\r\nc OK\r\n'],
  ]
  const { server, client } = play(turns)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), (cut) => {
      const cutUp = play(turns, cut)
      return cutUp.server === server && cutUp.client === client
    }),
  )
  t.end()
})
