/** Commands whose output goes nowhere: a reader that has left, a disk that is full. */
import { execFile } from 'node:child_process'
import t from 'tap'
import { createHome, shellLine, start, startDaemonProcess } from './fixtures/daemon.ts'

const me = 'robot@corp.example'
const home = createHome(`[[account]]
user = "${me}"
provider = "command"
command = ["echo", "tok"]
`)
const daemon = await startDaemonProcess(home)
t.teardown(async () => {
  await daemon.stop()
  home.remove()
})

const commands = [
  '--help',
  '--version',
  'token --help',
  `token ${me}`,
  'status',
  'status --json',
  'setup',
  'completion bash',
  'serve --check',
  'serve --help',
]

/** Runs a line of shell. */
async function shell(line: string): Promise<{ code: unknown; stderr: string }> {
  return new Promise((resolve) => {
    execFile('/bin/sh', ['-c', line], (error, _stdout, stderr) => {
      resolve({ code: error?.code ?? 0, stderr })
    })
  })
}

void t.test('a reader that has left is no error', async (t) => {
  for (const command of commands) {
    const running = start(home, command.split(' '))
    running.child.stdout?.destroy()
    t.match(
      { code: await running.ended, stderr: running.stderr() },
      { code: 0, stderr: '' },
      command,
    )
  }
})

void t.test('a disk that is full is told', async (t) => {
  for (const command of commands)
    t.match(
      await shell(`${shellLine(home, command)} >/dev/full`),
      { code: 75, stderr: /^xoauthd: stdout could not be written \(ENOSPC\)\nhint: what .*\n$/ },
      command,
    )
})

void t.test('what is told to nobody changes nothing', async (t) => {
  t.match(await shell(`${shellLine(home, 'token nobody@else.example')} 2>/dev/full`), { code: 67 })
  t.match(await shell(`${shellLine(home, `token ${me}`)} >/dev/full 2>&1`), { code: 75 })
  const running = start(home, ['token', 'nobody@else.example'])
  running.child.stderr?.destroy()
  t.equal(await running.ended, 67)
})
