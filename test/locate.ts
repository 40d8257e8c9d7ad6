/** Lines of keys, in every way that TOML has to write them. */
import t from 'tap'
import { createLocator, keyName, type KeyPath } from '../src/locate.ts'

void t.test('lines', async (t) => {
  const lineOf = await createLocator(
    `\ufefftop.level = 1
# a remark
["quoted name"]
'a b'.c = 2
[[account]]
user = "a"
[account.scopes]
smtp = ["x"]
[account.hosts]

[[account]]
hosts.smtp = "a:1"
hosts.imap = "b:1"
mailboxes = [ # a remark
  "a",

  "b", "c",
]
extra = { authorize = { a = 1 }, token = {
  b = 2,
} }
[[account.deep]]
x = 1
[[account.deep]]
x = { y = [
  [1,
   2],
  { z = 3 },
] }
[client.one.two]
[client]
name = """
two lines"""
[[account]]
`,
    '/c.toml',
  )
  const lines: readonly [number, ...KeyPath][] = [
    [1, 'top', 'level'],
    [1, 'top'],
    [3, 'quoted name'],
    [4, 'quoted name', 'a b', 'c'],
    [5, 'account'],
    [5, 'account', 0],
    [6, 'account', 0, 'user'],
    [7, 'account', 0, 'scopes'],
    [8, 'account', 0, 'scopes', 'smtp', 0],
    [9, 'account', 0, 'hosts'],
    [11, 'account', 1],
    [12, 'account', 1, 'hosts'],
    [13, 'account', 1, 'hosts', 'imap'],
    [14, 'account', 1, 'mailboxes'],
    [15, 'account', 1, 'mailboxes', 0],
    [17, 'account', 1, 'mailboxes', 1],
    [17, 'account', 1, 'mailboxes', 2],
    [19, 'account', 1, 'extra', 'authorize', 'a'],
    [19, 'account', 1, 'extra', 'token'],
    [20, 'account', 1, 'extra', 'token', 'b'],
    [22, 'account', 1, 'deep'],
    [23, 'account', 1, 'deep', 0, 'x'],
    [25, 'account', 1, 'deep', 1, 'x'],
    [26, 'account', 1, 'deep', 1, 'x', 'y', 0],
    [27, 'account', 1, 'deep', 1, 'x', 'y', 0, 1],
    [28, 'account', 1, 'deep', 1, 'x', 'y', 1, 'z'],
    [31, 'client'],
    [30, 'client', 'one'],
    [32, 'client', 'name'],
    [34, 'account', 2],
  ]
  for (const [line, ...path] of lines) t.equal(lineOf(path), line, keyName(path))

  t.equal(lineOf([]), 1)
  t.equal(lineOf(['missing']), 1)
  t.equal(lineOf(['account', 0, 'missing']), 5, 'the table that a missing key belongs to')
  t.equal(lineOf(['account', 1, 'mailboxes', 9]), 14)
  t.equal(lineOf(['account', 2, 'hosts', 'smtp']), 34)
})

void t.test('names', (t) => {
  t.equal(keyName([]), '')
  t.equal(keyName(['log', 'level']), 'log.level')
  t.equal(keyName(['account', 1, 'mailboxes', 0]), 'account[2].mailboxes[1]')
  t.end()
})
