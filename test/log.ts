/** Lines on a real descriptor: in order, whole, and never waited for. */
import { spawn, execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createLog, format, word } from '../src/log.js'
import { makeTemporary, until } from './fixtures/keeper-place.ts'

function file(t: Test): { fd: number; read: () => string } {
  const path = join(makeTemporary(t), 'log')
  const fd = openSync(path, 'w')
  return { fd, read: () => readFileSync(path, 'utf8') }
}

/** A pipe whose reader does not read until it is told to. */
function pipe(t: Test): { fd: number; read: () => string } {
  const path = join(makeTemporary(t), 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  t.teardown(() => {
    closeSync(reader)
    closeSync(fd)
  })
  return {
    fd,
    read() {
      const chunk = Buffer.alloc(1 << 16)
      try {
        return chunk.toString('utf8', 0, readSync(reader, chunk))
      } catch {
        return ''
      }
    },
  }
}

void t.test('a line is a level, an event and fields', async (t) => {
  const { fd, read } = file(t)
  const log = createLog('info', fd)
  log.error('grant not written', {
    account: 'me@example.com',
    hint: undefined,
    count: 3,
    new: true,
  })
  log.warn('plain')
  log.info('text', {
    reason: 'two words',
    quote: 'a"b',
    equals: 'a=b',
    empty: '',
    lines: 'a\nb\x07',
  })
  log.debug('unimportant')
  log.line('as it is')
  const text = [
    'error grant not written account=me@example.com count=3 new=true',
    'warn plain',
    'info text reason="two words" quote="a\\"b" equals="a=b" empty="" lines="a b"',
    'as it is',
    '',
  ].join('\n')
  await until(() => read().length >= text.length)
  t.equal(read(), text)
  log.setLevel('debug')
  log.debug('important now')
  log.setLevel('error')
  log.warn('no more')
  log.flush()
  t.equal(read(), `${text}debug important now\n`)
  log.flush()
  closeSync(fd)
})

void t.test('words', (t) => {
  t.equal(format({ a: 'x', b: undefined, c: 0 }), ' a=x c=0')
  t.equal(word('/run/a b'), '"/run/a b"')
  t.equal(word('jörg@müller.example'), 'jörg@müller.example')
  t.end()
})

void t.test('a reader that stalls costs lines, and no time', async (t) => {
  const { fd, read } = pipe(t)
  const log = createLog('info', fd)
  const text = 'x'.repeat(1023)
  for (let count = 0; count < 100; count++) log.line(text)
  await until(() => true)
  for (let count = 0; count < 2000; count++) log.line(text)
  let seen = ''
  await until(() => {
    seen += read()
    return seen.includes('lines dropped')
  })
  const lines = seen.split('\n')
  const dropped = Number(/count=(\d+)/.exec(seen)?.[1])
  t.ok(dropped > 900)
  t.equal(lines.filter((line) => line === text).length, 2100 - dropped, 'each whole, or counted')
  log.info('again')
  await until(() => read().includes('info again\n'))
})

void t.test('the end of the process waits for a reader, a while', async (t) => {
  const { fd, read } = pipe(t)
  const log = createLog('info', fd)
  const text = 'y'.repeat(1023)
  for (let count = 0; count < 100; count++) log.line(text)
  let first = ''
  // The pipe is full, and the rest waits for its turn.
  await until(() => (first += read()).length >= 1024)
  log.line('the last one')
  const beforeMs = performance.now()
  log.flush()
  t.ok(performance.now() - beforeMs < 3_000)
  let seen = first
  await until(() => {
    const more = read()
    seen += more
    return more === ''
  })
  t.match(seen, /^(y{1023}\n)+/)
})

void t.test('without a reader nothing happens', async (t) => {
  const { fd } = file(t)
  closeSync(fd)
  const log = createLog('info', fd)
  log.info('nobody')
  await until(() => true)
  log.info('nobody')
  log.flush()
  t.pass()
})

void t.test('at the end nothing is lost', async (t) => {
  const program = `
    const { createLog } = await import(${JSON.stringify(join(import.meta.dirname, '../src/log.js'))})
    const log = createLog('info')
    for (let n = 0; n < 500; n++) log.info('line', { n, text: 'z'.repeat(1000) })
    log.flush()
    process.exit()
  `
  const args = ['--input-type=module', '--eval', program]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let text = ''
  for await (const chunk of child.stderr.setEncoding('utf8')) text += String(chunk)
  t.equal(text.match(/^info line n=\d+ text=z{1000}$/gm)?.length, 500)
})
