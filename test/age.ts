/** Age files: ours and the stock program's open each other's, and what was changed on the way does not open. */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  armored,
  decryptWith,
  encryptTo,
  isArmored,
  newIdentity,
  readRecipients,
  recipientOf,
} from '../src/age.ts'
import {
  DamagedAgeFile,
  isAgeFile,
  openAgeFile,
  readIdentities,
  type Identity,
} from '../src/age-file.ts'
import { Misconfigured } from '../src/errors.ts'
import { age, makeAgeKey } from './fixtures/age.ts'

function identitiesIn(t: Test, text: string): readonly Identity[] {
  const found = readIdentities(text)
  if (typeof found === 'string') {
    t.fail(found)
    return []
  }
  return found
}

const secret = 'a grant, ünd more\n'

void t.test('the stock program opens what is written', async (t) => {
  const { file, recipient } = makeAgeKey(t)
  for (const content of ['', secret, 'x'.repeat(200_000)]) {
    const bytes = Buffer.from(await encryptTo([recipient], content))
    t.ok(isAgeFile(bytes))
    t.notMatch(bytes.toString('latin1'), 'a grant')
    t.equal(age(['-d', '-i', file], bytes).toString(), content)
    t.equal(age(['-d', '-i', file], Buffer.from(await armored(bytes))).toString(), content)
  }
})

void t.test('what the stock program writes is opened', async (t) => {
  const { recipient, identity } = makeAgeKey(t)
  const other = makeAgeKey(t)
  const identities = identitiesIn(t, identity)
  // Around the size of a chunk, and with several recipients, ours last.
  for (const length of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
    const content = Buffer.alloc(length, 'abc')
    const file = age(['-r', other.recipient, '-r', recipient], content)
    t.ok(openAgeFile(file, identities)?.equals(content), `${length} bytes`)
    t.equal(openAgeFile(file, identitiesIn(t, makeAgeKey(t).identity)), undefined)
    const text = age(['-a', '-r', recipient], content)
    t.ok(isArmored(text.toString()))
    t.ok(Buffer.from(await decryptWith(text, [identity])).equals(content))
  }
  t.equal(openAgeFile(age(['-r', recipient], Buffer.from(secret)), []), undefined, 'no key at all')
})

void t.test('what was changed does not open', async (t) => {
  const identity = await newIdentity()
  const identities = identitiesIn(t, identity)
  const file = Buffer.from(await encryptTo([await recipientOf(identity)], secret))
  t.equal(openAgeFile(file, identities)?.toString(), secret)
  for (let at = 0; at < file.length; at++) {
    const changed = Buffer.from(file)
    changed[at] = (changed[at] ?? 0) ^ 1
    let opened: string | undefined
    try {
      opened = openAgeFile(changed, identities)?.toString()
    } catch (error) {
      if (!(error instanceof DamagedAgeFile)) t.fail(`byte ${at}: ${String(error)}`)
    }
    if (opened !== undefined) t.fail(`byte ${at} does not matter`)
    try {
      if (openAgeFile(file.subarray(0, at), identities)) t.fail(`${at} bytes are enough`)
    } catch (error) {
      if (!(error instanceof DamagedAgeFile)) t.fail(`${at} bytes: ${String(error)}`)
    }
  }
  t.pass(`${file.length} bytes, each changed and each missing`)
})

void t.test('keys as people keep them', async (t) => {
  const { file, identity, recipient } = makeAgeKey(t)
  const whole = readFileSync(file, 'utf8')
  t.match(whole, /^# created/, "age-keygen's remarks")
  t.match(identitiesIn(t, whole), [{ text: identity }])
  const second = makeAgeKey(t).identity
  t.equal(identitiesIn(t, `${identity} ${second}`).length, 2)
  t.equal(identitiesIn(t, `# both\r\n${identity}\r\n\r\n${second}`).length, 2)
  t.equal(await recipientOf(identity), recipient)
  const wrongs: readonly [string, RegExp][] = [
    ['', /no age secret key/],
    ['# nothing', /no age secret key/],
    ['hunter2', /something that is no age secret key/],
    [recipient, /something that is no age secret key/],
    [identity.slice(0, -1), /not copied whole/],
    [identity.replace(/.$/, (last) => (last === 'Q' ? 'P' : 'Q')), /not copied whole/],
    [`${identity}\nAGE-SECRET-KEY-PQ-1ABC`, /post-quantum/],
  ]
  for (const [text, expected] of wrongs) {
    const said = readIdentities(text)
    t.match(said, expected)
    t.notMatch(said, identity.slice(-20), 'and repeats no part of it')
  }
})

void t.test('recipients', async (t) => {
  const { recipient } = makeAgeKey(t)
  t.same(readRecipients(`# me\n${recipient}\n\n`, 'x'), [recipient])
  for (const text of ['', '# none', 'ssh-ed25519 AAAA', `${recipient}\nme@example.com`])
    t.throws(() => readRecipients(text, 'the file x'), {
      message: /^the file x holds no recipient/,
    })
  await t.rejects(encryptTo(['age1qqqq'], ''), {
    code: 'misconfigured',
    message: '"age1qqqq" is no recipient of age',
  })
  await t.rejects(decryptWith(Buffer.from('x'), [await newIdentity()]), Misconfigured)
})

void t.test('a password instead of a key', (t) => {
  const { identity } = makeAgeKey(t)
  const file = 'age-encryption.org/v1\n-> scrypt AAAA 18\nBBBB\n--- CCCC\n'.padEnd(200)
  t.equal(openAgeFile(Buffer.from(file), identitiesIn(t, identity)), undefined)
  t.end()
})
