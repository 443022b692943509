// Bytes that no client would send, and clients that do not read.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { ok, is, done, serve, scratch, run, Client, Author, sleep, until, now } from './tap.mjs'
import { Raw, frame, CONT, TEXT, BINARY, CLOSE, PING, PONG } from './raw.mjs'

const store = scratch('store')
const server = await serve(store, '--set', 'output_close=4M', '--set', 'max_bad_messages=100')
const pings = await serve(scratch('pings'), '--set', 'ping_seconds=4')
const alice = new Author()
const c = await Client.open(server.url)
const lean = !/address|thread/.test(process.env.NR_BUILD ?? '')

// MB of memory that are its own.
const memory = () => Number(/RssAnon:\s*(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'latin1'))[1]) / 1024
const bounded = (before, most, name, at = memory()) =>
  ok(!lean || at - before < most, `${name}: memory is bounded`, [before, at])
function sockets(s) {
  const fds = `/proc/${s.process.pid}/fd`
  return readdirSync(fds).filter(fd => { try { return /^socket/.test(readlinkSync(`${fds}/${fd}`)) } catch {} }).length
}
async function latency() {
  const at = Date.now()
  const { end } = await c.query('lat', { kinds: [65535], limit: 0 })
  return end?.[0] === 'EOSE' ? Date.now() - at : Infinity
}

// A half frame, for which nobody waits for ever; looked at below.
const half = await Raw.websocket(pings.port)
half.write(frame(TEXT, '["REQ","a",{}]').subarray(0, 9))
const stayed = await Client.open(pings.url)
const mute = await Raw.websocket(pings.port)
const begun = Date.now()

// One that does not take what it asked for, though it is not much.
const stuck = await Client.open(pings.url)
await stuck.query('live', { kinds: [7], limit: 0 })
stuck.ws.pause()
for (let i = 0; i < 150; i++) stayed.send('EVENT', alice.sign(7, 'z'.repeat(80000) + i))

const stuckBefore = sockets(pings) - 1

// ---- frames against the rules
for (const [name, ...frames] of [
  ['reserved bit 1', frame(TEXT, '[]', { rsv: 4 })],
  ['reserved bit 2', frame(TEXT, '[]', { rsv: 2 })],
  ['reserved bit 3', frame(TEXT, '[]', { rsv: 1 })],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(op => [`opcode ${op}`, frame(op, 'x')]),
  ['a ping of 126 bytes', frame(PING, 'x'.repeat(126))],
  ['a close frame of 126 bytes', frame(CLOSE, 'x'.repeat(126))],
  ['a ping with a long form of length', frame(PING, 'x', { form: 16 })],
  ['a fragmented ping', frame(PING, 'x', { fin: 0 })],
  ['a fragmented close', frame(CLOSE, '', { fin: 0 })],
  ['a continuation of nothing', frame(CONT, '[]')],
  ['a message within a message', frame(TEXT, '[', { fin: 0 }), frame(TEXT, ']')],
  ['a negative length', frame(TEXT, '[]', { form: 64, length: 2n ** 63n })],
]) {
  const r = await Raw.websocket(server.port)
  for (const f of frames) r.write(f)
  const end = await r.ended()
  ok(end === 1002 || end === 0, `${name}: closed`, end)
  r.end()
}
for (const [name, length] of [['100 MB', 100e6], ['2^62 bytes', 2n ** 62n]]) {
  const r = await Raw.websocket(server.port)
  r.write(frame(TEXT, '["EVENT",', { form: 64, length }))
  is(await r.ended(), 1009, `${name} announced: closed as too big`)
  r.end()
}
ok(await latency() < 1000, 'others are served')

// ---- frames that are unusual
const r = await Raw.websocket(server.port)
const eose = async name => is(await r.message(), ['EOSE', 'a'], name)
const req = '["REQ","a",{"limit":0}]'
for (const form of [7, 16, 64]) {
  r.write(frame(TEXT, req, { form }))
  await eose(`a length of ${form} bits`)
}
r.write(Buffer.concat([...req].map(x => frame(TEXT, x)).map((f, i, all) => {
  f[0] = (i === all.length - 1 ? 0x80 : 0) | (i ? CONT : TEXT)
  return Buffer.concat([f, frame(PING, String(i))])
})))
await eose('fragments with pings between')
ok((await r.frame(PONG)) !== null, 'which are answered, if not each')
r.frames.length = 0
const empty = frame(CONT, '', { fin: 0 })
r.write(Buffer.concat([frame(TEXT, '', { fin: 0 }), empty, empty, frame(CONT, req, { fin: 0 }), empty, frame(CONT)]))
await eose('empty fragments')
r.write(Buffer.concat(Array.from(req.padEnd(10000), (x, i) => frame(i ? CONT : TEXT, x, { fin: i === 9999 ? 1 : 0 }))))
await eose('10,000 fragments of a byte')
for (const b of frame(TEXT, req)) { r.write(Buffer.from([b])); await sleep(1) }
await eose('a byte at a time')
r.write(frame(PING, 'x'.repeat(125)))
is((await r.frame(PONG))?.data.length, 125, 'a long ping')
r.write(frame(PING))
is((await r.frame(PONG))?.data.length, 0, 'an empty one')
r.write(frame(PONG, 'unasked'))
for (const [name, ...frames] of [
  ['an empty message', frame(TEXT)],
  ['binary', frame(BINARY, req)],
  ['binary fragments', frame(BINARY, '[', { fin: 0 }), frame(CONT, ']')],
  ['no UTF-8', frame(TEXT, Buffer.from('["\xff\xc0\x80"]', 'latin1'))],
  ['zeros', frame(TEXT, Buffer.alloc(1000))],
  ['brackets', frame(TEXT, '['.repeat(200000))],
  ['brackets in an event', frame(TEXT, '["EVENT",' + '['.repeat(200000))],
  ['objects in an event', frame(TEXT, '["EVENT",' + '{"a":'.repeat(40000))],
  ['brackets in a field', frame(TEXT, '["EVENT",{"a":' + '['.repeat(100000) + ']'.repeat(100000) + '}]')],
  ['a message over the limit', frame(TEXT, `["REQ","a",{}]${' '.repeat(256 * 1024)}`)],
  ['1 MB of JSON', frame(TEXT, JSON.stringify(Array(100000).fill('abcdefg')))],
  ['1 MB in fragments', frame(TEXT, '[', { fin: 0 }), ...Array(10).fill(frame(CONT, '1,'.repeat(50000), { fin: 0 })), frame(CONT, '1]')],
]) {
  r.write(Buffer.concat(frames))
  const m = await r.message()
  ok(m?.[0] === 'NOTICE' && /^(invalid|unsupported): /.test(m[1]), `${name}: NOTICE`, m)
}
r.write(frame(TEXT, '["REQ","a",' + '['.repeat(200000)))
is((await r.message())?.slice(0, 2), ['CLOSED', 'a'], 'brackets in a filter: CLOSED')
const deep = alice.sign(1)
r.write(frame(TEXT, `["EVENT",{"id":"${deep.id}","a":${'['.repeat(100000)}]`))
is((await r.message())?.slice(0, 3), ['OK', deep.id, false], 'brackets in an event with an id: OK false')
r.write(frame(TEXT, req))
await eose('and the connection lives')
is(r.frames, [], 'nothing more was said')
r.write(frame(CLOSE, Buffer.from([0x03, 0xe8])))
is(await r.ended(), 1000, 'a close frame is answered')
ok(await until(() => r.closed), 'and the connection closed')
for (const [name, payload] of [['without a code', ''], ['of one byte', 'x'], ['with a bad code', Buffer.from([0, 1])]]) {
  const q = await Raw.websocket(server.port)
  q.write(frame(CLOSE, payload))
  ok(await until(() => q.closed), `a close frame ${name}`)
}
const large = await Raw.websocket(server.port)
for (let i = 0; i < 50; i++) large.write(frame(i ? CONT : TEXT, 'x'.repeat(100000), { fin: 0 }))
ok([1009, 0].includes(await large.ended()), 'several MB in fragments: closed')
const unmasked = await Raw.websocket(server.port)
unmasked.write(frame(TEXT, req, { mask: false }))
ok(await until(() => unmasked.closed || unmasked.frames.length), 'an unmasked frame: an answer or the end')
unmasked.end()
for (let i = 1; i < 60; i++) {
  const q = await Raw.websocket(server.port)
  q.socket.on('error', () => {})
  const bytes = frame(TEXT, JSON.stringify(['EVENT', alice.sign(1, 'x'.repeat(1000))]))
  q.write(bytes.subarray(0, i * bytes.length / 60))
  q.reset()
}
ok(await latency() < 1000, 'half frames and then a reset: others are served')

// ---- those who do not read
const big = Array.from({ length: 300 }, (_, i) => alice.sign(1, 'z'.repeat(40000) + i, [], now() - i))
is((await run('nr-import', ['-q', '-S', store], big.map(e => JSON.stringify(e) + '\n').join(''))).code, 0, '12 MB stored')
let base = memory()
await until(() => sockets(server) === 3)
const open = sockets(server)
const reader = await Client.open(server.url)
reader.ws.pause()
for (let i = 0; i < 5; i++) reader.send('REQ', String(i), { limit: 300 })
await sleep(200)
ok(await latency() < 200, 'queries nobody reads: others are served')
bounded(base, 16, 'queries nobody reads')
reader.ws.resume()
for (let i = 0; i < 5; i++) await reader.take(m => m[0] === 'EOSE' && m[1] === String(i), 10000)
is([0, 1, 2, 3, 4].map(i => reader.messages.filter(m => m[0] === 'EVENT' && m[1] === String(i)).length), Array(5).fill(300),
  'read in the end, they are complete')
reader.close()

base = memory()
const deaf = [await Client.open(server.url), await Client.open(server.url)]
await deaf[0].query('live', { kinds: [7], limit: 0 })
deaf.forEach(x => x.ws.pause())
// All that it asks for waits behind what is stored.
for (let i = 0; i < 50; i++) deaf[1].send('REQ', `live${i}`, { kinds: [1, 7] })
const hears = await Client.open(server.url)
await hears.query('live', { kinds: [7], limit: 0 })
await sleep(50)
let worst = 0, peak = 0
for (let i = 0; i < 15; i++) {
  for (let j = 0; j < 20; j++) hears.send('EVENT', alice.sign(7, 'z'.repeat(80000) + `${i}.${j}`))
  worst = Math.max(worst, await latency())
  peak = Math.max(peak, memory())
}
ok(await until(() => hears.messages.filter(m => m[0] === 'EVENT').length === 300), 'live to many that do not read: one hears')
ok(worst < 500, 'others are served', worst)
bounded(base, 40, 'live to many that do not read', peak)
ok(await until(() => sockets(server) <= open + 1), 'they are cut off', [open, sockets(server)])
deaf.forEach(x => x.ws.resume())
ok(await until(() => deaf.every(x => x.closed)), 'and see it', deaf.map(x => x.closed))
hears.close()

const flood = async (name, text, megabytes) => {
  const before = memory(), q = await Raw.websocket(server.port)
  q.socket.on('error', () => {})
  q.socket.pause()
  const one = frame(TEXT, text), many = Buffer.concat(Array(Math.ceil(2e5 / one.length)).fill(one))
  let slowest = 0
  for (let i = 0; i < megabytes * 5 && !q.closed; i++) {
    if (!q.write(many)) await Promise.race([new Promise(f => q.socket.once('drain', f)), sleep(20)])
    if (i % 10 === 0) slowest = Math.max(slowest, await latency())
  }
  bounded(before, 24, name)
  ok(slowest < 500, `${name}: others are served`, slowest)
  q.socket.resume()
  ok(await until(() => q.closed || q.socket.bytesRead > 1e6, 8000), `${name}: closed, or answered when it reads`)
  q.end()
}
await c.publish(deep)
await flood('REQs without reading', `["REQ","${'x'.repeat(20000)}",{}]`, 30)
await flood('EVENTs without reading', `["EVENT",{"id":"${deep.id}"}]`, 40)

// ---- many subscriptions to the same
const values = Array.from({ length: 4999 }, (_, i) => `v${i}`)
const wide = await Client.open(server.url)
const crowd = n => Array.from({ length: n }, (_, i) => wide.send('REQ', `w${i}`, { '#t': values, kinds: [9], since: i }))
crowd(41)
is((await wide.take(m => m[0] === 'CLOSED', 10000))?.[2], 'rate-limited: too many filter values in all subscriptions', 'filter values of a connection have a bound')
ok(await until(() => wide.messages.filter(m => m[0] === 'EOSE').length === 40, 10000), 'which many may share')
for (let i = 0; i < 40; i++) wide.send('CLOSE', `w${i}`)
ok(await latency() < 1000, 'to close them in the order that is worst holds nobody up')
wide.messages.length = 0
crowd(40)
ok(await until(() => wide.messages.filter(m => m[0] === 'EOSE').length === 40, 10000), 'and makes room')
wide.close()

// ---- many that do nothing
base = memory()
const idle = await Promise.all(Array.from({ length: 300 }, () => Client.open(server.url)))
await Promise.all(idle.map(x => x.query('idle', { kinds: [9], limit: 0 })))
bounded(base, 24, '300 idle connections')
const wake = alice.sign(9, 'wake up')
await c.publish(wake)
ok(await until(() => idle.every(x => x.messages.some(m => m[2]?.id === wake.id))), 'all of which hear')
idle.forEach(x => x.close())
ok(await latency() < 500, 'the relay is well')
c.close()
is(await server.stop(), { code: 0, signal: null }, 'status 0')
ok(!/error/.test(server.err), 'nothing of this is an error of the relay', server.err)

// ---- silence
ok(await until(() => half.closed), 'half a frame and then silence: closed')
await until(() => Date.now() - begun > 10000, 12000)
ok(stayed.messages.length === 150 && await until(() => sockets(pings) <= stuckBefore - 1, 14000),
  'who takes nothing is cut off', [stuckBefore, sockets(pings)])
is([(await stayed.query('a', {})).end, stayed.closed ?? null], [['EOSE', 'a'], null], 'who answers pings stays')
ok((await mute.frame(PING)) !== null, 'there are pings')
mute.write(frame(PONG))
stayed.close()
mute.end()
is(await pings.stop(), { code: 0, signal: null }, 'status 0')
done()
