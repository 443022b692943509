// The end of a relay, and its next beginning.
import { ok, is, done, serve, scratch, Client, Author, sleep, until, now } from './tap.mjs'
import { Raw, handshake } from './raw.mjs'

const alice = new Author()
const clean = { code: 0, signal: null }
const ends = async (server, signal) => {
  const at = Date.now()
  const end = await server.stop(signal)
  return { end, ms: Date.now() - at }
}
const start = now()
const filled = (n, kind, size = 0) =>
  Array.from({ length: n }, (_, i) => alice.sign(kind, 'x'.repeat(size) + i, [], start - i))

// ---- events on their way
const store = scratch('store')
let server = await serve(store)
let c = await Client.open(server.url), listener = await Client.open(server.url)
const events = filled(300, 1, 20000)
await listener.query('live', { kinds: [1], limit: 0 })
const oks = new Set()
let at
c.ws.on('message', d => {
  const m = JSON.parse(d)
  if (m[0] === 'OK' && m[2]) oks.add(m[1])
  if (at || oks.size < 5) return
  at = Date.now()
  server.process.kill('SIGTERM')
})
// The last of them are sent when it has been told.
events.slice(0, 100).forEach(e => c.send('EVENT', e))
await until(() => at)
events.slice(100).forEach(e => c.send('EVENT', e))
let end = await server.exited, ms = Date.now() - at
is(end, clean, 'SIGTERM among events: status 0')
ok(ms < 3000, 'soon', ms)
ok(await until(() => c.closed && listener.closed), 'connections are closed')
is([c.closed, listener.closed], Array(2).fill({ code: 1001, why: 'the relay is shutting down' }), 'with the reason')
ok(oks.size < 300, `${oks.size} of 300 were acknowledged`)
ok(/info: stopping\n.*info: stopped\n$/s.test(server.err), 'the log tells', server.err)

const port = server.port
server = await serve(store, '--listen', `127.0.0.1:${port}`)
c = await Client.open(`ws://127.0.0.1:${port}`)
let got = await c.query('all', { kinds: [1], limit: 1000 })
is(got.ids.length, new Set(got.ids).size, 'after a restart on the same port no event is there twice')
is([...got.ids].sort(), [...oks].sort(), 'what was stored is what was acknowledged')
is(got.ids, events.map(e => e.id).filter(id => oks.has(id)), 'in order')

// ---- signals that are no end
server.process.kill('SIGHUP')
await until(() => /the configuration is loaded/.test(server.err))
is((await c.query('hup', { limit: 1 })).end, ['EOSE', 'hup'], 'SIGHUP: it goes on')
server.process.kill('SIGPIPE')
await sleep(20)
is((await c.query('pipe', { limit: 1 })).end, ['EOSE', 'pipe'], 'SIGPIPE: it goes on')

// ---- nobody there, or half there
const halves = await Promise.all(['', 'GET / HTTP', handshake.slice(0, -2)].map(async bytes => {
  const r = await Raw.open(port)
  r.socket.on('error', () => {})
  r.write(bytes)
  return r
}));
({ end, ms } = await ends(server, 'SIGINT'))
is(end, clean, 'SIGINT: status 0')
ok(ms < 1500, 'half-open connections do not hold it up', ms)
halves.forEach(h => h.end())

// ---- killed
server = await serve(store)
c = await Client.open(server.url)
const last = alice.sign(2, 'last')
is(await c.publish(last), [true, ''], 'an event is acknowledged')
is((await server.stop('SIGKILL')).signal, 'SIGKILL', 'SIGKILL')
server = await serve(store)
c = await Client.open(server.url)
got = await c.query('all', { limit: 5000 })
is(got.ids.length, oks.size + 1, 'all acknowledged events are there again')
is(got.ids.includes(last.id), true, 'with the last')
const info = await c.publish(last)
is(info, [true, 'duplicate: already have this event'], 'once')

// ---- who does not read does not hold it up
async function behind(fixed) {
  const s = await serve(scratch(`s${Math.random()}`), ...fixed)
  const slow = await Client.open(s.url), fast = await Client.open(s.url)
  await slow.query('live', { kinds: [3333], limit: 0 })
  slow.ws.pause()
  for (const e of filled(90, 3333, 100000)) fast.send('EVENT', e)
  await until(() => fast.messages.length === 90)
  fast.messages.length = 0
  return { s, slow, fast }
}
let b = await behind([]);
({ end, ms } = await ends(b.s))
is(end, clean, 'a client that does not read: status 0')
ok(ms < 4000, 'within a deadline of its own', ms)
b.slow.ws.resume()
ok(await until(() => b.slow.closed && b.fast.closed), 'both are closed')
is(b.fast.closed.code, 1001, 'who reads is told')

b = await behind(['--set', 'drain_seconds=30'])
b.s.process.kill('SIGTERM')
await sleep(200)
ok(await Client.open(b.s.url).then(() => false, () => true), 'nobody is let in while it drains')
b.slow.ws.resume()
ok(await until(() => b.slow.closed), 'a slow client is waited for')
is([b.slow.messages.length, b.slow.closed.code], [90, 1001], 'and gets all that was its own')
is(await b.s.exited, clean, 'status 0')

b = await behind(['--set', 'drain_seconds=0']);
({ end, ms } = await ends(b.s))
is(end, clean, 'no time to drain: status 0')
ok(ms < 2500, 'soon', ms)

b = await behind(['--set', 'drain_seconds=60'])
b.s.process.kill('SIGTERM')
await until(() => /stopping/.test(b.s.err));
({ end, ms } = await ends(b.s))
is(end, clean, 'told twice: status 0')
ok(ms < 600, 'at once', ms)

is(await server.stop(), clean, 'status 0')
done()
