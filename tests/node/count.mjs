// COUNT with HyperLogLog (NIP-45), and what EOSE says of completeness (NIP-67).
import { createHash } from 'node:crypto'
import { ok, is, done, serve, scratch, Client, Author, until, now } from './tap.mjs'

const server = await serve(scratch('store'), '--set', 'max_count=500', '--set', 'max_limit=100', '--set', 'default_limit=50')
const c = await Client.open(server.url)
const people = Array.from({ length: 40 }, () => new Author())
const target = people[0].sign(1, 'target'), start = now() - 10000
const count = async (id, ...filters) => {
  c.send('COUNT', id, ...filters)
  const m = await c.take(m => (m[0] === 'COUNT' || m[0] === 'CLOSED') && m[1] === id, 10000)
  return m?.[0] === 'COUNT' && m.length === 3 ? m[2] : m
}
const put = async e => { const r = await c.publish(e); if (!r?.[0]) console.error(r) }
await put(target)
let n = 0
for (const p of people) {
  await put(p.sign(7, '+', [['e', target.id], ['p', people[0].pubkey]], start + n++))
  await put(p.sign(1, 'reply', [['e', target.id], ['t', 'Über "x"']], start + n++))
}
await put(people[1].sign(1, 'article', [['a', `30023:${people[2].pubkey}:my:slug`]], start))

// ---- counts
is((await count('a', { kinds: [7] })).count, 40, 'a filter')
is((await count('a', { kinds: [7] }, { kinds: [1], '#e': [target.id] })).count, 80, 'several: their union')
is((await count('a', { kinds: [7] }, { kinds: [7], limit: 500 }, { '#e': [target.id] })).count, 80, 'each event once')
is(await count('a', { kinds: [12345] }), { count: 0 }, 'nothing')
is((await count('a', { kinds: [7], since: start, until: start + 10 })).count, 6, 'a window')
is((await count('a', { limit: 5 })).count, 5, 'a limit of the client counts')
is(await count('a', { kinds: [] }), { count: 0 }, 'an empty list')
is((await count('a', { kinds: [7], x: 1 }))?.slice(0, 2), ['CLOSED', 'a'], 'a filter that is refused: CLOSED')
ok(/^invalid: /.test((await count('a'))?.[2]), 'no filter: CLOSED')
c.raw('["COUNT"]')
is((await c.take(m => m[0] === 'NOTICE'))?.[0], 'NOTICE', 'no id')
is((await count('x'.repeat(65), {}))?.[0], 'CLOSED', 'an id that is too long')
is((await count('a', { kinds: [7] })).approximate, undefined, 'exact')

// ---- HyperLogLog, computed apart
const offset = (tag, value) => {
  const hex = /^[0-9a-f]{64}$/.test(value) ? value : /^\d+:[0-9a-f]{64}:/.test(value) ? value.split(':')[1] :
    createHash('sha256').update(value).digest('hex')
  return parseInt(hex[32], 16) + 8
}
const registers = (events, at) => {
  const regs = new Uint8Array(256)
  for (const e of events) {
    const key = Buffer.from(e.pubkey, 'hex')
    const bits = [...key.subarray(at + 1, at + 8)].map(b => b.toString(2).padStart(8, '0')).join('')
    const zeros = bits.indexOf('1') < 0 ? 56 : bits.indexOf('1')
    regs[key[at]] = Math.max(regs[key[at]], zeros + 1)
  }
  return Buffer.from(regs).toString('hex')
}
for (const [letter, value] of [['e', target.id], ['p', people[0].pubkey], ['t', 'Über "x"'], ['a', `30023:${people[2].pubkey}:my:slug`], ['t', 'nobody']]) {
  const filter = { [`#${letter}`]: [value] }
  const { events } = await c.query('q', { ...filter, limit: 100 })
  const r = await count('h', filter)
  is(r.count, events.length, `#${letter}: ${events.length}`)
  is(r.hll, registers(events, offset(letter, value)), 'with its registers')
}
is((await count('h', { kinds: [7] })).hll, undefined, 'no tag: no registers')
is((await count('h', { '#e': [target.id] }, { '#e': [target.id] })).hll, undefined, 'two filters: none')
is((await count('h', { '#t': ['a', 'b'] })).hll, undefined, 'two values: none')

// ---- ids of their own
c.send('REQ', 'same', { kinds: [20001] })
await c.take(m => m[0] === 'EOSE')
await count('same', { kinds: [7] })
await put(people[0].sign(20001, 'live'))
ok(await c.take(m => m[0] === 'EVENT' && m[1] === 'same'), 'COUNT leaves a REQ of its id alone')

// ---- who may not read does not count
const dm = people[3].sign(4, 'x', [['p', people[4].pubkey]])
await put(dm)
is((await count('d', { ids: [dm.id] })).count, 0, 'a stranger counts nothing of it')
ok(/^auth-required: /.test((await count('d', { kinds: [4] }))?.[2]), 'and is refused where it asks for nothing else')
await c.auth(people[4])
is((await count('d', { kinds: [4] })).count, 1, 'its recipient does')

// ---- EOSE
const hint = async (...f) => { const r = await c.query('e', ...f); return [r.end?.[0], ...(c.hints.e ?? []), r.ids.length] }
const ask = async (...f) => { delete c.hints.e; return hint(...f) }
is(await ask({ kinds: [7] }), ['EOSE', 'finish', 40], 'all there is: finish')
is(await ask({ kinds: [7], limit: 40 }), ['EOSE', 'finish', 40], 'a limit that is just enough')
is(await ask({ kinds: [7], limit: 39 }), ['EOSE', 'more', 39], 'one less: more')
is(await ask({}), ['EOSE', 'more', 50], "the relay's own limit")
is(await ask({ kinds: [12345] }), ['EOSE', 'finish', 0], 'nothing')
is(await ask({ ids: [target.id] }), ['EOSE', 'finish', 1], 'an id')
is(await ask({ kinds: [] }), ['EOSE', 'finish', 0], 'an empty list')
is(await ask({ limit: 0 }), ['EOSE', 0], 'limit 0: nothing is said')
is(await ask({ kinds: [7] }, { ids: [target.id] }), ['EOSE', 'finish', 41], 'several that are complete')
is(await ask({ kinds: [7], limit: 3 }, { ids: [target.id] }), ['EOSE', 4], 'several, one of them cut: nothing is said')
await put(people[5].sign(4, 'y', [['p', people[6].pubkey], ['t', 'hint']], start))
await put(people[5].sign(1, 'y', [['p', people[6].pubkey], ['t', 'hint']], start + 1))
is(await ask({ '#t': ['hint'], limit: 1 }), ['EOSE', 'finish', 1], 'what may not be read is not more')

// ---- a second is not cut by the relay's own limit
const bulk = async (n, kind, at) => {
  c.send('CLOSE', 'e')
  const events = Array.from({ length: n }, (_, i) => people[i % 40].sign(kind, `${i} ${at(i)}`, [], at(i)))
  events.forEach(e => c.send('EVENT', e))
  for (const e of events) await c.ok(e.id, 20000)
}
await bulk(48, 777, i => start + 100 + i)
await bulk(10, 777, () => start + 50)
is(await ask({ kinds: [777] }), ['EOSE', 'finish', 58], 'ties of the last: all of them')
await bulk(1, 777, () => start)
is(await ask({ kinds: [777] }), ['EOSE', 'more', 58], 'and no more')
is(await ask({ kinds: [777], limit: 50 }), ['EOSE', 'more', 50], "a client's limit is what it is")
is(await ask({ kinds: [777] }, { kinds: [7] }), ['EOSE', 98], 'in one of two')
await bulk(120, 778, () => start)
is(await ask({ kinds: [778] }), ['EOSE', 'more', 100], 'never more than max_limit')

// ---- a bound
for (let i = 0; i < 480; i++) c.send('EVENT', people[i % 40].sign(1, `b${i}`, [], start + i))
await until(() => c.messages.filter(m => m[0] === 'OK').length >= 480, 20000)
is(await count('b', {}), { count: 500, approximate: true }, 'more than max_count: approximate')
const info = await (await fetch(server.url.replace('ws', 'http'), { headers: { Accept: 'application/nostr+json' } })).json()
is([45, 67].every(x => info.supported_nips.includes(x)), true, 'NIP-11 tells')
is(await server.stop(), { code: 0, signal: null }, 'status 0')
done()
