// Point by point what relay-tester asks for (names that begin with 3), what
// the NIPs ask of a relay, and where implementations go wrong (10.1 to
// 10.25, less those of negentropy), as far as no other test here has it.
// Elsewhere are: protocol.mjs, what is refused and how (3 Writes; 10.8 ids;
// 10.9 too many subscriptions; 10.10), limit 0 (10.3), deletion by id (3
// NIP-09; 10.6), the order of ties (10.1); access.mjs, AUTH (3 NIP-42; 10.13,
// 10.23) and gift wraps (10.6); count.mjs, hints (10.21) and where there is
// no hll (10.24); http.mjs, NIP-11 (3 NIP-11; 10.12, 10.24); vanish.mjs,
// requests to vanish (10.6, 10.23, 10.24); 1500-differential.t, filters
// (3 Find; 10.4).  10.25 is decided as 3 Replaceable and 3 NIP-09 want it.
import { createHash, randomBytes } from 'node:crypto'
import { schnorr } from '@noble/curves/secp256k1'
import { getEventHash } from 'nostr-tools/pure'
import { npubEncode } from 'nostr-tools/nip19'
import { ok, is, done, serve, scratch, run, Client, Author, until, now } from './tap.mjs'

const store = scratch('store')
const server = await serve(store)
const good = [true, ''], dup = [true, 'duplicate: already have this event']
const older = [false, 'duplicate: have a newer version'], deleted = [false, 'blocked: deleted']
const invalid = m => m?.[0] === false && /^invalid: ./.test(m[1])
const said = []		// all that any relay says to anybody here
const connect = async (who = [], s = server) => {
  const c = await Client.open(s.url)
  c.ws.on('message', d => said.push(d.toString()))
  for (const a of who) await c.auth(a)
  return c
}
const c = await connect(), other = await connect()
const alice = new Author(), bob = new Author(), carol = new Author()

let subs = 0
const stored = async (client, ...filters) => {
  const id = `s${++subs}`, { end, events } = await client.query(id, ...filters)
  client.send('CLOSE', id)
  return end?.[0] === 'EOSE' ? events : end
}
const ids = async (...filters) => (await stored(c, ...filters)).map(e => e.id)
const texts = async (...filters) => (await stored(c, ...filters)).map(e => e.content)
const count = async (client, ...filters) => {
  const id = `n${++subs}`
  client.send('COUNT', id, ...filters)
  const m = await client.take(x => ['COUNT', 'CLOSED'].includes(x[0]) && x[1] === id)
  return m?.[0] === 'COUNT' ? m[2] : m
}
// A subscription whose stored events have come; and what has come live.
const listen = async (client, id, ...filters) => {
  client.send('REQ', id, ...filters)
  return client.take(m => m[0] !== 'EVENT' && m[1] === id)
}
const heard = (client, id) => client.messages.filter(m => m[0] === 'EVENT' && m[1] === id).map(m => m[2].content)
const fence = async client => (await stored(client, { limit: 0 })).length === 0
const info = async s => (await fetch(s.url.replace('ws', 'http'), { headers: { Accept: 'application/nostr+json' } })).json()
const jsonl = events => events.map(e => JSON.stringify(e) + '\n').join('')

// An event whose JSON, and the text of whose id, are as they are given.
const written = (author, json, hashed = json, { created_at = now(), hashed_at = created_at } = {}) => {
  const id = createHash('sha256').update(`[0,"${author.pubkey}",${hashed_at},1,[],"${hashed}"]`).digest('hex')
  const sig = Buffer.from(schnorr.sign(id, author.key)).toString('hex')
  return { id, text: `{"id":"${id}","pubkey":"${author.pubkey}","created_at":${created_at},"kind":1,"tags":[],` +
    `"content":"${json}","sig":"${sig}"}` }
}
const publishText = async e => {
  c.raw(`["EVENT",${e.text}]`)
  return (await c.ok(e.id))?.slice(2)
}

// ---- 3: subscriptions
const past = now() - 1000, of60 = [past - 1000, past, past + 1].map(at => bob.sign(60, String(at), [], at))
is(await listen(c, 'past', { kinds: [60], until: past }), ['EOSE', 'past'], '3 NIP-01: a subscription to the past')
await listen(c, 'second', { kinds: [60], since: of60[1].created_at, until: of60[1].created_at })
for (const e of of60) await other.publish(e)
await listen(c, 'by id', { ids: [of60[0].id] })
is([heard(c, 'by id').length, c.hints['by id']], [1, ['finish']], '3 NIP-01: one by id is complete, and EOSE says so')
ok(await until(() => heard(c, 'past').length === 2), '3 NIP-01: stays open')
is(heard(c, 'past'), [of60[0].content, of60[1].content], '10.2: until is inclusive for live events')
is(heard(c, 'second'), [of60[1].content], '10.2: and since')
is(c.messages.filter(m => m[0] === 'CLOSED'), [], '3 NIP-01: nothing is closed unasked, the complete one neither')

// ---- 10.2, 10.3
await listen(c, 'one', { kinds: [61], limit: 1 })
for (let i = 0; i < 4; i++) await other.publish(bob.sign(61, String(i)))
ok(await until(() => heard(c, 'one').length === 4), '10.3: limit says nothing of what comes after EOSE', heard(c, 'one'))
const first = bob.sign(62000, 'first', [], 0)
await c.publish(first)
is(await ids({ kinds: [62000], since: 0, until: 0 }), [first.id], '10.2: created_at 0')
c.raw('["REQ","last",{"kinds":[62000],"until":9223372036854775807}]')
is((await c.take(m => m[1] === 'last'))?.[2]?.id, first.id, '10.2: until 2^63-1')
await c.take(m => m[0] === 'EOSE')
c.raw('["REQ","beyond",{"kinds":[62000],"until":9223372036854775808}]')
ok(/^invalid: /.test((await c.take(m => m[1] === 'beyond'))?.[2]), '10.2: until 2^63 is refused')
is(await ids({ kinds: [62000], since: -5 }), [first.id], '3 tbd: a negative since')
is(await ids({ kinds: [62000], until: -1 }), [], '3 tbd: a negative until')

// ---- 3: public writing
for (const kind of [10002, 10050]) is(await c.publish(alice.sign(kind, '')), good, `3 Public: kind ${kind}`)
await listen(other, 'wallet', { kinds: [23195] })
is(await c.publish(alice.sign(23195, 'paid')), good, '3 Public: an ephemeral event')
ok(await until(() => heard(other, 'wallet').length === 1), '3 Ephemeral: reaches its subscriber')

// ---- 3: JSON of what is written; 10.11
const strings = {
  'the seven escapes of NIP-01': '\n"\\\r\t\b\f',
  'characters that are none': '\ufdd0\ufdd1\ufdef\ufffe\uffff\u{1fffe}\u{10ffff}',
  'DEL, line and paragraph separators': '\x7f\u0080\u2028\u2029\ufeff',
  'pairs of surrogates': '🤙𝄞',
  'control characters': '\x01\x07\x0b\x1f',
}
const kept = []
for (const [name, text] of Object.entries(strings)) {
  const e = alice.sign(63, text, [['t', text]])
  kept.push(e)
  is(await c.publish(e), good, `3 Writes: ${name}`)
  is(await texts({ ids: [e.id] }), [text], '3 Writes: come back')
  is(await ids({ kinds: [63], '#t': [text] }), [e.id], '10.11: and are found by tag')
}
for (const [name, e] of [
  ['escapes that nobody needs', written(alice, '\\u0041\\/\\u00e9\\u000a', 'A/é\\n')],
  ['an escaped pair of surrogates', written(alice, '\\ud83e\\udD19', '🤙')],
  ['U+0001 hashed verbatim', written(alice, 'a\\u0001', 'a\x01')],
  ['U+0001 hashed as \\u0001', written(alice, 'b\\u0001')],
  ['DEL hashed verbatim', written(alice, '\\u007f', '\x7f')],
  ['created_at 17e8', written(alice, 'e', 'e', { created_at: '17e8', hashed_at: 1700000000 })],
]) {
  kept.push(e)
  is(await publishText(e), good, `10.11: ${name}`)
  is(await ids({ ids: [e.id] }), [e.id], '10.11: is found')
}
for (const [name, e] of [
  ['a NUL', written(alice, 'x\\u0000')],
  ['control characters that are not escaped', written(alice, 'x\x07')],
  ['U+0001 hashed as \\u0001 in upper case', written(alice, 'c\\u001F')],
  ['DEL hashed as \\u007f', written(alice, 'd\\u007f')],
  ['U+00E9 hashed as \\u00e9', written(alice, 'd\\u00e9')],
  ['a lone surrogate', written(alice, '\\ud800', '\ufffd')],
]) ok(invalid(await publishText(e)), `3 Writes: refused: ${name}`)
const hollow = alice.sign(63, 'hollow', [[], [], ['t'], ['', '']])
is(await c.publish(hollow), good, '3 Writes: empty tags')
is((await stored(c, { ids: [hollow.id] }))[0]?.tags, hollow.tags, '3 Writes: are kept')
kept.push(hollow)
const extra = alice.sign(63, 'extra')
c.send('EVENT', { zap: { a: [1] }, ...extra, relay: 'x' })
is((await c.ok(extra.id))?.slice(2), good, '3 tbd: fields that NIP-01 does not know')
const from = said.length
await stored(c, { ids: [extra.id] })
const seven = ['id', 'pubkey', 'created_at', 'kind', 'tags', 'content', 'sig']
is(Object.keys(JSON.parse(said.slice(from).find(t => t.startsWith('["EVENT"')))[2]), seven, '3 tbd: are not kept; the order of the others')
const contacts = alice.sign(3, '', Array.from({ length: 1700 }, () => ['p', randomBytes(32).toString('hex')]))
is(await c.publish(contacts), good, '3 tbd: a large contact list')
is(await ids({ kinds: [3], '#p': [contacts.tags[1699][1]] }), [contacts.id], '3 tbd: its last entry is found')

const exported = (await run('nr-export', ['-S', store])).out
const copy = scratch('copy')
const sum = JSON.parse((await run('nr-import', ['-q', '-S', copy], exported)).out)
is([sum.read, sum.stored], [sum.read, sum.read], '10.11: all that was accepted verifies after an export')
is((await run('nr-export', ['-S', copy])).out, exported, '10.11: and stays the same')
ok(kept.every(e => exported.includes(`"id":"${e.id}"`)), '10.11: whatever characters there were')

// ---- 3: time
const week = 7 * 86400
for (const [name, at, yes] of [
  ['a week old', now() - week, true], ['a month', now() - 30 * 86400, true], ['a year', now() - 365 * 86400, true],
  ['of 2015', 1420070400, true], ['of 1999', 915148800, true], ['of 1970', 0, true], ['before 1970', -200, false],
  ['of next year', now() + 365 * 86400, false], ['2^31+1', 2 ** 31 + 1, false], ['2^32+1', 2 ** 32 + 1, false],
]) {
  const m = await c.publish(alice.sign(1, name, [], at))
  ok(yes ? m?.[0] === true : invalid(m), `3 Time: ${name}: ${yes}`, m)
}
for (const [name, at, hashed] of [['2^63-1', '9223372036854775807'], ['2^63', '9223372036854775808'], ['1e+10', '1e+10', '10000000000']])
  ok(invalid(await publishText(written(alice, name, name, { created_at: at, hashed_at: hashed ?? at }))), `3 Time: ${name}: false`)

// ---- 3: finding, against a filter of a few lines
const hay = [], base = now() - 5000
const pick = (list, i) => list[i % list.length]
for (let i = 0; i < 60; i++) {
  const e = pick([alice, bob, carol], i).sign(pick([64, 65, 66, 67], i >> 1), `hay ${i}`,
    [['t', pick(['a', 'b', 'c'], i >> 2)], ['t', pick(['x', 'y'], i)], ['r', pick(['k', 'l', 'm'], i)], ['hay', 'a'], ['t', 'all', 'second']],
    base + (i * 7 >> 2) % 40)
  hay.push(e)
  await c.publish(e)
}
const matches = (f, e) => (!f.kinds || f.kinds.includes(e.kind)) && (!f.authors || f.authors.includes(e.pubkey)) &&
  (!f.ids || f.ids.includes(e.id)) && e.created_at >= (f.since ?? 0) && e.created_at <= (f.until ?? Infinity) &&
  Object.entries(f).every(([k, v]) => k[0] !== '#' || e.tags.some(t => t[0] === k.slice(1) && v.includes(t[1])))
const naive = f => hay.filter(e => matches(f, e)).sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
  .slice(0, f.limit ?? 500).map(e => e.id)
const [a, b] = [alice.pubkey, bob.pubkey], mine = { since: base, until: base + 40 }
for (const [name, f] of [
  ['3 Find: newest first', { kinds: [64, 65, 66, 67], '#t': ['all'] }],
  ['3 Find: newest when limited', { '#t': ['a', 'b'], kinds: [64, 66], limit: 2 }],
  ['3 Find: by id', { ids: [hay[7].id, hay[3].id] }],
  ['3 Find: key and kind', { authors: [a], kinds: [65] }],
  ['3 Find: key and tag', { authors: [b], '#t': ['c'] }],
  ['3 Find: kind and tag', { kinds: [67], '#r': ['m'] }],
  ['3 Find: a tag', { '#t': ['x'] }],
  ['3 Find: several tags', { '#t': ['a', 'y'], '#r': ['k', 'l'] }],
  ['3 Find: a key', { authors: [b] }],
  ['3 Find: all of it', { authors: [a, b], kinds: [64, 65], ids: hay.slice(0, 30).map(e => e.id), '#t': ['x'], '#r': ['k', 'm'] }],
  ['10.4: several kinds, limited', { kinds: [64, 65, 66, 67], limit: 7 }],
  ['10.4: several keys, limited', { authors: [a, b, carol.pubkey], limit: 7 }],
  ['10.4: several keys and kinds, limited', { authors: [b, carol.pubkey], kinds: [65, 66], limit: 7 }],
  ['10.4: several values, limited', { '#t': ['a', 'b', 'c'], limit: 7 }],
  ['10.4: from the middle of it', { authors: [a, b], kinds: [64, 66], until: base + 20, limit: 5 }],
  ['NIP-01: only the first value of a tag counts', { '#t': ['second'] }],
]) is(await ids({ ...mine, ...f }), naive({ ...mine, ...f }), name)
is(await ids({ ...mine, authors: [a], limit: 3 }, { ...mine, kinds: [66], limit: 4 }, { ids: [hay[0].id] }),
  [...new Set([...naive({ authors: [a], limit: 3 }), ...naive({ kinds: [66], limit: 4 }), hay[0].id])]
    .sort((x, y) => naive({}).indexOf(x) - naive({}).indexOf(y)), '10.3: newest first over all filters, each with its limit')

// ---- NIP-01: tags and subscriptions
const letters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ']
const value = l => 'ep'.includes(l) ? createHash('sha256').update(l).digest('hex') : `value of ${l}`
const all52 = alice.sign(68, 'letters', [...letters.map(l => [l, value(l)]), ['1', 'x'], ['tt', 'x'], ['é', 'x']])
await c.publish(all52)
const found = []
for (const l of letters) if ((await ids({ [`#${l}`]: [value(l)] })).join() === all52.id) found.push(l)
is(found.length, 52, 'NIP-01: tags of every letter are indexed', found)
await listen(c, 'mine', { kinds: [69], '#t': ['c'] })
await listen(other, 'mine', { kinds: [69], '#t': ['o'] })
await c.publish(alice.sign(69, 'for c', [['t', 'c']]))
await c.publish(alice.sign(69, 'for o', [['t', 'o']]))
await c.publish(alice.sign(69, 'for both', [['t', 'o'], ['t', 'c']]))
await until(() => heard(c, 'mine').length + heard(other, 'mine').length === 4)
is([heard(c, 'mine'), heard(other, 'mine')], [['for c', 'for both'], ['for o', 'for both']], 'NIP-01: each connection has its own subscription ids')
for (let i = 0; i < 20; i++) { const again = await connect(); is((await listen(again, 'a', { limit: 0 }))?.[0], 'EOSE', '3 tbd: immediate reconnect'); again.close() }

// ---- 3: replaceable; 10.1
const d = x => [['d', x]]
for (const [kind, tags] of [[0, []], [3, []], [10003, []], [30004, d('x')]]) {
  const [v1, v2, v3] = [1000, 1001, 1002].map(at => bob.sign(kind, String(at), tags, at))
  is([await c.publish(v1), await c.publish(v2)], [good, good], `3 Replaceable: kind ${kind}: a version and a newer one`)
  const mine = { kinds: [kind], authors: [bob.pubkey] }
  is(await ids(mine), [v2.id], '3 Replaceable: the newer one is found')
  is(await ids({ ids: [v1.id] }), [], '3 Replaceable: the older one is gone, by id too')
  is(await c.publish(v1), older, '3 Replaceable: and is refused')
  is(await c.publish(v2), dup, '10.8: the newest again is a duplicate')
  await c.publish(v3)
  is(await c.publish(v2), older, '3 Replaceable: as is one that was new')
  const ties = [1, 2, 3, 4].map(i => bob.sign(kind, `tie ${i}`, tags, 2000)).sort((x, y) => x.id < y.id ? -1 : 1)
  is([await c.publish(ties[1]), await c.publish(ties[2]), await c.publish(ties[0]), await c.publish(ties[3])], [good, older, good, older],
    '10.1: of a tie the lowest id wins, whichever comes first')
  is(await ids(mine), [ties[0].id], '10.1: and is what is found')
}

// ---- 3 NIP-09; 10.5, 10.6
const dave = new Author(), address = (kind, x, who = dave) => ['a', `${kind}:${who.pubkey}:${x}`]
const put = async (...events) => { const r = []; for (const e of events) r.push((await c.publish(e))?.[0]); return r }
const byDave = () => texts({ authors: [dave.pubkey], kinds: [30001, 30002, 30003, 10002, 0, 3] }).then(x => x.sort())
await put(dave.sign(30001, '1p', d('p'), 6000), dave.sign(30001, '1q', d('q'), 6000), dave.sign(30002, '2p', d('p'), 6000),
  dave.sign(30001, '1p:', d('p:'), 6000), bob.sign(30001, 'bob', d('p'), 6000))
await put(dave.sign(5, '', [address(30001, 'p')], 5999))
is(await byDave(), ['1p', '1p:', '1q', '2p'], '3 NIP-09: by address, only what is older')
await put(dave.sign(5, '', [address(30001, 'p')], 6001))
is(await byDave(), ['1p:', '1q', '2p'], '3 NIP-09: bound by kind and d')
is(await texts({ kinds: [30001], authors: [bob.pubkey], '#d': ['p'] }), ['bob'], '3 NIP-09: and by author')
is(await c.publish(dave.sign(30001, '', d('p'), 6001)), deleted, '10.5: up to its own second')
await put(dave.sign(5, '', [address(30001, 'p:')], 6001))
is(await byDave(), ['1q', '2p'], '10.5: a d may hold colons')
const own = dave.sign(1, 'own'), theirs = bob.sign(1, 'theirs')
await put(own, theirs)
is(await put(dave.sign(5, '', [address(30001, 'p', bob), ['e', theirs.id], ['e', own.id], ['a', 'x'], ['e', ''], address(30001, 'q')], 6001)), [true],
  '10.5: tags that are foreign or malformed do not spoil a deletion')
is([await texts({ ids: [own.id, theirs.id] }), await byDave(), await texts({ kinds: [30001], authors: [bob.pubkey] })], [['theirs'], ['2p'], ['bob']],
  '10.5: and its others count')
for (const [kind, tag, tags] of [[0, address(0, ''), []], [3, ['a', `3:${dave.pubkey}`], []], [10002, address(10002, ''), []],
  [10002, address(10002, 'ignored'), []], [30003, address(30003, ''), []], [30003, address(30003, ''), [['d']]]]) {
  const at = now() - 1000 + subs
  const [before, same, after] = [at - 1, at, at + 1].map(t => dave.sign(kind, `v${t}`, tags, t))
  const what = `kind ${kind}, ${tag[1].replace(dave.pubkey, 'key')}${tags.length ? ', an empty d' : ''}`
  await put(before)
  is(await put(dave.sign(5, '', [tag], at)), [true], `10.5: deletion of ${what}`)
  is(await ids({ ids: [before.id] }), [], '10.5: takes effect')
  is([await c.publish(before), await c.publish(same), await c.publish(after)], [deleted, deleted, good], '10.5: on what comes later, up to its second')
  subs += 5
}
// A d says nothing in kinds that have no d in their address.
const plain = [1, 2, 3].map(i => dave.sign(10005, `v${i}`, d(`d${i}`), 6000 + i))
is([await c.publish(plain[0]), await c.publish(plain[1])], [good, good], '10.5: a replaceable event with a d')
is(await texts({ kinds: [10005] }), ['v2'], '10.5: replaces one with another d')
await put(dave.sign(5, '', [address(10005, 'd9')], 6002))
is([await texts({ kinds: [10005] }), await c.publish(plain[1]), await c.publish(plain[2])], [[], deleted, good], '10.5: and is deleted by any')
const unborn = [7000, 7001].map(t => dave.sign(30023, String(t), d('unborn'), t))
const ended = dave.sign(5, 'why', [address(30023, 'unborn')], 7000)
await put(ended)
is([await c.publish(unborn[0]), await c.publish(unborn[1])], [deleted, good], '10.6: a deletion by address that comes first')
await put(dave.sign(5, '', [['e', ended.id], ['a', `5:${dave.pubkey}:`], ['k', '5']]))
is(await texts({ ids: [ended.id] }), ['why'], '10.6: a deletion cannot be deleted, by address neither')
is(await c.publish(unborn[0]), deleted, '10.6: and keeps its effect')

// ---- 10.7
await listen(other, 'eph', { kinds: [20000, 29999, 28934] })
for (const kind of [20000, 29999, 28934]) {
  const e = alice.sign(kind, 'eph')
  is(await c.publish(e), good, `10.7: kind ${kind}, heard`)
  is([await ids({ ids: [e.id] }), await ids({ kinds: [kind] }), await count(c, { ids: [e.id] }), await count(c, { kinds: [kind] })],
    [[], [], { count: 0 }, { count: 0 }], '10.7: is neither found nor counted')
}
other.send('CLOSE', 'eph')
await fence(other)
is(await c.publish(alice.sign(20000, 'alone')), [false, 'mute: no one was listening'], '10.7: unheard: mute')

// ---- 10.9
const mute = await connect()
for (const [name, verb, ...filters] of [
  ['only for their parties', 'REQ', { kinds: [4] }], ['only for their parties', 'COUNT', { kinds: [1059] }],
  ['malformed', 'REQ', { kinds: 1 }], ['malformed', 'COUNT', { ids: ['ab'] }], ['unknown', 'REQ', { search: 'x' }], ['unknown', 'COUNT', { x: 1 }],
  ['too many', 'REQ', ...Array(21).fill({})], ['too many', 'COUNT', ...Array(21).fill({})], ['none', 'REQ'], ['none', 'COUNT'],
  ['too many values', 'REQ', { kinds: Array(5001).fill(1) }], ['too many values', 'COUNT', { '#t': Array(5001).fill('x') }],
]) {
  mute.send(verb, 'no', ...filters)
  await mute.take(m => m[1] === 'no')
  mute.messages.length = 0
  mute.send(verb, 'no', ...filters)
  mute.send('CLOSE', 'no')
  await fence(mute)
  ok(mute.messages.length === 1 && mute.messages[0][0] === 'CLOSED' && mute.messages[0].length === 3 && /^[a-z-]+: ./.test(mute.messages[0][2]),
    `10.9: a ${verb} that is refused (${name}): CLOSED and nothing else`, mute.messages)
  mute.messages.length = 0
}

// ---- 10.10
const lists = { '#E': ['x'], '#P': ['npub1x'], '#q': ['UPPER'], '#a': [''], '#d': ['\n'], '#K': ['1'], kinds: [0, 65535] }
is(await ids(lists), [], '10.10: digits bind ids, authors, #e and #p only')
for (const [k, v] of [['#e', 'x'], ['#p', alice.pubkey.toUpperCase()], ['ids', ''], ['authors', npubEncode(alice.pubkey)], ['ids', first.id.slice(0, 32)]])
  ok(/^invalid: /.test((await stored(c, { [k]: [v] }))?.[2]), `10.10: ${k} ${v.slice(0, 12)}: refused`)
await c.publish(alice.sign(65535, 'last'))
is(await texts({ kinds: [65535] }), ['last'], '10.10: kind 65535')
is([await ids({ ids: [] }), await count(c, { authors: [] }), await listen(c, 'empty', { kinds: [] })], [[], { count: 0 }, ['EOSE', 'empty']],
  '10.10: empty lists match nothing')

// ---- 10.12, NIP-13
const bare = await serve(scratch('bare'), '--set', 'private_kinds=', '--set', 'min_pow=10')
is((await info(bare)).supported_nips, [1, 9, 11, 13, 40, 42, 45, 62, 67, 70, 77], '10.12: the list of NIPs follows the configuration')
const miner = await connect([], bare)
const bits = id => { let n = 0; while (n < 256 && !(parseInt(id[n >> 2], 16) & 8 >> n % 4)) n++; return n }
const mine9 = want => {
  const e = { pubkey: alice.pubkey, kind: 1, content: '', created_at: now(), tags: [['nonce', '', '10']] }
  for (let i = 0; !want(bits(getEventHash(e))); i++) e.tags[0][1] = String(i)
  return alice.sign(e.kind, e.content, e.tags, e.created_at)
}
const nine = await miner.publish(mine9(n => n === 9))
is(nine, [false, 'pow: the id has 9 leading zero bits, 10 are needed'], 'NIP-13: bits are counted, not bytes or digits')
is(await miner.publish(mine9(n => n === 10)), good, 'NIP-13: just enough')
is(await bare.stop(), { code: 0, signal: null }, 'status 0')

// ---- 10.13, 10.17: REQ, COUNT and live by one rule
const wrapper = new Author(), viewers = [['a stranger'], ['Alice', alice], ['Bob', bob], ['Carol', carol], ['Bob and Carol', bob, carol]]
const at = now() - 100, p = x => ['p', x.pubkey], t = ['t', 'rule']
const letters13 = [
  [alice.sign(1, 'open', [t, p(bob)], at), () => true],
  [alice.sign(1, 'protected', [t, ['-'], p(bob)], at), () => true],
  [alice.sign(4, 'to bob', [t, p(bob)], at), w => w.includes(alice) || w.includes(bob)],
  [bob.sign(4, 'to carol', [t, p(carol)], at), w => w.includes(carol) || w.includes(bob)],
  [wrapper.sign(1059, 'for carol', [t, p(carol)], at), w => w.includes(carol)],
  [wrapper.sign(1059, 'for alice and bob', [t, p(alice), p(bob)], at), w => w.includes(alice) || w.includes(bob)],
  [wrapper.sign(1059, 'for nobody', [t], at), () => false],
  [wrapper.sign(1059, 'for a key in upper case', [t, ['p', alice.pubkey.toUpperCase()]], at), () => false],
]
const author = await connect([alice])
for (const v of viewers) {
  v.client = await connect(v.slice(1))
  await listen(v.client, 'live', { '#t': ['rule'], limit: 0 })
  await listen(v.client, 'eph', { kinds: [21059], limit: 0 })
}
for (const [e] of letters13) is(await author.publish(e), good, `10.13: ${e.content} is published`)
const end = bob.sign(1, 'end', [t])
const sealed = wrapper.sign(21059, 'ephemeral', [p(bob)])
is([await author.publish(sealed), await author.publish(end)], [good, good], '10.13: an ephemeral gift wrap')
for (const v of viewers) {
  const who = v.slice(1), want = letters13.filter(([, may]) => may(who)).map(([e]) => e.content).sort()
  ok(await until(() => heard(v.client, 'live').includes('end')), `10.13: ${v[0]} hears the last one`)
  is(heard(v.client, 'live').filter(x => x !== 'end').sort(), want, '10.13: live: what is for them')
  for (const f of [{ '#t': ['rule'] }, { ids: letters13.map(([e]) => e.id) }, { kinds: [1, 4, 1059], '#t': ['rule'] },
    { authors: [alice.pubkey, bob.pubkey, wrapper.pubkey], '#t': ['rule'] }]) {
    const filter = { ...f, until: at }
    is((await stored(v.client, filter)).map(e => e.content).sort(), want, `10.13: REQ by ${Object.keys(f)}`)
    is((await count(v.client, filter)).count, want.length, '10.13: COUNT of the same')
  }
  await fence(v.client)
  is(heard(v.client, 'eph').length, who.includes(bob) ? 1 : 0, '10.13: ephemeral')
  is([await ids({ ids: [sealed.id] }), (await stored(v.client, { ids: [sealed.id] })).length], [[], 0], 'NIP-59: which is not stored')
}
await listen(c, 'auths', {})
const anew = await connect([alice, bob])
is(await anew.auth(alice), good, '10.13: a challenge is good until there is another')
const witness = alice.sign(1, 'witness')
await c.publish(witness)
await c.take(m => m[1] === 'auths' && m[2]?.id === witness.id)
is(c.messages.filter(m => m[1] === 'auths' && m[2].kind === 22242), [], 'NIP-42: AUTH is passed on to nobody')
c.send('CLOSE', 'auths')
const leaked = JSON.parse((await run('nr-import', ['-q', '-S', copy], jsonl([alice.sign(22242, '')]))).out)
is(leaked.stored, 0, 'NIP-42: nor stored by an import')
viewers.forEach(v => v.client.close())

// ---- 10.17
const secret = alice.sign(1, 'secret', [['-']]), protest = alice.sign(1, 'tags', [['t', '-'], ['x', '-']])
const embed = { ...secret }
for (const [name, kind, content, yes] of [
  ['of a protected event', 6, JSON.stringify(embed), false],
  ['of kind 16', 16, JSON.stringify(embed), false],
  ['with white space', 6, JSON.stringify(embed, null, 1), false],
  ['in another order', 6, JSON.stringify(Object.fromEntries(Object.entries(embed).reverse())), false],
  ['with the minus escaped', 6, JSON.stringify(embed).replace('"-"', '"\\u002d"'), false],
  ['with more in the tag', 6, JSON.stringify(alice.sign(1, '', [['-', 'x']])), false],
  ['that is empty', 6, '', true], ['of what is not protected', 6, JSON.stringify(protest), true],
  ['of text that only looks like it', 6, JSON.stringify(alice.sign(1, '[["-"]]')), true],
  ['of no event', 16, '["-"]', true], ['in a note', 1, JSON.stringify(embed), true],
]) {
  const m = await c.publish(bob.sign(kind, content, [['e', secret.id], p(alice)]))
  is(m, yes ? good : [false, 'blocked: the repost embeds a protected event'], `10.17: a repost ${name}: ${yes}`)
}

// ---- 10.14, by the text of NIP-45
const zeros = [0, 1, 7, 8, 9, 30, 55, 56, 57, 70]
const crowd = offset => zeros.flatMap((z, i) => [0, 1].map(() => {
  const key = randomBytes(32)
  key[offset] = i < 7 ? i : randomBytes(1)[0]
  for (let k = 0; k < z && offset + 1 + (k >> 3) < 32; k++) key[offset + 1 + (k >> 3)] &= ~(0x80 >> k % 8)
  if (offset + 1 + (z >> 3) < 32) key[offset + 1 + (z >> 3)] |= 0x80 >> z % 8
  return key.toString('hex')
}))
const registers = (keys, offset) => {
  const r = Array(256).fill(0)
  for (const hex of keys) {
    const rest = [...hex.slice(2 * offset + 2)].map(x => parseInt(x, 16).toString(2).padStart(4, '0')).join('').slice(0, 56)
    const ri = parseInt(hex.slice(2 * offset, 2 * offset + 2), 16)
    r[ri] = Math.max(r[ri], /^0*/.exec(rest)[0].length + 1)
  }
  return r.map(x => x.toString(16).padStart(2, '0')).join('')
}
const sha = text => createHash('sha256').update(text).digest('hex')
const wanted = '0123456789abcdef', reach = new Set(), bulk = []
const place = hex => parseInt(hex[32], 16) + 8
const like = digit => { const x = randomBytes(32).toString('hex'); return x.slice(0, 32) + digit + x.slice(33) }
const targets = [
  ...[...wanted].flatMap(x => [['e', like(x)], ['p', like(x)]]).map(([l, v]) => [l, v, place(v)]),
  ...[['E', like('3')], ['q', like('c')], ['t', like('9')], ['x', like('f')]].map(([l, v]) => [l, v, place(v)]),
  ...['A', 'a'].flatMap(l => [['30023', 'a:b:c'], ['10002', ''], ['30000', 'Ünïcode "d"']].map(([k, x]) => { const v = like('7'); return [l, `${k}:${v}:${x}`, place(v)] })),
  ...['nostr', '', 'a\nb', '🤙', like('1').toUpperCase(), like('2').slice(1), `${like('4')}0`, 'x:y:z', `a:${like('5')}:x`, `30023:${like('6').slice(1)}:x`, `30023:${like('8')}`, 'https://example.com/?a="b"']
    .map(v => ['t', v, place(sha(v))]),
]
const counted = targets.map(([letter, v, offset]) => {
  const keys = crowd(offset)
  reach.add(offset)
  // An author twice is one author.
  for (const pubkey of [...keys, keys[0], keys[5]])
    bulk.push({ id: randomBytes(32).toString('hex'), pubkey, created_at: now() - 50, kind: 1111, tags: [[letter, v]], content: '', sig: randomBytes(64).toString('hex') })
  return keys
})
is(JSON.parse((await run('nr-import', ['-q', '-nn', '-S', store], jsonl(bulk))).out).stored, bulk.length, '10.14: keys with chosen bits')
is(reach.size, 16, '10.14: at all offsets')
for (const [i, [letter, v, offset]] of targets.entries())
  is(await count(c, { kinds: [1111], [`#${letter}`]: [v] }), { count: 2 * zeros.length + 2, hll: registers(counted[i], offset) },
    `10.14: #${letter} ${JSON.stringify(v).slice(0, 20)}, offset ${offset}`)
const [one, two] = [like('0'), like('e')]
const pair = crowd(8).map(pubkey => ({ ...bulk[0], id: randomBytes(32).toString('hex'), pubkey, tags: [['p', one], ['e', two]] }))
await run('nr-import', ['-q', '-nn', '-S', store], jsonl(pair))
const pubkeys = pair.map(e => e.pubkey)
is((await count(c, { '#p': [one], kinds: [1111], '#e': [two] })).hll, registers(pubkeys, 8), '10.14: of two tags the first')
is((await count(c, { '#e': [two], '#p': [one] })).hll, registers(pubkeys, 8 + 14), '10.14: in the order of the text')
is((await count(c, { kinds: [1111], '#e': [like('8')] })), { count: 0, hll: '00'.repeat(256) }, '10.14: nothing counted')

// ---- 10.16, 10.19
const soon = String(now() + 5), passing = alice.sign(70, 'passing', [['expiration', soon], ['t', 'passing']])
const both = [{ ids: [passing.id] }, { kinds: [70] }, { '#t': ['passing'] }, { authors: [alice.pubkey], kinds: [70] }]
await c.publish(passing)
is(await Promise.all(both.map(f => count(c, f).then(m => m.count))), [1, 1, 1, 1], '10.16: what will expire is counted')
for (const [tags, yes] of [
  [[['abc']], true], [[['']], true], [[['-5']], true], [[['1e3']], true], [[['12.5']], true], [[[]], true], [[['99999999999999999999']], true],
  [[['99']], false], [[['0']], false], [[['007']], false], [[['abc'], ['5']], false], [[[String(now() + 999)], ['5']], true],
  [[['5'], [String(now() + 999)]], false],
]) {
  const e = alice.sign(71, JSON.stringify(tags), tags.map(x => ['expiration', ...x]))
  const m = await c.publish(e)
  is([m, (await ids({ ids: [e.id] })).length], yes ? [good, 1] : [[false, 'invalid: expired'], 0], `10.19: expiration ${JSON.stringify(tags)}: ${yes ? 'stored' : 'expired'}`)
}
// The relay's clock may be a tick behind.
await until(() => Date.now() > Number(soon) * 1000 + 100, 9000)
is(await Promise.all(both.map(f => count(c, f).then(m => m.count))), [0, 0, 0, 0], '10.16: what has expired is not')

// ---- 10.18
const bad = [['e', ''], ['e', 'x'], ['e', npubEncode(alice.pubkey)], ['e'], ['p', ''], ['p', alice.pubkey.toUpperCase()], ['p', alice.pubkey.slice(1)],
  ['a', ''], ['a', '30023:xyz'], ['a', 'x:y'], ['d'], ['t', 'malformed']]
for (const tag of bad) {
  const e = carol.sign(72, JSON.stringify(tag), [tag, ['t', 'bad']])
  is([await c.publish(e), (await ids({ ids: [e.id] })).length], [good, 1], `10.18: ${JSON.stringify(tag).slice(0, 30)} is stored`)
}
is((await ids({ kinds: [72], '#t': ['bad'] })).length, bad.length, '10.18: found by what is well-formed')
is(await texts({ kinds: [72], '#a': ['30023:xyz'] }), ['["a","30023:xyz"]'], '10.18: and by what can be asked for')
is(await ids({ kinds: [72], '#p': [alice.pubkey] }), [], '10.18: a key in upper case is another')

// ---- 10.20
const [v1, v2, v3] = [3000, 3001, 3002].map(x => carol.sign(10004, String(x), [], x)), same = carol.sign(73, 'same')
const gone = carol.sign(73, 'gone'), batch = [same, same, v2, v1, v3, v1, gone, carol.sign(5, '', [['e', gone.id]]), gone]
const burst = await connect()
batch.forEach(e => burst.send('EVENT', e))
await until(() => burst.messages.filter(m => m[0] === 'OK').length === batch.length)
is(burst.messages.map(m => m[1]), batch.map(e => e.id), '10.20: a burst is answered in its order')
// (What is there when an event is looked at is a duplicate, though it be deleted just then.)
const last = burst.messages.at(-1)?.slice(2)
is(burst.messages.map(m => m.slice(2)).slice(0, -1), [good, dup, good, older, good, older, good, good], '10.20: each for what it is')
ok([deleted, dup].some(a => JSON.stringify(a) === JSON.stringify(last)), '10.20: and what was deleted meanwhile', last)
is([await ids({ kinds: [10004] }), await ids({ kinds: [73] })], [[v3.id], [same.id]], '10.20: the newest of a chain is left')
const chain = scratch('chain')
const s20 = JSON.parse((await run('nr-import', ['-q', '-S', chain], jsonl(batch))).out)
is((await run('nr-export', ['-S', chain, '--ids', '-k', '10004', '-k', '73'])).out.trim().split('\n').sort(), [v3.id, same.id].sort(), '10.20: as of an import', s20)

// ---- NIPs 29, 43, 66: carried like any other
for (const [kind, letter] of [[9, 'h'], [11, 'h'], [12, 'h'], [9000, 'h'], [9001, 'h'], [9002, 'h'], [9005, 'h'], [9007, 'h'], [9008, 'h'], [9009, 'h'],
  [9021, 'h'], [9022, 'h'], [39000, 'd'], [39001, 'd'], [39002, 'd'], [39003, 'd'], [39005, 'd'], [8000, 'p'], [8001, 'p'], [13534, 'p'], [33534, 'd'],
  [30166, 'd'], [10166, 't'], [30166, 'N']]) {
  const v = letter === 'p' ? alice.pubkey : `group ${subs++}`
  const e = carol.sign(kind, 'carried', [[letter, v]])
  is([await c.publish(e), await ids({ kinds: [kind], [`#${letter}`]: [v] })], [good, [e.id]], `NIP-${kind === 30166 || kind === 10166 ? 66 : [8000, 8001, 13534, 33534].includes(kind) ? 43 : 29}: kind ${kind} by #${letter}`)
}

// ---- 10.8: the form of everything that was said
const words = ['duplicate', 'pow', 'blocked', 'rate-limited', 'invalid', 'restricted', 'mute', 'error', 'auth-required', 'unsupported']
const wrong = { OK: [], CLOSED: [], NOTICE: [] }, seen = { OK: 0, CLOSED: 0 }
const worded = text => words.some(w => text.startsWith(`${w}: `) && text.length > w.length + 2)
for (const text of said) {
  const m = JSON.parse(text)
  if (m[0] in seen) seen[m[0]]++
  if (m[0] === 'OK' && !(m.length === 4 && /^[0-9a-f]{64}$/.test(m[1]) && typeof m[2] === 'boolean' &&
    (m[2] ? m[3] === '' || m[3].startsWith('duplicate: ') : worded(m[3])))) wrong.OK.push(m)
  if (m[0] === 'CLOSED' && !(m.length === 3 && worded(m[2]))) wrong.CLOSED.push(m)
  if (m[0] === 'NOTICE') wrong.NOTICE.push(m)
}
ok(seen.OK > 200 && wrong.OK.length === 0, `10.8: OK has four elements and words of NIP-01 (${seen.OK})`, wrong.OK)
ok(seen.CLOSED > 20 && wrong.CLOSED.length === 0, `10.9: CLOSED has three (${seen.CLOSED})`, wrong.CLOSED)
is(wrong.NOTICE, [], '10.9: there was no NOTICE')
is(await server.stop(), { code: 0, signal: null }, 'status 0')
done()
