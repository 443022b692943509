// A relay behind a proxy: what a client does goes through.
//	proxy.mjs URL OWN-URL
import { ok, is, done, Client, Author, until } from './tap.mjs'

const [url, own] = process.argv.slice(2)
const alice = new Author(), bob = new Author()
const a = await Client.open(url), b = await Client.open(url)
is((await b.query('live', { limit: 0 })).end, ['EOSE', 'live'], 'a subscription')
const note = alice.sign(1, 'through ' + 'x'.repeat(60000))
is((await a.publish(note))?.[0], true, 'a large event')
is((await b.take(m => m[0] === 'EVENT'))?.[2].id, note.id, 'is live')
is((await a.query('q', { ids: [note.id] })).events[0].content, note.content, 'and stored')
is((await a.auth(alice, { relay: own }))?.[0], true, 'AUTH for the configured URL')
const wrap = bob.sign(1059, '', [['p', alice.pubkey]])
is((await b.publish(wrap))?.[0], true, 'a private event')
is((await a.query('w', { kinds: [1059], '#p': [alice.pubkey] })).ids, [wrap.id], 'for whom it is')
let pong = false
a.ws.on('pong', () => { pong = true })
a.ws.ping()
ok(await until(() => pong), 'a ping')
a.ws.close(1000)
ok(await until(() => a.closed), 'a close')
is(a.closed?.code, 1000, 'with its code')
b.close()
done()
