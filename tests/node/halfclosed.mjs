// Clients that ask for much, read nothing, and say that they will send
// nothing more: nobody else notices, and they end.
import net from 'node:net'
import { ok, is, done, serve, scratch, Client, Author, until, run, sleep } from './tap.mjs'

const author = new Author()
await run('nr-import', ['-q', '-S', scratch('store')], Array.from({ length: 800 }, (_, i) =>
  JSON.stringify(author.sign(1, `${i} ${'x'.repeat(5000)}`)) + '\n').join(''))
const relay = await serve(scratch('store'), '--set', 'ping_seconds=1')
const frame = text => {
  const b = Buffer.from(text), head = b.length < 126 ? Buffer.from([0x81, 0x80 | b.length]) :
    Buffer.from([0x81, 0xfe, b.length >> 8, b.length & 255])
  return Buffer.concat([head, Buffer.alloc(4), b])
}
const open = () => new Promise(resolve => {
  const s = net.connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true })
  s.on('error', () => {})
  s.once('data', () => { s.pause(); resolve(s) })
  s.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
})
const silent = []
for (let i = 0; i < 3; i++) {
  const s = await open()
  for (let j = 0; j < 20; j++) s.write(frame(JSON.stringify(['REQ', `s${j}`, { limit: 5000 }])))
  silent.push(s)
}
await sleep(700)
for (const s of silent) s.end()
const c = await Client.open(relay.url)
for (let i = 0; i < 3; i++) is((await c.query(`q${i}`, { limit: 1 })).end[0], 'EOSE', 'others are answered')
// One that reads in the end gets what it asked for.
const late = silent.pop()
let bytes = 0
late.on('data', d => { bytes += d.length })
late.resume()
ok(await until(() => bytes > 3000000, 10000), 'who reads late gets what he asked for', bytes)
// A stuck one that goes on talking is heard, if slowly.
const talker = await open()
for (let j = 0; j < 20; j++) talker.write(frame(JSON.stringify(['REQ', `s${j}`, { limit: 5000 }])))
await sleep(500)
const note = author.sign(1, 'said by one who does not read')
talker.write(frame(JSON.stringify(['EVENT', note])))
ok(await until(async () => (await c.query('n', { ids: [note.id] })).events.length === 1, 10000), 'who does not read is heard')
ok((await relay.stop()).code === 0, 'it ends when it is told to')
done()
