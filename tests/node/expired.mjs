// A version that expires leaves the older ones dead, in a rebuild as well.
import { ok, is, done, serve, scratch, run, Client, Author, until, now } from './tap.mjs'

const store = scratch('store')
const server = await serve(store)
const c = await Client.open(server.url)
const alice = new Author(), bob = new Author()
const old = alice.sign(10000, 'old', [], now() - 100)
const short = alice.sign(10000, 'new', [['expiration', String(now() + 2)]], now() - 50)
const kept = bob.sign(10000, 'bob', [], now() - 100)
is([(await c.publish(short))?.[0], (await c.publish(kept))?.[0]], [true, true], 'two versions, one of them short-lived')
const swept = async () => JSON.parse((await run('nr-store', ['-S', store, 'stat', '--json'])).out).events === 1
let gone = false
for (let i = 0; i < 60 && !gone; i++) { await until(() => false, 150); gone = await swept() }
ok(gone, 'it expires and is swept')
is((await c.publish(old))?.[0], false, 'an older version does not come back')
is((await c.publish(alice.sign(10000, 'newest', [], now())))?.[0], true, 'a newer one comes')
c.close()
is(await server.stop(), { code: 0, signal: null }, 'status 0')
const ids = async () => (await run('nr-export', ['-S', store, '--ids'])).out
const before = await ids()
is((await run('nr-store', ['-q', '-S', store, 'reindex'])).code, 0, 'a rebuild')
is(await ids(), before, 'has the same events')
is((await run('nr-store', ['-S', store, 'check'])).code, 0, 'in order')
done()
