// What is said about what: OK, EOSE, CLOSED, NOTICE, and in which order.
import { randomBytes } from 'node:crypto'
import { ok, is, done, serve, scratch, run, Client, Author, sleep, until, now } from './tap.mjs'

const store = scratch('store')
const server = await serve(store, '--set', 'max_bad_messages=1000')
const c = await Client.open(server.url), other = await Client.open(server.url)
const alice = new Author(), bob = new Author()
let fences = 0

// All that was asked for until now has been answered, and nothing more.
async function fence(client) {
  const id = `fence${++fences}`
  client.send('REQ', id, { limit: 0 })
  const eose = await client.take(m => m[1] === id)
  client.send('CLOSE', id)
  return eose?.[0] === 'EOSE'
}
const short = text => text.length > 60 ? `${text.slice(0, 50)}... (${text.length})` : text
const answer = async text => { c.raw(text); return c.take(() => true, 2000) }
const reads = async (id, ...filters) => (await c.query(id, ...filters)).events.map(e => e.content)

// ---- messages that make no sense
const hex = n => 'a'.repeat(n)
for (const text of ['', ' ', 'null', '1', '"EVENT"', '{}', '[]', '[1]', '[[]]', '["EVENT"', '["EVENT"]', '["EVENT",1]',
  '["EVENT",{}]', '["EVENT",{"id":"ab"}]', '["EVENT","x"', '["REQ"]', '["REQ",1,{}]', '["REQ",null,{}]', '["REQ","x',
  '["CLOSE"]', '["CLOSE",1]', '["CLOSE","a","b"]', '["CLOSE","a"]]', '["HELLO"]', '["event",{}]', '["OK","a",true,""]',
  '["REQ","\\ud800",{}]', '["REQ","\\u0000",{}]', '["REQ","\u0001",{}]', 'EVENT', '\ufeff[]', '["REQ" "a" {}]',
  `[${'['.repeat(9999)}`]) {
  const m = await answer(text)
  ok(m?.[0] === 'NOTICE' && m.length === 2 && /^[a-z]+: ./.test(m[1]), `NOTICE: ${short(text)}`, m)
}
ok(await fence(c) && c.messages.length === 0, 'one answer each, and the connection lives', c.messages)

// ---- REQs that are refused
const limits = '{"limit":1}'
for (const [text, id, why] of [
  ['["REQ","s"]', 's', 'invalid'], ['["REQ","s",]', 's', 'invalid'], ['["REQ","s",{}', 's', 'invalid'],
  ['["REQ","s",{}]]', 's', 'invalid'], ['["REQ","s",1]', 's', 'invalid'], ['["REQ","s",null]', 's', 'invalid'],
  ['["REQ","s",[]]', 's', 'invalid'], ['["REQ","s","{}"]', 's', 'invalid'], ['["REQ","s",{},1]', 's', 'invalid'],
  ['["REQ","",{}]', '', 'invalid'], [`["REQ","${hex(65)}",{}]`, hex(65), 'invalid'],
  [`["REQ","${'é'.repeat(65)}",{}]`, 'é'.repeat(65), 'invalid'],
  [`["REQ","${hex(5000)}",{}]`, hex(5000), 'invalid'],
  [`["REQ","s",${Array(21).fill(limits)}]`, 's', 'invalid'],
  ...['{"ids":"a"}', '{"ids":[1]}', '{"ids":["ab"]}', `{"ids":["${hex(63)}"]}`, `{"ids":["${hex(65)}"]}`,
    `{"ids":["${hex(63)}A"]}`, `{"ids":["${hex(63)}g"]}`, `{"authors":["${'A'.repeat(64)}"]}`, `{"#e":["${hex(62)}"]}`,
    '{"#p":["npub"]}', `{"#e":["${hex(63)}B"]}`, '{"kinds":1}', '{"kinds":["1"]}', '{"kinds":[1.5]}', '{"kinds":[-1]}',
    '{"kinds":[65536]}', '{"kinds":[1,]}', '{"since":"1"}', '{"until":1.5}', '{"until":1e30}', '{"limit":-1}',
    '{"limit":"1"}', '{"limit":1,"limit":2}', '{"#t":"x"}', '{"#t":[1]}', '{"#t":["a"],"#t":["b"]}', '{"#t":["\\ud800"]}',
    '{"kinds":[1]', '{"kinds"}', '{,}', '{"ids":[[[[[[]]]]]]}'].map(f => [`["REQ","s",${f}]`, 's', 'invalid']),
  ...['{"foo":1}', '{"search":"x"}', '{"#tt":["x"]}', '{"#1":["x"]}', '{"#":["x"]}', '{"&t":["x"]}', `{"${hex(99)}":1}`]
    .map(f => [`["REQ","s",${f}]`, 's', 'unsupported']),
]) {
  const m = await answer(text)
  ok(m?.[0] === 'CLOSED' && m.length === 3 && m[1] === id && m[2].startsWith(`${why}: `), `CLOSED: ${short(text)}`, m)
}
ok(await fence(c) && c.messages.length === 0, 'no EOSE beside CLOSED, and the connection lives', c.messages)
for (const id of [hex(64), 'é'.repeat(64), '🤙'.repeat(64), '"\\\n', '\u2028'])
  ok((await c.query(id, { limit: 0 })).end?.[1] === id, `a subscription id that is fine: ${short(JSON.stringify(id))}`)
c.send('CLOSE', 'never opened')
c.send('CLOSE', hex(100))
ok(await fence(c) && c.messages.every(m => m[0] !== 'CLOSED'), 'CLOSE of an unknown id is no matter')
c.messages.length = 0
for (const id of [hex(64), 'é'.repeat(64), '🤙'.repeat(64), '"\\\n', '\u2028']) c.send('CLOSE', id)

// ---- events that are refused
const good = alice.sign(1, 'good')
const broken = async (change, why, name) => {
  const e = { ...good, ...change }
  for (const k in e) if (e[k] === undefined) delete e[k]
  c.send('EVENT', e)
  const m = await c.take(() => true, 2000)
  const want = /^[0-9a-f]{64}$/i.test(e.id) ? ['OK', e.id, false] : ['NOTICE']
  ok(JSON.stringify(m?.slice(0, want.length)) === JSON.stringify(want) && m.at(-1).startsWith(why), name, m)
}
await broken({ content: 'changed' }, 'invalid: ', 'the id does not match')
await broken({ sig: good.sig.replace(/^../, x => x === '00' ? '01' : '00') }, 'invalid: ', 'the signature is wrong')
await broken({ sig: 'ab' }, 'invalid: ', 'the signature is too short')
await broken({ pubkey: 'f'.repeat(64) }, 'invalid: ', 'the public key is none')
await broken({ pubkey: good.pubkey.toUpperCase() }, 'invalid: ', 'the public key is in upper case')
await broken({ id: good.id.toUpperCase() }, 'invalid: ', 'the id is in upper case')
await broken({ kind: 65536 }, 'invalid: ', 'the kind is too large')
await broken({ kind: '1' }, 'invalid: ', 'the kind is a string')
await broken({ kind: -1 }, 'invalid: ', 'the kind is negative')
await broken({ created_at: -1 }, 'invalid: ', 'created_at is negative')
await broken({ created_at: 1.5 }, 'invalid: ', 'created_at is no integer')
await broken({ tags: {} }, 'invalid: ', 'tags are an object')
await broken({ tags: ['a'] }, 'invalid: ', 'a tag is a string')
await broken({ tags: [['a', 1]] }, 'invalid: ', 'a tag holds a number')
await broken({ content: null }, 'invalid: ', 'content is null')
for (const k of ['id', 'pubkey', 'created_at', 'kind', 'tags', 'content', 'sig'])
  await broken({ [k]: undefined }, 'invalid: ', `${k} is missing`)
await broken({ content: 'x'.repeat(130000) }, 'invalid: ', 'the event is longer than max_event')
await broken({ tags: Array(5001).fill(['a']) }, 'invalid: ', 'too many tags')
c.raw(`["EVENT",${JSON.stringify(good)},1]`)
is((await c.ok(good.id))?.slice(2), [false, 'invalid: bytes behind the event'], 'something stands behind the event')
c.raw(`["EVENT",${JSON.stringify(good).replace('"kind":1', '"kind":1,"kind":1')}]`)
is((await c.ok(good.id))?.[2], false, 'a field is given twice')
is((await c.query('none', { ids: [good.id] })).ids, [], 'nothing of this was stored')
const future = alice.sign(1, '', [], now() + 1000)
is((await c.publish(future))?.[0], false, 'an event from the future is refused')
is((await c.publish(alice.sign(1, '', [], now() + 800)))?.[0], true, 'from the near future it is not')
is((await c.publish(alice.sign(1, '', [], 0)))?.[0], true, 'nor from 1970')

// ---- events that are not stored for what they are
is(await c.publish(good), [true, ''], 'a good event')
is(await c.publish(good), [true, 'duplicate: already have this event'], 'again')
is(await other.publish(good), [true, 'duplicate: already have this event'], 'again, from elsewhere')
c.raw(` [ "EVENT" ,\n${JSON.stringify({ extra: [1, { a: null }], ...good }, null, 2)} ] `)
is((await c.ok(good.id))?.[2], true, 'white space and unknown fields are fine')
const v1 = alice.sign(10002, '1', [], 1000), v2 = alice.sign(10002, '2', [], 1001)
is([(await c.publish(v2))?.[0], await c.publish(v1)], [true, [false, 'duplicate: have a newer version']],
  'an older version is refused')
const tie = [0, 1, 2, 3].map(i => alice.sign(30000, String(i), [['d', 'tie']], 2000)).sort((a, b) => a.id < b.id ? -1 : 1)
for (const e of [tie[2], tie[3], tie[0], tie[1]]) await c.publish(e)
is((await c.query('tie', { kinds: [30000] })).ids, [tie[0].id], 'of versions of one time the lowest id stays')
is(await reads('r', { kinds: [10002] }), ['2'], 'one version of a replaceable event')
is((await c.publish(alice.sign(1, '', [['expiration', String(now() - 1)]])))?.[1], 'invalid: expired', 'expired')
is((await c.publish(alice.sign(20000, '', [['expiration', String(now() - 1)]])))?.[1], 'invalid: expired',
  'an ephemeral event, expired')
ok(/^auth-required: /.test((await c.publish(alice.sign(1, 'mine', [['-']])))?.[1]), 'protected')
ok(/^auth-required: /.test((await c.publish(alice.sign(20000, 'mine', [['-']])))?.[1]), 'ephemeral and protected')

// ---- deletion
const victim = alice.sign(1, 'victim'), foreign = bob.sign(1, 'foreign'), late = alice.sign(1, 'late')
await c.publish(victim)
await c.publish(foreign)
const deletion = alice.sign(5, '', [['e', victim.id], ['e', foreign.id], ['e', late.id]])
is((await c.publish(deletion))?.[0], true, 'a deletion')
is(await reads('d', { ids: [victim.id, foreign.id] }), ['foreign'], 'takes effect, on events of its author')
is(await c.publish(victim), [false, 'blocked: deleted'], 'what was deleted does not come back')
is(await c.publish(late), [false, 'blocked: deleted'], 'nor comes what was deleted before it came')
await c.publish(alice.sign(5, '', [['e', deletion.id]]))
is((await c.query('dd', { ids: [deletion.id] })).ids.length, 1, 'a deletion cannot be deleted')
is((await c.publish(victim))?.[0], false, 'and keeps its effect')
const address = d => ['a', `30001:${alice.pubkey}:${d}`]
await c.publish(alice.sign(30001, 'old', [['d', 'x:y']], 5000))
await c.publish(bob.sign(5, '', [address('x:y')], 5000))
is(await reads('a1', { kinds: [30001] }), ['old'], "another's deletion by address does nothing")
await c.publish(alice.sign(5, '', [address('x:y')], 5000))
is(await reads('a2', { kinds: [30001] }), [], 'the author can, up to the very second')
is((await c.publish(alice.sign(30001, 'older', [['d', 'x:y']], 4999)))?.[1], 'blocked: deleted', 'older ones stay out')
is((await c.publish(alice.sign(30001, 'new', [['d', 'x:y']], 5001)))?.[0], true, 'newer ones do not')

// ---- order, limits, several filters
const at = [[100, 'a'], [100, 'b'], [100, 'c'], [101, 'd'], [99, 'e'], [100, 'f']]
const line = []
for (const [t, text] of at) {
  const e = bob.sign(42, text, [['t', text], ['t', 'all']], t)
  line.push(e)
  await c.publish(e)
}
line.sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
const order = line.map(e => e.id)
is((await c.query('o1', { kinds: [42] })).ids, order, 'newest first, then lowest id')
is((await c.query('o2', { '#t': ['all'], limit: 3 })).ids, order.slice(0, 3), 'also where a limit cuts a tie')
is((await c.query('o3', { kinds: [42], since: 100, until: 100 })).ids,
  line.filter(e => e.created_at === 100).map(e => e.id), 'since and until are inclusive')
is((await c.query('o4', { kinds: [42], limit: 2 }, { kinds: [42], '#t': ['e'] }, { ids: [order[0]] })).ids,
  [...order.slice(0, 2), order[5]], 'several filters, each with its limit, no event twice')
is((await c.query('o5', { kinds: [42], ids: [] }, { kinds: [42], '#t': [] })).ids, [], 'an empty list matches nothing')
is((await c.query('o6', { kinds: [42, 42], authors: [bob.pubkey, bob.pubkey] })).ids, order, 'repetitions do not matter')
ok((await c.query('o7', {})).ids.length >= 10, 'an empty filter is everything')
is((await c.query('o8', { kinds: [42], since: 200, until: 100 })).ids, [], 'a window turned around holds nothing')
is((await c.query('o9', { '#T': ['all'] })).ids, [], "the case of a tag's letter matters")
await sleep(50)
is(c.messages.filter(m => m[0] === 'EOSE'), [], 'one EOSE each')
for (let i = 1; i < 10; i++) c.send('CLOSE', `o${i}`)
await fence(c)
c.messages.length = 0

// ---- live
is(await c.query('live', { kinds: [43], limit: 0 }), { end: ['EOSE', 'live'], events: [], ids: [] }, 'limit 0: EOSE')
const live = bob.sign(43, 'live')
await other.publish(live)
const sorted = e => Object.entries({ ...e }).sort()
is(sorted((await c.take(m => m[1] === 'live'))?.[2]), sorted(live), 'and then what comes, as it was published')
await c.query('twice', { kinds: [43], limit: 0 }, { authors: [bob.pubkey], limit: 0 })
const once = bob.sign(43, 'once')
await other.publish(once)
await other.publish(bob.sign(43, 'end'))
await until(() => c.messages.filter(m => m[2]?.content === 'end').length === 2)
is(c.messages.filter(m => m[2]?.id === once.id).map(m => m[1]).sort(), ['live', 'twice'],
  'once a subscription, however many filters match')
c.messages.length = 0
await c.query('live', { kinds: [44], limit: 0 })
c.send('CLOSE', 'twice')
await fence(c)
await other.publish(bob.sign(43, 'to nobody'))
const replaced = bob.sign(44, 'to the new one')
await other.publish(replaced)
await c.take(m => m[2]?.id === replaced.id)
is(c.messages, [], 'the same id again replaces; CLOSE ends')
c.send('REQ', 'live', { kinds: 1 })
is((await c.take(() => true))?.[0], 'CLOSED', 'a REQ that is refused')
await other.publish(bob.sign(44, 'to nobody'))
await other.publish(bob.sign(43, 'to nobody'))
await sleep(30)
is(c.messages, [], 'leaves nothing under its id')
is((await other.publish(bob.sign(20001, 'nobody')))?.[1], 'mute: no one was listening', 'ephemeral, unheard')
await c.query('eph', { kinds: [20001] })
const eph = bob.sign(20001, 'heard')
is(await other.publish(eph), [true, ''], 'ephemeral, heard')
is((await c.take(m => m[0] === 'EVENT'))?.[2]?.id, eph.id, 'by a subscriber')
is((await c.query('eph2', { ids: [eph.id] })).ids, [], 'and not stored')
c.send('CLOSE', 'eph')
c.send('CLOSE', 'eph2')

// What was answered with OK is stored, not live, to a REQ that follows.
let misses = 0
const noise = setInterval(() => { for (let i = 0; i < 3; i++) other.send('EVENT', bob.sign(45, String(Math.random()))) }, 10)
for (let i = 0; i < 100; i++) {
  const e = alice.sign(46, `own ${i}`)
  await c.publish(e)
  const got = await c.query('own', { ids: [e.id] })
  if (got.ids[0] !== e.id) misses++
}
clearInterval(noise)
is(misses, 0, 'own events are there before EOSE')

// Between stored and live nothing is lost or doubled.
const lists = new Map(), sent = []
const clients = await Promise.all([1, 2, 3].map(() => Client.open(server.url)))
clients.forEach((client, k) => client.ws.on('message', d => {
  const [verb, id, e] = JSON.parse(d)
  if (verb === 'EVENT') lists.get(`${k}:${id}`).push(e)
  if (verb === 'EOSE') lists.get(`${k}:${id}`).eose++
}))
const batch = Array.from({ length: 400 }, (_, i) => alice.sign(47, String(i), [], now() - (i % 50)))
for (const [i, e] of batch.entries()) {
  other.send('EVENT', e)
  sent.push(e.id)
  if (i % 20 === 10) {
    const k = (i / 20 | 0) % 3, list = Object.assign([], { eose: 0 })
    lists.set(`${k}:${i}`, list)
    clients[k].send('REQ', String(i), { kinds: [47], limit: 5000 })
    await sleep(i % 3)
  }
}
await until(() => [...lists.values()].every(l => l.length >= sent.length), 8000)
sent.sort()
is([...lists.values()].map(l => JSON.stringify(l.map(e => e.id).sort()) === JSON.stringify(sent) && l.eose === 1),
  Array(20).fill(true), '20 subscriptions opened in the flow: each event once, one EOSE')
clients.forEach(x => x.close())

// ---- other programs
const jsonl = events => events.map(e => JSON.stringify(e) + '\n').join('')
const random = n => randomBytes(n).toString('hex')
const fast = Array.from({ length: 4000 }, (_, i) => ({ id: random(32), pubkey: random(32), created_at: now() - i % 99,
  kind: 51, tags: [], content: random(50), sig: random(64) }))
const seam = await Client.open(server.url), seen = []
seam.ws.on('message', d => {
  const [verb, id, e] = JSON.parse(d)
  if (verb === 'EVENT') seen[id].push(e.id)
  seam.messages.length = 0
})
let importing = true
const import51 = run('nr-import', ['-q', '-nn', '-S', store], jsonl(fast)).then(x => { importing = false; return x })
for (let i = 0; importing && i < 90; i++) {
  seen.push([])
  seam.send('REQ', String(i), { kinds: [51], limit: 5000 })
  await sleep(3)
}
is((await import51).code, 0, 'an import of 4,000 events')
ok(await until(() => seen.every(l => l.length >= fast.length)), 'reaches all who asked meanwhile', seen.map(l => l.length))
await sleep(100)
is(seen.map(l => [l.length, new Set(l).size]).filter(x => x[0] !== 4000 || x[1] !== 4000), [],
  `none of ${seen.length} missed one or had one twice`)
seam.close()

// A query that is replaced while it runs.
let strays = 0
for (let i = 0; i < 40; i++) {
  c.messages.length = 0
  c.send('REQ', 'swap', { kinds: [51], limit: 5000 })
  if (i % 2) await sleep(i % 5)
  c.send('REQ', 'swap', { kinds: [42], limit: 1 })
  await until(() => c.messages.at(-1)?.[0] === 'EOSE' && c.messages.at(-2)?.[2]?.kind === 42)
  await fence(c)
  await sleep(2)
  const end = c.messages.findIndex(m => m[2]?.kind === 42)
  if (end < 0 || c.messages.slice(end).some(m => m[2]?.kind === 51)) strays++
}
is(strays, 0, 'a query that is replaced while it runs gives nothing more')

await c.query('imp', { kinds: [48], limit: 0 })
c.messages.length = 0
const loud = [1, 2, 3].map(i => alice.sign(48, `loud ${i}`)), quiet = alice.sign(48, 'quiet')
let r = await run('nr-import', ['-q', '-S', store], jsonl(loud))
is(r.code, 0, 'nr-import beside the relay')
ok(await until(() => c.messages.length === 3), 'reaches subscribers', c.messages)
is(c.messages.map(m => m[2].id), loud.map(e => e.id), 'in order')
c.messages.length = 0
r = await run('nr-import', ['-q', '--no-live', '-S', store], jsonl([quiet]))
is((await c.query('imp2', { kinds: [48], '#x': ['y'] }, { ids: [quiet.id] })).ids, [quiet.id],
  'with --no-live it is found at once')
const after = alice.sign(48, 'after')
await other.publish(after)
await c.take(m => m[1] === 'imp' && m[2].id === after.id)
is(c.messages.filter(m => m[1] === 'imp'), [], 'but reaches no subscriber')

// ---- expiry
const brief = alice.sign(49, 'brief', [['expiration', String(now() + 2)]])
const lasting = alice.sign(49, 'lasting', [], now() - 10)
await c.query('exp', { kinds: [49], limit: 0 })
await c.publish(brief)
await c.publish(lasting)
is((await c.take(m => m[1] === 'exp'))?.[2]?.id, brief.id, 'an event that will expire is live')
is((await c.query('e1', { kinds: [49], limit: 1 })).ids, [brief.id], 'and stored')
await until(() => now() >= Number(brief.tags[0][1]))
await sleep(20)
is((await c.query('e2', { kinds: [49], limit: 1 })).ids, [lasting.id], 'until its time; then it does not count')
is((await c.query('e3', { ids: [brief.id] })).ids, [], 'nor is it found by id')
is((await c.publish(brief))?.[1], 'invalid: expired', 'nor accepted again')

// ---- limits by count
for (let i = 0; i < 110; i++) other.send('REQ', `many${i}`, { limit: 0 })
await until(() => other.messages.filter(m => /^many/.test(m[1])).length === 110)
is(other.messages.filter(m => m[0] === 'CLOSED').map(m => m[2]), Array(10).fill('rate-limited: too many subscriptions'),
  'the 101st subscription is refused')
other.send('CLOSE', 'many0')
is((await other.query('again', { limit: 0 })).end?.[0], 'EOSE', 'CLOSE makes room')
is((await other.query('many1', { limit: 0 })).end?.[0], 'EOSE', 'and one may always be replaced')

c.close()
is(await server.stop(), { code: 0, signal: null }, 'status 0')

// ---- repeated nonsense
const strict = await serve(scratch('strict'), '--set', 'max_bad_messages=3')
for (const text of ['x', '["EVENT",{}]']) {
  const bad = await Client.open(strict.url)
  for (let i = 0; i < 3; i++) { bad.raw(text); await bad.take(m => m[0] === 'NOTICE') }
  ok(await fence(bad), `three times ${text}`)
  bad.raw(text)
  bad.send('EVENT', alice.sign(50, 'too late'))
  ok(await until(() => bad.closed), 'once more, and it is closed')
  is(bad.closed, { code: 1008, why: 'too many messages that make no sense' }, 'with the reason')
}
is(await strict.stop(), { code: 0, signal: null }, 'status 0')
done()
