// What Node alone can do: answers each request on a UNIX socket with the same bytes.
//
//     node bare-server.js SOCKET FILE
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setFlagsFromString } from 'node:v8'

// What it does for the daemon it does for the server that the daemon is compared with.
setFlagsFromString('--semi-space-growth-factor=1')

const [path, file] = process.argv.slice(2)
const reply = readFileSync(file, 'utf8')

const server = createServer({ allowHalfOpen: true }, (socket) => {
  let answered = false
  const answer = () => {
    if (!answered) socket.end(reply)
    answered = true
  }
  socket.on('error', () => undefined)
  socket.on('data', (chunk) => {
    if (chunk.indexOf(10) >= 0) answer()
  })
  socket.on('end', answer)
})
server.listen({ path, backlog: 4096 })
