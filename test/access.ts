/** Whether another user could open a socket, as the modes on the way say. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { obstacle, personNamed } from '../src/access.ts'

void t.test('by owner, group and others, and never by more than one of them', async (t) => {
  // Where everybody may pass, unlike in somebody's home.
  const folder = mkdtempSync(join(tmpdir(), 'xo-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'socket')
  writeFileSync(path, '')
  const uid = process.getuid?.() ?? 0
  const gid = process.getgid?.() ?? 0
  const stranger = { name: 'stranger', uid: 65_000, gids: [65_000] }
  const member = { name: 'member', uid: 65_000, gids: [65_000, gid] }
  const see = (mode: number, folderMode = 0o755) => {
    chmodSync(path, mode)
    chmodSync(folder, folderMode)
  }
  see(0o660)
  t.match(await obstacle(path, stranger), { message: 'stranger may not open it', hint: /0660/ })
  t.equal(await obstacle(path, member), undefined)
  see(0o606)
  t.match(await obstacle(path, member), { message: /may not/ }, 'the group counts before others')
  t.equal(await obstacle(path, stranger), undefined)
  see(0o666, 0o700)
  t.match(await obstacle(path, stranger), {
    message: `stranger cannot pass through ${folder}`,
    hint: new RegExp(`chmod o\\+x ${folder}`),
  })
  see(0o600, 0o700)
  t.equal(await obstacle(path, { name: 'me', uid, gids: [gid] }), undefined)
  t.equal(await obstacle(path, { name: 'root', uid: 0, gids: [0] }), undefined)
  await t.rejects(obstacle(join(folder, 'missing'), { ...stranger, uid }), { code: 'ENOENT' })
})

void t.test('users of this machine', (t) => {
  t.match(personNamed('root'), { name: 'root', uid: 0 })
  t.equal(personNamed('nobody-of-that-name'), undefined)
  t.equal(personNamed('--help'), undefined)
  t.end()
})
