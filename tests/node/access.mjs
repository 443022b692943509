// Who a client is, and what it may read and write by that: NIP-42, 70, 17, 13.
import { writeFileSync } from 'node:fs'
import { ok, is, done, serve, scratch, Client, Author, sleep, until, now } from './tap.mjs'
import { npubEncode } from 'nostr-tools/nip19'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { finalizeEvent } from 'nostr-tools/pure'
import WebSocket from 'ws'
useWebSocketImplementation(WebSocket)

const alice = new Author(), bob = new Author(), carol = new Author()
const good = [true, '']
const server = await serve(scratch('store'))
const connect = async (who, s = server) => {
  const c = await Client.open(s.url)
  for (const a of who) is(await c.auth(a), good, 'AUTH is accepted')
  return c
}

// ---- AUTH
const c = await Client.open(server.url), d = await Client.open(server.url)
ok(await until(() => c.challenge && d.challenge), 'everybody gets a challenge')
ok(/^.{16,}$/.test(c.challenge) && c.challenge !== d.challenge, 'of their own', [c.challenge, d.challenge])
for (const [name, how, why] of [
  ['another kind', { kind: 1 }, 'invalid: '],
  ['the challenge of another connection', { challenge: d.challenge }, 'invalid: '],
  ['no challenge', { challenge: '' }, 'invalid: '],
  ['too old', { created_at: now() - 1800 }, 'invalid: '],
  ['too far ahead', { created_at: now() + 1800 }, 'invalid: '],
  ['another relay', { relay: 'wss://relay.example.com/' }, 'invalid: '],
  ['another port', { relay: `ws://127.0.0.1:${server.port + 1}` }, 'invalid: '],
  ['another scheme', { relay: `wss://127.0.0.1:${server.port}` }, 'invalid: '],
  ['another path', { relay: `${server.url}/inbox` }, 'invalid: '],
  ['no URL', { relay: '127.0.0.1' }, 'invalid: '],
  ['a forged signature', { sig: '0'.repeat(128) }, 'invalid: '],
  ['a forged author', { pubkey: bob.pubkey }, 'invalid: '],
  ['no event', { tags: 'x' }, 'invalid: '],
]) {
  const m = await c.auth(alice, how)
  ok(m?.[0] === false && m[1].startsWith(why), `${name}: refused`, m)
}
const mine = alice.sign(1, 'mine', [['-']])
ok(/^auth-required: ./.test((await c.publish(mine))?.[1]), 'nobody is authenticated by that')
for (const relay of [server.url, `${server.url}/`, `WS://127.0.0.1:${server.port}//`, `ws://localhost:${server.port}`])
  is(await (await Client.open(server.url)).auth(alice, { relay }), good, `as ${relay.replace(/\d{4,}/, 'PORT')}`)
is(await c.auth(alice), good, 'with the right one')
is(await c.auth(alice), good, 'once more')
is(await c.publish(mine), good, 'a protected event is taken from its author')
const theirs = bob.sign(1, 'theirs', [['-']])
ok(/^restricted: ./.test((await c.publish(theirs))?.[1]), 'and not from another')
is(await c.auth(bob), good, 'a second key')
is(await c.publish(theirs), good, 'counts too')
is(await c.publish(alice.sign(1, 'mine still', [['-']])), good, 'and the first still does')
ok(/^invalid: /.test((await c.publish(alice.sign(22242, '')))?.[1]), 'kind 22242 is no event to publish')
ok((await c.publish(alice.sign(6, JSON.stringify(mine))))[1].startsWith('blocked: '), 'a repost of a protected event')
c.raw('["AUTH"]')
is((await c.take(m => m[0] === 'NOTICE'))?.[0], 'NOTICE', 'AUTH with nothing')
c.raw('["AUTH",7]')
is((await c.take(m => m[0] === 'NOTICE'))?.[0], 'NOTICE', 'AUTH with no event')
const keys = await Client.open(server.url)
for (let i = 0; i < 16; i++) await keys.auth(new Author())
ok(/^restricted: /.test((await keys.auth(new Author()))?.[1]), 'keys have a bound')
const guess = await Client.open(server.url)
await until(() => guess.challenge)
for (let i = 0; i < 60; i++) guess.send('AUTH', alice.sign(22242, '', [['relay', server.url], ['challenge', String(i)]]))
ok(await until(() => guess.closed), 'who guesses is closed', guess.closed)

// A client that nobody here wrote.
const client = await Relay.connect(server.url)
await until(() => client.challenge)
await client.auth(async template => finalizeEvent(template, carol.key))
await client.publish(carol.sign(1, 'by nostr-tools', [['-']]))
ok(true, 'nostr-tools authenticates and publishes')
client.close()

// A relay that passes our challenge on cannot use the answer.
const victim = await Client.open(server.url, { headers: { Host: 'evil.example.com' } })
ok(/^invalid: /.test((await victim.auth(bob, { relay: 'ws://evil.example.com' }))?.[1]), 'the Host header is no URL of ours')

// ---- private kinds
const anon = await connect([]), a = await connect([alice]), b = await connect([bob]), o = await connect([carol])
const live = async x => { x.send('REQ', 'live', { kinds: [1, 4, 1059], since: now() - 5 }); await x.take(m => m[0] === 'EOSE') }
for (const x of [anon, a, b, o]) await live(x)
const dm = alice.sign(4, 'secret', [['p', bob.pubkey]])
const wrapper = new Author(), wrap = wrapper.sign(1059, 'sealed', [['p', bob.pubkey]])
const open = alice.sign(1, 'open', [['p', bob.pubkey]])
const seal = wrapper.sign(21059, 'ephemeral', [['p', bob.pubkey]])
for (const e of [dm, wrap, open]) is(await anon.publish(e), good, `kind ${e.kind} may be written by anybody`)
await sleep(300)
const heard = x => x.messages.filter(m => m[0] === 'EVENT' && m[1] === 'live' && m[2].content !== 'mine' &&
  [dm.id, wrap.id, open.id].includes(m[2].id)).map(m => m[2].kind).sort()
is(heard(anon), [1], 'live: a stranger hears what is open')
is(heard(o), [1], 'live: another, too')
is(heard(a), [1, 4], 'live: the author hears what is its own')
is(heard(b), [1, 1059, 4], 'live: the recipient hears it all')
const ids = { ids: [dm.id, wrap.id, open.id] }
const kinds = async (x, ...f) => (await x.query('q', ...f)).events.map(e => e.kind).sort()
is(await kinds(anon, ids), [1], 'stored: a stranger')
is(await kinds(o, ids), [1], 'stored: another')
is(await kinds(a, ids), [1, 4], 'stored: the author')
is(await kinds(b, ids), [1, 1059, 4], 'stored: the recipient')
is(await kinds(b, { kinds: [1059], '#p': [bob.pubkey] }), [1059], 'by tag')
is(await kinds(anon, { kinds: [1, 4], authors: [alice.pubkey], ids: ids.ids }), [1], 'a mixture: what may be read')
const refused = async (x, ...f) => (await x.query('r', ...f)).end
ok(/^auth-required: ./.test((await refused(anon, { kinds: [4] }))?.[2]), 'only private kinds: auth-required')
ok(/^auth-required: ./.test((await refused(anon, { kinds: [1] }, { kinds: [4, 1059] }))?.[2]), 'in one of the filters')
is((await refused(anon, { kinds: [] }))?.[0], 'EOSE', 'no kinds: nothing, and no refusal')
ok(/^restricted: ./.test((await refused(o, { kinds: [4], authors: [alice.pubkey], '#p': [bob.pubkey] }))?.[2]), 'what is between others: restricted')
is((await refused(o, { kinds: [4], authors: [alice.pubkey] }))?.[0], 'EOSE', 'from another to us, perhaps')
b.send('REQ', 'eph', { kinds: [21059] })
await b.take(m => m[0] === 'EOSE' && m[1] === 'eph')
is(await anon.publish(seal), good, 'ephemeral gift wraps are heard by their recipient')
ok(await b.take(m => m[0] === 'EVENT' && m[1] === 'eph'), 'live')
is(await anon.publish(wrapper.sign(21059, 'x', [['p', carol.pubkey]])), [false, 'mute: no one was listening'], 'and by nobody else')
// Limits count what is shown.
for (let i = 0; i < 20; i++) await anon.publish(alice.sign(i < 10 ? 1 : 4, `n${i}`, [['p', carol.pubkey], ['t', 'limit']], now() - 100 + i))
is((await kinds(b, { '#t': ['limit'], limit: 10 })).length, 10, 'a limit counts what may be read')
is(await kinds(o, { '#t': ['limit'], limit: 10 }), Array(10).fill(4), 'for each by its own')
// A subscription that was there before.
const late = await Client.open(server.url)
late.send('REQ', 'late', { '#p': [bob.pubkey], limit: 0 })
await late.take(m => m[0] === 'EOSE')
await late.auth(bob)
const after = alice.sign(4, 'after', [['p', bob.pubkey]])
await anon.publish(after)
ok(await late.take(m => m[0] === 'EVENT' && m[2].id === after.id), 'AUTH counts for what is subscribed already')
const free = await serve(scratch('free'), '--set', 'private_kinds=')
const f = await Client.open(free.url)
await f.publish(dm)
is(await kinds(f, { kinds: [4] }), [4], 'private_kinds can be none')
is((await (await fetch(free.url.replace('ws', 'http'), { headers: { Accept: 'application/nostr+json' } })).json())
  .supported_nips.includes(17), false, 'and then NIP-17 is not claimed')

// ---- gift wraps are their recipients' to delete
const gone = async e => (await b.query('g', { ids: [e.id] })).ids.length === 0
const wraps = Array.from({ length: 3 }, (_, i) => new Author().sign(1059, `w${i}`, [['p', carol.pubkey], ['p', bob.pubkey]]))
for (const e of wraps.slice(0, 2)) await anon.publish(e)
await anon.publish(alice.sign(5, '', [['e', wraps[0].id], ['e', wraps[1].id]]))
is([await gone(wraps[0]), await gone(wraps[1])], [false, false], 'a stranger deletes no gift wrap')
is(await anon.publish(bob.sign(5, '', [['e', wraps[0].id], ['e', wraps[2].id]])), good, 'its recipient')
is([await gone(wraps[0]), await gone(wraps[1])], [true, false], 'deletes it, and no other')
is(await anon.publish(wraps[0]), [false, 'blocked: deleted'], 'it does not come back')
is(await anon.publish(wraps[2]), [false, 'blocked: deleted'], 'nor does one that comes later')
const letter = alice.sign(4, 'to bob', [['p', bob.pubkey]])
await anon.publish(letter)
await anon.publish(bob.sign(5, '', [['e', letter.id]]))
is(await gone(letter), false, 'other private events are their author\'s')

// ---- rules
const list = scratch('members')
writeFileSync(list, `# who may\n  ${npubEncode(alice.pubkey)}  # Alice\n\n${bob.pubkey}\n`)
const info = async s => (await (await fetch(s.url.replace('ws', 'http'), { headers: { Accept: 'application/nostr+json' } })).json()).limitation
const closed = await serve(scratch('closed'), '--set', 'read=auth', '--set', 'write=members', '--set', `members=${list}`)
const [x, y, z] = [await connect([], closed), await connect([carol], closed), await connect([carol, alice], closed)]
const note = alice.sign(1, 'note')
ok(/^auth-required: ./.test((await x.publish(note))?.[1]), 'write=members: a stranger')
ok(/^restricted: ./.test((await y.publish(note))?.[1]), 'no member')
is(await z.publish(note), good, 'a member, by one of its keys')
ok(/^auth-required: ./.test((await x.query('q', { kinds: [1] })).end?.[2]), 'read=auth: a stranger')
is((await y.query('q', { kinds: [1] })).ids, [note.id], 'anybody with a key')
ok(/^auth-required: ./.test((await x.publish(alice.sign(20001, 'e')))?.[1]), 'ephemeral events too')
let l = await info(closed)
is([l.auth_required, l.restricted_writes], [true, true], 'NIP-11 says so')
l = await info(server)
is([l.auth_required, l.restricted_writes, l.min_pow_difficulty], [false, false, 0], 'and what is open')
const club = await serve(scratch('club'), '--set', 'read=members', '--set', `members=${list}`)
const p = await connect([carol], club), q = await connect([bob], club)
ok(/^restricted: ./.test((await p.query('q', {})).end?.[2]), 'read=members: no member')
is((await q.query('q', {})).end?.[0], 'EOSE', 'a member')
is(await p.publish(carol.sign(1, 'open')), good, 'writing is another matter')

// ---- several URLs, by configuration only
const named = await serve(scratch('named'), '--set', 'url=wss://Relay.Example.com', '--set', 'url=ws://relayexample.onion/a/')
for (const [relay, yes] of [['wss://relay.example.com/', true], ['wss://RELAY.example.com:443', true],
  ['ws://relayexample.onion/a', true], ['ws://relayexample.onion:80/a?', false], ['wss://relay.example.com/a', false],
  ['ws://relay.example.com', false], ['wss://relay.example.com.', true], [named.url, false], ['wss://relay.example.com@evil', false]]) {
  const r = await Client.open(named.url)
  is((await r.auth(alice, { relay }))?.[0], yes, `${relay.replace(/\d{4,}/, 'PORT')}: ${yes}`)
  r.close()
}

// ---- proof of work
const pow = await serve(scratch('pow'), '--set', 'min_pow=8')
const w = await Client.open(pow.url)
let e, n = 0
do e = alice.sign(1, 'x', [['nonce', String(n++), '8']]); while (!e.id.startsWith('00'))
is(await w.publish(e), good, 'enough work')
do e = alice.sign(1, 'y', [['nonce', String(n++), '8']]); while (e.id.startsWith('00'))
ok(/^pow: ./.test((await w.publish(e))?.[1]), 'too little')
is((await info(pow)).min_pow_difficulty, 8, 'NIP-11 says how much')

for (const s of [server, free, closed, club, named, pow]) is(await s.stop(), { code: 0, signal: null }, 'status 0')
done()
