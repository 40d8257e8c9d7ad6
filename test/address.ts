/** What an address is and when two are one: the lines of the grammar that a mailbox has to keep. */
import t from 'tap'
import {
  addressMaxBytes,
  domainOf,
  foldCase,
  isAddress,
  isDomain,
  matches,
  wildcardDomain,
} from '../src/address.ts'

/** TAP is made of lines, and these texts of what may end one. */
const visible = (text: string): string => JSON.stringify(text).replaceAll(/[^ -~]/g, '?')

const ofLength = (bytes: number): string => `me@${'x'.repeat(bytes - 3)}`

void t.test('addresses', (t) => {
  for (const text of [
    'me@example.org',
    'me@localhost',
    'First.Last@Example.ORG',
    "a!#$%&'*+/=?^_`{|}~-b@example.org",
    'me+tag@sub.example.co.uk',
    'me@ex-ample.org',
    'me@xn--bcher-kva.example',
    'me@3com.example',
    'jürgen@bücher.example',
    '我@例子.例',
    // A letter of atext, RFC 5322 3.2.3; that it means a whole domain in the file is another matter.
    '*@example.org',
    '👋@example.org',
    ofLength(addressMaxBytes),
  ])
    t.ok(isAddress(text), text)
  t.end()
})

void t.test('texts that are none', (t) => {
  for (const text of [
    '',
    '@',
    'me',
    'me@',
    '@example.org',
    'me@@example.org',
    'me@you@example.org',
    '.me@example.org',
    'me.@example.org',
    'm..e@example.org',
    'me@.example.org',
    'me@example.org.',
    'me@example..org',
    'me@-example.org',
    'me@example-.org',
    'me@exa_mple.org',
    'me@[127.0.0.1]',
    '"me"@example.org',
    'me @example.org',
    ' me@example.org',
    'me@example.org\n',
    'me@example.org\0',
    'me\x01@example.org',
    'me,you@example.org',
    'me@exam\u0085ple.org',
    'm\u0090e@example.org',
    'm\u2028e@example.org',
    'me@example.org\u2029',
    'me\ud800@example.org',
    '\u2000me@example.org',
    'me\u00a0@example.org',
    'me@exam\u3000ple.org',
    'me\ufeff@example.org',
    ofLength(addressMaxBytes + 1),
    `é@${'x'.repeat(addressMaxBytes - 2)}`,
    `jürgen@${'ü'.repeat(124)}`,
  ])
    t.notOk(isAddress(text), visible(text))
  t.end()
})

void t.test('the short way and the long way agree', (t) => {
  const parts = ['a', 'Z', '9', '_', '-', '.', '@', '+', '*', ' ', 'é', '']
  // Every text of up to five of these parts, judged a second time with a mark that only the long way takes.
  for (let number = 0; number < parts.length ** 5; number += 7) {
    let text = ''
    for (let rest = number; rest > 0; rest = Math.floor(rest / parts.length))
      text += parts[rest % parts.length] ?? ''
    if (isAddress(text) !== isAddress(`+${text}`) && !/^[@.]/.test(text)) t.fail(text)
  }
  t.end()
})

void t.test('an address of any length is judged at once', (t) => {
  const started = process.hrtime.bigint()
  for (const piece of ['a.', 'a-', 'é', '-', 'a@'])
    t.notOk(isAddress(`${piece.repeat(50_000)}@${piece.repeat(50_000)}!`))
  t.ok(process.hrtime.bigint() - started < 1_000_000_000n)
  t.end()
})

void t.test('domains', (t) => {
  for (const text of ['example.org', 'localhost', 'bücher.example', 'a-b.c'])
    t.ok(isDomain(text), text)
  for (const text of ['', '.', 'a..b', '-a', 'a-', 'a b', 'me@a', 'a\u0085b', '*.a'])
    t.notOk(isDomain(text), visible(text))
  t.end()
})

void t.test('a whole domain', (t) => {
  t.equal(wildcardDomain('*@example.org'), 'example.org')
  for (const text of ['me@example.org', '*@', '*', '**@example.org', '*@*', '*@a b'])
    t.equal(wildcardDomain(text), undefined, text)
  t.end()
})

void t.test('which are the same', (t) => {
  t.equal(foldCase('Jürgen@Example.ORG'), 'jürgen@example.org')
  t.equal(foldCase('JÜRGEN@EXAMPLE.ORG'), foldCase('jürgen@example.org'))
  t.equal(domainOf('me@example.org'), 'example.org')
  t.equal(domainOf('a@b@example.org'), 'example.org')
  t.ok(matches('me@example.org', 'ME@Example.org'))
  t.notOk(matches('me@example.org', 'you@example.org'))
  t.ok(matches('*@Example.org', 'anyone@eXample.org'))
  t.notOk(matches('*@example.org', 'me@sub.example.org'))
  t.notOk(matches('*@example.org', 'me@notexample.org'))
  t.end()
})
