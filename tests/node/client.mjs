// The relay and a client that nobody here wrote: nostr-tools.
import WebSocket from 'ws'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { SimplePool, useWebSocketImplementation as poolUse } from 'nostr-tools/pool'
import { verifyEvent } from 'nostr-tools/pure'
import { fetchRelayInformation } from 'nostr-tools/nip11'
import { ok, is, done, serve, scratch, Author, sleep, until, now } from './tap.mjs'

useWebSocketImplementation(WebSocket)
poolUse(WebSocket)

const server = await serve(scratch('store'))
const alice = new Author(), bob = new Author()
const relay = await Relay.connect(server.url)
ok(relay.connected, 'nostr-tools connects')

const stored = r => new Promise(resolve => {
  const events = []
  const sub = relay.subscribe(r, {
    onevent: e => events.push(e),
    oneose: () => { sub.close(); resolve(events) },
  })
})

// Publish, query.
const notes = []
for (let i = 0; i < 20; i++) {
  const e = (i % 2 ? alice : bob).sign(1, `note ${i} é "\\\n\u0007 🤙`, [['t', i % 4 ? 'a' : 'b']], now() - 100 + i)
  await relay.publish(e)
  notes.push(e)
}
let got = await stored([{ kinds: [1] }])
is(got.map(e => e.id), notes.map(e => e.id).reverse(), 'all notes come back, newest first')
ok(got.every(e => verifyEvent(e)), 'and verify')
is(got.map(e => e.content), notes.map(e => e.content).reverse(), 'with the same content')
got = await stored([{ authors: [alice.pubkey], '#t': ['a'], limit: 3 }])
is(got.map(e => e.id), notes.filter((e, i) => i % 2 && i % 4).reverse().slice(0, 3).map(e => e.id),
  'by author and tag, limited')

// Live.
const live = []
let eose = false
const sub = relay.subscribe([{ kinds: [1, 7], since: now() - 5 }], {
  onevent: e => live.push(e), oneose: () => { eose = true },
})
ok(await until(() => eose), 'EOSE')
const pool = new SimplePool()
const fresh = bob.sign(7, '+', [['e', notes[0].id], ['p', alice.pubkey]])
await Promise.all(pool.publish([server.url], fresh))
ok(await until(() => live.some(e => e.id === fresh.id)), 'a subscription gets what another connection publishes')
sub.close()

// A pool's query.
const found = await pool.querySync([server.url], { ids: [notes[3].id, notes[4].id] })
is(found.map(e => e.id).sort(), [notes[3].id, notes[4].id].sort(), 'by id, through a pool')

// Replaceable, addressable, deletion.
await relay.publish(alice.sign(0, '{"name":"1"}', [], now() - 10))
const profile = alice.sign(0, '{"name":"2"}', [], now() - 5)
await relay.publish(profile)
got = await stored([{ kinds: [0], authors: [alice.pubkey] }])
is(got.map(e => e.id), [profile.id], 'only the newest profile')
const older = alice.sign(0, '{"name":"0"}', [], now() - 20)
ok(await relay.publish(older).then(() => false, e => /duplicate: have a newer/.test(e.message)),
  'an older one is refused')
const articles = ['x', 'y', 'x'].map((d, i) => alice.sign(30023, `v${i}`, [['d', d]], now() - 9 + i))
for (const a of articles) await relay.publish(a)
got = await stored([{ kinds: [30023] }])
is(got.map(e => e.content), ['v2', 'v1'], 'one version for each d')
await relay.publish(alice.sign(5, '', [['e', notes[1].id], ['a', `30023:${alice.pubkey}:x`]]))
got = await stored([{ ids: [notes[1].id] }, { kinds: [30023] }])
is(got.map(e => e.content), ['v1'], 'deleted by id and by address')
ok(await relay.publish(notes[1]).then(() => false, e => /^blocked: deleted/.test(e.message)),
  'and does not come back')

// Ephemeral.
const heard = []
const listener = relay.subscribe([{ kinds: [20001] }], { onevent: e => heard.push(e) })
await sleep(50)
const whisper = bob.sign(20001, 'psst')
await relay.publish(whisper)
ok(await until(() => heard.length === 1), 'ephemeral events reach listeners')
listener.close()
await sleep(50)
ok(await relay.publish(bob.sign(20001, 'anyone?')).then(() => false, e => /^mute:/.test(e.message)),
  'mute: when nobody listens')
got = await stored([{ kinds: [20001] }])
is(got, [], 'and they are not stored')

// Expiry.
const brief = bob.sign(1, 'brief', [['expiration', String(now() + 2)]])
await relay.publish(brief)
got = await stored([{ ids: [brief.id] }])
is(got.length, 1, 'an event that will expire is there')
await sleep(2100)
got = await stored([{ ids: [brief.id] }])
is(got.length, 0, 'and then not')
ok(await relay.publish(bob.sign(1, 'late', [['expiration', String(now() - 1)]]))
  .then(() => false, e => /^invalid: expired/.test(e.message)), 'one that has expired is refused')

// Protected.
ok(await relay.publish(bob.sign(1, 'mine', [['-']])).then(() => false, e => /^auth-required:/.test(e.message)),
  'protected events want AUTH')
const inner = bob.sign(1, 'mine', [['-']])
ok(await relay.publish(alice.sign(6, JSON.stringify(inner), [['e', inner.id], ['p', bob.pubkey]]))
  .then(() => false, e => /^blocked:/.test(e.message)), 'a repost that embeds one too')
await relay.publish(alice.sign(6, '', [['e', notes[0].id], ['p', bob.pubkey]]))
await relay.publish(alice.sign(6, JSON.stringify({ ...notes[0], content: '["-"]' }), [['e', notes[0].id]]))
ok(true, 'an empty repost and one that only mentions ["-"] are fine')

// NIP-11.
const info = await fetchRelayInformation(server.url)
is(info.limitation.max_subscriptions, 100, 'NIP-11 tells the limits')
is(info.supported_nips, [1, 4, 9, 11, 17, 40, 42, 45, 59, 62, 67, 70, 77], 'and the NIPs')

relay.close()
pool.close([server.url])
const end = await server.stop()
is(end, { code: 0, signal: null }, 'SIGTERM ends it with status 0')
done()
