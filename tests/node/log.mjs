// The log: levels, JSON lines, slow queries, and what it never has.
import { writeFileSync } from 'node:fs'
import { ok, is, done, serve, scratch, Client, Author, until } from './tap.mjs'
import { Raw } from './raw.mjs'

const full = process.argv[2]
const lines = server => server.err.split('\n').filter(l => l.startsWith('{')).map(l => JSON.parse(l))
const found = (server, f) => until(() => lines(server).find(f))
const alice = new Author()

// ---- JSON lines, and everything
const conf = scratch('conf')
const say = more => writeFileSync(conf, `name = "log"\n${more}\n`)
say('log_format = json\nlog_level = debug\nslow_query_ms = 1')
let server = await serve(full, '-c', conf)
const secret = 'mysecretcontent'
let c = await Client.open(server.url)
const bad = { ...alice.sign(1, secret), content: secret + '2' }
is((await c.publish(bad))[0], false, 'a bad event')
c.send('REQ', 'mysubscription', { unknown: secret })
await c.take(m => m[0] === 'CLOSED')
const q = await c.query('slow', { limit: 5000, '#t': undefined })
is(q.ids.length, 5000, 'a slow query')
c.close()
ok(await found(server, l => l.event === 'closed'), 'a connection that closed')
let all = lines(server)
is(server.err.split('\n').filter(l => l && !l.startsWith('{')), [], 'every line is an object')
ok(all.every(l => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(l.time) && Math.abs(Date.parse(l.time) - Date.now()) < 3e5 &&
  ['error', 'warning', 'info', 'debug'].includes(l.level) && l.event && l.text), 'with time, level, event and text')
is(all.find(l => l.event === 'opened').connection, 1, 'a connection has a number')
const refused = all.filter(l => l.event === 'refused')
is(refused.map(l => [l.level, l.what, l.why.split(':')[0]]), [['debug', 'EVENT', 'invalid'], ['debug', 'REQ', 'unsupported']], 'refusals')
ok(!server.err.includes('mysecret') && !server.err.includes(bad.id) && !server.err.includes(alice.pubkey), 'nothing of what was refused')
ok(!server.err.includes('127.0.0.1') || all.every(l => l.event === 'serve' || !l.text.includes('127.0.0.1')), 'no address of a client')
const slow = all.find(l => l.event === 'slow-query' && l.events === 5000)
ok(slow && slow.level === 'info' && slow.verb === 'REQ' && slow.plan === 'time' && slow.ms >= 1 && slow.total_ms >= slow.ms - 1 &&
  slow.cost > 5000 && slow.entries >= 5000 && slow.lines >= 5000 && slow.slices >= 1 && slow.filters === '{"limit":5000}',
  'a slow query with plan, cost and filter', slow)
c = await Client.open(server.url)
await c.query('long', ...Array(10).fill({ limit: 5000, '#t': Array(400).fill('\u00e9"\n\u0007\u{1f919}').map((x, i) => x + i), kinds: [1, 7] }),
  { limit: 5000 })
c.send('COUNT', 'n', {})
ok(await found(server, l => l.event === 'slow-query' && l.verb === 'COUNT'), 'a COUNT')
const long = lines(server).find(l => l.event === 'slow-query' && l.filters.length > 100)
ok(long && long.filters.length < 700 && long.filters.endsWith('...') && long.plan.startsWith('tag t'), 'a long one is cut', long)
is(server.err.split('\n').filter(l => l && !l.startsWith('{')), [], 'and is one line')

// ---- other settings hold at once
const size = () => server.err.length
const reload = async more => {
  const before = server.err.split('is loaded').length
  say(more)
  server.process.kill('SIGHUP')
  return until(() => server.err.split('is loaded').length > before || /stays as it was/.test(server.err))
}
ok(await reload('slow_query_ms = 0'), 'reloaded')
let at = size()
await c.query('slow', { limit: 5000 })
await c.publish(bad)
c.close()
c = await Client.open(server.url)
ok(/nr-serve: info: the configuration is loaded\n$/.test(server.err) && size() === at, 'text, and nothing slow, nor of the rest',
  server.err.slice(-300))
await reload('slow_query_ms = 1')
at = size()
await c.query('slow', { limit: 5000 })
await until(() => size() > at)
ok(/^nr-serve: info: slow REQ: \d+ ms of work in \d+ ms, by time, cost \d+, \d+ entries, \d+ lines, 5000 events: {"limit":5000}\n$/
  .test(server.err.slice(at)), 'a slow query for people', server.err.slice(at))
at = size()
say('log_level = error')
server.process.kill('SIGHUP')
await until(async () => {
  at = size()
  await c.query('slow', { limit: 5000 })
  return size() === at
})
c.close()
const raw = await Raw.open(server.port)
raw.write('nonsense\r\n\r\n')
await until(() => raw.closed)
is(await server.stop(), { code: 0, signal: null }, 'status 0')
ok(!/stopp/.test(server.err.slice(at)), 'errors only', server.err.slice(at))
done()
