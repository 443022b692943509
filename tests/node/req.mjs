// nr-req against good relays, bad ones, and cables that are cut.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { ok, is, note, go, done, serve, scratch, run, until, Author, Client, now, sleep } from './tap.mjs'
import { relay, answer, silent, cable } from './bad.mjs'

go(Number(process.argv[2] ?? 0))
const lines = text => text.split('\n').filter(l => l)
const ids = text => lines(text).map(l => JSON.parse(l).id)
const report = () => lines(readFileSync('report', 'utf8')).map(l => JSON.parse(l))
const req = (...args) => run('nr-req', ['--report', 'report', ...args])
const same = (got, want, name) => ok(got.length === want.length &&
  JSON.stringify([...got].sort()) === JSON.stringify([...want].sort()), name, { got: got.length, want: want.length })
// For as long as the test wants.
function stream(...args) {
  const p = spawn('nr-req', ['--stream', '--report', 'report', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const s = { process: p, out: '', err: '' }
  p.stdout.on('data', d => { s.out += d })
  p.stderr.on('data', d => { s.err += d })
  s.ended = new Promise(r => p.on('close', (code, signal) => r({ code, signal })))
  s.stop = async () => { p.kill('SIGINT'); return s.ended }
  process.on('exit', () => p.kill('SIGKILL'))
  return s
}
const alice = new Author(), bob = new Author()
const seed = Number(process.env.NR_SEED ?? Date.now() % 1e6)
note(`seed ${seed}`)
let state = seed
const random = n => { state = (state * 1103515245 + 12345) % 2147483648; return state % n }

// ---- pages
// Fifty in one second, three in each before.
const notes = []
for (let i = 0; i < 50; i++) notes.push(alice.sign(1, `one second ${i}`, [], 1700000000))
for (let i = 0; i < 90; i++) notes.push(alice.sign(1, `older ${i}`, [], 1699999999 - Math.floor(i / 3)))
for (const [cap, hint, size] of [[500, false, 20], [500, true, 20], [30, false, 20], [60, false, 60], [7, false, 7], [1, false, 5]]) {
  const r = await relay((ws, send, m) => { if (m?.[0] === 'REQ') answer(notes, m, { cap, hint }).forEach(a => send(...a)) })
  const got = await req('-k', '1', '--paginate', '-l', String(size), r.url)
  const partial = cap < 50
  is(got.code, partial ? 1 : 0, `pages of ${size}, a bound of ${cap}, ${hint ? 'with' : 'no'} hints: status`)
  if (!partial) same(ids(got.out), notes.map(e => e.id), 'everything comes, ties too')
  else is(report()[0].status, 'partial', 'a second that cannot be had whole is told')
  is(new Set(ids(got.out)).size, lines(got.out).length, 'nothing twice')
  if (partial) {
    const older = notes.filter(e => e.created_at < 1700000000 - (cap < 3 ? 9e9 : 0)).map(e => e.id)
    ok(cap < 3 || older.every(i => ids(got.out).includes(i)), 'what is older comes')
  }
  ok(r.requests.length < 500, 'it does not ask for ever', r.requests.length)
  r.stop()
}
{
  const r = await relay((ws, send, m) => {
    if (m?.[0] === 'REQ') answer(notes, m, { cap: 20, until: false }).forEach(a => send(...a))
  })
  const got = await req('-k', '1', '--paginate', r.url)
  is([got.code, report()[0].message, lines(got.out).length], [1, 'the relay ignores until', 20], 'a relay that ignores until')
  ok(r.requests.length < 10, 'is not asked for ever')
  r.stop()
}
{
  const r = await relay((ws, send, m) => { if (m?.[0] === 'REQ') answer(notes.slice(0, 1), m).forEach(a => send(...a)) })
  const got = await req('-k', '1', '--paginate', r.url)
  is([got.code, lines(got.out).length], [0, 1], 'one event is all, and no part')
  r.stop()
}

{
  // One second is never had whole: it hangs up instead.
  const r = await relay((ws, send, m) => {
    if (m?.[0] !== 'REQ') return
    const some = answer(notes, m)
    if (some.length < 30) some.forEach(a => send(...a))
    else { some.slice(0, 10).forEach(a => send(...a)); ws.close() }
  })
  const got = await run('timeout', ['60', 'nr-req', '--report', 'report', '-k', '1', '--paginate', '-l', '20', '--retries', '3', r.url])
  is([got.code, report()[0].status], [1, 'partial'], 'a second that is cut off each time is given up')
  ok(notes.filter(e => e.created_at < 1700000000).every(e => got.out.includes(e.id)), 'what is older comes')
  r.stop()
}

// ---- relays that misbehave
const good = alice.sign(1, 'good'), other = alice.sign(7, '+')
const broken = { ...alice.sign(1, 'broken'), content: 'changed' }
const forged = { ...alice.sign(1, 'forged') }
forged.sig = forged.sig.replace(/^./, c => c === '0' ? '1' : '0')
async function against(name, speak, want, ...args) {
  const r = await relay(speak)
  const got = await req('-k', '1', '--timeout', '2s', '--retries', '1', ...args, r.url)
  const p = report()[0]
  is({ code: got.code, got: ids(got.out), status: p.status, ...Object.fromEntries(Object.keys(want.more ?? {}).map(k => [k, p[k]])) },
    { code: want.code, got: want.got, status: want.status, ...want.more }, name)
  r.stop()
  return { r, got, p }
}
const onReq = f => (ws, send, m) => { if (m?.[0] === 'REQ') f(send, m[1], ws, m) }
await against('not authentic, not asked for, not an event', onReq((send, s) => {
  send('EVENT', s, broken); send('EVENT', s, forged); send('EVENT', s, other)
  send('EVENT', s, { id: 1 }); send('EVENT', s); send('EVENT', 'nobody', good)
  send('EVENT', s, good); send('EOSE', s)
}), { code: 1, got: [good.id], status: 'ok', more: { invalid: 2, unasked: 1, malformed: 2, stray: 1 } })
await against('a broken copy does not keep out the good one', onReq((send, s) => {
  send('EVENT', s, { ...good, sig: forged.sig }); send('EVENT', s, good); send('EVENT', s, good); send('EOSE', s)
}), { code: 1, got: [good.id], status: 'ok', more: { invalid: 1, known: 1 } })
await against('-n takes them all', onReq((send, s) => { send('EVENT', s, forged); send('EOSE', s) }),
  { code: 0, got: [forged.id], status: 'ok' }, '-n')
await against('nothing but JSON that it does not know', onReq((send, s, ws) => {
  ws.send('{'); ws.send('["EVENT"'); ws.send('[]'); ws.send('null'); send('HELLO', s); ws.send(Buffer.from([0xff, 0])); send('EOSE', s)
}), { code: 1, got: [], status: 'ok', more: { malformed: 5 } })
await against('no EOSE', onReq((send, s) => send('EVENT', s, good)),
  { code: 1, got: [good.id], status: 'partial', more: { error: 'timeout' } })
await against('silence', () => {}, { code: 3, got: [], status: 'failed', more: { error: 'timeout' } })
await against('a message that is too long costs itself', onReq((send, s) => {
  send('NOTICE', 'x'.repeat(2 << 20)); send('EVENT', s, good); send('EOSE', s)
}), { code: 1, got: [good.id], status: 'ok', more: { too_long: 1 } })
await against('one beyond all bounds the connection', onReq((send, s) => { send('NOTICE', 'x'.repeat(20 << 20)) }),
  { code: 3, got: [], status: 'failed', more: { error: 'flood' } })
await against('a close with a reason', onReq((send, s, ws) => ws.close(4001, 'go away')),
  { code: 3, got: [], status: 'failed', more: { error: 'closed', message: 'go away', failures: 2 } })
await against('one event and gone, over and over', onReq((send, s, ws) => { send('EVENT', s, good); ws.close() }),
  { code: 1, got: [good.id], status: 'partial', more: { error: 'closed', failures: 2, known: 1 } })
await against('refused', onReq((send, s) => send('CLOSED', s, 'blocked: not you')),
  { code: 1, got: [], status: 'refused', more: { message: 'blocked: not you' } })
await against('AUTH that we cannot give', onReq((send, s) => { send('AUTH', 'abc'); send('CLOSED', s, 'auth-required: who') }),
  { code: 1, got: [], status: 'refused' })
await against('a day is not waited for', onReq((send, s) => send('CLOSED', s, 'rate-limited: try again in 1 d')),
  { code: 1, got: [], status: 'refused' })
await against('more than it gives', onReq((send, s) => { send('EVENT', s, good); send('EOSE', s, ['more']) }),
  { code: 1, got: [good.id], status: 'partial' })
await against('more than was asked for', onReq((send, s) => { send('EVENT', s, good); send('EOSE', s, ['more']) }),
  { code: 0, got: [good.id], status: 'ok' }, '-l', '1')
{
  let n = 0
  const { r } = await against('rate-limited, then not', onReq((send, s) => {
    if (++n < 3) send('CLOSED', s, 'rate-limited: try again in 1 second')
    else { send('EVENT', s, good); send('EOSE', s) }
  }), { code: 0, got: [good.id], status: 'ok' })
  is(r.requests.filter(m => m[0] === 'REQ').length, 3, 'it was asked three times')
}
{
  // Endless events for a subscription that is over.
  let r
  const flood = onReq((send, s, ws) => {
    send('EVENT', s, good); send('EOSE', s)
    const more = () => { for (let i = 0; i < 200 && ws.readyState === 1; i++) send('EVENT', s, good); if (ws.readyState === 1) setImmediate(more) }
    more()
  })
  const w = await against('events without end after EOSE', flood, { code: 0, got: [good.id], status: 'ok' })
  note(`${w.p.stray} strays, ${w.p.milliseconds} ms`)
}
{
  const flood = onReq((send, s, ws) => {
    const more = () => { for (let i = 0; i < 200 && ws.readyState === 1; i++) send('EVENT', s, good); if (ws.readyState === 1) setImmediate(more) }
    more()
  })
  await against('and before it', flood, { code: 1, got: [good.id], status: 'partial' }, '--max-time', '2s')
}

// ---- twenty relays, some of which are of no use
const server = await serve(scratch('store'))
const c = await Client.open(server.url)
const stored = []
for (let i = 0; i < 1200; i++) stored.push((i % 3 ? alice : bob).sign(i % 5 ? 1 : 7, `stored ${i}`, [['p', bob.pubkey]], 1710000000 + Math.floor(i / 4)))
stored.forEach(e => c.send('EVENT', e))
ok((await c.ok(stored[1199].id, 60000))?.[2], 'events in a relay')
{
  const relays = []
  for (let i = 0; i < 8; i++) relays.push(await relay((ws, send, m) => {
    if (m?.[0] === 'REQ') answer(stored.filter((e, n) => n % 10 < 8 || n % 10 === i), m, { cap: 5000, hint: true }).forEach(a => send(...a))
  }))
  for (let i = 0; i < 4; i++) relays.push(await relay((ws, send, m) => {      // slow
    if (m?.[0] === 'REQ') answer(stored.slice(0, 40), m, { hint: true }).forEach((a, n) => setTimeout(() => send(...a), 20 * n))
  }))
  for (let i = 0; i < 3; i++) relays.push(await relay(onReq((send, s) => send('CLOSED', s, 'restricted: members only'))))
  relays.push(await silent(), await relay(() => {}))
  const http = await relay(() => {}, { verifyClient: (_, cb) => cb(false, 403, 'no') })
  relays.push(http)
  const urls = [...relays.map(r => r.url), 'ws://127.0.0.1:1', 'ws://nobody.invalid']
  is(urls.length, 20, 'twenty relays')
  const got = await req('--all', '--paginate', '--connect-timeout', '3s', '--timeout', '3s', '--retries', '1', ...urls)
  const want = stored.filter((e, n) => n % 10 < 8 || n < 40)
  is(got.code, 1, 'some failed: status 1')
  same(ids(got.out), want.map(e => e.id), 'what the others have comes once')
  const p = report()
  is(p.map(x => x.status), [...Array(12).fill('ok'), 'refused', 'refused', 'refused', ...Array(5).fill('failed')], 'each is reported')
  is(p.slice(15).map(x => x.error), ['timeout', 'timeout', 'http', 'connect', 'resolve'], 'with what was wrong', p.slice(15))
  is(p.reduce((n, x) => n + x.new, 0), want.length, 'their new ones are all')
  ok(/^nr-req: .*failed: HTTP status 403$/m.test(got.err), 'a line for each on stderr', got.err)
  relays.forEach(r => r.stop())
}

// ---- AUTH, COUNT, NIP-11
writeFileSync('key', Buffer.from(bob.key).toString('hex') + '\n', { mode: 0o600 })
const wraps = [alice.sign(1059, 'x', [['p', bob.pubkey]]), alice.sign(1059, 'y', [['p', alice.pubkey]])]
for (const w of wraps) await c.publish(w)
let got = await req('-k', '1059', server.url)
is([got.code, got.out], [1, ''], 'private events: refused', got.err)
got = await req('-k', '1059', '-p', bob.pubkey, '-K', 'key', server.url)
is([got.code, ids(got.out), report()[0].auth], [0, [wraps[0].id], 'accepted'], 'but for whom they are, by AUTH')
{
  // A relay for those alone who have proved who they are.
  let proved = 0
  const r = await relay((ws, send, m) => {
    if (m?.[0] === 'REQ') send(...(ws.proved ? ['EVENT', m[1], good] : ['CLOSED', m[1], 'auth-required: who are you']))
    if (m?.[0] === 'REQ' && ws.proved) send('EOSE', m[1])
    if (m?.[0] === 'REQ' && !ws.proved) send('AUTH', 'late challenge "\u0007')
    if (m?.[0] === 'AUTH') {
      ws.proved = m[1].pubkey === bob.pubkey && m[1].kind === 22242 &&
        m[1].tags.some(t => t[0] === 'challenge' && t[1] === 'late challenge "\u0007')
      proved++
      send('OK', m[1].id, !!ws.proved, '')
    }
  })
  const a = await req('-k', '1', '-K', 'key', r.url)
  is([a.code, ids(a.out), proved], [0, [good.id], 1], 'a challenge that comes with the refusal', a.err)
  r.stop()
}
got = await req('--count', '-k', '1', server.url)
is([got.code, JSON.parse(got.out).count], [0, 960], '--count')
got = await req('--count', '-p', bob.pubkey, server.url, server.url.replace('127.0.0.1', 'localhost'))
is([got.code, JSON.parse(got.out)], [0, { count: 1200, approximate: true, relays: 2, authors: 2, hll: 2 }], '--count of two, merged', got.out)
{
  const r = await relay((ws, send, m) => { if (m?.[0] === 'COUNT') send('CLOSED', m[1], 'unsupported: no COUNT') })
  const a = await req('--count', '-k', '1', r.url)
  is([a.code, a.out], [1, ''], 'a relay that does not count')
  r.stop()
}
got = await req('--info', server.url)
is([got.code, JSON.parse(got.out).supported_nips.includes(1), lines(got.out).length], [0, true, 1], '--info')
got = await req('--info', server.url, 'ws://127.0.0.1:1')
is([got.code, JSON.parse(got.out).relay], [1, server.url + '/'], '--info of two, one of which is not there')

// ---- --total, --ids-only, SIGINT
got = await req('--all', '--paginate', '--total', '333', '--ids-only', server.url)
is([got.code, lines(got.out).length, lines(got.out).every(l => /^[0-9a-f]{64}$/.test(l))], [0, 333, true], '--total and --ids-only')
{
  const s = stream('-k', '1', '-l', '3', server.url)
  ok(await until(() => lines(s.out).length === 3, 10000), 'a stream begins with what is stored')
  const e = bob.sign(1, 'live')
  await c.publish(e)
  ok(await until(() => s.out.includes(e.id), 10000), 'and goes on')
  const end = await s.stop()
  is(end, { code: 0, signal: null }, 'SIGINT ends it well')
  is(report()[0].new, 4, 'with a report')
}
{
  const dead = await silent()
  const s = stream('-k', '1', dead.url)
  await sleep(300)
  await s.process.kill('SIGTERM')
  is((await s.ended).code, 3, 'a stream from nobody has no answer')
  is(report()[0].status, 'failed', 'and is reported so')
  dead.stop()
}
got = await run('sh', ['-c', `nr-req -q --stream -k 1 ${server.url} | head -1 | wc -l`])
is(got.out.trim(), '1', 'it ends with its reader')

// ---- streams that are interrupted
{
  // Closed by the relay, which is well otherwise.
  const events = []
  let live, again
  const r = await relay(onReq((send, s, ws, m) => {
    if (m[2].limit === 0) { if (live) again = true; live = { send, s }; send('EOSE', s) } else answer(events, m).forEach(a => send(...a))
  }))
  const s = stream('-k', '1', r.url)
  ok(await until(() => r.requests.some(m => m[0] === 'REQ' && m[2].limit !== 0), 10000), 'a stream')
  live.send('CLOSED', live.s, 'error: try again in 1 second')
  const e = alice.sign(1, 'while it was closed')
  events.push(e)
  ok(await until(() => s.out.includes(e.id), 20000), 'that the relay has closed misses nothing', { again, requests: r.requests })
  await s.stop()
  r.stop()
}
{
  // Away for longer than --overlap, and there in between for less than it takes.
  let away = false
  const r = await relay((ws, send, m) => {
    if (away) ws.terminate()
    else if (m?.[0] === 'REQ') send('EOSE', m[1])
  })
  const s = stream('-k', '1', '--overlap', '1s', r.url)
  const gaps = () => r.requests.filter(m => m[0] === 'REQ' && m[2].since !== undefined)
  ok(await until(() => r.requests.some(m => m[0] === 'REQ' && m[2].limit !== 0), 10000), 'another')
  const before = r.connections, lost = now()
  away = true
  r.server.clients.forEach(c => c.terminate())
  ok(await until(() => r.connections > before + 1 && now() > lost + 3, 30000), 'that is lost, over and over')
  away = false
  ok(await until(() => gaps().length > 0, 30000), 'asks for what was stored since')
  ok(gaps()[0][2].since <= lost, 'the first time', [gaps()[0], lost])
  await s.stop()
  r.stop()
}
{
  // What it will not say now.
  let refused = 0, live
  const r = await relay(onReq((send, s, ws, m) => {
    if (m[2].since !== undefined && !refused++) send('CLOSED', s, 'blocked: not now')
    else { send('EOSE', s); if (m[2].limit === 0) live = ws }
  }))
  const s = stream('-k', '1', '--overlap', '1s', r.url)
  const gaps = () => r.requests.filter(m => m[0] === 'REQ' && m[2].since !== undefined).map(m => m[2].since)
  ok(await until(() => r.requests.length > 1, 10000), 'a third')
  live.terminate()
  ok(await until(() => refused, 10000), 'that is refused')
  const t = now()
  ok(await until(() => now() > t + 2, 10000), 'and lost again')
  live.terminate()
  ok(await until(() => gaps().length > 1, 10000), 'asks again')
  ok(gaps()[1] <= gaps()[0], 'for all of it', gaps())
  await s.stop()
  r.stop()
}

// ---- cables that are cut
{
  const all = stored.map(e => e.id)
  const cut = await cable(server.port, 100, () => 300 + random(10000))
  const a = await req('-k', '1', '-k', '7', '-u', '1720000000', '--paginate', '-l', '100', '--retries', '50', cut.url)
  note(`${cut.cuts} cuts while paging, ${report()[0].milliseconds} ms`)
  is(cut.cuts, 100, 'cut a hundred times while it pages')
  is(a.code, 0, 'it finishes by itself')
  same(ids(a.out), all, 'nothing lost, nothing twice')
  cut.stop()
}
{
  const cut = await cable(server.port, 100, () => 1 + random(5000))
  const s = stream('-k', '30', '-k', '31', cut.url)
  const sent = []
  ok(await until(() => cut.connections > 0, 10000), 'a stream by way of a cable')
  while (cut.cuts < 100 && sent.length < 20000) {
    const batch = Array.from({ length: 4 }, (_, i) => alice.sign(30 + random(2), `${sent.length + i} ` + 'x'.repeat(random(900))))
    batch.forEach(e => c.send('EVENT', e))
    await c.ok(batch[3].id, 20000)
    sent.push(...batch)
    await sleep(20)
  }
  const last = alice.sign(30, 'the last')
  await c.publish(last)
  sent.push(last)
  ok(await until(() => new Set(ids(s.out.slice(0, s.out.lastIndexOf('\n') + 1))).size >= sent.length, 60000), 'all arrive')
  note(`${cut.cuts} cuts, ${sent.length} events`)
  is(cut.cuts, 100, 'cut a hundred times')
  const end = await s.stop()
  ok([0, 1].includes(end.code) && !end.signal, 'it ends well', end)
  same(ids(s.out), sent.map(e => e.id), 'nothing lost, nothing twice')
  cut.stop()
}
c.close()
is((await server.stop()).code, 0, 'the relay ends well')
done()
