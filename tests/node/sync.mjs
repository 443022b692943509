// nr-negentropy with relays: good ones, bad ones, and a bad network.
import net from 'node:net'
import WebSocket from 'ws'
import { writeFileSync } from 'node:fs'
import { ok, is, done, serve, scratch, Client, Author, until, run, sleep, now, note } from './tap.mjs'
import { wrong, ways } from './wrong.mjs'
import { relay as paged, answer } from './bad.mjs'
import { spawn } from 'node:child_process'

const alice = new Author(), bob = new Author()
const jsonl = events => events.map(e => JSON.stringify(e) + '\n').join('')
const lines = text => text.split('\n').filter(l => l)
const store = async (name, events) => { await run('nr-import', ['-q', '-S', scratch(name)], jsonl(events)); return scratch(name) }
const ids = async dir => lines((await run('nr-export', ['-S', dir, '--ids'])).out).sort()
const neg = (...args) => run('nr-negentropy', args)
const report = r => { try { return JSON.parse(lines(r.out).at(-1)) } catch { return { bad: r.out, err: r.err } } }
const made = (await run('nr-bench', ['gen', '-q', '-n', '4000', '--seed', '41'])).out.trim().split('\n').map(l => JSON.parse(l))
  .filter(e => e.kind !== 4 && e.kind !== 1059)
const pick = pred => made.filter((e, i) => pred(i))
const want = async (...stores) => { // the union, by the store's own rules
  const all = []
  for (const s of stores) all.push((await run('nr-export', ['-S', s])).out)
  const dir = scratch(`union${Math.random()}`)
  await run('nr-import', ['-q', '-nn', '-S', dir], all.join(''))
  return ids(dir)
}
// A way to a relay that does not let one event pass.
async function proxied(url, id) {
  return paged((ws, send, m) => {
    if (!ws.way) { ws.way = new WebSocket(url); ws.way.onmessage = e => { if (!e.data.includes(`"id":"${id}"`)) ws.send(e.data) }; return }
    const pass = () => ws.way.send(JSON.stringify(m))
    if (ws.way.readyState === 1) pass(); else ws.way.addEventListener('open', pass)
  })
}
let n = 0
const fresh = name => scratch(`${name}${n++}`)

// ---- a relay, in each direction
const a = await store('a', pick(i => i % 10 !== 1)), b = await store('b', pick(i => i % 7 !== 2))
const union = await want(a, b)
const relay = await serve(b, '--set', 'max_future=100000000')
let r = await neg('-S', a, '--dry-run', relay.url)
let f = report(r)
ok(r.code === 1 && f.have > 100 && f.need > 100, 'a dry run tells what differs', f)
r = await neg('-S', a, '--ids', relay.url)
const told = lines(r.out)
ok(told.filter(l => /^have [0-9a-f]{64}$/.test(l)).length === f.have && told.filter(l => /^need [0-9a-f]{64}$/.test(l)).length === f.need &&
  told.length === f.have + f.need, 'by id', told.length)
r = await neg('-S', a, relay.url)
f = report(r)
is([r.code, f.status, f.received, f.missing], [0, 'done', f.need, 0], 'downwards')
r = await neg('-S', a, '--up', relay.url)
f = report(r)
is([r.code, f.sent, f.accepted, f.refused], [0, f.have, f.have, 0], 'upwards')
is(await ids(a), union, 'here is the union')
is(await ids(b), union, 'and there')
r = await neg('-S', a, '--dry-run', relay.url)
is([r.code, report(r).have, report(r).need, report(r).rounds], [0, 0, 0, 1], 'then nothing differs')

// ---- filters, files, records
r = await neg('-S', fresh('k'), relay.url, '-k', '7')
is(report(r).need, made.filter(e => e.kind === 7).length - made.filter((e, i) => e.kind === 7 && i % 10 === 1 && i % 7 === 2).length, 'a filter')
r = await neg('-S', fresh('k'), relay.url, '{"kinds":[7]}', '{"kinds":[1]}')
ok(r.code === 0 && report(r).need > 500, 'two filters', report(r))
writeFileSync(scratch('file'), jsonl(pick(i => i % 2)))
r = await neg('--file', scratch('file'), relay.url)
ok(r.code === 0 && lines(r.out).length > 1000 && lines(r.out).every(l => !pick(i => i % 2).some(e => e.id === JSON.parse(l).id)),
  'a file: what it lacks comes to stdout', r.err.slice(-300))
const empty = fresh('empty')
const target = await serve(empty, '--set', 'max_future=100000000')
r = await neg('--file', scratch('file'), '--up', target.url)
is([r.code, await ids(empty)], [0, await want(await store('filed', pick(i => i % 2)))], 'and what it has goes up')
const records = pick(i => i % 3).map(e => `${e.created_at} ${e.id}\n`).join('')
r = await run('nr-negentropy', ['--records', '-', '--ids', relay.url], records)
ok(lines(r.out).filter(l => l.startsWith('need')).length > 1000, 'times and ids are enough to compare', r.err)
r = await run('nr-negentropy', ['--records', '-', '--ids', relay.url], `12 ${'0'.repeat(63)}\nnonsense\n12 ${'0'.repeat(64)}\n`)
ok(r.code === 1 && /line 2: not a time and an id/.test(r.err), 'bad records are named', r.err)

// ---- limits of relays
const small = await serve(fresh('small'), '--set', 'max_sync=300', '--set', 'max_future=100000000', '--set', 'max_limit=100', '--set', 'default_limit=20')
await neg('-S', a, '--up', small.url)
const c = fresh('c')
const every = JSON.stringify({ kinds: [...new Set(made.map(e => e.kind))] })
r = await neg('-S', c, small.url, every)
f = report(r)
is([r.code, (await ids(c)).length], [0, union.length], 'what is too big is split')
ok(f.splits > 5 && f.pages === 0, 'by time', f)
const ties = await store('ties', Array.from({ length: 700 }, (_, i) => alice.sign(1, `t${i}`, [], 1700000000)))
const tied = await serve(ties, '--set', 'max_sync=300', '--set', 'max_limit=1000')
const t2 = fresh('t')
r = await neg('-S', t2, tied.url, '-k', '1')
is([r.code, (await ids(t2)).length, report(r).pages], [0, 700, 1], 'one second that is too big comes by pages')
const none = await serve(fresh('none'), '--set', 'max_sync=0', '--set', 'max_future=100000000')
r = await neg('-S', a, '--both', none.url)
is([r.code, report(r).accepted, report(r).pages], [0, union.length, 1], 'without NIP-77, upwards')
const d = await store('d', pick(i => i % 5 === 0))
r = await neg('-S', d, '--both', none.url)
is([r.code, await ids(d)], [0, union], 'and downwards, by pages')

// ---- who may
const key = scratch('key')
writeFileSync(key, Buffer.from(bob.key).toString('hex') + '\n', { mode: 0o600 })
const closed = await serve(fresh('closed'), '--set', 'read=auth', '--set', 'write=auth', '--set', 'max_future=100000000')
r = await neg('-S', a, '--both', closed.url)
ok(r.code === 1 && /auth-required/.test(r.err), 'a relay for those it knows', r.err)
r = await neg('-S', a, '--both', '-K', key, closed.url)
is([r.code, report(r).accepted], [0, union.length], 'knows us by our key')
const own = await store('own', [alice.sign(4, 'x', [['p', bob.pubkey]]), alice.sign(1059, 'x', [['p', bob.pubkey]]),
  alice.sign(1, 'protected', [['-']]), alice.sign(1, 'open')])
r = await neg('-S', own, '--up', target.url)
f = report(r)
is([r.code, f.accepted, f.private, f.protected], [0, 1, 2, 1], 'private and protected events stay at home')
r = await neg('-S', own, '--up', '--private', target.url)
is([r.code, report(r).accepted], [0, 2], 'unless told')

// ---- a network that breaks
function breaking(url, bytes) { // cuts each connection after some bytes
  const { port } = new URL(url)
  const proxy = { cuts: 0 }
  const server = net.createServer(down => {
    const up = net.connect(Number(port), '127.0.0.1')
    let left = proxy.cuts < 100 ? 1 + Math.floor(Math.random() * bytes) : Infinity
    const end = () => { down.destroy(); up.destroy() }
    const pass = (from, to) => from.on('data', d => {
      if (d.length < left) { left -= d.length; if (!to.write(d)) { from.pause(); to.once('drain', () => from.resume()) } return }
      if (left === 0) return // what comes after the cut is lost, not moved up
      to.write(d.subarray(0, left))
      left = 0
      proxy.cuts++
      setTimeout(end, 1)
    })
    pass(down, up); pass(up, down)
    for (const s of [down, up]) { s.on('error', end); s.on('close', end) }
  })
  return new Promise(resolve => server.listen(0, '127.0.0.1', () =>
    resolve(Object.assign(proxy, { url: `ws://127.0.0.1:${server.address().port}`, close: () => server.close() }))))
}
const left = await store('left', pick(i => i % 3 !== 1)), right = await store('right', pick(i => i % 3 !== 2))
const both = await want(left, right)
const far = await serve(right, '--set', 'max_future=100000000')
const proxy = await breaking(far.url, 60000)
r = await neg('-S', left, '--both', '--tries', '0', '-q', proxy.url)
note(`${proxy.cuts} cuts, ${JSON.stringify(report(r))}`)
is([r.code, await ids(left), await ids(right)].map(x => x.length ?? x), [0, both.length, both.length], 'a connection that is cut again and again')
is([await ids(left), await ids(right)], [both, both], 'nothing is lost')
ok(proxy.cuts > 10, 'it was cut', proxy.cuts)
proxy.close()
const check = await run('nr-store', ['-S', left, 'check'])
is(check.code, 0, 'nothing is there twice')

// ---- peers that are wrong
const some = pick(i => i < 300)
for (const way of Object.keys(ways)) {
  const bad = await wrong(way, { events: some.slice(100) })
  const dir = fresh('w')
  const t = Date.now()
  r = await neg('-S', dir, '--timeout', '1s', '--tries', '2', bad.url)
  f = report(r)
  const all = (await ids(dir)).length
  // By pages all comes, whatever the relay makes of NIP-77.
  const honest = ['silence', 'notice', 'unsupported', 'closed', 'protocol error', 'blocked', 'blocked with a number', 'results too big',
    'malformed', 'no hexadecimal', 'no string', 'another version', 'endless rounds'].includes(way)
  ok(honest ? r.code === 0 && all > 100 : [0, 1, 3].includes(r.code) && Date.now() - t < 30000, `${way}: ${f.status}`, [r.code, f, all, r.err.slice(0, 200)])
  bad.close()
}
const forged = { ...some[0], content: 'forged' }, stranger = alice.sign(1, 'nobody asked')
const liar = await wrong('none', { events: some, more: [forged, stranger, { id: 'x' }, 7] })
const e = fresh('e')
r = await neg('-S', e, liar.url)
f = report(r)
const have = await ids(e)
ok(r.code === 1 && f.unasked > 0 && f.invalid > 0 && !have.includes(stranger.id), 'events that nobody asked for, or that are none, are refused', f)
liar.close()

// ---- for ever
const p = await store('p', pick(i => i % 4 === 0)), q = await store('q', pick(i => i % 4 === 1))
let there = await serve(q, '--set', 'max_future=100000000')
const follow = spawn('nr-negentropy', ['-S', p, '--both', '--follow', '--tries', '0', '-q', there.url], { stdio: ['ignore', 'pipe', 'pipe'] })
let out = ''
follow.stdout.on('data', x => { out += x })
const same = async () => JSON.stringify(await ids(p)) === JSON.stringify(await ids(q))
ok(await until(same, 20000), 'following: both are the same')
const x = await Client.open(there.url)
const live = alice.sign(1, 'live there')
await x.publish(live)
ok(await until(async () => (await ids(p)).includes(live.id), 10000), 'what comes there comes here')
const mine = alice.sign(1, 'live here')
await run('nr-import', ['-q', '-S', p], jsonl([mine]))
ok(await until(async () => (await ids(q)).includes(mine.id), 10000), 'and the other way')
const port = there.port
await there.stop()
const late = alice.sign(1, 'while it was away'), early = bob.sign(1, 'there, meanwhile')
await run('nr-import', ['-q', '-S', p], jsonl([late]))
await run('nr-import', ['-q', '-S', q], jsonl([early]))
there = await serve(q, '--listen', `127.0.0.1:${port}`, '--set', 'max_future=100000000')
ok(await until(same, 30000), 'after the relay was away they are the same again')
follow.kill('SIGTERM')
ok(await until(() => follow.signalCode !== null || follow.exitCode !== null), 'a signal ends it', [follow.exitCode, follow.signalCode])
ok(/"status":"stopped"/.test(out), 'with a summary', out)

// ---- a command upwards, and a relay that goes away with all of it
{
  const stored = new Set(), up = pick(i => i < 1500)
  let connections = 0
  const rly = await paged((ws, send, m) => {
    if (!m) { ws.first = connections++ === 0; ws.n = 0; return }
    if (m[0] === 'NEG-OPEN') send('NOTICE', 'ERROR: bad msg: unknown cmd')
    if (m[0] === 'REQ') answer([...stored].map(id => made.find(x => x.id === id)), m, { cap: 5000 }).forEach(x => send(...x))
    if (m[0] !== 'EVENT') return
    if (!ws.first) { stored.add(m[1].id); send('OK', m[1].id, true, '') }
    else if (++ws.n === 500) setTimeout(() => ws.terminate(), 500)
  })
  const dir = await store('strained', up), all = await ids(dir)
  r = await run('timeout', ['60', 'nr-negentropy', '-S', dir, '--up', '--policy-up', 'cat', rly.url])
  is([r.code, [...stored].sort()], [0, all], 'what passes a command goes up, after all')
  rly.stop()
}

// ---- subscriptions that the relay closes
const follows = url => {
  const dir = fresh('f')
  const p = spawn('nr-negentropy', ['-S', dir, '--follow', '--timeout', '1s', '--tries', '0', '-q', url], { stdio: 'ignore' })
  process.on('exit', () => p.kill('SIGKILL'))
  return { has: async id => (await ids(dir).catch(() => [])).includes(id),
    stop: () => new Promise(done => { p.on('exit', done); p.kill('SIGTERM') }) }
}
for (const [reason, times] of [['error: try again in 1 second', 1], ['blocked: not so long', 1e9]]) {
  const stored = [alice.sign(1, `before ${reason}`)]
  let closed = 0, live
  const rly = await paged((ws, send, m) => {
    if (m?.[0] === 'NEG-OPEN') send('NOTICE', 'ERROR: bad msg: unknown cmd')
    if (m?.[0] !== 'REQ') return
    if (m[2].limit === 0 && closed > 0 && closed < times) { closed++; send('CLOSED', m[1], reason) }
    else if (m[2].limit === 0) { live = () => { closed++; send('CLOSED', m[1], reason) }; send('EOSE', m[1]) }
    else answer(stored, m).forEach(x => send(...x))
  })
  const fo = follows(rly.url)
  ok(await until(() => fo.has(stored[0].id), 20000), 'following, by pages')
  live()
  const meanwhile = alice.sign(1, `after ${reason}`)
  stored.push(meanwhile)
  ok(await until(() => fo.has(meanwhile.id), 20000), `nothing is missed after "${reason}"`)
  await fo.stop()
  rly.stop()
}

{
  // New events it gives, but none of those that it has.
  const rly = await paged((ws, send, m) => {
    if (m?.[0] === 'NEG-OPEN') send('NOTICE', 'ERROR: bad msg: unknown cmd')
    if (m?.[0] === 'REQ') send(...(m[2].limit === 0 ? ['EOSE', m[1]] : ['CLOSED', m[1], 'blocked: not these']))
  })
  const fo = follows(rly.url)
  const asked = () => rly.requests.filter(m => m[0] === 'REQ' && m[2].limit !== 0).length
  ok(await until(() => asked() > 4, 30000), 'what is refused is asked for now and then')
  is(rly.connections, 1, 'and no connection made for it')
  await fo.stop()
  rly.stop()
}

// ---- a relay that lacks one of those it has told of, and no store here
{
  const honest = pick(i => i < 40), none = alice.sign(1, 'not there')
  const rly = await serve(await store('told', [...honest, none]), '--set', 'max_future=100000000')
  const before = await proxied(rly.url, none.id)
  const some = scratch('nothing')
  writeFileSync(some, jsonl([alice.sign(1, 'here')]))
  r = await neg('--file', some, before.url)
  const got = lines(r.out).map(l => JSON.parse(l).id)
  is([got.length, new Set(got).size], [honest.length, honest.length], 'what has come to stdout does not come again')
  is(report({ out: r.err }).missing, 1, 'what is not there is missing')
  before.stop()
}
done()
