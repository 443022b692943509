// HTTP on the relay's port: NIP-11, upgrades, and what is neither.
import http from 'node:http'
import { createHash } from 'node:crypto'
import { ok, is, done, serve, scratch, Client, Author, sleep, until, now } from './tap.mjs'
import { npubEncode } from 'nostr-tools/nip19'
import { Raw, handshake } from './raw.mjs'

const server = await serve(scratch('store'), '--set', 'handshake_seconds=1')
const TYPE = 'application/nostr+json'

const ask = (port, { method = 'GET', path = '/', headers = {} } = {}) => new Promise((resolve, reject) => {
  const r = http.request({ port, host: '127.0.0.1', method, path, headers, agent: false }, a => {
    let body = ''
    a.on('data', d => { body += d })
    a.on('end', () => resolve({ status: a.statusCode, type: a.headers['content-type'], headers: a.headers, body }))
  })
  r.on('error', reject)
  r.end()
})

// ---- the document
for (const accept of [TYPE, `${TYPE}, */*`, `text/html;q=0.9, ${TYPE};q=0.1`, `*/*,${TYPE}`, ` ${TYPE} ;q=1.0`,
  `text/html, application/xhtml+xml, ${TYPE}; charset=utf-8`, 'APPLICATION/Nostr+JSON']) {
  const a = await ask(server.port, { headers: { accept } })
  let info = {}
  try { info = JSON.parse(a.body) } catch {}
  ok(a.status === 200 && a.type === TYPE && info.limitation?.max_subscriptions === 100, `Accept: ${accept}`, a)
}
for (const accept of [undefined, '*/*', 'application/json', 'text/html;q=0', 'text/htmlx', 'text/*', `${TYPE}+rpc`, `x${TYPE}`, `${TYPE};q=0`,
  `${TYPE}; q=0.0, */*`]) {
  const a = await ask(server.port, { headers: accept ? { accept } : {} })
  ok(a.status === 200 && /^text\/plain/.test(a.type) && /Nostr/.test(a.body), `a line of text for ${accept}`, a)
}

// ---- the page
const PAGE = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'
for (const accept of ['text/html', PAGE, 'Text/HTML ; q=0.5', '*/*, application/xhtml+xml']) {
  const a = await ask(server.port, { headers: { accept } })
  ok(a.status === 200 && a.type === 'text/html; charset=utf-8' && /^<!doctype html>/.test(a.body) &&
    /<\/html>\n$/.test(a.body), `the page for ${accept}`, a)
}
{
  const a = await ask(server.port, { headers: { accept: PAGE } })
  const style = /<style>([^]*)<\/style>/.exec(a.body)[1]
  const hash = createHash('sha256').update(style).digest('base64')
  const policy = a.headers['content-security-policy']
  ok(policy.startsWith("default-src 'none'; ") && policy.includes(`style-src 'sha256-${hash}'`), 'nothing but its own style', policy)
  ok(policy.includes("frame-ancestors 'none'") && policy.includes("base-uri 'none'"), 'in no frame', policy)
  is(['x-content-type-options', 'x-frame-options', 'referrer-policy', 'vary'].map(h => a.headers[h]),
    ['nosniff', 'DENY', 'no-referrer', 'accept'], 'and what goes with it')
  ok(!/<script|<iframe|<form|@import|url\(| style=| on[a-z]+=/i.test(a.body), 'no script and nothing loaded')
  is([...a.body.matchAll(/(?:src|<link[^>]* href)="([^"]*)"/g)].map(m => m[1]), ['favicon.ico'], 'but its own icon')
  ok(/Events stored<\/dt><dd>0</.test(a.body) && /Connections now<\/dt><dd>0</.test(a.body), 'live figures')
  ok(/name="viewport" content="width=device-width/.test(a.body) && /prefers-color-scheme:dark/.test(style), 'phones, and dark ones')
  const h = await ask(server.port, { method: 'HEAD', headers: { accept: PAGE } })
  is([h.status, h.type, h.headers['content-length'], h.body], [200, a.type, String(a.body.length), ''], 'HEAD of the page')
  const i = await ask(server.port, { path: '/favicon.ico' })
  ok(i.status === 200 && i.type === 'image/svg+xml' && /^<svg /.test(i.body), 'favicon.ico', i)
  is((await ask(server.port, { path: '/favicon.ico', method: 'HEAD' })).body, '', 'HEAD of that')
  is((await ask(server.port, { path: '/favicon.icon' })).status, 404, 'nothing beside it')
}
let a = await ask(server.port, { headers: { accept: TYPE } })
const document = a.body
is(['origin', 'headers', 'methods'].map(x => a.headers[`access-control-allow-${x}`]), ['*', '*', 'GET, HEAD, OPTIONS'],
  'CORS')
is(a.headers.vary, 'accept', 'caches are told why')
a = await ask(server.port, { headers: { accept: TYPE }, path: '/?a=b' })
is(a.body, document, 'a query string is no matter')
a = await ask(server.port, { method: 'OPTIONS', headers: { origin: 'http://example.com',
  'access-control-request-method': 'GET', 'access-control-request-headers': 'accept' } })
is([a.status, a.body, a.headers['access-control-allow-origin'], a.headers['access-control-allow-headers']],
  [200, '', '*', '*'], 'a preflight')
a = await ask(server.port, { method: 'HEAD', headers: { accept: TYPE } })
is([a.status, a.type, a.headers['content-length'], a.body], [200, TYPE, String(document.length), ''], 'HEAD')
for (const path of ['/x', '/index.html', '/../etc/passwd'])
  is((await ask(server.port, { path })).status, 404, `404: ${path}`)
for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
  a = await ask(server.port, { method })
  ok(a.status === 405 && a.headers.allow === 'GET, HEAD, OPTIONS', `405: ${method}`, a)
}
const twice = `GET / HTTP/1.1\r\nHost: a\r\nAccept: ${TYPE}\r\n\r\n`
let r = await Raw.open(server.port)
r.write(twice + twice)
ok(await until(() => r.text.split('"limitation"').length === 3), 'two requests on one connection')
r.end()

// ---- what is not HTTP, or not quite
const head = text => text.split('\r\n')[0]
for (const [name, bytes, status] of [
  ['text', 'hello relay\r\n\r\n', 403], ['JSON', '["REQ","a",{}]\n\n', 403],
  ['bytes', Buffer.from(Array.from({ length: 600 }, (_, i) => i * 7 & 255)), 403],
  ['TLS', Buffer.from('16030102000100' + '01fc0303'.repeat(100), 'hex'), 403],
  ['POST with a body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello', 405],
  ['POST with half a body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nhello', 405],
  ['a huge header', `GET / HTTP/1.1\r\nHost: a\r\nX-Y: ${'z'.repeat(200000)}\r\n\r\n`],
  ['a huge path', `GET /${'z'.repeat(200000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
  ['many headers', `GET / HTTP/1.1\r\n${'X-Y: z\r\n'.repeat(30000)}\r\n`],
  ['an endless line', 'z'.repeat(300000)],
  ['an old WebSocket', handshake.replace('Version: 13', 'Version: 8'), 426],
  ['no version', handshake.replace(/Sec-WebSocket-Version.*\r\n/, '')],
  ['a WebSocket elsewhere', handshake.replace('GET /', 'GET /elsewhere'), 404],
  ['no key', handshake.replace(/Sec-WebSocket-Key.*\r\n/, '')],
  ['no Connection', handshake.replace(/Connection.*\r\n/, '')],
  ['another upgrade', handshake.replace('websocket', 'h2c')],
]) {
  r = await Raw.open(server.port)
  r.socket.on('error', () => {})
  r.write(bytes)
  const began = Date.now()
  const closed = await until(() => r.closed, 2500)
  ok(closed && !/^HTTP\/1.. (101|200)/.test(r.text) && (!status || head(r.text).includes(` ${status}`)),
    `${name}: refused and closed`, { closed, ms: Date.now() - began, head: head(r.text) })
  r.end()
}
r = await Raw.http(server.port, handshake.replace('Version: 13', 'Version: 8'))
ok(/sec-websocket-version: 13/i.test(r), 'an old one is told which is right')

// ---- silence, at every stage, and slowness
const quiet = []
for (const bytes of ['', 'G', 'GET / HT', 'GET / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\nHost: a\r\nUpg', handshake.slice(0, -2)]) {
  const q = await Raw.open(server.port)
  q.write(bytes)
  q.name = bytes
  quiet.push(q)
}
const slow = await Raw.open(server.port)
slow.name = 'a byte at a time'
const drip = setInterval(() => { if (!slow.closed) slow.write('a') }, 50)
quiet.push(slow)
slow.write('GET / HTTP/1.1\r\nX: ')
for (let i = 0; i < 300; i++) {
  const q = await Raw.open(server.port)
  q.write(handshake.slice(0, 60))
  q.name = 'one of 300'
  quiet.push(q)
}
for (const q of quiet) q.socket.on('error', () => {})
const at = Date.now()
const among = await Client.open(server.url)
is((await among.query('a', {})).end, ['EOSE', 'a'], 'others get through meanwhile')
ok(Date.now() - at < 500, 'and at once', Date.now() - at)
among.close()
await until(() => quiet.every(q => q.closed), 4000)
clearInterval(drip)
for (const q of quiet.slice(0, 7)) ok(q.closed, `closed by a deadline: ${JSON.stringify(q.name.slice(-20))}`)
ok(quiet.every(q => q.closed), 'all of them')

// ---- opened and dropped at every stage
for (let i = 0; i <= handshake.length; i += 3) {
  const d = await Raw.open(server.port)
  d.socket.on('error', () => {})
  d.write(handshake.slice(0, i))
  if (i % 2) d.reset()
  else d.end()
}
const crowd = await Promise.all(Array.from({ length: 100 }, () => Raw.open(server.port)))
for (const d of crowd) { d.write(handshake); d.reset() }
const c = await Client.open(server.url)
is((await c.query('a', {})).end, ['EOSE', 'a'], 'the relay is well')
c.close()
ok(server.err.split('\n').length < 60, 'clients cannot fill the log', server.err.split('\n').length)
is(await server.stop(), { code: 0, signal: null }, 'status 0')

// ---- NIP-11 and the settings say the same, and it is so
const alice = new Author()
const set = ['max_message=2000', 'max_subscriptions=3', 'max_limit=5', 'default_limit=4', 'max_event_tags=3', 'max_future=60',
  'name=a "relay"', 'description=', 'contact=mailto:a@example.com', `pubkey=${alice.pubkey}`, 'icon=https://example.com/i.png']
const small = await serve(scratch('small'), ...set.flatMap(s => ['--set', s]))
const info = JSON.parse((await ask(small.port, { headers: { accept: TYPE } })).body)
is(info, { name: 'a "relay"', icon: 'https://example.com/i.png', pubkey: alice.pubkey, contact: 'mailto:a@example.com',
  version: info.version, supported_nips: [1, 4, 9, 11, 17, 40, 42, 45, 59, 62, 67, 70, 77], limitation: { max_message_length: 2000, max_subscriptions: 3,
    max_limit: 5, max_subid_length: 64, max_event_tags: 3, max_content_length: 131072, min_pow_difficulty: 0, auth_required: false, payment_required: false,
    restricted_writes: false, created_at_upper_limit: 60, default_limit: 4 } }, 'the document follows the settings')
const s = await Client.open(small.url)
const pad = n => '["REQ","pad",{"limit":0}]'.padEnd(n)
s.raw(pad(2000))
is(await s.take(() => true), ['EOSE', 'pad'], 'max_message_length is allowed')
s.raw(pad(2001))
is((await s.take(() => true))?.[0], 'NOTICE', 'one more is not')
s.raw('["CLOSE","pad"]')
const t0 = now()	// no two of one second, which a page would not part
for (let i = 0; i < 7; i++) await s.publish(alice.sign(1, String(i), [], t0 - i))
s.messages.length = 0
is((await s.query('pad', {})).ids.length, 4, 'default_limit')
is((await s.query('pad', { limit: 1000 })).ids.length, 5, 'max_limit')
is((await s.query('2', {})).end[0] + (await s.query('3', {})).end[0] + (await s.query('4', {})).end[0], 'EOSEEOSECLOSED',
  'max_subscriptions')
is((await s.query('2', ...Array(20).fill({}))).end[0], 'EOSE', 'a subscription replaced')
const tags = n => alice.sign(1, '', Array(n).fill(['x', 'y']))
is([(await s.publish(tags(3)))?.[0], (await s.publish(tags(4)))?.[0]], [true, false], 'max_event_tags')
const ahead = n => alice.sign(1, '', [], now() + n)
is([(await s.publish(ahead(55)))?.[0], (await s.publish(ahead(70)))?.[0]], [true, false], 'created_at_upper_limit')
s.close()
is(await small.stop(), { code: 0, signal: null }, 'status 0')

// ---- what the operator says is shown, and is text
{
  const evil = `a "b' <script>alert(1)</script> &amp; \u0001`
  const words = await serve(scratch('words'), '--set', `name=${evil}`, '--set', 'description=one\ntwo\n\n<b>three</b>', '--set',
    'url=wss://relay.example.com', '--set', `pubkey=${alice.pubkey}`, '--set', 'contact=javascript:alert(1)', '--set',
    'terms_of_service=https://example.com/?a="b&c', '--set', 'posting_policy=be kind', '--set', 'icon=data:image/png;base64,"x',
    '--set', 'write=members', '--set', `members=/dev/null`, '--set', 'min_pow=5', '--set', 'max_age=86400', '--set', `self=${alice.pubkey}`,
    '--set', 'nip11={"privacy_policy":"mailto:\\u003cx\\u003e@example.com","contact2":1}')
  const { body } = await ask(words.port, { headers: { accept: PAGE } })
  ok(!/<script|<b>|alert\(1\)"|href="javascript|"x"/.test(body), 'nothing of it is markup', body.slice(-3000))
  ok(body.includes('<h1>a &quot;b&#39; &lt;script&gt;alert(1)&lt;/script&gt; &amp;amp; \ufffd</h1>'), 'the name')
  ok(body.includes('<p>one\ntwo</p>\n<p>&lt;b&gt;three&lt;/b&gt;</p>'), 'paragraphs')
  ok(body.includes('<code class="url">wss://relay.example.com</code>'), 'the address')
  ok(body.includes(`nostr:${npubEncode(alice.pubkey)}"`), 'the key')
  ok(body.includes('<dd>javascript:alert(1)</dd>') && body.includes('<dd>be kind</dd>'), 'what is no link is text')
  ok(body.includes('href="https://example.com/?a=&quot;b&amp;c"'), 'a link')
  ok(body.includes('href="mailto:&lt;x&gt;@example.com"'), 'what nip11 adds')
  ok(body.includes('src="data:image/png;base64,&quot;x"'), 'a picture in the text')
  ok(/Only members may publish/.test(body) && /Anybody may read/.test(body) && /5 bits/.test(body) && /<dd>1 day</.test(body), 'the rules')
  const info = JSON.parse((await ask(words.port, { headers: { accept: TYPE } })).body)
  is([info.self, info.terms_of_service, info.posting_policy, info.privacy_policy, info.limitation.restricted_writes,
    info.limitation.auth_required, info.limitation.created_at_lower_limit], [alice.pubkey, 'https://example.com/?a="b&c', 'be kind', 'mailto:<x>@example.com', true, false, 86400],
  'and the document')
  is(await words.stop(), { code: 0, signal: null }, 'status 0')
}

// ---- the number of connections
const few = await serve(scratch('few'), '--set', 'max_connections=3')
const held = []
for (let i = 0; i < 3; i++) held.push(await Client.open(few.url))
ok(await Client.open(few.url).then(() => false, () => true), 'one connection too many')
held.pop().close()
let room = false
await until(async () => room = await Client.open(few.url).then(x => held.push(x), () => false))
ok(room, 'until another goes')
held.forEach(x => x.close())
await sleep(10)
is(await few.stop(), { code: 0, signal: null }, 'status 0')
done()
