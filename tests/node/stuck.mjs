// A relay that does not read what it is sent, and then half-closes: the
// client does not go round and round, but begins anew.
import net from 'node:net'
import { createHash } from 'node:crypto'
import { spawn } from 'node:child_process'
import { ok, done, until, note } from './tap.mjs'

const greeting = request => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' +
  createHash('sha1').update(/Sec-WebSocket-Key: *(\S+)/i.exec(request)[1] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64') + '\r\n\r\n'
let connections = 0, ended = 0, again = 0
const server = net.createServer({ allowHalfOpen: true }, s => {
  s.on('error', () => {})
  s.once('data', d => {
    s.pause()
    s.write(greeting(d.toString()))
    if (++connections > 1) again ||= Date.now()
    // By then its buffers are full.
    else setTimeout(() => { ended = Date.now(); s.end() }, 2000)
  })
})
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
const p = spawn('nr-publish', ['-n', '-q', `ws://127.0.0.1:${server.address().port}`], { stdio: ['pipe', 'ignore', 'ignore'] })
process.on('exit', () => p.kill('SIGKILL'))
p.stdin.on('error', () => {})
for (let i = 0; i < 30; i++)
  p.stdin.write(JSON.stringify({ id: i.toString(16).padStart(64, '0'), pubkey: 'a'.repeat(64), created_at: 1, kind: 1, tags: [],
    content: 'x'.repeat(1000000), sig: 'b'.repeat(128) }) + '\n')
ok(await until(() => again, 20000), 'it comes back')
note(`${again - ended} ms after the end of what the relay sends`)
// libwebsockets takes five seconds, and all of a core.
ok(again - ended < 4000, 'and soon', again - ended)
done()
