// Begins in a directory with events that everybody may read.  An expired
// certificate, the last of these faults, has tests of its own: 2865 and 2850.
import { ok, is, done, run } from './tap.mjs'
import { faulty } from './faulty.mjs'

const check = (url, nip, timeout = '10s') => run('nr-bench', ['check', '--write', '--json', '--nip', String(nip), '--timeout', timeout, url])
const load = (url, mode, ...args) => run('nr-bench', ['load', mode, '-c', '2', '-f', 'events', ...args, url])
const probe = (url, ...args) => run('nr-bench', ['probe', '--timeout', '5s', ...args, url])
const fails = out => out.trim().split('\n').map(x => JSON.parse(x)).filter(x => x.result === 'fail')
const told = x => `${x.text}; expected ${x.expected}; seen ${x.seen}`
const line = r => { const { status, error, problems, info, write } = JSON.parse(r.out); return JSON.stringify({ status, error, problems, info: info?.problems, write }) }

{
  const relay = await faulty('none')
  is((await load(relay.url, 'publish')).code, 0, 'no fault: load publishes')
  const q = await load(relay.url, 'query', '-n', '300')
  is([q.code, q.err], [0, ''], 'and asks')
  is((await probe(relay.url, '--write')).code, 0, 'probe finds it well')
  relay.close()
}

// What check says of it, by NIP; what load says, by mode; what probe says.
const faults = {
  slow: { check: [1, /^a REQ is answered by EOSE; .*no EOSE after 0 events: nothing within 400 ms/, '400ms'],
    load: ['query', 0, r => JSON.parse(r.out).milliseconds.p50 > 550, '-n', '16'] },
  'no OK': { check: [1, /no OK: nothing within 400 ms/, '400ms'], load: ['publish', 3, /the relay stopped answering/, '--timeout', '2', '-n', '50'],
    probe: [/"timeout"/, '--write'] },
  'oldest first': { check: [1, /^events found by tag come newest first; expected 12 events: #11 .*; seen 12 events: #0 /], load: ['query', 1, /wrong: an event that is newer than the one before/, '-n', '300'] },
  'ignores limit': { check: [1, /^limit 2 of 4 events gives the newest 2; .*seen 4 events/], load: ['query', 1, /limit/, '-n', '300'],
    probe: [/more events than the limit/] },
  'serves deleted': { check: [9, /^an event is gone after its author has deleted it \(kind 5\); expected 0 events; seen 1 event/] },
  'no EOSE': { check: [1, /^a REQ is answered by EOSE; .*no EOSE after 0 events: nothing within 400 ms/, '400ms'],
    load: ['query', 3, /the relay stopped answering/, '--timeout', '2', '-n', '50'], probe: [/"eose","class":"timeout"/] },
  'no JSON': { check: [11, /^the information document is a JSON object; expected a JSON object; seen <html>/], probe: [/not JSON/] },
  'JSON types': { check: [11, /^the values in the information document have the JSON types of the NIP; .*name is no string/], probe: [/name is no string/] },
  'closes at random': { check: [1, /the connection ended: /], load: ['query', 3, /closed|lost/, '-n', '300'], probe: [/"closed"/], every: [20, 1] },
  floods: { check: [1, /the connection ended: more than was asked for/], load: ['query', 3, /wrong: an event/, '-n', '60', '--timeout', '2'],
    probe: [/"protocol"/], every: [1, 1] },
}
async function attempt(name, f) {
  let relay = await faulty(name)
  const [nip, text, timeout] = f.check, c = await check(relay.url, nip, timeout)
  ok(c.code === 1 && fails(c.out).some(x => text.test(told(x))), `${name}: check names it`, [c.code, fails(c.out).map(told)])
  relay.close()
  if (f.load) {
    relay = await faulty(name, { every: f.every?.[0] })
    const [mode, code, what, ...args] = f.load
    if (mode === 'query') await load(relay.url, 'publish')
    const r = await load(relay.url, mode, ...args)
    is(r.code, code, `${name}: load's status`)
    ok(typeof what === 'function' ? what(r) : what.test(r.err), `${name}: load names it`, [r.err, r.out.slice(0, 300)])
    relay.close()
  }
  if (f.probe) {
    relay = await faulty(name, { every: f.every?.[1] })
    await load(relay.url, 'publish', '-n', '50', '--timeout', '1')
    const [what, ...args] = f.probe, r = await probe(relay.url, ...args)
    is(r.code, 1, `${name}: probe's status`)
    ok(what.test(line(r)), `${name}: probe names it`, line(r))
    relay.close()
  }
}
// Most of it is waiting.
const todo = Object.entries(faults)
async function some() { for (let f; (f = todo.shift());) await attempt(...f) }
await Promise.all([some(), some(), some()])
done()
