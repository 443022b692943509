// Hand-overs from one nr-serve to the next, under load.
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import net from 'node:net'
import { ok, is, note, done, go, serve, run, scratch, Client, Author, sleep, until } from './tap.mjs'

go(Number(process.argv[2] ?? 0))
const clean = { code: 0, signal: null }
// Its own socket is deep down: longer than a socket's path may be.
const deep = scratch('x'.repeat(60) + '/' + 'y'.repeat(60))
mkdirSync(deep, { recursive: true })
const store = `${deep}/store`, path = scratch('sock')
const sockets = () => readdirSync(store).filter(n => n.includes('relay-'))

// ---- two side by side
let first = await serve(store, '--listen', `unix:${path}`, '--set', 'metrics=127.0.0.1:0',
  '--set', 'upgrade_seconds=3')
const port = first.port, url = first.url
const watch = /metrics at http:\/\/(\S+)/.exec(first.err)[1]
const same = ['--listen', `127.0.0.1:${port}`, '--listen', `unix:${path}`, '--set', `metrics=${watch}`,
  '--set', 'upgrade_seconds=3']
is(sockets().length, 1, 'a socket in the store')
const alice = new Author()
const old = await Client.open(url)
await old.query('e', { kinds: [20001], limit: 0 })
let second = await serve(store, ...same)
is(sockets().length, 2, 'another one beside it')
ok(await until(() => /another relay serves at 3 of the same 3/.test(first.err)), 'the first one knows', first.err)
const young = await Client.open(`ws://127.0.0.1:${second.port}`)
let e = alice.sign(20001, 'from the second')
is(await young.publish(e), [true, ''], 'an ephemeral event for subscribers of the other')
ok(await old.take(m => m[0] === 'EVENT' && m[2].id === e.id), 'gets there')
await young.query('e', { kinds: [20001], limit: 0 })
e = alice.sign(20001, 'z'.repeat(100000))
is(await old.publish(e), [true, ''], 'and a large one')
ok(await young.take(m => m[0] === 'EVENT' && m[2].id === e.id), 'the other way')
ok(await old.take(m => m[0] === 'EVENT' && m[2].id === e.id), 'and here')
await sleep(100)
is(old.messages.concat(young.messages), [], 'once')
e = alice.sign(1, 'stored')
await young.query('s', { kinds: [1], limit: 0 })
is(await old.publish(e), [true, ''], 'a stored one')
ok(await young.take(m => m[0] === 'EVENT' && m[2].id === e.id), 'gets there by the store')

// ---- one that comes and goes, and one that fails to start, take nothing with them
const unix = () => new Promise(r => {
  const s = net.connect(path, () => { s.destroy(); r(true) })
  s.on('error', () => r(false))
})
const third = await serve(store, ...same)
is(await third.stop(), clean, 'a third one ends')
ok(existsSync(path) && await unix(), 'the Unix socket stays')
const failed = await run('nr-serve', ['-S', store, '--listen', `unix:${path}`, '--listen', '192.0.2.1:1'])
is(failed.code, 3, 'one that cannot listen')
ok(existsSync(path) && await unix(), 'the Unix socket stays then, too')

// ---- the first one leaves
const half = net.connect(port, '127.0.0.1')
half.on('error', () => {})
first.process.kill('SIGUSR1')
ok(await until(() => old.closed, 20000), 'its connections are closed')
is(old.closed, { code: 1012, why: 'the relay restarts: connect again' }, 'with the reason')
is(await first.exited, clean, 'status 0')
ok(/leaving: 1 connections/.test(first.err), 'the log tells', first.err)
ok(!/nobody has taken over/.test(first.err), 'nothing to worry about')
is(young.closed, null, 'the second goes on')
is(sockets().length, 1, 'one socket is left')
ok(existsSync(path), 'the Unix socket stays')
ok(await unix(), 'and somebody is there')
is((await fetch(`http://${watch}/health`)).status, 200, 'figures, too')
half.destroy()
young.close()

// ---- under load
const due = 2000
const stats = { opened: 0, refused: 0, oks: 0, again: 0, closed: {} }
let stop = false
const pick = () => Math.random() < 0.2 ? `ws+unix://${path}:/` : url
const open = async where => {
  for (;;) {
    try {
      const c = await Client.open(where ?? pick())
      stats.opened++
      c.ws.on('close', code => { stats.closed[code] = (stats.closed[code] ?? 0) + 1 })
      return c
    } catch (err) {
      stats.refused++
      note(`refused: ${err.code} ${err.message}`)
      await sleep(20)
    }
  }
}
const accepted = new Set(), ephemeral = new Map()
async function publisher() {
  const author = new Author()
  let c = await open(), i = 0
  while (!stop) {
    const event = author.sign(i++ % 3 ? 1 : 20001, `${i}`)
    const began = Date.now()
    for (;;) {
      if (c.closed) { c = await open(); stats.again++ }
      const answer = c.closed ? null : await c.publish(event)
      if (answer?.[0] || answer?.[1].startsWith('mute:')) break
      if (answer) { ok(false, 'refused', answer); return }
    }
    stats.oks++
    if (event.kind === 1) accepted.add(event.id)
    else ephemeral.set(event.id, { began, end: Date.now() })
    await sleep(5)
  }
  c.close()
}
// What one subscriber saw, and when it could see.
const seen = []
async function subscriber() {
  while (!stop) {
    const c = await open()
    const me = { events: new Map(), from: Infinity, to: Infinity }
    c.ws.on('message', d => {
      const m = JSON.parse(d)
      if (m[0] === 'EVENT') me.events.set(m[2].id, (me.events.get(m[2].id) ?? 0) + 1)
      if (m[0] === 'EOSE') me.from = Date.now()
    })
    c.ws.on('close', () => { me.to = Date.now() })
    seen.push(me)
    c.send('REQ', 'live', { kinds: [20001], limit: 0 })
    await until(() => stop || c.closed, 600000)
    if (stop) { await until(() => false, 500); c.close() }
  }
}
async function hammer() {
  while (!stop) {
    const c = await open()
    await c.query('q', { kinds: [1], limit: 20 })
    c.close()
  }
}
const load = [...Array.from({ length: 12 }, publisher), ...Array.from({ length: 8 }, subscriber),
  ...Array.from({ length: 4 }, hammer)]
await sleep(500)
let server = second
for (const name of ['first', 'second']) {
  const before = stats.oks
  const next = await serve(store, ...same)
  ok(await until(() => stats.oks > before + 50, 30000), `${name} hand-over: both serve`)
  const at = stats.oks
  server.process.kill('SIGUSR1')
  is(await server.exited, clean, 'the one before ends with 0')
  ok(!/warning|error/.test(server.err), 'without a complaint', server.err)
  const then = stats.oks
  ok(await until(() => stats.oks > then + 50, 30000), 'the other goes on')
  note(`${name} hand-over: ${at} OKs before, ${then} when it was over`)
  server = next
}
await sleep(due / 4)
stop = true
await Promise.all(load)
note(`${stats.opened} connections, ${stats.refused} refused, ${stats.oks} OKs, ${stats.again} connected again; closed: ${JSON.stringify(stats.closed)}`)
is(stats.refused, 0, `none of ${stats.opened} connections was refused`)
ok(stats.closed[1012] >= 30, 'connections were told to come again', stats.closed)
const stored = (await run('nr-export', ['-S', store, '{"kinds":[1]}'])).out.trim().split('\n').map(l => JSON.parse(l).id)
is([...accepted].filter(id => !stored.includes(id)), [], `all of ${accepted.size} acknowledged events are stored`)
let expected = 0, missing = 0, twice = 0
for (const me of seen)
  for (const [id, { began, end }] of ephemeral) {
    if (me.events.get(id) > 1) twice++
    if (me.from >= began || me.to < end + due) continue
    expected++
    if (!me.events.has(id)) missing++
  }
ok(expected > 100, `${expected} ephemeral events were due`)
is([missing, twice], [0, 0], 'none was lost, none came twice')

// ---- without anybody to take over
const lone = await Client.open(url)
const many = Array.from({ length: 20 }, (_, i) => alice.sign(1, `last ${i}`))
server.process.kill('SIGUSR1')
many.forEach(m => lone.send('EVENT', m))
is(await server.exited, clean, 'without another: it ends')
ok(/nobody has taken over/.test(server.err), 'and says what that means', server.err)
is(sockets(), [], 'no socket is left')
ok(!existsSync(path), 'the path goes, too')

// ---- one that was killed, one that hangs
server = await serve(store)
await server.stop('SIGKILL')
is(sockets().length, 1, 'after a kill a socket is left')
server = await serve(store)
is(sockets().length, 1, 'and goes')
server.process.kill('SIGSTOP')
second = await serve(store)
ok(/does not answer/.test(second.err), 'one that hangs is left alone', second.err)
server.process.kill('SIGCONT')
is([(await second.stop()).code, (await server.stop()).code], [0, 0], 'they end well')
done()
