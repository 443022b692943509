// Relays with one habit each, and nr-bench load against them, and against
// nr-serve by TLS.  Begins in a directory with the files of
// tests/1315-load-relays.t.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import tls from 'node:tls'
import { WebSocketServer } from 'ws'
import { ok, is, note, done, serve, scratch, run, sleep, until, go } from './tap.mjs'
import { matchFilter } from 'nostr-tools/filter'
import { frame, PING, TEXT } from './raw.mjs'

go(Number(process.argv[2] ?? 0))
const events = readFileSync('events', 'utf8').trim().split('\n')
const stored = JSON.parse(events[0])

// A relay that answers as others do, but where it is told otherwise.
async function mock(habit = {}, options = {}) {
  const server = http.createServer()
  const wss = new WebSocketServer({ server, ...options })
  wss.on('connection', ws => {
    const say = (...m) => ws.send(JSON.stringify(m))
    ws.on('error', () => {})
    habit.connect?.(ws, say)
    ws.on('message', d => {
      const m = JSON.parse(d)
      if (habit[m[0]]) habit[m[0]](ws, say, m)
      else if (m[0] === 'REQ') say('EOSE', m[1])
      else if (m[0] === 'EVENT') say('OK', m[1].id, true, '')
    })
  })
  await new Promise(r => server.listen(0, '127.0.0.1', r))
  server.unref()
  return `ws://127.0.0.1:${server.address().port}`
}
const bench = async (...args) => {
  const r = await run('timeout', ['60', 'nr-bench', ...args])
  const lines = r.out.split('\n').filter(x => x).map(x => JSON.parse(x))
  return { ...r, lines, report: lines[0] ?? {} }
}
const load = (...args) => bench('load', ...args)

// ---- TLS
const pair = name => ['--set', `tls_certificate=${name}.pem`, '--set', `tls_key=${name}.key`]
const secure = relay => /serving (wss:\S+)/.exec(relay.err)[1]
const relay = await serve(scratch('store'), '--listen', 'tls:127.0.0.1:0', ...pair('good'))
const url = secure(relay)
{
  const r = await load('publish', '--auth', '--ca-file', 'good.pem', '-f', 'events', url)
  is([r.code, r.report.accepted], [0, events.length], 'events by TLS, with AUTH')
  const q = await load('query', '-n', '500', '-c', '4', '--ca-file', 'good.pem', '-f', 'events', url)
  is([q.code, q.report.queries, q.report.wrong], [0, 500, 0], 'and queries')
  ok(q.report.bytes_in > 500 * 100, 'bytes are counted', q.report)
  const d = await load('query', '--deflate', '-n', '200', '--ca-file', 'good.pem', '-f', 'events', url)
  is([d.code, d.report.queries], [0, 200], 'compressed, too')
  const byName = await load('query', '-n', '5', '--ca-file', 'good.pem', '-f', 'events', url.replace('127.0.0.1', 'localhost'))
  is(byName.code, 0, 'by a name')
  const s = await load('slow', '-c', '4', '--seconds', '1', '--ca-file', 'good.pem', '-f', 'events', url)
  ok(s.report.queries > 0 && s.report.alone.done > 0, 'beside those who read slowly', s)
  const c = await load('connect', '-c', '4', '-n', '20', '--ca-file', 'good.pem', url)
  is([c.code, c.report.connects], [0, 20], 'connections over and over')
}
{
  const r = await load('query', '-n', '1', '-f', 'events', url)
  is([r.code, r.out], [3, ''], 'an authority that is not known: status 3')
  ok(r.err.startsWith(`nr-bench: ${url}: untrusted: self-signed certificate`), 'with the class and why', r.err)
  const other = await serve(scratch('other'), '--listen', 'tls:127.0.0.1:0', ...pair('other'))
  for (const host of ['127.0.0.1', 'localhost']) {
    const o = await load('query', '--auth', '-n', '1', '--ca-file', 'other.pem', '-f', 'events', secure(other).replace('127.0.0.1', host))
    is(o.code, 3, `a certificate of another host than ${host}`)
    ok(/: wrong-name: (hostname|IP address) mismatch/.test(o.err), 'is said', o.err)
  }
  await other.stop()
  const none = await load('query', '-n', '1', '--ca-file', 'good.key', '-f', 'events', url)
  is([none.code, none.err], [2, 'nr-bench: no certificates in good.key\n'], 'no certificates: status 2')
  const plain = await load('query', '-n', '1', '-f', 'events', url.replace('wss', 'ws'))
  is(plain.code, 3, 'no TLS where there must be')
  const reverse = await load('query', '-n', '1', '-f', 'events', relay.url.replace('ws', 'wss'))
  is(reverse.code, 3, 'and the other way round')
  ok(/: tls: /.test(reverse.err), 'is said', reverse.err)
}
// A relay by TLS that hangs up in the middle ends nothing but itself.
{
  const cut = tls.createServer({ key: readFileSync('good.key'), cert: readFileSync('good.pem') }, s => {
    s.on('error', () => {})
    s.once('data', () => {
      s.write('HTTP/1.1 101 x\r\n\r\n')
      s.on('data', () => s.destroy())
    })
  })
  await new Promise(r => cut.listen(0, '127.0.0.1', r))
  const r = await load('publish', '-c', '2', '--ca-file', 'good.pem', '-f', 'events', `wss://127.0.0.1:${cut.address().port}`)
  is([r.code, r.report.lost_connections], [3, 2], 'connections that end in the middle')
  ok(/stopped answering.*\n.*connection that was lost: closed: /.test(r.err), 'are told', r.err)
  cut.close()
}
{
  const refusing = http.createServer((req, res) => { res.writeHead(403); res.end() })
  await new Promise(r => refusing.listen(0, '127.0.0.1', r))
  const r = await load('query', '-n', '1', '-f', 'events', `ws://127.0.0.1:${refusing.address().port}`)
  is(r.code, 3, 'no WebSocket')
  ok(/: http: no WebSocket but HTTP\/1.1 403 Forbidden/.test(r.err), 'but what it says', r.err)
  refusing.close()
}

// ---- fragments
for (const packed of [false, true]) {
  const pieces = (ws, text) => {
    for (let i = 0; i < text.length; i += 10) {
      ws.send(text.slice(i, i + 10), { fin: i + 10 >= text.length, compress: packed })
      ws.ping('between')
    }
  }
  const fragments = await mock({
    REQ: (ws, say, m) => {
      pieces(ws, JSON.stringify(['EVENT', m[1], stored]))
      pieces(ws, JSON.stringify(['EOSE', m[1]]))
    }
  }, packed ? { perMessageDeflate: { serverNoContextTakeover: true, threshold: 0 } } : {})
  // Only what was put together right can fail to match.
  const r = await load('query', '-c', '2', '-n', '64', ...packed ? ['--deflate'] : [], '-f', 'events', fragments)
  is([r.report.queries, r.report.events], [64, 64], `fragments are put together${packed ? ', inflated' : ''}`)
  ok(!/no event$/m.test(r.err), 'and are what they were', r.err)
}
for (const [name, ...ops] of [['a message within another', TEXT, TEXT], ['an end without a beginning', 0]]) {
  const disorder = await mock({
    REQ: ws => ops.forEach(op => ws._socket.write(frame(op, '["EOSE",', { fin: op ? 0 : 1, mask: false })))
  })
  const r = await load('query', '-c', '1', '-n', '4', '--timeout', '20', '-f', 'events', disorder)
  is(r.code, 3, name)
  ok(/closed|protocol: fragments in disorder/.test(r.err), 'is told', r.err)
}

// ---- what is not read does not pile up
const memory = pid => {
  try { return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) } catch { return 0 }
}
// Write so much in pieces of what next() makes, and read nothing.
const pour = async (ws, next, most) => {
  ws._socket.pause()
  for (let n = 0; n < most && !ws._socket.destroyed;) {
    const piece = next()
    n += piece.length
    if (!ws._socket.write(piece))
      await Promise.race([new Promise(r => ws._socket.once('drain', r)), sleep(1000)])
  }
}
async function measured(...args) {
  const p = spawn('nr-bench', ['load', ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let err = '', most = 0
  p.stderr.on('data', d => { err += d })
  const timer = setInterval(() => { most = Math.max(most, memory(p.pid)) }, 20)
  const code = await new Promise(r => p.on('close', r))
  clearInterval(timer)
  return { code, err, most }
}
const sanitized = /address|thread/.test(process.env.PATH.split(':').find(x => /build/.test(x)) ?? '')
{
  const ping = Buffer.concat(Array.from({ length: 500 }, () => frame(PING, 'x'.repeat(125), { mask: false })))
  const pings = await mock({ connect: ws => pour(ws, () => ping, 1 << 27) })
  const r = await measured('query', '-c', '1', '-n', '10', '--timeout', '4', '-f', 'events', pings)
  is(r.code, 3, 'pings of one who does not read')
  note(`${r.most} KB`)
  if (!sanitized) ok(r.most > 0 && r.most < 40000, 'are not answered for ever', r.most)
}
{
  // Who guesses what is asked next gets more of it.
  let n = 0
  const guess = () => Buffer.concat(Array.from({ length: 100 }, () => frame(TEXT, `["EOSE","q0.${++n}"]`, { mask: false })))
  const guesses = await mock({ REQ: (ws, say, m) => { if (!n) { n = Number(m[1].slice(3)) - 1; pour(ws, guess, 1 << 23) } } })
  const r = await measured('query', '-c', '1', '--seconds', '100', '--timeout', '30', '-f', 'events', guesses)
  is(r.code, 3, 'answers of one who does not read')
  ok(/closed: the relay does not read/.test(r.err), 'end the connection', r.err)
}

// ---- answers that are late, twice, known, or not what they were
for (const [mode, verb, ...last] of [['query', 'REQ', 'EOSE'], ['publish', 'EVENT', 'OK', true, '']]) {
  // The first answer comes when others are still waited for.
  let n = 0
  const late = await mock({
    [verb]: (ws, say, m) => {
      const id = m[1].id ?? m[1], first = n++ === 0
      setTimeout(() => {
        if (first && verb === 'REQ') say('EVENT', id, stored)
        say(last[0], id, ...last.slice(1))
      }, first ? 2800 : 1500)
    }
  })
  const r = await load(mode, '-c', '2', '-w', '1', '--timeout', '2', '-f', 'events', late)
  is([r.code, r.report.wrong, r.report.errors.timeout >= 1], [3, 0, true], `${mode}: a late answer is late, not wrong`)
}
// One subscriber gets one event again, early or late among many.
for (const [file, count, which] of [['events', 20, 1], ['many', 5000, 4500]]) {
  const ears = []
  let n = 0
  const twice = await mock({
    REQ: (ws, say, m) => { ears.push([say, m[1]]); say('EOSE', m[1]) },
    EVENT: (ws, say, m) => {
      n++
      for (const [to, id] of ears) {
        to('EVENT', id, m[1])
        if (n === which && to === ears[1][0]) to('EVENT', id, m[1])
      }
      say('OK', m[1].id, true, '')
    }
  })
  const r = await load('fanout', '-c', '3', '-n', `${count}`, '-f', file, twice)
  is([r.code, r.report.deliveries, r.report.wrong], [1, 3 * count, 1], `of ${count} events one twice is one, and wrong`)
  ok(/wrong: an event delivered twice/.test(r.err), 'is named', r.err)
}
// ---- pages of a relay that gives less at once than it is asked for
{
  const all = events.map(e => JSON.parse(e)).sort((a, b) => b.created_at - a.created_at)
  const page = m => all.filter(e => e.created_at <= m[2].until).slice(0, 7)
  const modest = await mock({
    connect: (ws, say) => say('NOTICE', 'welcome'),
    REQ: (ws, say, m) => {
      for (const e of page(m)) ws.send(`["EVENT","${m[1]}",${JSON.stringify(e).replace('"created_at":', '$& ')}]`)
      say('EOSE', m[1])
    }
  })
  const r = await load('pages', '--filter', ' { }', modest)
  is([r.code, r.report.whole, r.report.wrong, r.report.refused], [0, true, 0, 0], 'pages that are never full')
  ok(r.report.events >= all.length, 'are all read', r.report.events)
  is(r.report.depths?.[1]?.events % 7, 0, 'and counted as they are')
  ok(/first notice: .*welcome/.test(r.err), 'a NOTICE is told, and no answer', r.err)
  const deaf = await mock({ REQ: (ws, say, m) => { for (const e of all.slice(-5)) say('EVENT', m[1], e); say('EOSE', m[1]) } })
  const d = await load('pages', '-n', '1000', deaf)
  is([d.code, d.report.whole], [1, false], 'who pays no heed to until is not read for ever')
  ok(d.report.queries < 10, 'nor often', d.report)
}
{
  // It answers once, then nobody listens.
  const brief = http.createServer()
  const wss = new WebSocketServer({ server: brief })
  wss.on('connection', ws => ws.on('message', d => {
    brief.close()
    ws.send(JSON.stringify(['EOSE', JSON.parse(d)[1]]))
  }))
  await new Promise(r => brief.listen(0, '127.0.0.1', r))
  const r = await load('connect', '-c', '2', '--seconds', '40', `ws://127.0.0.1:${brief.address().port}`)
  is(r.code, 3, 'connections to who has gone: status 3')
  ok(r.report.connects > 0 && r.report.lost_connections < 100, 'are not tried again at once, nor for ever', r.report)
}

{
  const again = await load('publish', '--ca-file', 'good.pem', '-f', 'events', url)
  is([again.code, again.report.accepted, again.report.known, again.report.refused], [0, events.length, events.length, 0],
    'what is stored already is accepted, and known')
  ok(again.err.includes(`${events.length} events, or newer versions, were stored already`), 'is told', again.err)
  for (const text of ['replaced: have newer event', 'duplicate: newer']) {
    const newer = await mock({ EVENT: (ws, say, m) => say('OK', m[1].id, false, text) })
    const r = await load('publish', '-n', '20', '-f', 'events', newer)
    is([r.code, r.report.refused, r.report.published, r.report.known, r.report.per_second, r.report.errors], [1, 0, 20, 20, 0, {}], `known: ${text}`)
    ok(/nothing was measured/.test(r.err), 'nothing was measured', r.err)
  }
  for (const [text, name] of [['mute: nobody listens', 'mute'],
    ['deleted: by its author', 'deleted'], ['why not', 'other']]) {
    const refusing = await mock({ EVENT: (ws, say, m) => say('OK', m[1].id, false, text) })
    const r = await load('publish', '-n', '20', '-f', 'events', refusing)
    is([r.code, r.report.refused, r.report.published, r.report.known, r.report.per_second, r.report.errors],
      [1, 20, 20, 0, 0, { [name]: 20 }], `refused: ${text}`)
  }
}
{
  // Challenges that come again, and a CLOSED for each CLOSE.
  const chatty = await mock({
    connect: (ws, say) => say('AUTH', 'first'),
    AUTH: (ws, say, m) => say('OK', m[1].id, true, ''),
    REQ: (ws, say, m) => { say('AUTH', 'again'); say('EOSE', m[1]) },
    CLOSE: (ws, say, m) => say('CLOSED', m[1], 'error: if you say so'),
  })
  const r = await load('query', '--auth', '-c', '3', '-n', '60', '--filter', '{"kinds":[1]}', chatty)
  is([r.code, r.report.queries, r.report.wrong, r.report.refused, r.report.auth], [0, 60, 0, 0, true], 'a relay that talks much')
}
{
  // As many events as before, and each as it should be, but others.
  let n = 0, some = []
  const other = await mock({
    REQ: (ws, say, m) => {
      some = events.map(e => JSON.parse(e)).filter(e => matchFilter(m[2], e))
      if (some.length > 1) say('EVENT', m[1], some[n++ % 2])
      say('EOSE', m[1])
    }
  })
  for (let seed = 1; seed < 100 && some.length < 2; seed++) {
    const r = await load('query', '--seed', `${seed}`, '--filters', '1', '-c', '1', '-n', '4', '-f', 'events', other)
    if (some.length < 2) continue
    is([r.code, r.report.wrong], [1, 2], 'other events for the same question')
    ok(/wrong: other events than before/.test(r.err), 'are named', r.err)
  }
}
await relay.stop()
done()
