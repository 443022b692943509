// TLS: versions, a new certificate, slow handshakes, and that it is a relay.
// Begins in a directory with the files of tests/2480-tls.t.
import { copyFileSync, readFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'
import { ok, is, note, done, serve, scratch, Client, Author, until, sleep, go } from './tap.mjs'

go(Number(process.argv[2] ?? 0))
const use = name => {
  copyFileSync(`${name}.pem`, 'live.pem')
  copyFileSync(`${name}.key`, 'live.key')
}
use('first')
const args = ['--listen', 'tls:127.0.0.1:0', '--set', 'tls_certificate=live.pem', '--set', 'tls_key=live.key',
  '--set', 'handshake_seconds=2', '--set', 'metrics=127.0.0.1:0']
const server = await serve(scratch('store'), ...args)
const port = Number(/serving wss:\/\/127\.0\.0\.1:(\d+)/.exec(server.err)[1])
const plain = Number(/serving ws:\/\/127\.0\.0\.1:(\d+)/.exec(server.err)[1])
const url = `wss://127.0.0.1:${port}`
const watch = /metrics at (\S+)/.exec(server.err)[1]
const ca = ['first', 'second', 'rsa'].map(n => readFileSync(`${n}.pem`))
const open = () => Client.open(url, { ca })

// How a handshake ends: version, cipher, protocol and the name shown.
const handshake = options => new Promise(resolve => {
  const s = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
    resolve({ version: s.getProtocol(), cipher: s.getCipher().name, alpn: s.alpnProtocol,
      name: s.getPeerCertificate().subject?.CN })
    s.destroy()
  })
  s.on('error', e => resolve({ error: e.code }))
})

// ---- a relay
const alice = new Author()
const c = await open()
const event = alice.sign(1, 'x'.repeat(60000))
is(await c.publish(event), [true, ''], 'an event')
is((await c.query('q', { kinds: [1] })).ids, [event.id], 'and back')
const events = Array.from({ length: 60 }, (_, i) => alice.sign(1, 'y'.repeat(50000) + i))
events.forEach(e => c.send('EVENT', e))
const oks = await Promise.all(events.map(e => c.ok(e.id, 20000)))
ok(oks.every(m => m?.[2]), 'megabytes in')
is((await c.query('all', { kinds: [1], limit: 100 })).ids.length, 61, 'megabytes out')
is(await c.auth(alice), [true, ''], 'AUTH by wss://')
const d = await open()
is((await d.auth(alice, { relay: `ws://127.0.0.1:${port}` }))[0], false, 'not by ws://')
const p = await Client.open(`ws://127.0.0.1:${plain}`)
is((await p.auth(alice, { relay: `wss://127.0.0.1:${plain}` }))[0], false, 'nor the other way round')
is(await p.auth(alice), [true, ''], 'without TLS as before')
p.close(); d.close()
for (const host of ['default', `127.0.0.1:${plain}`]) {
  const h = await Client.open(url, { ca, headers: { host } })
  is((await h.query('x', { limit: 1 })).end, ['EOSE', 'x'], `a Host header changes nothing: ${host}`)
  h.close()
}

// ---- versions
const first = await handshake({})
is([first.version, first.name], ['TLSv1.3', 'first'], 'TLS 1.3 by default')
is((await handshake({ maxVersion: 'TLSv1.2' })).version, 'TLSv1.2', 'TLS 1.2')
ok((await handshake({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' })).error, 'nothing older')
ok((await handshake({ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' })).error, 'no weak cipher')
is((await handshake({ ALPNProtocols: ['h2', 'http/1.1'] })).alpn, 'http/1.1', 'no HTTP/2')
is((await handshake({ servername: 'default' })).name, 'first', 'whatever name is asked for')
const expires = async () => Number(/^nr_certificate_expires_seconds (\d+)/m.exec(await (await fetch(`${watch}/metrics`)).text())[1])
const days = async () => Math.round((await expires() - Date.now() / 1000) / 86400)
is(await days(), 365, 'the metric')
ok(!/certificate/.test(server.err), 'nothing to warn of', server.err)

// ---- another certificate
const reload = async text => {
  const n = server.err.length
  server.process.kill('SIGHUP')
  return ok(await until(() => server.err.slice(n).includes(text)), `reloaded: ${text}`, server.err)
}
use('second')
await reload('is loaded')
is((await handshake({})).name, 'second', 'a new certificate for new connections')
is((await c.query('q', { limit: 1 })).end, ['EOSE', 'q'], 'the old ones go on')
ok(await until(() => /the certificate expires in (9|10) days/.test(server.err)), 'one that expires soon is told', server.err)
ok((await days()) === 10, 'the metric, too')
use('rsa')
await reload('is loaded')
is((await handshake({})).name, 'rsa', 'of another kind')
copyFileSync('first.key', 'live.key')
await reload('stays as it was')
ok(/live\.key: not the certificate's key/.test(server.err), 'a bad pair is told', server.err)
is((await handshake({})).name, 'rsa', 'and the old one stays')
use('first')
await reload('is loaded')
is((await handshake({})).name, 'first', 'and back')
is((await c.query('q', { limit: 1 })).end, ['EOSE', 'q'], 'still there')

// ---- those who are slow, or talk nonsense
const raw = bytes => new Promise(resolve => {
  const s = net.connect(port, '127.0.0.1', () => { if (bytes) s.write(bytes) })
  s.on('error', () => {})
  s.began = Date.now()
  s.on('close', () => { s.ended = Date.now() - s.began })
  s.on('data', () => {})
  resolve(s)
})
const slow = await Promise.all(Array.from({ length: 100 }, (_, i) =>
  raw(i % 2 ? Buffer.from([0x16, 3, 1, 2, 0, 1]) : null)))
const at = Date.now()
const quick = await Promise.all(Array.from({ length: 50 }, open))
note(`${quick.length} handshakes beside 100 slow ones: ${Date.now() - at} ms`)
is(quick.length, 50, 'slow handshakes hold up nobody')
quick.forEach(q => q.close())
ok(await until(() => slow.every(s => s.ended !== undefined), 10000), 'and end in time')
ok(slow.every(s => s.ended > 1000), 'not before', slow.map(s => s.ended))
const http = await raw('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
ok(await until(() => http.ended !== undefined), 'no HTTP without TLS')
is((await c.query('q', { limit: 1 })).end, ['EOSE', 'q'], 'it goes on')
c.close()
is((await server.stop()).code, 0, 'it ends well')
done()
