// The same load as client.c for a machine without a C compiler: the same arguments, the same JSON. It is
// as busy as the servers it measures, so that differences between them look smaller than they are.
import { createConnection } from 'node:net'

const [path = '', request = '', count = '0', width = '1', bytes = '0', pauseUs = '0'] =
  process.argv.slice(2)
const latencies = []
let lost = 0

function ask() {
  const startedMs = performance.now()
  return new Promise((resolve) => {
    let received = 0
    const socket = createConnection({ path, allowHalfOpen: true }, () => socket.end(request))
    socket.setTimeout(15_000, () => socket.destroy())
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => (received += chunk.length))
    socket.on('close', () => {
      const whole = bytes === '0' ? received > 0 : received === Number(bytes)
      if (whole) latencies.push((performance.now() - startedMs) * 1000)
      else lost++
      resolve()
    })
  })
}

let left = Number(count)
async function oneAfterTheOther() {
  while (left-- > 0) {
    await ask()
    const restedMs = performance.now() + (width === '1' ? Number(pauseUs) / 1000 : 0)
    while (performance.now() < restedMs);
  }
}

const startedMs = performance.now()
await Promise.all(Array.from({ length: Number(width) }, oneAfterTheOther))
const seconds = (performance.now() - startedMs) / 1000
latencies.sort((a, b) => a - b)
const at = (share) => latencies[Math.floor(latencies.length * share)] ?? 0
console.log(
  JSON.stringify({ answered: latencies.length, lost, seconds, p50Us: at(0.5), p99Us: at(0.99) }),
)
