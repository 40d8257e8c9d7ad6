/** What a server's text may still say once what we sent it has been taken out. */
import fc from 'fast-check'
import t from 'tap'
import { redact } from '../../src/providers/redaction.ts'

const secret = fc.string({ unit: 'grapheme', minLength: 6, maxLength: 30 })

function percent(letter: string, upper: boolean): string {
  const bytes = [...Buffer.from(letter)].map((byte) => byte.toString(16).padStart(2, '0'))
  return bytes.map((byte) => `%${upper ? byte.toUpperCase() : byte}`).join('')
}

void t.test('a secret in any mixture of its forms', (t) => {
  fc.assert(
    fc.property(secret, fc.infiniteStream(fc.nat(2)), (text, forms) => {
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
  for (let before = 19_900; before < 20_010; before += 7) {
    for (const sent of [plain, percent(plain, true), encodeURIComponent(odd)]) {
      const said = redact(`${'x'.repeat(before)}${sent}${'y'.repeat(1000)}`, [plain, odd])
      if (/[^x*y]/.test(said)) t.fail(`${said.slice(-60)} after ${before}`)
      if (said.length < 19_800) t.fail(`${said.length} are left`)
    }
  }
  t.equal(redact('y'.repeat(1_000_000), []).length, 20_000)
  t.equal(redact('y'.repeat(30_000), ['z'.repeat(10_000)]), '', 'rather nothing than a part of it')
  t.end()
})
