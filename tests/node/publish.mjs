// nr-publish against relays that are slow, wrong, hostile or gone.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync, existsSync } from 'node:fs'
import net from 'node:net'
import { WebSocketServer } from 'ws'
import { verifyEvent } from 'nostr-tools/pure'
import { ok, is, note, done, go, run, serve, scratch, sleep, until, now, Author } from './tap.mjs'

go(0)
const seed = Number(process.env.NR_SEED ?? Date.now() % 1e9)
note(`NR_SEED=${seed}`)
let state = seed
const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648

// Sent by default, and kept by relays for good.
const plain = l => { const e = JSON.parse(l); return [1, 6, 7].includes(e.kind) && !e.tags.some(t => t[0] === 'expiration') }
const made = await run('nr-bench', ['gen', '-q', '-n', '1500', '--seed', '77'])
const lines = made.out.trim().split('\n').filter(plain)
const some = n => lines.slice(0, n).join('\n') + '\n'
const ids = n => lines.slice(0, n).map(l => JSON.parse(l).id)
const parse = text => text.trim() === '' ? [] : text.trim().split('\n').map(l => JSON.parse(l))
const quick = ['--timeout', '1s', '--give-up', '4s']
const began = Date.now()
const lap = what => note(`${what}: ${Date.now() - began} ms`)

// A relay that does as it is told with each EVENT; it knows what it took.
const servers = []
function relay(on, connected = () => {}) {
  return new Promise(resolve => {
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => {
      r.url = `ws://127.0.0.1:${wss.address().port}/`
      resolve(r)
    })
    const r = { wss, taken: new Map(), got: 0, times: [], connections: 0 }
    servers.push(wss)
    wss.on('connection', ws => {
      r.connections++
      const c = {
        ws, got: 0,
        say: (...m) => { if (ws.readyState === 1) ws.send(JSON.stringify(m)) },
        ok: (e, accepted = true, text = '') => {
          if (accepted) r.taken.set(e.id, (r.taken.get(e.id) ?? 0) + 1)
          c.say('OK', e.id, accepted, text)
        },
      }
      ws.on('error', () => {})
      connected(c, r)
      ws.on('message', d => {
        const m = JSON.parse(d.toString())
        if (m[0] === 'EVENT') { r.got++; c.got++; r.times.push(Date.now()) }
        on(c, m, r)
      })
    })
  })
}
const event = f => (c, m, r) => { if (m[0] === 'EVENT') f(c, m[1], r) }
const good = () => relay(event((c, e) => c.ok(e)))
const publish = (args, input) => run('nr-publish', args, input)
const of = (out, r) => parse(out).filter(l => l.relay === r.url)
const took = (r, n) => ids(n).every(id => r.taken.has(id))

// ---- twenty relays at once
lap('twenty relays at once')
{
  const n = 200, all = []
  const stores = ['s1', 's2', 's3'].map(s => scratch(s))
  for (const s of stores) {
    const r = await serve(s)
    all.push({ kind: 'good', url: r.url + '/', stop: r.stop })
  }
  for (let i = 0; i < 5; i++) all.push({ kind: 'good', ...await good() })
  for (let i = 0; i < 3; i++) {
    let busy = Promise.resolve()
    all.push({ kind: 'good', ...await relay(event((c, e) => { busy = busy.then(() => sleep(5)).then(() => c.ok(e)) })) })
  }
  for (let i = 0; i < 3; i++)
    all.push({ kind: 'refusing', ...await relay(event((c, e) => c.ok(e, false, 'blocked: not here'))) })
  for (let i = 0; i < 2; i++) all.push({ kind: 'gone', ...await relay(() => {}, c => c.ws.terminate()) })
  for (let i = 0; i < 2; i++) all.push({ kind: 'gone', ...await relay(() => {}) })
  for (let i = 0; i < 2; i++) {
    // A port where nobody listens, and one where nobody answers.
    const tcp = net.createServer(s => s.on('error', () => {}))
    await new Promise(r => tcp.listen(0, '127.0.0.1', r))
    const url = `ws://127.0.0.1:${tcp.address().port}/`
    if (i === 0) await new Promise(r => tcp.close(r))
    else servers.push(tcp)
    all.push({ kind: 'gone', url })
  }
  is(all.length, 20, 'twenty relays: 11 good, three of them slow, 3 refuse, 6 are gone')
  const file = scratch('relays')
  writeFileSync(file, all.slice(10).map(r => r.url + '\n').join('') + '# no relay\n\n')
  const start = Date.now()
  const got = await publish([...quick, '--min', '11', '--relays', file, '--report', scratch('report'),
    ...all.slice(0, 10).map(r => r.url)], some(n))
  is(got.code, 0, 'all events are accepted by eleven')
  note(`${Date.now() - start} ms`)
  const answers = parse(got.out)
  is(answers.length, 20 * n, 'there is a line for each event and relay')
  const by = (kind, f) => all.filter(r => r.kind === kind).map(r => of(got.out, r).filter(f).length)
  is(by('good', l => l.accepted === true && l.attempts === 1), Array(11).fill(n), 'the good ones accept')
  is(by('refusing', l => l.accepted === false && l.message === 'blocked: not here'), Array(3).fill(n),
    'refusals are told with their reason')
  is(by('gone', l => l.accepted === null), Array(6).fill(n), 'what is gone has said nothing')
  ok(/given up/.test(got.err), 'that it was given up is said')
  const report = parse(readFileSync(scratch('report'), 'utf8'))
  is(report.length, 21, 'the report has a line for each relay and one for all')
  is(report.filter(r => r.given_up).length, 6, 'and says who was given up')
  for (const r of all.slice(0, 3)) await r.stop()
  const sorted = [...ids(n)].sort()
  for (const s of stores)
    is((await run('nr-export', ['-S', s, '--ids'])).out.trim().split('\n').sort(), sorted, 'nr-serve has them all')
}

// ---- answers that are wrong
lap('answers that are wrong')
const n = 300
{
  const r = await relay(event((c, e, self) => {
    if (self.taken.has(e.id) || c.got % 3) c.ok(e)
    else self.taken.set(e.id, 0) // and no OK
  }))
  const got = await publish([...quick, '-w', '100', r.url], some(n))
  is(got.code, 0, 'OKs that are dropped: asked again')
  is(of(got.out, r).filter(l => l.accepted).length, n, 'every event is accepted in the end')
  ok(of(got.out, r).some(l => l.attempts > 1), 'some at a second attempt')
}
{
  let last = Promise.resolve()
  const r = await relay(event((c, e) => { last = last.then(() => sleep(50)).then(() => c.ok(e)) }))
  const got = await publish([...quick, '-w', '60', r.url], some(60))
  is(got.code, 0, 'a slow relay, for which a window takes longer than the timeout')
  is(r.got, 60, 'is asked once for each')
}
{
  const r = await relay(event((c, e) => {
    c.say('OK', 'ab'.repeat(32), true, '')
    c.say('OK', 'not an id', true, '')
    c.say('OK', e.id)
    c.say('OK', e.id, 'yes', 3)
    c.ws.send('{"not":"a message"}')
    c.ws.send('OK')
    c.ok(e)
    c.ok(e, false, 'blocked: no, after all')
    c.ok(e)
  }))
  const got = await publish([...quick, '--report', scratch('report'), r.url], some(n))
  is(got.code, 0, 'answers for others, answers twice, nonsense: no matter')
  is(of(got.out, r).filter(l => l.accepted).length, n, 'the first proper answer counts')
  is(parse(got.out).length, n, 'once')
}
{
  const r = await relay(event((c, e) => {
    if (random() < 0.02) c.ws.terminate()
    else if (random() < 0.02) c.ws.close(1001, 'bye')
    else c.ok(e)
  }))
  const got = await publish(['--timeout', '2s', '-w', '8', r.url], some(n))
  is(got.code, 0, 'a relay that closes at random gets all')
  ok(took(r, n), 'it has them')
  ok(r.connections > 3, 'over many connections', r.connections)
}
{
  const flood = await relay(event((c, e) => {
    for (let i = 0; i < 1000; i++) c.say('NOTICE', 'all your events')
    if (random() < 0.5) c.ok(e)
  }))
  const talk = await relay(event(c => c.say('NOTICE', 'ERROR: go away')))
  const mute = await relay(() => {})
  const fine = await good()
  const got = await publish([...quick, '--attempts', '3', flood.url, talk.url, mute.url, fine.url], some(n))
  is(got.code, 0, 'floods, notices, silence: the fourth relay has them all')
  ok(took(fine, n), 'it has')
  is([of(got.out, flood), of(got.out, talk), of(got.out, mute)].map(l => l.length), [n, n, n], 'nothing is left unsaid of the others')
  ok(of(got.out, talk).every(l => l.accepted === null), 'a notice is no answer')
  ok(/too much that nobody asked for/.test(got.err), 'the flood is given up')
}
{
  const mute = await relay(() => {})
  const got = await publish([...quick, mute.url], some(20))
  is(got.code, 3, 'nobody is left: status 3')
}

// ---- asked to wait
lap('asked to wait')
{
  let told = 0, early = 0, resumed = 0
  const r = await relay(event((c, e) => {
    if (!told) told = Date.now()
    // What was on its way may still come.
    if (Date.now() - told < 500) return c.ok(e, false, 'rate-limited: slow down, try again in 2 seconds')
    if (Date.now() - told < 1900) early++
    else if (!resumed) resumed = Date.now() - told
    c.ok(e)
  }))
  const got = await publish([r.url], some(100))
  is(got.code, 0, 'rate-limited: all are accepted in the end')
  is(early, 0, 'not one was sent in the time that was asked for')
  ok(resumed >= 1900, 'then it went on', resumed)
}
{
  const r = await relay(event((c, e, self) => {
    self.seen ??= new Map()
    const times = (self.seen.get(e.id) ?? 0) + 1
    self.seen.set(e.id, times)
    if (times < 3) c.ok(e, false, 'error: the database is busy')
    else c.ok(e)
  }))
  const got = await publish([r.url], some(10))
  is(got.code, 0, 'error: is tried again')
  ok(of(got.out, r).every(l => l.accepted && l.attempts === 3), 'until it is accepted')
}
{
  const r = await relay(event((c, e) => c.ok(e, false, 'error: broken for ever')))
  const got = await publish(['--attempts', '2', r.url], some(5))
  is(got.code, 1, 'an error that stays: status 1')
  ok(of(got.out, r).every(l => l.accepted === null && l.message === 'error: broken for ever' && l.attempts === 2),
    'after so many attempts nobody knows', got.out)
}
{
  const r = await relay(event((c, e) => c.ok(e, false, 'rate-limited: try again in 3 hours')))
  const fine = await good()
  const got = await publish([r.url, fine.url], some(50))
  is(got.code, 0, 'hours are too long to wait for')
  ok(/given up: it asks for more time/.test(got.err), 'and it is said')
  is(of(got.out, r).filter(l => l.accepted === null).length, 50, 'nothing is known of its events')
}
{
  const r = await relay(event((c, e) => c.ok(e, false, 'duplicate: have it')))
  const got = await publish([r.url], some(5))
  is([got.code, of(got.out, r).every(l => l.accepted)], [0, true], 'a duplicate counts as accepted')
}

// ---- who we are
lap('who we are')
{
  const key = scratch('key')
  writeFileSync(key, '11'.repeat(32) + '\n', { mode: 0o600 })
  const door = () => relay((c, m, r) => {
    if (m[0] === 'AUTH') {
      const e = m[1], tag = name => e.tags.find(t => t[0] === name)?.[1]
      r.proof = e.kind === 22242 && verifyEvent(e) && tag('challenge') === 'say "friend"/\n' &&
        tag('relay') === r.url && Math.abs(e.created_at - now()) < 60
      c.known = r.proof
      c.say('OK', e.id, c.known, c.known ? '' : 'restricted: no')
    } else if (m[0] === 'EVENT') {
      if (c.known) c.ok(m[1])
      else c.ok(m[1], false, 'auth-required: who are you?')
    }
  }, c => c.ws.send('["AUTH","say \\u0022friend\\"\\/\\u000a"]'))
  const r = await door(), none = await door()
  const got = await publish([...quick, '-K', key, r.url], some(100))
  is(got.code, 0, 'auth-required: answered with the key', got.err)
  ok(r.proof, 'properly')
  is(of(got.out, r).filter(l => l.accepted).length, 100, 'then everything is accepted')
  const without = await publish([...quick, none.url], some(10))
  is(without.code, 1, 'without a key it is a refusal')
  ok(of(without.out, none).every(l => l.accepted === false && l.message === 'auth-required: who are you?'), 'of each')
}

// ---- too slow for the others
lap('too slow for the others')
{
  let last = Promise.resolve()
  const slow = await relay(event((c, e) => { last = last.then(() => sleep(100)).then(() => c.ok(e)) }))
  const fine = await good()
  const got = await publish(['--queue', '20K', '--patience', '1s', slow.url, fine.url], some(n))
  is(got.code, 0, 'a relay for which the others wait too long is left behind')
  ok(/too slow/.test(got.err), 'and it is said')
  ok(took(fine, n), 'the other has all')
  is(of(got.out, slow).length, n, 'and nothing is left unsaid')
  ok(of(got.out, slow).some(l => l.accepted) && of(got.out, slow).some(l => l.accepted === null), 'it had some')
}

// ---- stopped, and going on
lap('stopped, and going on')
function startPublish(args, input) {
  const p = spawn('nr-publish', args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const r = { process: p, out: '', err: '' }
  p.stdout.on('data', d => { r.out += d })
  p.stderr.on('data', d => { r.err += d })
  p.stdin.on('error', () => {})
  p.stdin.end(input)
  r.exited = new Promise(f => p.on('close', (code, signal) => f({ code, signal })))
  return r
}
for (const signal of ['SIGTERM', 'SIGKILL']) {
  const file = scratch(`resume.${signal}`)
  let last = Promise.resolve()
  const slow = await relay(event((c, e) => { last = last.then(() => sleep(4)).then(() => c.ok(e)) }))
  const fine = await good()
  const args = ['--resume', file, '-w', '16', slow.url, fine.url]
  const first = startPublish(args, some(n))
  const place = r => existsSync(file) ? parse(readFileSync(file, 'utf8')).find(l => l.relay === r.url)?.line ?? 0 : 0
  ok(await until(() => place(slow) > 20, 20000), `${signal}: places are written as it goes on`)
  first.process.kill(signal)
  is((await first.exited).signal, signal, 'it ends by the signal')
  const at = place(slow), sent = slow.got
  ok(at > 20 && at <= sent, 'the place is one that was reached', { at, sent })
  ok(ids(at).every(id => slow.taken.has(id)), 'and everything before it was answered')
  if (signal === 'SIGTERM') ok(/accepted/.test(first.err), 'the figures are told')
  await sleep(100)
  const before = slow.got
  const second = await publish(args, some(n))
  is(second.code, 0, 'again: it goes on')
  ok(took(slow, n) && took(fine, n), 'in the end both have everything')
  is(slow.got - before, n - at, 'and only what was behind the place was sent again')
  const third = await publish(args, some(n))
  is([third.code, third.out], [0, ''], 'once more: there is nothing to do')
  const more = await publish(args, some(n + 7))
  is([more.code, parse(more.out).length], [0, 14], 'what was added is sent')
  const other = await publish(args, lines.slice(1, n + 20).join('\n'))
  is(other.code, 2, 'another input is refused')
  const short = await publish(args, some(50))
  is(short.code, 2, 'and so is one that is shorter')
  const extra = await good()
  is((await publish(['--resume', file, extra.url], some(n))).code, 0, 'a relay that is new')
  ok(took(extra, n), 'begins at the start')
  is(parse(readFileSync(file, 'utf8')).map(l => l.line).sort(), [n, n + 7, n + 7], 'the others keep their places')
}
{
  // What is not answered is where it goes on; what was refused is answered.
  const file = scratch('resume.stuck'), bad = ids(n)[40], no = ids(n)[10]
  let heal = false
  const r = await relay(event((c, e) => e.id === no ? c.ok(e, false, 'blocked: no')
    : e.id === bad && !heal ? c.ok(e, false, 'error: no') : c.ok(e)))
  const args = ['--resume', file, '--attempts', '1', r.url]
  is((await publish(args, some(n))).code, 1, 'one event stays unanswered')
  is(parse(readFileSync(file, 'utf8'))[0].line, 40, 'the place is before it')
  heal = true
  is((await publish(args, some(n))).code, 0, 'next time it is accepted')
  ok(took({ taken: new Map([...r.taken, [no, 1]]) }, n), 'and nothing is missing')
  is(parse(readFileSync(file, 'utf8'))[0].line, n, 'the place is the end')
}

// ---- connections that are cut, a hundred times
lap('connections that are cut, a hundred times')
{
  const back = await serve(scratch('cut'))
  const doors = []
  let cuts = 0
  for (let i = 0; i < 4; i++) {
    const door = { cuts: 0 }
    const proxy = net.createServer(a => {
      const b = net.connect(back.port, '127.0.0.1')
      let left = door.cuts < 25 ? 1 + Math.floor(random() * (random() < 0.2 ? 600 : 40000)) : Infinity
      const end = () => { a.destroy(); b.destroy() }
      const cut = () => {
        if (left === Infinity) return
        left = Infinity
        cuts++
        door.cuts++
        if (random() < 0.5) a.resetAndDestroy()
        end()
      }
      const pass = to => d => {
        // What comes after the cut is lost, not moved up.
        if (to.destroyed || left === 0) return
        const part = d.subarray(0, left)
        left -= part.length
        if (left > 0) to.write(part)
        else to.write(part, cut)
      }
      a.on('data', pass(b))
      b.on('data', pass(a))
      for (const s of [a, b]) { s.on('error', end); s.on('close', end) }
    })
    await new Promise(r => proxy.listen(0, '127.0.0.1', r))
    servers.push(proxy)
    doors.push(`ws://127.0.0.1:${proxy.address().port}/`)
  }
  const many = await run('nr-bench', ['gen', '-q', '-n', '1500', '--seed', '12'])
  // A window that is small beside what passes between cuts, so that most connections are of use.
  const input = many.out.trim().split('\n').filter(plain)
  const got = await publish(['--attempts', '50', '--give-up', '5m', '--timeout', '20s', '--deadline', '1h',
    '--min', '4', '-w', '4', ...doors], input.join('\n'))
  is(got.code, 0, 'connections are cut at random bytes', got.err)
  is(cuts, 100, 'a hundred times')
  is(parse(got.out).length, 4 * input.length, 'each event is answered once at each')
  await back.stop()
  const have = await run('nr-export', ['-S', scratch('cut'), '--ids'])
  is(have.out.trim().split('\n').sort(), input.map(l => JSON.parse(l).id).sort(), 'and the relay has each, once')
}

// ---- memory
lap('memory')
if (!/build-/.test(process.env.NR_BUILD ?? '')) {
  const mute = await relay(() => {}), fine = await good()
  const big = await run('nr-bench', ['gen', '-q', '-n', '60000', '--seed', '3'])
  const p = startPublish(['-n', '-q', '--queue', '4M', '--give-up', '5s', '--timeout', '30s', mute.url, fine.url], big.out)
  let most = 0
  while (p.process.exitCode === null && p.process.signalCode === null) {
    const m = /VmHWM:\s+(\d+)/.exec(existsSync(`/proc/${p.process.pid}/status`) ? readFileSync(`/proc/${p.process.pid}/status`, 'utf8') : '')
    if (m) most = Number(m[1])
    await sleep(50)
  }
  is((await p.exited).code, 0, 'a long input and a relay that is silent')
  ok(most < 48 * 1024, 'memory stays small', { KB: most, input: big.out.length })
  ok(fine.taken.size > 50000, 'and the other gets everything', fine.taken.size)
}

servers.forEach(s => s.close())
done()
