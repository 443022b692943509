// permessage-deflate: what comes out is what went in, whatever is compressed.
import { connect } from 'node:net'
import { inflateRawSync } from 'node:zlib'
import { ok, is, done, serve, scratch, Client, Author, until, run } from './tap.mjs'

const author = new Author()
const relay = await serve(scratch('store'), '--set', 'max_message=1M', '--set', 'max_event=1M', '--set', 'max_content=1M', '--set', 'max_limit=1000')
const packed = { perMessageDeflate: { threshold: 0 } }, plain = { perMessageDeflate: false }
const c = await Client.open(relay.url, packed), p = await Client.open(relay.url, plain)
ok(/permessage-deflate/.test(c.ws.extensions), 'it is agreed', c.ws.extensions)
is(p.ws.extensions, '', 'where it is offered')

// Every length about the borders of buffers, texts that shrink and that do not.
let seed = 5
const random = n => (seed = (seed * 1103515245 + 12345) % 2147483648) % n
const texts = [0, 1, 100, 125, 126, 1000, 1023, 1024, 1025, 4090, 4096, 4097, 8192, 65535, 65536, 65537, 200000]
  .flatMap(n => ['ä€'.repeat(n / 2), Array.from({ length: n }, () => String.fromCharCode(32 + random(90))).join('')])
for (let i = 0; i < 200; i++) texts.push('x'.repeat(random(9000)) + String(Math.random()).repeat(random(30)))
p.send('REQ', 'live', { limit: 0 })
c.send('REQ', 'live', { limit: 0 })
await p.take(m => m[0] === 'EOSE')
await c.take(m => m[0] === 'EOSE')
const events = texts.map((t, i) => author.sign(1, t, [], 1700000000 + i))
const answers = []
for (const e of events) answers.push(await c.publish(e))
is(answers.filter(a => a?.[0] !== true), [], 'every event arrives whole')
const same = (got, want, name) => is(got.map(e => [e.id, e.sig, e.content]), want.map(e => [e.id, e.sig, e.content]), name)
const live = async x => {
  await until(() => x.messages.filter(m => m[0] === 'EVENT').length >= events.length)
  return x.messages.filter(m => m[0] === 'EVENT').map(m => m[2])
}
same(await live(c), events, 'live, packed')
same(await live(p), events, 'live, plain')
c.messages = []
p.messages = []
const newest = [...events].reverse()
same((await c.query('s', { limit: 1000 })).events, newest, 'stored, packed')
same((await p.query('s', { limit: 1000 })).events, newest, 'stored, plain')
const other = await Client.open(relay.url, { perMessageDeflate: { clientNoContextTakeover: true, serverNoContextTakeover: true } })
same((await other.query('s', { limit: 1000 })).events, newest, 'a client that asks for our terms')
const pipe = events.slice(0, 100).map((e, i) => author.sign(1, e.content, [['n', `${i}`]]))
pipe.forEach(e => other.send('EVENT', e))
let good = 0
for (const e of pipe) good += (await other.ok(e.id))?.[2] === true
is(good, pipe.length, 'many at once')

// ---- on the wire
const upgrade = (extensions, port = relay.port) => new Promise(resolve => {
  const s = connect(port, '127.0.0.1')
  let head = Buffer.alloc(0)
  s.on('error', () => resolve({ head: '' }))
  s.on('close', () => resolve({ head: head.toString('latin1'), closed: true }))
  s.on('data', d => {
    head = Buffer.concat([head, d])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    s.removeAllListeners('data')
    resolve({ s, head: head.subarray(0, end).toString('latin1'), rest: head.subarray(end + 4) })
  })
  s.write(`GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${extensions ? `Sec-WebSocket-Extensions: ${extensions}\r\n` : ''}\r\n`)
})
const yes = 'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover'
for (const offer of ['permessage-deflate', 'permessage-deflate; client_max_window_bits', 'x-webkit-deflate-frame, permessage-deflate; client_max_window_bits',
  'permessage-deflate; server_no_context_takeover; client_no_context_takeover', 'permessage-deflate; client_max_window_bits=10']) {
  const u = await upgrade(offer)
  ok(u.head.split('\r\n').includes(yes), `yes to ${offer}`, u.head)
  u.s?.destroy()
}
const none = await upgrade('permessage-deflate; client_max_window_bits, permessage-deflate')
ok(none.head.startsWith('HTTP/1.1 101') && !/Sec-WebSocket-Extensions/i.test(none.head), 'two offers: served without', none.head)
none.s?.destroy()
for (const offer of ['', 'x-other', 'permessage-deflate; server_max_window_bits=10', `x-${'long'.repeat(80)}, permessage-deflate`]) {
  const u = await upgrade(offer)
  ok(!/Sec-WebSocket-Extensions/i.test(u.head) && (u.head.startsWith('HTTP/1.1 101') || u.closed), `no to ${offer.slice(0, 60)}`, u.head)
  u.s?.destroy()
}
const frame = (bytes, first = 0xc1) => {
  const len = bytes.length < 126 ? [bytes.length] : [126, bytes.length >> 8, bytes.length & 255]
  return Buffer.concat([Buffer.from([first, len[0] | 0x80, ...len.slice(1), 0, 0, 0, 0]), bytes])
}
// Not deflate at all: that connection ends, and no other.
const junk = await upgrade('permessage-deflate')
junk.s.on('error', () => {})
const gone = new Promise(r => junk.s.on('close', r))
junk.s.resume()
junk.s.write(frame(Buffer.from('no deflate, this is no deflate')))
junk.s.write(frame(Buffer.from([0xff, 0xff, 0xff, 0xff])))
ok(await Promise.race([gone.then(() => true), until(() => false, 5000)]), 'what cannot be inflated ends the connection')
// A small frame that becomes a huge message.
const bomb = await Client.open(relay.url, packed)
bomb.raw('["REQ","' + 'x'.repeat(3 << 20) + '"]')
is((await bomb.take(m => m[0] === 'NOTICE'))?.[1], 'invalid: message too long', 'a message is as long as what it becomes')
bomb.raw('x'.repeat(40 << 20))
ok(await until(() => bomb.closed?.code === 1009), 'and closes the connection where it is far too long', bomb.closed)
is((await p.query('after', { ids: [events[5].id] })).events.length, 1, 'the others go on')

const off = await serve(scratch('off'), '--set', 'deflate=0')
is((await Client.open(off.url, packed)).ws.extensions, '', 'it can be off')
done()
