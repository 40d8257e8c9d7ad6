/** What servers make of a secret before they throw it back at us, and that none of it remains. */
import fc from 'fast-check'
import t from 'tap'
import { base64FormsOf, formEncode, redact } from '../../src/providers/redaction.ts'

const secret = `a/b+c=d "e" <f>&g'h\\i %2F é.~_-`
const html = (text: string) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
const named = (text: string) =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('"', '&quot;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll("'", '&apos;')
const lower = (text: string) => text.replace(/%[0-9A-F]{2}/g, (hex) => hex.toLowerCase())
const everyLetter = (text: string) =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
const unicode = (text: string) =>
  text.replace(/[^a-z0-9]/gi, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)

void t.test('each form of a secret', (t) => {
  const forms: Record<string, string> = {
    itself: secret,
    'in a URL': encodeURIComponent(secret),
    'with small digits': lower(encodeURIComponent(secret)),
    'every letter encoded': everyLetter(secret),
    'in a form': formEncode(secret),
    'in a form, with small digits': lower(formEncode(secret)),
    'in JSON': JSON.stringify(secret).slice(1, -1),
    'in JSON, with slashes': JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/'),
    'in JSON, as numbers': unicode(secret),
    'in HTML, as numbers': html(secret),
    'in HTML, as names': named(secret),
  }
  for (const [what, form] of Object.entries(forms))
    t.equal(redact(`before ${form} after`, ['other', secret]), 'before *** after', what)
  const signs = ['[a]', '(b)', '{c}', '^d$', 'e|f*', 'g?']
  t.equal(redact(signs.join(' '), signs), '*** *** *** *** *** ***')
  t.equal(redact('nothing of it', [secret, '']), 'nothing of it')
  t.end()
})

void t.test('pieces of a token', (t) => {
  const token = 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4-_0123456789.signature+/='
  for (const [from, to] of [
    [0, 16],
    [3, 40],
    [20, token.length],
  ] as const)
    t.equal(redact(`"${token.slice(from, to)}…" of it`, [token]), '"***…" of it')
  const encoded = Buffer.from(`me:${token}`).toString('base64').slice(8, 60)
  t.equal(redact(`<${encoded}>`, [token]), '<***>')
  t.equal(redact(token.slice(0, 15), [token]), token.slice(0, 15), 'no more than a name')
  const address = 'https://issuer.example/token'
  t.equal(redact(`see ${address}/page`, [`${address}?x`]), `see ${address}/page`)
  t.equal(redact('x'.repeat(20_000), []).length, 16_384)
  t.end()
})

void t.test('in base64, wherever it begins', (t) => {
  for (const before of ['', 'x', 'xy', 'me@example.org:'])
    for (const after of ['', 'x', 'xy'])
      for (const alphabet of ['base64', 'base64url'] as const) {
        const text = Buffer.from(before + secret + after).toString(alphabet)
        const left = redact(text, [secret])
        t.match(left, /\*\*\*/, `${before}…${after} ${alphabet}`)
        // What remains belongs to the neighbours, but for a letter or two.
        t.ok(left.length <= 3 + 2 * 4 + Math.ceil(((before.length + after.length) * 4) / 3), left)
      }
  t.same(base64FormsOf('short'), [], 'what may stand in any text')
  t.end()
})

const anySecret = fc.string({ unit: 'grapheme', minLength: 6, maxLength: 30 })

function percent(letter: string, upper: boolean): string {
  const bytes = [...Buffer.from(letter)].map((byte) => byte.toString(16).padStart(2, '0'))
  return bytes.map((byte) => `%${upper ? byte.toUpperCase() : byte}`).join('')
}

void t.test('a secret in any mixture of its forms', (t) => {
  fc.assert(
    fc.property(anySecret, fc.infiniteStream(fc.nat(2)), (text, forms) => {
      const sent = Array.from(text, (letter) => {
        const form = forms.next().value as number
        return form === 0 ? letter : percent(letter, form === 1)
      }).join('')
      return redact(`<<${sent}>>`, [text]) === '<<***>>'
    }),
  )
  t.equal(redact('a b a+b a%20b', ['a b']), '*** *** ***')
  t.equal(redact('one and one more', ['one', 'one more']), '*** and ***', 'the longer one first')
  t.equal(redact('nothing', ['']), 'nothing')
  t.equal(redact('a %25x b %2525x c', ['%25x']), 'a *** b *** c', 'a percent sign of its own')
  t.equal(
    redact(`a ${'z'.repeat(15_000)} b`, ['z'.repeat(15_000)]),
    'a *** b',
    'one as long as that',
  )
  t.end()
})

void t.test('a long text, wherever the secret stands in it', (t) => {
  const [plain, odd] = ['the-very-secret-word', 'ein großes Geheimnis']
  for (let before = 16_300; before < 16_400; before += 7) {
    for (const sent of [plain, percent(plain, true), encodeURIComponent(odd)]) {
      const said = redact(`${'x'.repeat(before)}${sent}${'y'.repeat(1000)}`, [plain, odd])
      if (/[^x*y]/.test(said)) t.fail(`${said.slice(-60)} after ${before}`)
      if (said.length < 15_800) t.fail(`${said.length} are left`)
    }
  }
  const longest = `${'x '.repeat(8_192).slice(0, 16_384 - 295)}${'&#0065533;'.repeat(30)}`
  t.notMatch(redact(longest, ['\ufffd'.repeat(30)]), '&#', 'in the longest form of a letter')
  t.equal(redact('y'.repeat(1_000_000), []).length, 16_384)
  t.equal(redact('y'.repeat(30_000), ['z'.repeat(10_000)]), '', 'rather nothing than a part of it')
  t.end()
})
