// nr-negentropy when our own side is slow, when links break, and with relays
// that go on for ever.
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { ok, is, done, serve, scratch, Author, until, run, note, now } from './tap.mjs'
import { relay, answer, cable, silent } from './bad.mjs'
import { wrong } from './wrong.mjs'

const alice = new Author()
const jsonl = events => events.map(e => JSON.stringify(e) + '\n').join('')
const lines = text => text.split('\n').filter(l => l)
const store = async (name, events) => { await run('nr-import', ['-q', '-S', scratch(name)], jsonl(events)); return scratch(name) }
const ids = async dir => lines((await run('nr-export', ['-S', dir, '--ids'])).out).sort()
const neg = (...args) => run('nr-negentropy', args)
const report = r => { try { return JSON.parse(lines(r.out).at(-1)) } catch { return { bad: r.out, err: r.err } } }
const background = (...args) => {
  const p = spawn('nr-negentropy', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const b = { process: p, out: '', err: '' }
  p.stdout.on('data', d => { b.out += d })
  p.stderr.on('data', d => { b.err += d })
  b.ended = new Promise(r => p.on('close', (code, signal) => r({ code, signal })))
  process.on('exit', () => p.kill('SIGKILL'))
  b.stop = async () => { p.kill('SIGTERM'); await b.ended; return report(b) }
  return b
}
const big = Array.from({ length: 3000 }, (_, i) => alice.sign(1, `${i} ${'x'.repeat(1000)}`, [], 1700000000 + (i >> 1)))
const all = big.map(e => e.id).sort()
const there = await serve(await store('big', big))

// ---- our own side is slow
let r = await neg('-S', scratch('slow'), '--timeout', '1s', '--tries', '1', '--policy-down', 'sleep 3; cat', there.url)
is([r.code, (await ids(scratch('slow'))).length], [0, 3000], 'that we do not read for a while is not the silence of the relay', r.err)
{
  const b = background('-S', scratch('cut'), '--policy-down', `until test -e ${scratch('go')}; do sleep 0.1; done; cat`, there.url)
  ok(await until(() => b.process.exitCode === null && readdirSync(scratch('.')).includes('cut')), 'begun')
  // Until it has as much as it can hold.
  await until(() => false, 2000)
  b.process.kill('SIGTERM')
  await until(() => false, 300)
  writeFileSync(scratch('go'), '')
  const f = report((await b.ended, b))
  ok(f.received > 0 && f.stored === f.received, 'what has come is stored when it is told to end', f)
}

// ---- rounds without end
for (const [way, args] of [['one id a round', []], ['one id a round', ['--up']], ['the same of ours', ['--up']]]) {
  const bad = await wrong(way, { events: big.slice(0, 100) })
  const dir = await store(`rounds${way}${args}`, big.slice(50, 250))
  r = await neg('-S', dir, ...(args.length ? args : ['--dry-run']), '--timeout', '5s', '--tries', '2', bad.url)
  const f = report(r)
  ok(f.rounds < 5000 && f.pages === 1 && f.have < 10000, `${way}, ${args[0] ?? '--dry-run'}: it ends`, [r.code, f, r.err])
  bad.close()
}

// ---- pages by a link that never lasts
{
  const none = await serve(await store('paged', big), '--set', 'max_sync=0')
  const cut = await cable(none.port, Infinity, () => 200000)
  r = await neg('-S', scratch('pages'), '--tries', '20', '-q', cut.url)
  note(`${cut.cuts} cuts, ${JSON.stringify(report(r))}`)
  is([r.code, await ids(scratch('pages'))], [0, all], 'pages go on from where they were')
  ok(cut.cuts > 10, 'each time it was cut', cut.cuts)
  cut.stop()
  writeFileSync(scratch('file'), jsonl(big.slice(0, 2990)))
  r = await neg('--file', scratch('file'), none.url)
  is(lines(r.out).map(l => JSON.parse(l).id).sort(), all.filter(i => !big.slice(0, 2990).some(e => e.id === i)),
    'of pages only what a file lacks is written')
  none.stop()
}

// ---- refusals
{
  const bad = await wrong('blocked', { events: big.slice(0, 100) })
  r = await neg('-S', scratch('limit'), '-l', '10', bad.url)
  is([r.code, (await ids(scratch('limit'))).length, report(r).splits], [0, 10, 0], 'what has a limit is not split', r.err)
  bad.close()
}
{
  // The relay says that it knows us, and then that it does not yet.
  let opens = 0
  const key = scratch('key')
  writeFileSync(key, Buffer.from(alice.key).toString('hex') + '\n', { mode: 0o600 })
  const r1 = await relay((ws, send, m) => {
    if (!m) send('AUTH', 'challenge')
    else if (m[0] === 'AUTH') send('OK', m[1].id, true, '')
    else if (m[0] === 'NEG-OPEN') send(...(++opens < 2 ? ['NEG-ERR', m[1], 'auth-required: who are you'] : ['NEG-MSG', m[1], '61']))
  })
  r = await neg('-S', scratch('auth'), '-K', key, r1.url)
  is([r.code, report(r).status, opens], [0, 'done', 2], 'who is known already asks once more', r.err)
  r1.stop()
}
{
  const r1 = await relay((ws, send, m) => {
    if (m?.[0] === 'REQ') send('CLOSED', m[1], 'rate-limited: try again in 1 day')
    if (m?.[0] === 'NEG-OPEN') send('NEG-ERR', m[1], 'rate-limited: try again in 1 day')
    if (m?.[0] === 'EVENT') send('OK', m[1].id, false, 'rate-limited: try again in 1 day')
  })
  r = await neg('-S', scratch('never'), r1.url)
  is([r.code, report(r).status], [1, 'refused'], 'nobody is waited for a day', r.err)
  const dir = scratch('day')
  await run('nr-import', ['-q', '-S', dir], jsonl(big.slice(0, 2)))
  const r2 = await relay((ws, send, m) => {
    if (m?.[0] === 'NEG-OPEN') send('NEG-MSG', m[1], '6100000200')
    if (m?.[0] === 'EVENT') send('OK', m[1].id, false, 'rate-limited: try again in 1 day')
  })
  r = await neg('-S', dir, '--up', r2.url)
  is([r.code, report(r).refused], [1, 2], 'nor for events that go up', r.err)
  r1.stop(); r2.stop()
}

// ---- for ever
{
  const seen = []
  const r1 = await relay((ws, send, m) => {
    if (!m) return
    seen.push(m[0] === 'REQ' ? `REQ ${m[2].limit}` : m[0])
    if (m[0] === 'REQ') answer([], m).forEach(a => send(...a))
    if (m[0] === 'NEG-OPEN') send('NEG-MSG', m[1], '61')
  })
  const b = background('-S', scratch('live'), '--follow', r1.url)
  ok(await until(() => seen.includes('NEG-OPEN'), 10000), 'following')
  is(seen.slice(0, 2), ['REQ 0', 'NEG-OPEN'], 'it listens before it compares')
  r1.server.clients.forEach(c => c.terminate())
  ok(await until(() => /connection was lost\n.*connected again\n/.test(b.err), 10000), 'a loss is told, and its end', b.err)
  await b.stop()
  r1.stop()
}
{
  await run('nr-import', ['-q', '-S', scratch('echo')], jsonl([alice.sign(1, 'first'), alice.sign(1, 'second')]))
  const b = background('-S', scratch('echo'), '--both', '--follow', there.url)
  ok(await until(async () => (await ids(scratch('echo'))).length === 3002, 20000), 'all have come')
  ok(await until(() => /: caught up; following\n/.test(b.err), 10000), 'which is told', b.err)
  // What is stored here, last of all, goes up when all before it was seen.
  const mine = alice.sign(1, 'mine')
  await run('nr-import', ['-q', '-S', scratch('echo')], jsonl([mine]))
  ok(await until(async () => (await run('nr-export', ['-S', scratch('big'), '-i', mine.id])).out !== '', 20000), 'ours has gone up')
  // And what is stored there comes when the relay has told of all that went up.
  const theirs = alice.sign(1, 'theirs')
  await run('nr-import', ['-q', '-S', scratch('big')], jsonl([theirs]))
  ok(await until(async () => (await ids(scratch('echo'))).includes(theirs.id), 20000), 'theirs has come')
  const s = await b.stop()
  is(s.sent, 3, 'what came from there is not sent back')
  is([s.received, s.stored, s.duplicate], [3001, 3001, 0], 'nor what went there taken for theirs')
}

// ---- nobody answers
{
  const mute = await silent(), t = Date.now()
  r = await neg('-S', scratch('mute'), '--timeout', '500ms', '--tries', '1', mute.url)
  ok(r.code === 3 && Date.now() - t < 8000, '--timeout is for connecting, too', [r.code, Date.now() - t])
  mute.stop()
}

// ---- the directory of its socket
{
  mkdirSync(scratch('tmp'))
  r = await run('sh', ['-c', `nr-export -S "$1" -l 1000 | TMPDIR="$2" nr-negentropy --file - "$1" | head -n 1`, 'sh', scratch('big'), scratch('tmp')])
  is([lines(r.out).length, readdirSync(scratch('tmp'))], [1, []], 'nothing is left behind when the reader has gone', r.err)
}
done()
