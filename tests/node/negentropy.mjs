// NIP-77 on the relay, by nostr-tools' Negentropy and by hand.
import { ok, is, done, serve, scratch, Client, Author, until, run, now } from './tap.mjs'
// Its package does not export it by name.
import { Negentropy, NegentropyStorageVector } from './node_modules/nostr-tools/lib/esm/nip77.js'

const [alice, bob, carol] = [new Author(), new Author(), new Author()]
const set = events => {
  const s = new NegentropyStorageVector()
  for (const e of events) s.insert(e.created_at, e.id)
  s.seal()
  return s
}
const empty = '6100000200' // everything, and we have nothing of it
let sessions = 0
const answer = (c, id) => c.take(m => (m[0] === 'NEG-MSG' || m[0] === 'NEG-ERR') && m[1] === id, 20000)

// Reconcile what is here with a filter there: ids, by who has them.
async function reconcile(c, filter, here, limit = 60000) {
  const neg = new Negentropy(set(here), limit), id = `n${sessions++}`
  const have = [], need = []
  c.send('NEG-OPEN', id, filter, neg.initiate())
  let rounds = 0
  for (;;) {
    const m = await answer(c, id)
    if (!m) return { none: c.closed, rounds }
    rounds++
    if (m[0] === 'NEG-ERR') return { error: m.slice(2) }
    const next = neg.reconcile(m[2], i => have.push(i), i => need.push(i))
    if (next === null) break
    c.send('NEG-MSG', id, next)
  }
  c.send('NEG-CLOSE', id)
  return { have: have.sort(), need: need.sort(), rounds }
}
const ids = events => events.map(e => e.id).sort()
const minus = (a, b) => { const s = new Set(b.map(e => e.id)); return ids(a.filter(e => !s.has(e.id))) }

const relay = await serve(scratch('store'), '--set', 'metrics=127.0.0.1:0')
const info = await (await fetch(relay.url.replace('ws', 'http'), { headers: { Accept: 'application/nostr+json' } })).json()
ok(info.supported_nips.includes(77), 'NIP-11 tells of it')
const c = await Client.open(relay.url)

// ---- what differs is found
is(await reconcile(c, {}, []), { have: [], need: [], rounds: 1 }, 'nothing and nothing')
const at = 1700000000
const made = (await run('nr-bench', ['gen', '-q', '-n', '3000', '--seed', '77'])).out.trim().split('\n').map(l => JSON.parse(l))
const ties = Array.from({ length: 300 }, (_, i) => alice.sign(1, `tie ${i}`, [], at + i % 2))
// What anybody may see.
const all = [...made, ...ties].filter(e => e.kind !== 4 && e.kind !== 1059)
const stored = all.filter((e, i) => i % 10 !== 3)
await run('nr-import', ['-S', scratch('store'), '-q'], stored.map(e => JSON.stringify(e)).join('\n') + '\n')
const there = (await run('nr-export', ['-S', scratch('store')])).out.trim().split('\n').map(l => JSON.parse(l))
const here = all.filter((e, i) => i % 7 !== 2)
ok(there.length > 2500, 'events are there', there.length)
let r = await reconcile(c, {}, here)
is([r.have, r.need], [minus(here, there), minus(there, here)], 'what either has and the other has not')
ok(r.rounds < 5, 'in a few rounds', r.rounds)
r = await reconcile(c, {}, here, 4096)
is([r.have, r.need], [minus(here, there), minus(there, here)], 'with small messages of ours')
ok(r.rounds > 4, 'in more rounds', r.rounds)
is((await reconcile(c, {}, [])).need, ids(there), 'all of it')
is((await reconcile(c, {}, there)).rounds, 1, 'nothing differs: one round')
for (const [name, filter, pred] of [
  ['kinds', { kinds: [1, 7] }, e => e.kind === 1 || e.kind === 7],
  ['an author', { authors: [alice.pubkey] }, e => e.pubkey === alice.pubkey],
  ['a time', { since: at, until: at }, e => e.created_at === at],
  ['a part of time', { since: at + 1 }, e => e.created_at > at],
  ['nothing', { kinds: [60000] }, () => false],
  ['no id', { ids: [] }, () => false],
]) {
  const a = here.filter(pred), b = there.filter(pred)
  r = await reconcile(c, filter, a)
  is([r.have, r.need], [minus(a, b), minus(b, a)], `by ${name}`)
}
const newest = [...there].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)).slice(0, 40)
is((await reconcile(c, { limit: 40 }, [])).need, ids(newest), 'a limit is of the newest')
is((await reconcile(c, { limit: 0 }, [])).need, [], 'a limit of none')

// ---- sessions
c.send('REQ', 'same', { limit: 0 })
c.send('NEG-OPEN', 'same', { authors: [alice.pubkey] }, empty)
is((await c.take(m => m[0] === 'EOSE'))?.[1], 'same', 'a subscription')
is((await answer(c, 'same'))?.[0], 'NEG-MSG', 'and a session have ids of their own')
c.send('NEG-OPEN', 'same', { kinds: [60000] }, empty)
is((await answer(c, 'same'))?.[2], empty, 'NEG-OPEN on an open id begins another session')
c.send('NEG-MSG', 'same', empty)
is((await answer(c, 'same'))?.[2], empty, 'of which the next message is')
c.send('NEG-CLOSE', 'same')
c.send('NEG-MSG', 'same', empty)
is(await answer(c, 'same'), ['NEG-ERR', 'same', 'closed: there is no session with this id'], 'closed is closed')
const live = alice.sign(1, 'live')
await c.publish(live)
is((await c.take(m => m[0] === 'EVENT'))?.[2].id, live.id, 'the subscription goes on')
const several = await Promise.all(Array.from({ length: 20 }, () => reconcile(c, {}, here, 5000)))
ok(several.every(s => s.need.length === minus(there, here).length + 1), 'many at a time')
c.send('NEG-OPEN', 'busy', {}, empty)
c.send('NEG-MSG', 'busy', empty)
let two = await answer(c, 'busy')
// Or it was answered in time.
if (two?.[0] === 'NEG-MSG') two = await answer(c, 'busy')
ok(two?.[0] === 'NEG-MSG' || two?.[2].startsWith('invalid: the last message'), 'a message before the answer to the last', two)

// ---- refused
for (const [name, rest, why] of [
  ['no message', [{}], 'invalid: no message in lower-case hexadecimal'],
  ['no hexadecimal', [{}, 'xy'], 'invalid: no message in lower-case hexadecimal'],
  ['half a byte', [{}, '616'], 'invalid: no message in lower-case hexadecimal'],
  ['no filter', [], 'invalid: no filter'],
  ['a bad filter', [{ kinds: 7 }, empty], 'invalid: '],
  ['an unknown key', [{ nope: 7 }, empty], 'unsupported: '],
  ['an empty message', [{}, ''], 'invalid: a message that ends too early'],
  ['no version', [{}, '20'], 'invalid: not a message of negentropy'],
  ['a broken one', [{}, '610000'], 'invalid: a message that ends too early'],
  ['a mode that is none', [{}, '61000003'], 'invalid: a range of an unknown mode'],
  ['what follows', [{}, empty, 7], 'invalid: no message in lower-case hexadecimal'],
]) {
  c.send('NEG-OPEN', 'bad', ...rest)
  const m = await answer(c, 'bad')
  ok(m?.[0] === 'NEG-ERR' && m[2].startsWith(why), `refused: ${name}`, m)
}
c.send('NEG-OPEN', 'v2', {}, '62aabb')
is((await answer(c, 'v2'))?.[2], '61', 'another version is told ours')
c.send('NEG-MSG', 'v2', empty)
is((await answer(c, 'v2'))?.[0], 'NEG-MSG', 'which goes on')
c.send('NEG-OPEN', '', {}, empty)
is(await answer(c, ''), ['NEG-ERR', '', 'invalid: subscription id is empty'], 'no id')
is((await reconcile(c, {}, here)).have.length, minus(here, there).length, 'the connection lives')

// ---- what may not be seen is not there
const now_ = now()
const priv = alice.sign(4, 'secret', [['p', bob.pubkey]])
const wrap = carol.sign(1059, 'wrapped', [['p', bob.pubkey]])
const soon = alice.sign(1, 'expires', [['expiration', String(now_ + 3)]])
const gone = alice.sign(1, 'deleted'), kept = alice.sign(1, 'kept')
const old = alice.sign(30023, 'old', [['d', 'x']], now_ - 10), fresh = alice.sign(30023, 'new', [['d', 'x']])
const eph = alice.sign(20001, 'ephemeral')
for (const e of [priv, wrap, soon, gone, kept, old, fresh, eph, alice.sign(5, '', [['e', gone.id]])]) await c.publish(e)
const since = now_ - 60
const seen = async who => (await reconcile(who, { since }, [])).need
const has = (list, e) => list.includes(e.id)
let list = await seen(c)
ok(has(list, kept) && has(list, soon) && has(list, fresh), 'what is there')
ok(![priv, wrap, gone, old, eph].some(e => has(list, e)), 'private, deleted, replaced and ephemeral events are not')
const b = await Client.open(relay.url)
await b.auth(bob)
list = await seen(b)
ok(has(list, priv) && has(list, wrap), 'their parties have private events')
ok(has(await seen(await (async () => { const a = await Client.open(relay.url); await a.auth(alice); return a })()), priv), 'their authors, too')
c.send('NEG-OPEN', 'dm', { kinds: [4] }, empty)
ok((await answer(c, 'dm'))?.[2].startsWith('auth-required: '), 'who asks for nothing else is told to authenticate')
ok(await until(async () => !has(await seen(c), soon), 8000), 'what has expired is not there')

// ---- limits
const small = await serve(scratch('small'), '--set', 'max_sync=100', '--set', 'sync_seconds=1', '--set', 'max_subscriptions=5')
const s = await Client.open(small.url)
for (const e of ties.slice(0, 101)) s.send('EVENT', e)
for (const e of ties.slice(0, 101)) await s.ok(e.id)
is((await reconcile(s, {}, [])).need.length, 101, 'everything is no matter of max_sync')
is(await reconcile(s, { kinds: [1] }, []), { error: ['blocked: this query is too big', 100] }, 'more than max_sync')
is((await reconcile(s, { kinds: [1], until: at }, [])).need.length, 51, 'a smaller one')
s.send('NEG-OPEN', 'idle', { until: at }, empty)
await answer(s, 'idle')
is(await answer(s, 'idle'), ['NEG-ERR', 'idle', 'closed: you took too long to respond'], 'a silent client')
for (let i = 0; i < 6; i++) s.send('NEG-OPEN', `many${i}`, { until: at }, empty)
ok((await answer(s, 'many5'))?.[2].startsWith('rate-limited: '), 'sessions count as subscriptions')
const none = await serve(scratch('none'), '--set', 'max_sync=0')
const off = await Client.open(none.url)
off.send('NEG-OPEN', 'x', {}, empty)
ok((await answer(off, 'x'))?.[2].startsWith('unsupported: '), 'it can be turned off')
const without = await (await fetch(none.url.replace('ws', 'http'), { headers: { Accept: 'application/nostr+json' } })).json()
ok(!without.supported_nips.includes(77), 'and is not told of then')
const memory = await serve(scratch('small'), '--set', 'sync_memory=1M', '--set', 'max_subscriptions=1000')
const m = await Client.open(memory.url)
for (let i = 0; i < 400; i++) m.send('NEG-OPEN', `m${i}`, { kinds: [1] }, empty)
ok((await m.take(x => x[0] === 'NEG-ERR', 20000))?.[2].startsWith('rate-limited: '), 'memory has an end')
m.ws.close()
const m2 = await Client.open(memory.url)
ok(await until(async () => !(await reconcile(m2, { kinds: [1] }, [])).error), 'and comes back')
const port = Number(/metrics at http:\/\/[^\n]*:(\d+)/.exec(relay.err)[1])
const figures = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
ok(/nr_messages_total\{verb="NEG-OPEN"\} [1-9]/.test(figures) && /nr_sync_bytes \d/.test(figures), 'figures')
done()
