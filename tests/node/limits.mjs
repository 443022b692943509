// How much clients may do in a time: by connection, address, key and over all.
import http from 'node:http'
import { ok, is, done, serve, scratch, Client, Author, until, now } from './tap.mjs'

const author = new Author()
let stores = 0
const start = (...keys) => serve(scratch(`store${stores++}`), ...['slow_ms=0', ...keys].flatMap(k => ['--set', k]))
// A trusted proxy tells who it is.
const from = (relay, ip, more = {}) => Client.open(relay.url, { headers: { ...(ip && { 'X-Forwarded-For': ip }), ...more } })
let n = 0
const note = (...tags) => author.sign(1, `note ${n++}`, tags)
const rateLimited = m => /^rate-limited: try again in \d+ s$/.test(m?.[1])
// The answer to an upgrade that is refused.
const refused = (relay, ip) => new Promise(resolve => {
  http.get({ port: relay.port, headers: { 'X-Forwarded-For': ip, Connection: 'Upgrade', Upgrade: 'websocket',
    'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' } },
    r => { r.resume(); resolve({ status: r.statusCode, after: Number(r.headers['retry-after']) }) })
    .on('upgrade', (r, socket) => { socket.destroy(); resolve({ status: r.statusCode }) })
    .on('error', e => resolve({ status: 0, e: String(e) }))
})
const many = async (c, k) => {
  const events = Array.from({ length: k }, () => note())
  events.forEach(e => c.send('EVENT', e))
  const answers = []
  for (const e of events) answers.push((await c.ok(e.id))?.slice(2))
  return { yes: answers.filter(a => a?.[0] === true).length, no: answers.filter(a => a?.[0] === false && rateLimited(a)).length }
}

// ---- events
const r = await start('ip_event_rate=1/10s burst 3', 'key_event_rate=1/h burst 2', 'metrics=127.0.0.1:0')
const a = await from(r, '198.51.100.1')
is(await many(a, 5), { yes: 3, no: 2 }, 'events of an address: the burst, then none')
is(await many(await from(r, '198.51.100.1'), 2), { yes: 0, no: 2 }, 'another connection makes no difference')
is(await many(await from(r, '198.51.100.2'), 3), { yes: 3, no: 0 }, 'another address has its own')
is(await many(await from(r), 20), { yes: 20, no: 0 }, 'the operator has no address')
is(await many(await from(r, '2001:db8::1'), 2), { yes: 2, no: 0 }, 'IPv6')
is(await many(await from(r, '2001:db8::2'), 2), { yes: 1, no: 1 }, 'a network of it is one address')
is(await many(await from(r, '2001:db8:0:1::1'), 3), { yes: 3, no: 0 }, 'another is another')
a.send('REQ', 's', { limit: 1 })
ok(await a.take(m => m[0] === 'EOSE'), 'who may not publish may ask')
a.raw('["EVENT",{"id":7}]')
ok(rateLimited(await a.take(m => m[0] === 'NOTICE')), 'what has no id is refused by NOTICE')
const keyed = await from(r)
await keyed.auth(author)
is(await many(keyed, 4), { yes: 2, no: 2 }, 'events of a key')
const keyed2 = await from(r, '198.51.100.9')
await keyed2.auth(author)
is(await many(keyed2, 2), { yes: 0, no: 2 }, 'from wherever')
const metricsPort = Number(/metrics at http:\/\/[^\n]*:(\d+)/.exec(r.err)[1])
const figures = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
ok(/nr_limited_total\{limit="ip_event_rate"\} 6\n/.test(figures), 'what was in the way is counted', figures.match(/nr_limited.*/g))
ok(/nr_limited_total\{limit="key_event_rate"\} 4\n/.test(figures), 'one by one')
ok(/nr_events_total\{accepted="false",reason="rate-limited"\} 10\n/.test(figures), 'as answers too')

const slow = await start('ip_event_rate=10/s burst 1', 'slow_ms=2000')
const s = await from(slow, '198.51.100.1')
let t = Date.now()
is(await many(s, 6), { yes: 6, no: 0 }, 'a short wait is no refusal')
ok(Date.now() - t >= 400, 'but a wait', Date.now() - t)
s.send('REQ', 'x', { limit: 1 })
s.close()
ok((await from(slow, '198.51.100.1')) !== null, 'who leaves while it waits leaves')

// Connections that share a rate take turns; who would be too far behind is refused.
const turns = await start('ip_event_rate=20/s burst 1', 'slow_ms=2000')
const sharers = await Promise.all(Array.from({ length: 4 }, () => from(turns, '198.51.100.1')))
const had = [0, 0, 0, 0], theirs = had.map(() => Array.from({ length: 15 }, () => note()))
sharers.forEach((x, i) => theirs[i].forEach(e => x.send('EVENT', e)))
const least = await Promise.all(sharers.map(async (x, i) => {
  for (const e of theirs[i]) had[i] += (await x.ok(e.id))?.[2] === true
  return Math.min(...had)
}))
is(had, [15, 15, 15, 15], 'several connections are slowed down')
ok(Math.min(...least) >= 8, 'and none is left behind', least)
const queue = await start('ip_event_rate=1/s burst 1', 'slow_ms=2000')
const crowd = await Promise.all(Array.from({ length: 10 }, () => from(queue, '198.51.100.1')))
const fates = await Promise.all(crowd.map(x => many(x, 1)))
const [went, stayed] = [fates.reduce((n, f) => n + f.yes, 0), fates.reduce((n, f) => n + f.no, 0)]
ok(went >= 3 && stayed >= 1 && went + stayed === 10, 'too many of them are refused', fates)

const whole = await start('event_byte_rate=1/h burst 900')
is(await many(await from(whole), 4), { yes: 2, no: 2 }, 'bytes of events over all, the operator\'s too')
is(await many(await from(await start('event_rate=1/h burst 3')), 5), { yes: 3, no: 2 }, 'and events')

// ---- queries
const q = await start('ip_query_rate=1/h burst 1', 'max_count=10')
await many(await from(q), 5)
const asks = async c => (await c.query('q', {})).end
const first = await from(q, '198.51.100.1')
is((await asks(first))[0], 'EOSE', 'the first query')
const end = await asks(first)
ok(end[0] === 'CLOSED' && rateLimited(end.slice(1)), 'its price was what it cost, so the next comes too soon', end)
first.send('COUNT', 'c', {})
ok(rateLimited((await first.take(m => m[0] === 'CLOSED'))?.slice(1)), 'COUNT as well')
is((await asks(await from(q, '198.51.100.1')))[0], 'CLOSED', 'on another connection')
is((await asks(await from(q, '198.51.100.2')))[0], 'EOSE', 'not from another address')
is((await asks(await from(q)))[0], 'EOSE', 'nor by the operator')
ok((await first.publish(note()))?.[0], 'who may not ask may publish')

const busy = await start('max_queries=2', 'query_threads=1', 'max_subscriptions=1000')
const b = await from(busy)
await many(b, 200)
for (let i = 0; i < 400; i++) b.send(i % 2 ? 'COUNT' : 'REQ', `b${i}`, {})
const ends = []
while (ends.length < 400) {
  const m = await b.take(m => ['EOSE', 'CLOSED', 'COUNT'].includes(m[0]))
  if (!m) break
  ends.push(m)
}
is(ends.length, 400, 'every query gets an answer')
const closed = ends.filter(m => m[0] === 'CLOSED')
ok(closed.length > 0 && closed.every(m => rateLimited(m.slice(1))), 'who asks a relay that has too much to do is told when to come again', closed[0])

is((await (await from(busy, '198.51.100.1')).query('q', { limit: 1 })).end[0], 'EOSE', 'later it has room')
const shared = await start('max_queries=400', 'query_threads=1', 'max_subscriptions=1000')
await many(await from(shared), 200)
const greedy = await from(shared, '198.51.100.1')
greedy.ws._socket.cork()
for (let i = 0; i < 190; i++) greedy.send('COUNT', `g${i}`, {})
greedy.ws._socket.uncork()
ok(rateLimited((await greedy.take(m => m[0] === 'CLOSED'))?.slice(1)), 'an address has no more than its share of those that wait')

// An address whose burst is used up goes on at its rate, others at once.
const paced = await start('slow_ms=1000', 'ip_query_rate=200K/s burst 1')
const filler = await from(paced)
for (let i = 0; i < 80; i++) await filler.publish(author.sign(1, `${i} ${'x'.repeat(50000)}`))
const heavy = await from(paced, '198.51.100.1')
t = Date.now()
const all = heavy.query('all', { limit: 80 })
const light = await (await from(paced, '198.51.100.2')).query('one', { limit: 1 })
const lightTook = Date.now() - t
is(light.end[0], 'EOSE', 'another address is answered')
is((await all).events.length, 80, 'who owes work gets everything in the end')
const took = Date.now() - t
ok(took > 800 && lightTook < took, 'at its rate', `${took} ms, the other ${lightTook} ms`)
const halfway = heavy.query('again', { limit: 80 })
heavy.close()
await halfway.catch(() => {})
is((await (await from(paced, '198.51.100.2')).query('one', { limit: 1 })).end[0], 'EOSE', 'who leaves while it rests leaves')

// ---- messages and bytes of a connection
const m = await start('message_rate=1/h burst 5', 'byte_rate=1/h burst 4K')
const talker = await from(m, '198.51.100.1')
for (let i = 0; i < 7; i++) talker.send('CLOSE', 'none')
ok(await until(() => talker.messages.length === 2), 'messages of a connection', talker.messages)
ok(talker.messages.every(m => m[0] === 'NOTICE' && rateLimited(m)), 'are refused by NOTICE')
const big = await from(m, '198.51.100.1')
const long = [1, 2].map(() => author.sign(1, 'x'.repeat(3000)))
is((await big.publish(long[0]))?.[0], true, 'bytes of a connection')
ok(rateLimited(await big.publish(long[1])), 'have a rate too')

// ---- connections
const c = await start('ip_connections=2', 'ip_connect_rate=1/h burst 4', 'key_connections=1', 'connect_rate=1/h burst 12')
const one = await from(c, '198.51.100.1'), two = await from(c, '198.51.100.1')
let no = await refused(c, '198.51.100.1')
ok(no.status === 429 && no.after > 0, 'connections of an address', no)
is((await refused(c, '198.51.100.2')).status, 101, 'another may come')
is(await one.auth(author), [true, ''], 'a key')
ok(/^rate-limited: /.test((await two.auth(author))?.[1]), 'has connections, too')
one.close()
await until(async () => (two.messages = [], (await two.auth(author))?.[0]))
is(await two.auth(author), [true, ''], 'when one has gone there is room')
is((await refused(c, '198.51.100.1')).status, 101, 'of an address, too')
is((await refused(c, '198.51.100.1')).status, 101, 'up to the rate')
no = await refused(c, '198.51.100.1')
ok(no.status === 429 && no.after > 60, 'which says when to come again', no)
let statuses = []
for (let i = 0; i < 12; i++) statuses.push((await refused(c, `203.0.113.${i}`)).status)
ok(statuses.includes(101) && statuses.slice(-3).every(s => s === 429), 'new connections of everybody', statuses)

// ---- authentication
const auth = await start('ip_auth_failures=3/h')
const guess = await from(auth, '198.51.100.1')
for (let i = 0; i < 3; i++) ok(/^invalid: /.test((await guess.auth(author, { challenge: 'x' }))?.[1]), 'a failed AUTH')
ok(rateLimited(await guess.auth(author, { challenge: 'x' })), 'too many of them')
ok(rateLimited(await (await from(auth, '198.51.100.1')).auth(author)), 'then nobody there is believed')
is(await (await from(auth, '198.51.100.2')).auth(author), [true, ''], 'elsewhere it goes on')

// ---- from refusals to a ban
const ban = await start('ip_event_rate=1/h', 'ip_refusals=2/h', 'ip_closes=1/h', 'ban_seconds=2')
const by = '198.51.100.1'
const flood = async () => {
  const c = await from(ban, by)
  for (let i = 0; i < 4; i++) c.send('EVENT', note())
  return (await until(() => c.closed)) && c.closed.code
}
const idle = await from(ban, by), other = await from(ban, '198.51.100.2')
is(await flood(), 1008, 'who goes on after refusals is closed')
is((await refused(ban, by)).status, 101, 'and may come again')
is(await flood(), 1008, 'closed again')
no = await refused(ban, by)
ok(no.status === 429 && no.after <= 2, 'and banned', no)
idle.send('REQ', 's', {})
ok(await until(() => idle.closed), 'with its other connections, when they speak', idle.closed)
is((await other.publish(note()))?.[0], true, 'nobody else is')
ok(await until(async () => (await refused(ban, by)).status === 101), 'for a while')

// ---- events themselves
const e = await start('max_content=5', 'max_tag_value=70', 'max_age=3600')
const w = await from(e)
for (const [name, event, good] of [
  ['content in characters', author.sign(1, 'äöü\n"'), true], ['too many', author.sign(1, 'äöü\n"!'), false],
  ['a long tag value', author.sign(1, '', [['t', 'x'.repeat(70)]]), true], ['too long', author.sign(1, '', [['t', 'x'.repeat(71)]]), false],
  ['an old event', author.sign(1, '', [], now() - 3000), true], ['too old', author.sign(1, '', [], now() - 4000), false],
]) {
  const m = await w.publish(event)
  ok(m?.[0] === good && (good || /^invalid: /.test(m[1])), name, m)
}
done()
