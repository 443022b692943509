// How connections come in: many, too few descriptors, PROXY headers.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import net from 'node:net'
import { ok, is, done, serve, scratch, Client, until, sleep } from './tap.mjs'
import { Raw, handshake } from './raw.mjs'

const store = scratch('store')

// What comes back for bytes: the status of HTTP, or how it ended.
const answer = (port, ...parts) => new Promise(resolve => {
  const at = typeof port === 'string' ? { path: port } : { port, host: '127.0.0.1' }
  const s = net.connect(at, async () => {
    for (const part of parts) {
      s.write(part)
      if (parts.length > 1) await sleep(10)
    }
  })
  let text = ''
  s.on('data', d => {
    text += d.toString('latin1')
    const m = /^HTTP\/1.[01] (\d+)/.exec(text)
    if (m && text.includes('\r\n\r\n')) { s.destroy(); resolve(Number(m[1])) }
  })
  s.on('error', () => resolve('closed'))
  s.on('close', () => resolve('closed'))
  s.setTimeout(8000, () => { s.destroy(); resolve('nothing') })
})
const get = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
const v1 = 'PROXY TCP4 192.0.2.1 192.0.2.2 5000 443\r\n'
const v2 = Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
  Buffer.from([0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 3, 4])])

// ---- the PROXY protocol
const path = scratch('proxied')
let server = await serve(store, '--listen', 'proxy:127.0.0.1:0', '--listen', `proxy:unix:${path}`,
  '--set', 'metrics=127.0.0.1:0', '--set', 'handshake_seconds=2',
  '--set', 'ip_connections=0', '--set', 'ip_connect_rate=off')
const ports = [...server.err.matchAll(/serving ws:\/\/127\.0\.0\.1:(\d+)/g)].map(m => Number(m[1]))
const proxied = ports[1]
is(await answer(ports[0], handshake), 101, 'without a proxy')
for (const [name, header] of [['version 1', v1], ['version 2', v2], ['UNKNOWN', 'PROXY UNKNOWN\r\n']]) {
  const text = Buffer.concat([Buffer.from(header), Buffer.from(handshake)])
  is(await answer(proxied, text), 101, `${name}: a header and what follows`)
  is(await answer(path, text), 101, `${name}: at a Unix socket`)
  is(await answer(proxied, ...Array.from({ length: 10 }, (_, i) => text.subarray(5 * i, 5 * i + 5)), text.subarray(50)),
    101, `${name}: in pieces`)
}
is(await answer(proxied, handshake), 'closed', 'without a header: closed')
is(await answer(proxied, 'PROXY TCP4 nonsense\r\n', handshake), 'closed', 'with one that makes no sense: closed')
const began = Date.now()
const slow = answer(proxied, v1.slice(0, 20))
const many = await Promise.all(Array.from({ length: 200 }, () => answer(proxied, v1 + handshake)))
ok(many.every(a => a === 101), 'one that is slow holds up nobody', many)
is(await slow, 'closed', 'and is closed in the end')
ok(Date.now() - began > 1500, 'after the time for a request', Date.now() - began)

// ---- what a Host header says changes nothing
const watch = Number(/metrics at http:\/\/127\.0\.0\.1:(\d+)/.exec(server.err)[1])
const hosted = (host, at) => `GET ${at} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
for (const host of ['metrics', 'default', 'x.default', `127.0.0.1:${watch}`])
  is(await answer(ports[0], hosted(host, '/metrics')), 404, `no figures for clients that ask for ${host}`)
is(await answer(watch, hosted('anything', '/metrics')), 200, 'figures under any name')
await server.stop()
ok(!existsSync(path), 'the path of the Unix socket goes')

// ---- who is not trusted cannot tell
server = await serve(store, '--listen', 'proxy:127.0.0.1:0', '--set', 'trusted_proxies=192.0.2.7')
const untrusted = Number([...server.err.matchAll(/127\.0\.0\.1:(\d+)/g)][1][1])
is(await answer(untrusted, v1 + handshake), 'closed', 'a header from somebody who is not trusted: closed')
await server.stop()

// ---- whose a connection is: one address may have one
const ip = n => `192.0.2.${n}`
const who = async (...more) => {
  server = await serve(store, '--set', 'ip_connections=1', '--listen', 'proxy:127.0.0.1:0', '--listen', `unix:${path}`, ...more)
  const at = [...server.err.matchAll(/127\.0\.0\.1:(\d+)/g)].map(m => Number(m[1]))
  const held = []
  const come = (place, headers, first = '') => new Promise(resolve => {
    const s = net.connect(typeof place === 'string' ? { path: place } : { port: place, host: '127.0.0.1' })
    held.push(s)
    s.on('error', () => resolve('closed'))
    s.on('close', () => resolve('closed'))
    s.on('data', d => resolve(Number(/^HTTP\/1.[01] (\d+)/.exec(d.toString('latin1'))?.[1])))
    s.write(first + handshake.replace(/\r\n\r\n$/, `\r\n${headers.map(h => h + '\r\n').join('')}\r\n`))
  })
  return { at, come, stop: async () => { held.forEach(s => s.destroy()); return server.stop() } }
}
const xff = (...list) => [`X-Forwarded-For: ${list.join(', ')}`]
let w = await who()
// What is told, but is no address: the proxy's own counts.
for (const list of [['unknown'], ['192.0.2.200, unknown'], ['garbage']]) {
  is(await w.come(w.at[0], xff(...list)), list[0] === 'unknown' ? 101 : 429, `X-Forwarded-For: ${list}`)
}
is(await w.come(path, xff('unknown')), 101, 'at a Unix socket')
is(await w.come(path, xff('unknown')), 429, 'as one')
is(await w.come(w.at[0], []), 101, 'nobody forwarded: the operator')
is(await w.come(w.at[0], []), 101, 'as often as it likes')
await w.stop()
w = await who('--set', 'limit_local=1')
is([await w.come(w.at[0], []), await w.come(w.at[0], []), await w.come(path, []), await w.come(path, [])], [101, 429, 101, 429],
  'limit_local: the operator has limits, too')
await w.stop()
w = await who()
is(await w.come(w.at[0], xff(ip(1))), 101, 'a forwarded address')
ok(await w.come(w.at[0], xff(ip(1))) !== 101, 'is known again')
ok(await w.come(w.at[0], xff(ip(9), ip(1))) !== 101, 'whatever was said before it')
ok(await w.come(w.at[0], [...xff(ip(9)), ...xff(ip(1))]) !== 101, 'also in a header of its own')
ok(await w.come(w.at[0], xff(ip(9), ip(1), '127.0.0.1')) !== 101, 'or by proxies behind it')
is(await w.come(w.at[0], xff(ip(1), ip(2))), 101, 'the last one counts')
is(await w.come(w.at[0], ['X-Real-IP: ' + ip(3)]), 101, 'X-Real-IP')
ok(await w.come(w.at[0], ['X-Real-IP: ' + ip(3)]) !== 101, 'counts, too')
is(await w.come(path, xff(ip(4))), 101, 'at a Unix socket')
ok(await w.come(path, xff(ip(4))) !== 101, 'as well')
const proxy = n => `PROXY TCP4 ${ip(n)} ${ip(99)} 1 2\r\n`
is(await w.come(w.at[1], [], proxy(5)), 101, 'by the PROXY protocol')
ok(await w.come(w.at[1], [], proxy(5)) !== 101, 'as well')
ok(await w.come(w.at[1], xff(ip(6)), proxy(5)) !== 101, 'where a header of the client changes nothing')
ok(await w.come(w.at[0], xff(ip(5))) !== 101, 'and it is the same address')
is([await w.come(w.at[0], []), await w.come(w.at[0], []), await w.come(path, []), await w.come(path, [])],
  [101, 101, 101, 101], 'no limits for the operator')
await w.stop()
w = await who('--set', 'trusted_proxies=192.0.2.7')
is([await w.come(w.at[0], xff(ip(1))), await w.come(w.at[0], xff(ip(2)))], [101, 429],
  'nobody else tells: what this machine forwards is as one')
is([await w.come(path, xff(ip(1))), await w.come(path, xff(ip(2)))], [101, 429], 'at a Unix socket as well')
await w.stop()

// ---- one address does not have all the room, though it says nothing
server = await serve(store, '--set', 'ip_connections=4', '--listen', 'proxy:127.0.0.1:0')
const behind = Number([...server.err.matchAll(/127\.0\.0\.1:(\d+)/g)][1][1])
let sentAway = 0
const silent = Array.from({ length: 100 }, () => {
  const s = net.connect(behind, '127.0.0.1')
  s.on('error', () => {})
  s.on('close', () => { sentAway++ })
  s.resume()
  s.write(proxy(7))
  return s
})
ok(await until(() => sentAway === 100 - 4 - 1 - 64), 'an address has so many silent connections, and no more', sentAway)
is(await answer(behind, proxy(7) + handshake), 'closed', 'nor one that speaks')
is(await answer(behind, proxy(8) + handshake), 101, 'others come')
silent.forEach(s => s.destroy())
ok(await until(async () => await answer(behind, proxy(7) + handshake) === 101), 'and it, when those have gone')
await server.stop()

// ---- full
server = await serve(store, '--set', 'max_connections=3')
const held = []
for (let i = 0; i < 3; i++) held.push(await Client.open(server.url))
is(await answer(server.port, handshake), 503, 'one too many: not now')
const burst = await Promise.all(Array.from({ length: 30 }, () => answer(server.port, handshake)))
is(burst.filter(a => a === 101).length, 0, 'nor in a burst')
is(await answer(server.port, 'GET / HTTP/1.1\r\nHost: x\r\nAccept: application/nostr+json\r\n\r\n'), 200, 'the document is for everybody')
held.pop().close()
ok(await until(async () => await answer(server.port, handshake) === 101), 'with room again: served')
held.forEach(c => c.close())
let dropped = 0
const idle = Array.from({ length: 90 }, () => {
  const s = net.connect(server.port, '127.0.0.1')
  s.on('error', () => {})
  s.on('close', () => { dropped++ })
  s.resume()
  return s
})
ok(await until(() => dropped >= 90 - 67), 'those who say nothing have a bound, too', dropped)
idle.forEach(s => s.destroy())
await server.stop()
server = await serve(store, '--set', 'max_connections=3')
// All of them connect, and only then ask.
const early = await Promise.all(Array.from({ length: 12 }, () => new Promise(resolve => {
  const s = net.connect(server.port, '127.0.0.1', () => resolve(s))
  s.on('error', () => {})
  s.on('data', d => { s.said ??= Number(d.toString('latin1').split(' ')[1]) })
})))
early.forEach(s => s.write(handshake))
await until(() => early.every(s => s.said))
is([101, 503].map(n => early.filter(s => s.said === n).length), [3, 9], 'who connected when there was room finds none later')
early.forEach(s => s.destroy())

// ---- few descriptors: those who wait are served when there are some again
const limit = n => spawnSync('prlimit', ['--pid', String(server.process.pid), `--nofile=${n}`]).status
await server.stop()
server = await serve(store)
if (limit(60) === 0) {
  const all = []
  for (let i = 0; i < 80; i++) {
    const s = net.connect(server.port, '127.0.0.1')
    s.on('error', () => {})
    s.on('data', d => { s.said = d.toString('latin1') })
    s.write(handshake)
    all.push(s)
  }
  const served = () => all.filter(s => s.said).length
  ok(await until(() => /connections have to wait/.test(server.err)), 'too few descriptors: it says so', server.err)
  await sleep(300)
  const first = served()
  ok(first > 10 && first < 80, `some are served: ${first}`)
  all.filter(s => s.said).forEach(s => s.destroy())
  ok(await until(() => served() === 80, 10000), 'the others when there is room', served())
  all.forEach(s => s.destroy())
  is(await (await Client.open(server.url)).query('x', { limit: 1 }).then(r => r.end), ['EOSE', 'x'], 'it goes on')
  is((server.err.match(/have to wait/g) ?? []).length, 1, 'and said it once')
}
is((await server.stop()).code, 0, 'it ends well')

// ---- thousands a second
server = await serve(store)
const start = Date.now()
let opened = 0, refused = 0
await Promise.all(Array.from({ length: 50 }, async () => {
  for (let i = 0; i < 40; i++) {
    const a = await answer(server.port, handshake)
    if (a === 101) opened++; else refused++
  }
}))
is([opened, refused], [2000, 0], 'many in a short time: all are served')
console.log(`# ${Math.round(2000000 / (Date.now() - start))} connections a second`)
is((await server.stop()).code, 0, 'status 0')
done()
