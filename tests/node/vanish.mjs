// Requests to vanish (NIP-62).
import { createHash } from 'node:crypto'
import { writeFileSync, readFileSync } from 'node:fs'
import { ok, is, done, run, serve, scratch, Client, Author, until, now } from './tap.mjs'

const store = scratch('store')
let server = await serve(store)
let c = await Client.open(server.url), reader = await Client.open(server.url)
const t = now() - 1000
const [alice, bob, carol] = [new Author(), new Author(), new Author()]
const good = [true, '']
const wrap = (at, ...to) => new Author().sign(1059, 'sealed', to.map(a => ['p', a.pubkey]), at)
const vanish = (who, at, ...relays) => who.sign(62, 'please', relays.map(r => ['relay', r]), at)
let queries = 0
const ids = async filter => {
  const id = `q${queries++}`
  const found = (await reader.query(id, filter)).ids
  reader.send('CLOSE', id)
  return found.sort()
}
const byAlice = { authors: [alice.pubkey] }

await reader.auth(alice)
await reader.auth(bob)
const before = [alice.sign(1, 'one', [], t), alice.sign(0, '{}', [], t + 1), alice.sign(30023, 'x', [['d', 'a']], t + 2),
  wrap(t + 3, alice), wrap(t + 3, bob, alice)]
const deletion = alice.sign(5, '', [['e', before[0].id]], t + 4)
const others = [bob.sign(1, 'to alice', [['p', alice.pubkey]], t), wrap(t, bob)]
for (const e of [...before, ...others]) is(await c.publish(e), good, `kind ${e.kind}`)
const newer = [alice.sign(1, 'later', [], t + 100), wrap(t + 100, alice)]
for (const e of newer) is(await c.publish(e), good, `kind ${e.kind}, later`)
is(await c.publish(deletion), good, 'a deletion')

// ---- whom it is for
is(await c.publish(alice.sign(62, '', [], t + 50)), [false, 'invalid: a request to vanish names a relay, or ALL_RELAYS'], 'no relay')
is(await c.publish(vanish(alice, t + 50, 'wss://elsewhere.example')),
  [false, 'blocked: this request to vanish names other relays'], 'another relay')
is(await c.publish(vanish(alice, t + 50, 'all_relays')), [false, 'blocked: this request to vanish names other relays'], 'all_relays in lower case is none')
is((await ids(byAlice)).length, 4, 'nothing has happened')

// ---- and what it does
const live = await Client.open(server.url)
await live.query('live', { limit: 0 })
const request = vanish(alice, t + 50, 'wss://elsewhere.example', server.url)
is(await c.publish(request), good, 'a request')
const left = [request.id, newer[0].id].sort()
is(await ids(byAlice), left, 'what she wrote before is gone at once, her deletions too')
is(await ids({ ids: before.map(e => e.id) }), [], 'by id')
is(await ids({ kinds: [1059] }), [others[1].id, newer[1].id].sort(), 'so are gift wraps to her')
is(await ids({ '#p': [alice.pubkey] }), [others[0].id, newer[1].id].sort(), 'what others wrote to her in public is not')
reader.send('COUNT', 'n', byAlice)
is((await reader.take(m => m[0] === 'COUNT'))?.[2].count, 2, 'COUNT knows')
is((await live.take(m => m[0] === 'EVENT'))?.[2].id, request.id, 'the request is passed on')

// ---- and keeps from coming back
for (const e of [...before, deletion]) is(await c.publish(e), [false, 'blocked: deleted'], `kind ${e.kind} is refused`)
is(await c.publish(wrap(t + 50, alice)), [false, 'blocked: deleted'], 'a gift wrap of that time')
is(await c.publish(alice.sign(1, 'at that time', [], t + 50)), [false, 'blocked: deleted'], 'an event of that second')
is(await c.publish(alice.sign(1, 'after', [], t + 51)), good, 'one of the next is accepted')
is(await c.publish(wrap(t + 51, alice)), good, 'and so is a gift wrap')
is(await c.publish(request), [true, 'duplicate: already have this event'], 'the request again')
is(await c.publish(alice.sign(5, '', [['e', request.id]], t + 60)), good, 'a deletion of the request')
ok((await ids({ kinds: [62] })).includes(request.id), 'has no effect')
is(await c.publish(before[0]), [false, 'blocked: deleted'], 'neither on what it says')
is(await c.publish(vanish(alice, t + 10, 'ALL_RELAYS')), good, 'an older one')
is(await c.publish(before[4]), [false, 'blocked: deleted'], 'takes nothing back')
is(await c.publish(vanish(carol, t, 'ALL_RELAYS')), good, 'of one who never wrote')
is(await c.publish(carol.sign(1, 'x', [], t)), [false, 'blocked: deleted'], 'counts before he comes')

// ---- after a rebuild
live.close()
await server.stop()
const has = async () => (await run('nr-export', ['-S', store, '--ids', ...['-a', alice.pubkey]])).out.trim().split('\n').sort()
const was = await has()
is((await run('nr-store', ['-q', '-S', store, 'check', '--full'])).code, 0, 'the store is in order')
is((await run('nr-store', ['-q', '-S', store, 'reindex'])).code, 0, 'reindex')
is(await has(), was, 'brings nothing back')
const again = scratch('again.jsonl')
writeFileSync(again, [...before, deletion].map(e => JSON.stringify(e)).join('\n') + '\n')
is(JSON.parse((await run('nr-import', ['-q', '-S', store, again])).out).deleted, 6, 'nor does an import')
is((await run('nr-store', ['-q', '-S', store, 'compact', '--min-dead', '0'])).code, 0, 'compact')
ok(!readFileSync(`${store}/log/00000001.1.jsonl`, 'utf8').includes(before[0].id), 'takes it off the disk')
await run('nr-store', ['-q', '-S', store, 'reindex'])
is(await has(), was, 'all the rest is there')
is(JSON.parse((await run('nr-import', ['-q', '-S', store, again])).out).deleted, 6, 'and is refused still')

// ---- members only, work wanted: whoever asks is heard
writeFileSync(scratch('members'), bob.pubkey + '\n')
server = await serve(store, '--set', 'write=members', '--set', `members=${scratch('members')}`, '--set', 'min_pow=20',
  '--set', 'url=wss://relay.example.com/x')
c = await Client.open(server.url)
is(await c.publish(vanish(carol, t + 1, 'WSS://Relay.Example.com:443/x')), good, 'a stranger may ask')
is((await c.publish(vanish(carol, t + 2, server.url)))?.[0], false, 'with a url set, that is the only one')
const forged = { ...vanish(bob, t + 500, 'ALL_RELAYS'), sig: '0'.repeat(128) }
ok(/^invalid: /.test((await c.publish(forged))?.[1]), 'a forged request is refused')
const info = await (await fetch(server.url.replace('ws', 'http'), { headers: { Accept: 'application/nostr+json' } })).json()
ok(info.supported_nips.includes(62), 'NIP-11 says so')

// ---- many events
const much = scratch('much')
writeFileSync(scratch('lines'), Array.from({ length: 6000 }, (_, i) => {
  const e = { pubkey: i % 3 ? alice.pubkey : bob.pubkey, created_at: t + i % 60, kind: 1, tags: [['t', 'x']], content: `n${i}` }
  const id = createHash('sha256').update(JSON.stringify([0, e.pubkey, e.created_at, e.kind, e.tags, e.content])).digest('hex')
  return JSON.stringify({ id, ...e, sig: '0'.repeat(128) })
}).join('\n') + '\n')
is((await run('nr-import', ['-q', '-nn', '-S', much, scratch('lines')])).code, 0, 'many events')
const busy = await serve(much)
reader = await Client.open(busy.url)
const all = vanish(alice, t + 70, busy.url)
is(await reader.publish(all), good, 'their author asks to vanish')
is(await ids(byAlice), [all.id], 'at once there is none of them')
is((await ids({ kinds: [1], limit: 5000 })).length, 2000, 'in no query')
const stat = async () => JSON.parse((await run('nr-store', ['-S', much, 'stat', '--json'])).out)
ok(await until(async () => (await stat()).events === 2001, 30000), 'and soon they are not in the index', (await stat()).events)
is((await run('nr-store', ['-q', '-S', much, 'check'])).code, 0, 'which is in order')
reader.close()
is((await busy.stop()).code, 0, 'the relay ends well')

// ---- archives
const archive = scratch('archive')
writeFileSync(scratch('old'), [bob.sign(1, 'x', [], t), vanish(bob, t + 1, 'ALL_RELAYS'), bob.sign(1, 'y', [], t), bob.sign(1, 'z', [], t + 2),
  carol.sign(1, 'x', [], t), vanish(carol, t + 1, 'wss://relay.example.com')].map(e => JSON.stringify(e)).join('\n') + '\n')
const imported = JSON.parse((await run('nr-import', ['-q', '-S', archive, scratch('old')])).out)
is([imported.stored, imported.deleted], [5, 1], 'nr-import obeys a request to all relays')
const kept = (await run('nr-export', ['-S', archive])).out.trim().split('\n').map(l => JSON.parse(l))
is(kept.map(e => e.kind + e.content.slice(0, 1)).sort(), ['1x', '1z', '62p', '62p'], 'and only keeps one to some')
await run('nr-store', ['-q', '-S', archive, 'reindex'])
is((await run('nr-export', ['-S', archive, '--count'])).out.trim(), '4', 'a rebuild knows')
c.close()
await server.stop()
done()
