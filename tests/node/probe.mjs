// A relay with one fault or delay for each port, and nr-bench probe against
// all of them, and against nr-serve.  Begins in a directory with the files of
// tests/2850-bench-probe.t.
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { readFileSync, writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { WebSocketServer } from 'ws'
import { getPublicKey, verifyEvent } from 'nostr-tools/pure'
import { ok, is, note, done, serve, scratch, run, sleep, until, Author, Client, go, now } from './tap.mjs'

go(Number(process.argv[2] ?? 0))
const author = new Author()
const stored = author.sign(1, 'hello')
const cors = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*', 'access-control-allow-methods': '*' }
const document = { name: 'mock', supported_nips: [1, 11], software: 'https://example.com' }

// What a relay does; a fault replaces one of these.
const usual = {
  info: res => {
    res.writeHead(200, { ...cors, 'content-type': 'application/nostr+json' })
    res.end(JSON.stringify(document))
  },
  REQ: (say, [, id, filter], c) => {
    if (id === 'live') c.live = filter
    else say('EVENT', id, stored)
    say('EOSE', id)
  },
  COUNT: (say, [, id]) => say('NOTICE', 'unknown verb: ' + id),
  'NEG-OPEN': say => say('NOTICE', 'unknown verb'),
  EVENT: (say, [, event], c) => {
    say('OK', event.id, true, '')
    if (c.live && !c.mute) say('EVENT', 'live', event)
  },
  CLOSE: () => {}, 'NEG-CLOSE': () => {}, AUTH: () => {},
  connect: () => {}, upgradeDelay: 0, autoPong: true,
}
const servers = []
async function mock(fault = {}, { port = 0, tls, host = '127.0.0.1' } = {}) {
  const how = { ...usual, ...fault }
  const seen = { connections: 0, events: [], verbs: [] }
  const server = tls ? https.createServer(tls) : http.createServer()
  const wss = new WebSocketServer({ noServer: true, autoPong: how.autoPong })
  const sockets = new Set()
  server.on('connection', s => { sockets.add(s); s.on('close', () => sockets.delete(s)); s.on('error', () => {}) })
  server.on('request', (req, res) => how.info(res, req))
  server.on('upgrade', async (req, socket, head) => {
    seen.connections++
    if (how.upgradeDelay) await sleep(how.upgradeDelay)
    if (how.refuse) return socket.end(how.refuse)
    wss.handleUpgrade(req, socket, head, ws => {
      const c = { ws }
      const say = (...m) => ws.send(JSON.stringify(m))
      ws.on('error', () => {})
      ws.on('message', d => {
        const m = JSON.parse(d)
        seen.verbs.push(m[0])
        if (m[0] === 'EVENT') seen.events.push(m[1])
        how[m[0]]?.(say, m, c)
      })
      how.connect(say, c)
    })
  })
  await new Promise(r => server.listen(port, host, r))
  const self = { port: server.address().port, seen }
  self.url = `${tls ? 'wss' : 'ws'}://127.0.0.1:${self.port}`
  self.stop = () => { for (const s of sockets) s.destroy(); return new Promise(r => server.close(r)) }
  servers.push(self)
  return self
}
const raw = fn => new Promise(r => {
  const s = net.createServer(c => { c.on('error', () => {}); fn(c) })
  s.listen(0, '127.0.0.1', () => r({ url: `ws://127.0.0.1:${s.address().port}`, port: s.address().port }))
  s.unref()
})

const probe = async (...args) => {
  const r = await run('nr-bench', ['probe', '-q', ...args])
  const lines = r.out.split('\n').filter(l => l).map(l => JSON.parse(l))
  return { ...r, lines, line: lines[0] ?? {} }
}
const error = l => l.error && [l.error.phase, l.error.class]


const near = (got, want, name) => ok(got >= want - 5 && got < want + 3000, `${name}: about ${want} ms`, got)
const small = await mock()
const pem = name => ({ key: readFileSync(`${name}.key`), cert: readFileSync(`${name}.pem`) })

// ---- nr-serve: all is well
writeFileSync('rules', [
  'reject "pow: 20 bits are needed" kind 7', 'reject "restricted: members only" kind 0',
  'reject "blocked: no articles" kind 30023', ''].join('\n'))
const store = scratch('store')
const relay = await serve(store, '--listen', 'tls:127.0.0.1:0', '--set', 'tls_certificate=good.pem', '--set', 'tls_key=good.key',
  '--set', 'policy=nr-policy --plugin -f rules')
const tlsUrl = /serving (wss:\S+)/.exec(relay.err)[1]
const alice = new Author()
{
  const c = await Client.open(relay.url)
  is(await c.publish(alice.sign(1, 'a note')), [true, ''], 'nr-serve has a note')
  c.close()
}
{
  const r = await probe(relay.url)
  const l = r.line
  is(r.code, 0, 'nr-serve is healthy: status 0')
  is([l.url, l.round, l.status, l.ip, l.network, l.error, l.problems], [relay.url + '/', 1, 'healthy', '127.0.0.1', 'clearnet', null, []],
    'so says the line')
  is([l.info.http, l.info.error, l.info.problems, l.info.advice], [200, null, [], []], 'nothing is wrong with its document')
  is(l.info.document.limitation.max_subscriptions, 100, 'which is there')
  is(l.supports, { auth: true, count: true, negentropy: true }, 'what it supports')
  is(l.auth, { offered: true, required: false, accepted: null }, 'AUTH is offered')
  const timed = Object.keys(l.ms).filter(k => l.ms[k] !== null)
  is(timed, ['connect', 'upgrade', 'open', 'info', 'auth_offered', 'first_event', 'eose', 'ping', 'count', 'negentropy'], 'what is timed')
  ok(timed.every(k => l.ms[k] > 0 && l.ms[k] < 5000), 'in milliseconds', l.ms)
  ok(l.ms.open >= l.ms.connect + l.ms.upgrade, 'open has its parts in it', l.ms)
  is([l.tls, l.write, l.kinds], [null, null, null], 'no TLS, nothing written')
  ok(Math.abs(l.time - now()) < 60, 'the time')
}
{
  const r = await probe('--ca-file', 'ca.pem', tlsUrl)
  const l = r.line, t = l.tls ?? {}
  is([r.code, l.status], [0, 'healthy'], 'by TLS, too')
  is([t.trusted, t.version, t.issuer, t.name_ok, t.error], [true, 'TLSv1.3', 'Test authority', true, null], 'the certificate is good')
  ok(/^TLS_/.test(t.cipher), 'the cipher', t.cipher)
  is(t.expires, Date.UTC(2049, 11, 31) / 1000, 'when it expires')
  is(t.days_left, Math.floor((t.expires - l.time) / 86400), 'in days')
  ok(l.ms.tls > 0 && l.ms.open >= l.ms.tls, 'the handshake is timed', l.ms)
}
{
  const r = await probe(tlsUrl)
  is([r.code, r.line.status, ...error(r.line)], [3, 'dead', 'tls', 'untrusted'], 'an authority that is not known')
  ok(!r.line.tls.trusted && r.line.tls.name_ok && /issuer/.test(r.line.tls.error), 'is said', r.line.tls)
}

// ---- writing
{
  const r = await probe('--write', '--kinds', '1,0,7,30023,20001,1', relay.url)
  const l = r.line
  is([r.code, l.status, l.error], [0, 'healthy', null], 'with --write, too')
  is([l.write.kind, l.write.accepted, l.write.class], [20066, true, null], 'an ephemeral event is accepted')
  ok(l.ms.write > 0 && l.ms.write === l.write.ms && l.ms.delivery > 0, 'and delivered', l.ms)
  is(l.kinds.map(k => [k.kind, k.accepted, k.class]), [[1, true, null], [0, false, 'restricted'], [7, false, 'pow'],
    [30023, false, 'blocked'], [20001, false, 'mute'], [1, true, null]], 'which kinds are accepted, and why others are not')
  is(l.kinds[1].text, 'restricted: members only', 'in its words')
  ok(await until(async () => {
    const e = await run('nr-export', ['-S', store, '{"kinds":[1]}'])
    return e.out.split('\n').filter(x => x).length === 1
  }), 'what was stored is deleted again')
}
{
  // The key of the probe vanishes when all else has been tried.
  const open = await serve(scratch('open'))
  const r = await probe('--write', '--kinds', '62,1,5', open.url)
  is(r.line.kinds?.map(k => [k.kind, k.accepted, k.text]), [[1, true, null], [5, true, null], [62, true, null]], 'a request to vanish comes last')
  const e = await run('nr-export', ['-S', scratch('open')])
  is(e.out.split('\n').filter(x => x).map(x => JSON.parse(x).kind), [62], 'and is one')
}
{
  const event = alice.sign(20500, 'given')
  writeFileSync('given', JSON.stringify(event) + '\n')
  const r = await probe('--write', '--event', 'given', relay.url)
  is([r.code, r.line.write.kind, r.line.write.accepted, r.line.ms.delivery > 0], [0, 20500, true, true], 'an event that is given')
  writeFileSync('given', JSON.stringify(alice.sign(1, 'kept')))
  const first = await probe('--write', '--event', 'given', relay.url)
  const again = await probe('--write', '--event', 'given', relay.url)
  is([first.code, first.line.ms.delivery > 0], [0, true], 'one that is kept')
  is([again.code, again.line.status, again.line.ms.delivery], [0, 'healthy', null], 'is not delivered twice, which is no fault')
}

// ---- AUTH
const members = await serve(scratch('closed'), '--set', 'read=auth', '--set', 'write=auth')
{
  const r = await probe('--write', members.url)
  const l = r.line
  is([r.code, l.status, l.auth], [0, 'healthy', { offered: true, required: true, accepted: true }], 'a relay that demands AUTH, and gets it')
  ok(l.ms.eose > 0 && l.write.accepted && l.ms.delivery > 0, 'is read and written', l)
}
{
  const r = await probe(members.url)
  const l = r.line
  is([r.code, l.status, l.auth, error(l)], [0, 'healthy', { offered: true, required: true, accepted: null }, ['eose', 'auth']],
    'without a key that is no fault')
  is([l.ms.eose, l.supports.count, l.supports.negentropy], [null, true, true], 'and what it knows shows all the same')
}

{
  // A key of one's own opens what a throw-away key does not.
  const own = Buffer.from(readFileSync('key', 'utf8').trim(), 'hex')
  writeFileSync('members', getPublicKey(own) + '\n')
  const club = await serve(scratch('club'), '--set', 'write=members', '--set', 'members=members')
  const r = await probe('--write', '-K', 'key', '--kinds', '1', club.url)
  is([r.code, r.line.write.accepted, r.line.kinds[0].accepted], [0, true, true], 'a member may write')
  const s = await probe('--write', '--kinds', '1', club.url)
  is([s.code, s.line.status, s.line.write.accepted, s.line.kinds[0].class], [0, 'healthy', false, 'restricted'], 'others may not')
  const d = (await probe('--nip66', '--write', '--kinds', '1', club.url)).line
  is(d.tags.filter(t => t[0] === 'k' || t[1]?.endsWith('writes')), [['R', 'writes']], 'which is no matter of kinds')
}

// ---- one fault each
const tls = Object.fromEntries(['expired', 'other', 'early', 'self'].map(name => [name, pem(name)]))
const faults = [
  ['a mock without a fault', {}, l => [l.status, l.error, l.problems], ['healthy', null, []]],
  ['what a mock supports', {}, l => [l.supports, l.auth.offered], [{ auth: false, count: false, negentropy: false }, false]],
  ['no EOSE', { REQ: (say, [, id]) => say('EVENT', id, stored) }, l => [l.status, error(l)], ['degraded', ['eose', 'timeout']]],
  ['no answer to a REQ', { REQ: () => {}, connect: say => say('NOTICE', 'hi') }, l => [l.status, error(l)],
    ['degraded', ['first_event', 'timeout']]],
  ['no answer to anything', { REQ: () => {}, COUNT: () => {}, 'NEG-OPEN': () => {} }, l => [l.status, error(l)],
    ['dead', ['first_event', 'timeout']]],
  ['no answer to COUNT is no fault', { COUNT: () => {}, 'NEG-OPEN': () => {} }, l => [l.status, l.supports.count, l.supports.negentropy],
    ['healthy', false, false]],
  ['no pong', { autoPong: false }, l => [l.status, error(l)], ['degraded', ['ping', 'timeout']]],
  ['more than the limit', { REQ: (say, [, id]) => { say('EVENT', id, stored); say('EVENT', id, stored); say('EOSE', id) } },
    l => [l.status, l.problems], ['degraded', ['more events than the limit']]],
  ['an event of another kind', { REQ: (say, [, id]) => { say('EVENT', id, author.sign(2, '')); say('EOSE', id) } },
    l => [l.status, l.problems], ['degraded', ['an event that was not asked for']]],
  ['a wrong signature', { REQ: (say, [, id]) => { say('EVENT', id, { ...stored, sig: 'a'.repeat(128) }); say('EOSE', id) } },
    l => [l.status, l.problems], ['degraded', ['an event that is malformed, or whose id or signature is wrong']]],
  ['no Nostr', { REQ: (say, m, c) => c.ws.send('hello'), COUNT: () => {}, 'NEG-OPEN': () => {} }, l => [l.status, error(l)], ['dead', ['eose', 'protocol']]],
  ['a flood', { REQ: (say, [, id], c) => { for (let i = 0; i < 3000; i++) say('EVENT', id, { ...stored, content: 'x'.repeat(5000) }) } },
    l => [l.status, error(l)], ['degraded', ['eose', 'protocol']]],
  ['closed in the middle', { REQ: (say, m, c) => { say('NOTICE', 'bye'); c.ws.close(1013, 'busy') } },
    l => [l.status, ...error(l), l.error.text], ['degraded', 'eose', 'closed', 'busy']],
  ['restricted', { REQ: (say, [, id]) => say('CLOSED', id, 'restricted: members only') }, l => [l.status, error(l)],
    ['healthy', ['eose', 'restricted']]],
  ['an error', { REQ: (say, [, id]) => say('CLOSED', id, 'error: disk') }, l => [l.status, ...error(l), l.error.text],
    ['degraded', 'eose', 'error', 'error: disk']],
  ['AUTH demanded, no challenge', { REQ: (say, [, id]) => say('CLOSED', id, 'auth-required: who?') },
    l => [l.status, l.problems], ['degraded', ['AUTH is demanded, no challenge was sent']]],
  ['NIPs that it only names', { info: res => { res.writeHead(200, cors); res.end('{"supported_nips":[45,77]}') } },
    l => [l.status, l.problems], ['degraded', ['NIP-45 is advertised, COUNT is not answered', 'NIP-77 is advertised, NEG-OPEN is not answered']]],
  ['no relay', { refuse: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi' }, l => [l.status, error(l), l.info.http],
    ['dead', ['upgrade', 'http'], 200]],
  ['a server that is down', { refuse: 'HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n' }, l => [l.status, ...error(l), l.error.text],
    ['dead', 'upgrade', 'http', 'HTTP status 503']],
  ['no document is no fault', { info: res => { res.writeHead(404); res.end() } }, l => [l.status, l.info.http, l.info.error, l.info.document],
    ['healthy', 404, 'HTTP status 404', null]],
  ['an empty one neither', { info: res => { res.writeHead(200, cors); res.end() } }, l => [l.status, l.info.http, l.info.error, l.info.document],
    ['healthy', 200, 'an empty document', null]],
  ['a document that fails', { info: res => { res.writeHead(500); res.end() } }, l => [l.status, error(l)], ['degraded', ['info', 'http']]],
  ['a document that does not come', { info: () => {} }, l => [l.status, error(l)], ['degraded', ['info', 'timeout']]],
  ['a document that is not JSON', { info: res => { res.writeHead(200, cors); res.end('<html>') } },
    l => [l.status, l.info.document, l.info.problems], ['degraded', '<html>', ['byte 0: not JSON']]],
  ['types that are wrong', { info: res => {
    res.writeHead(200, cors)
    res.end('{"name":1,"supported_nips":["1",2],"limitation":{"max_limit":"many","auth_required":1},"fees":[]}')
  } }, l => [l.status, l.info.problems], ['degraded', ['name is no string', 'supported_nips holds what is no number of a NIP',
    'limitation.max_limit is no integer', 'limitation.auth_required is neither true nor false', 'fees is no object']]],
  ['rules that nobody trips over', { info: res => {
    res.writeHead(200, { 'access-control-allow-origin': '*' })
    res.end(JSON.stringify({ name: 'n'.repeat(30), contact: 'me', pubkey: 'npub1', software: 'x', icon: null,
      limitation: { max_limit: -1 }, fees: { admission: [{ amount: 1 }] }, other: {} }))
  } }, l => [l.status, l.info.problems, l.info.advice], ['healthy', ['pubkey is no public key in lower-case hexadecimal',
    'software is no URL', 'limitation.max_limit is negative', 'a fee lacks its amount or its unit',
    'no header Access-Control-Allow-Headers', 'no header Access-Control-Allow-Methods'],
  ['name should have less than 30 characters', 'contact should be a URI, as mailto: or https:', 'icon is null: leave it out']]],
  ['a document without end', { info: res => { res.writeHead(200, cors); res.end(`{"name":"${'x'.repeat(70000)}"}`) } },
    l => [l.status, ...error(l), l.info.error], ['degraded', 'info', 'protocol', 'the document is too long']],
]
const mocks = await Promise.all(faults.map(f => mock(f[1])))
const wrongCert = {
  self: await mock({}, { tls: tls.self }), early: await mock({}, { tls: tls.early }),
  expired: await mock({}, { tls: tls.expired }), other: await mock({}, { tls: tls.other })
}
const hole = await raw(() => {})
const cut = await raw(c => c.end())
const notTls = mocks[0].url.replace('ws:', 'wss:')
const elsewhere = wrongCert.other.url.replace('127.0.0.1', 'localhost')
const extra = [elsewhere, ...Object.values(wrongCert).map(m => m.url), hole.url, cut.url, notTls, 'ws://no-such-name.invalid',
  hole.url.replace('ws:', 'wss:')]
// All at once: a fault of one is not the others'.
const all = await probe('--ca-file', 'ca.pem', '--timeout', '15s', ...mocks.map(m => m.url), ...extra)
is(all.code, 1, 'some are well, some are not: status 1')
is(all.lines.length, new Set(mocks.map(m => m.url)).size + extra.length, 'a line for each')
const lineOf = url => all.lines.find(l => l.url === url + '/') ?? {}
faults.forEach(([name, , view, want], i) => {
  const l = lineOf(mocks[i].url)
  let got
  try { got = view(l) } catch (e) { got = String(e) }
  if (!is(got, want, name)) note(JSON.stringify(l))
})
{
  const l = lineOf(wrongCert.expired.url)
  is([l.status, ...error(l), l.error.text], ['dead', 'tls', 'expired', 'certificate has expired'], 'an expired certificate')
  is([l.tls.trusted, l.tls.name_ok, l.tls.expires], [false, true, Date.UTC(2020, 1, 1) / 1000], 'with its facts')
  is(l.tls.days_left, Math.floor((l.tls.expires - l.time) / 86400), 'days below nought')
  const o = lineOf(wrongCert.other.url)
  is([o.status, ...error(o), o.tls.name_ok, o.tls.days_left > 0], ['dead', 'tls', 'wrong-name', false, true], 'a certificate for another name')
  ok(/mismatch/.test(o.error.text), 'says so', o.error)
  is([...error(lineOf(elsewhere)), lineOf(elsewhere).tls?.name_ok], ['tls', 'wrong-name', false], 'likewise where the host is a name')
  const s = lineOf(wrongCert.self.url)
  is([s.status, ...error(s), s.tls.trusted, s.tls.name_ok], ['dead', 'tls', 'untrusted', false, true], 'one that is signed by itself')
  ok(/self.signed/.test(s.error.text), 'says so', s.error)
  const e = lineOf(wrongCert.early.url)
  is([e.status, ...error(e), e.error.text], ['dead', 'tls', 'untrusted', 'certificate is not yet valid'], 'one that is not valid yet')
  is(error(lineOf(hole.url)), ['upgrade', 'timeout'], 'a black hole')
  is(error(lineOf(hole.url.replace('ws:', 'wss:'))), ['tls', 'timeout'], 'by TLS')
  is(error(lineOf(cut.url))[0], 'upgrade', 'a port that hangs up')
  is(error(lineOf(notTls)), ['tls', 'tls'], 'no TLS where TLS should be')
  is(error(lineOf('ws://no-such-name.invalid')), ['dns', 'dns'], 'a name that is none')
}
const written = await Promise.all([
  mock({ EVENT: (say, [, e]) => say('OK', e.id, true, '') }),
  mock({ EVENT: () => {} }),
  mock({ EVENT: (say, [, e]) => say('OK', e.id, false, 'pow: 20 bits') }),
  mock({ REQ: (say, [, id], c) => id === 'live' ? say('CLOSED', id, 'restricted: no') : usual.REQ(say, [, id], c) }),
])
{
  const r = await probe('--timeout', '12s', '--write', ...written.map(m => m.url))
  const [lost, silent, pow, deaf] = written.map(m => r.lines.find(l => l.url === m.url + '/'))
  is([lost.status, error(lost), lost.problems], ['degraded', ['delivery', 'timeout'], ['an event was accepted and not delivered']],
    'accepted and not delivered')
  is([silent.status, error(silent), silent.write.accepted], ['degraded', ['write', 'timeout'], null], 'no OK')
  is([deaf.status, deaf.error, deaf.ms.delivery], ['healthy', null, null], 'a subscription that is refused is no loss')
  is([pow.status, pow.error, pow.write.accepted, pow.write.class], ['healthy', null, false, 'pow'], 'a refusal is no fault')
  ok(written.every(m => m.seen.events.every(e => verifyEvent(e))), 'what is written is valid')
}

// ---- delays that are known
{
  const later = (ms, f) => (...a) => setTimeout(() => f(...a), ms)
  const m = await mock({
    upgradeDelay: 150,
    info: later(250, usual.info),
    connect: later(100, say => say('AUTH', 'challenge')),
    REQ: (say, [, id], c) => {
      if (id === 'live') { c.live = 1; return say('EOSE', id) }
      setTimeout(() => say('EVENT', id, stored), 200)
      setTimeout(() => say('EOSE', id), 500)
    },
    COUNT: later(300, (say, [, id]) => say('COUNT', id, { count: 0 })),
    'NEG-OPEN': later(350, (say, [, id]) => say('NEG-MSG', id, '6100000200')),
    EVENT: (say, [, e]) => {
      setTimeout(() => say('OK', e.id, true, ''), 400)
      setTimeout(() => say('EVENT', 'live', e), 600)
    },
  })
  const r = await probe('--timeout', '60s', '--write', m.url)
  const l = r.line
  is([r.code, l.status, l.supports], [0, 'healthy', { auth: true, count: true, negentropy: true }], 'slow is not wrong')
  near(l.ms.upgrade, 150, 'upgrade')
  near(l.ms.info, 250, 'document')
  near(l.ms.auth_offered, 100, 'challenge')
  near(l.ms.first_event, 200, 'first event')
  near(l.ms.eose, 500, 'EOSE')
  near(l.ms.count, 300, 'COUNT')
  near(l.ms.negentropy, 350, 'negentropy')
  near(l.ms.write, 400, 'OK')
  near(l.ms.delivery, 600, 'delivery')
}

// ---- NIP-66
const tagsOf = (d, name) => d.tags.filter(t => t[0] === name).map(t => t[1])
{
  const m = await mock({ info: res => { res.writeHead(200, cors); res.end(JSON.stringify({ name: 'a "name"\n', supported_nips: [50, 1, 45],
    tags: ['cats', 'dogs'], language_tags: ['en', 'pt-BR'], limitation: { payment_required: true, min_pow_difficulty: 0, restricted_writes: true } })) },
  EVENT: (say, [, e], c) => {
    if (e.kind === 4) return say('OK', e.id, false, 'blocked: no messages')
    if (e.kind === 7) return say('OK', e.id, false, 'rate-limited: slow down')
    usual.EVENT(say, [, e], c)
  } })
  const paths = '/a/./b/../%7euser/%2f'
  const r = await probe('--nip66', '--write', '--kinds', '1,4,7', m.url + paths, 'ws://127.0.0.1:1')
  is([r.code, r.lines.length], [1, 1], 'a draft for who is not dead')
  const d = r.line, names = [...new Set(d.tags.map(t => t[0]))]
  is(Object.keys(d), ['kind', 'created_at', 'tags', 'content'], 'a draft has what it must')
  is([d.kind, Math.abs(d.created_at - now()) < 60], [30166, true], 'kind and time')
  is(tagsOf(d, 'd'), [m.url + '/a/~user/%2F'], 'd: the URL, normalised')
  is(tagsOf(d, 'n'), ['clearnet'], 'n')
  is(tagsOf(d, 'N'), ['1', '11', '50'], 'N: what it names, without what it has not, with what was found')
  is(tagsOf(d, 'R'), ['!auth', '!writes', '!pow', 'payment'], 'R: what was found goes before the document')
  is(tagsOf(d, 'k'), ['1', '!4'], 'k: a rate says nothing of a kind')
  is(tagsOf(d, 't'), ['cats', 'dogs'], 't, one value each')
  is(d.tags.filter(t => t[0] === 'l'), [['l', 'en', 'ISO-639-1']], 'l')
  is(tagsOf(d, 'T'), ['Search'], 'T')
  for (const rtt of ['rtt-open', 'rtt-read', 'rtt-write'])
    ok(tagsOf(d, rtt).length === 1 && /^[1-9]\d*$/.test(tagsOf(d, rtt)[0]), `${rtt}: whole milliseconds`, d.tags)
  ok(d.tags.every(t => t.every(x => typeof x === 'string')), 'all are strings')
  is(names.sort(), ['N', 'R', 'T', 'd', 'k', 'l', 'n', 'rtt-open', 'rtt-read', 'rtt-write', 't'].sort(), 'and no other tag')
  is(JSON.parse(d.content).name, 'a "name"\n', 'content: the document')
  // Without a document, and without writing, little is known.
  const bare = await mock({ info: res => { res.writeHead(404); res.end() } })
  const b = (await probe('--nip66', bare.url)).line
  is([b.content, tagsOf(b, 'R'), tagsOf(b, 'N'), tagsOf(b, 'rtt-write')], ['', ['!auth'], [], []], 'what is not known is not told')
  const page = await mock({ info: res => { res.writeHead(200, cors); res.end('<html>') } })
  is(tagsOf((await probe('--nip66', page.url)).line, 'N'), [], 'N: a page for people is no document')
  const auth = (await probe('--nip66', members.url)).line
  ok(tagsOf(auth, 'R').includes('auth') && !tagsOf(auth, 'rtt-read').length, 'AUTH is demanded', auth.tags)
}
{
  // The whole way into a relay.
  const chain = await run('sh', ['-c', `nr-bench probe -q --nip66 ${relay.url} | nr-sign -q -K key | nr-publish -q ${relay.url}`])
  is(chain.code, 0, 'through nr-sign and nr-publish')
  const e = await run('nr-export', ['-S', store, '{"kinds":[30166]}'])
  const event = JSON.parse(e.out.split('\n')[0] || '{}')
  ok(event.kind === 30166 && verifyEvent(event), 'into a relay', e)
}
is(await run('nr-bench', ['probe', '-q', '--nip66', 'ws://127.0.0.1:1']).then(r => [r.code, r.out]), [3, ''], 'nobody there: no draft')

// ---- for ever
const forever = (...args) => {
  const p = spawn('nr-bench', ['probe', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const self = { p, out: '', err: '' }
  process.on('exit', () => p.kill('SIGKILL'))
  p.stdout.on('data', d => { self.out += d })
  p.stderr.on('data', d => { self.err += d })
  self.lines = () => self.out.split('\n').slice(0, -1).map(l => JSON.parse(l))
  self.exited = new Promise(r => p.on('close', (code, signal) => r([code, signal])))
  return self
}
{
  const a = await mock(), b = await mock()
  writeFileSync('list', `${a.url}\n${b.url}\n`)
  const f = forever('--every', '1s', '--timeout', '10s', '-f', 'list')
  const statuses = url => f.lines().filter(l => l.url === url + '/').map(l => l.status)
  ok(await until(() => statuses(b.url).length >= 2, 20000), 'round after round')
  await b.stop()
  ok(await until(() => statuses(b.url).includes('dead'), 20000), 'one dies')
  const again = await mock({}, { port: b.port })
  ok(await until(() => statuses(b.url).at(-1) === 'healthy', 20000), 'and comes back')
  ok(again.seen.connections > 0, 'indeed')
  ok(statuses(a.url).every(s => s === 'healthy'), 'the other notices nothing')
  const c = await mock()
  writeFileSync('list', `${a.url}\n${c.url}\n`)
  ok(await until(() => statuses(c.url).length > 0, 20000), 'the list is read again')
  const n = statuses(b.url).length
  writeFileSync('list', 'no relay\n')
  const m = statuses(c.url).length
  ok(await until(() => statuses(c.url).length >= m + 2, 20000), 'a list that is wrong changes nothing')
  is(statuses(b.url).length, n, 'who was taken out is left alone')
  const rounds = f.lines().map(l => l.round)
  ok(rounds.every((r, i) => i === 0 || r >= rounds[i - 1]), 'rounds do not overlap', rounds)
  f.p.kill('SIGTERM')
  is(await f.exited, [0, null], 'a signal ends it, with the last round\'s status')
  ok(f.err.includes('list: line 1: not the URL of a relay: no relay: going on with the last list'), 'which it says, with the line', f.err)
  ok(/^nr-bench: round 1: 2 healthy, 0 degraded, 0 dead$/m.test(f.err), 'summaries have the number of their round', f.err)
  ok(/: ended; the last whole round was round \d+: 2 healthy, 0 degraded, 0 dead\n$/.test(f.err), 'and the last is told at the end', f.err)
}
{
  const f = forever('--every', '1h', '--nip66', '--monitor', '--write', '--timeout', '30s', small.url)
  ok(await until(() => f.lines().length >= 2, 20000), 'a monitor')
  const [m, d] = f.lines()
  is([m.kind, d.kind, m.content], [10166, 30166, ''], 'announces itself first')
  is(tagsOf(m, 'frequency'), ['3600'], 'how often')
  is(m.tags.filter(t => t[0] === 'timeout'), [['timeout', 'open', '30000'], ['timeout', 'read', '15000'], ['timeout', 'nip11', '15000'],
    ['timeout', 'write', '15000']], 'with which patience')
  is(tagsOf(m, 'c'), ['open', 'read', 'nip11', 'dns', 'ssl', 'auth', 'write'], 'what it checks')
  await until(() => f.err.includes('1 healthy'))
  f.p.kill('SIGINT')
  is(await f.exited, [0, null], 'and ends')
}
{
  const f = forever('--timeout', '20s', hole.url)
  await sleep(300)
  f.p.kill('SIGTERM')
  is(await f.exited, [null, 'SIGTERM'], 'a round cut short is a signal\'s death')
}

// ---- many
{
  const count = 500
  const many = await mock({}, { host: '0.0.0.0' })
  // By names where this process may have an /etc/hosts of its own.
  const named = (await run('unshare', ['-m', 'true'])).code === 0
  const address = i => `127.1.${i >> 8}.${i & 255}`
  const each = f => Array.from({ length: count }, (_, i) => f(i) + '\n').join('')
  writeFileSync('many', each(i => `ws://${named ? `relay${i}.test` : address(i)}:${many.port}`))
  writeFileSync('hosts', '127.0.0.1 localhost\n' + each(i => `${address(i)} relay${i}.test`))
  const command = 'exec nr-bench probe -q -f many'
  const p = named ? spawn('unshare', ['-m', 'sh', '-c', 'mount --bind hosts /etc/hosts && ' + command], { stdio: ['ignore', 'pipe', 'inherit'] }) :
    spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = '', peak = 0
  p.stdout.on('data', d => { out += d })
  const watch = setInterval(() => {
    try { peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${p.pid}/status`, 'utf8'))[1])) } catch { }
  }, 20)
  const began = Date.now()
  const code = await new Promise(r => p.on('close', r))
  const seconds = (Date.now() - began) / 1000
  clearInterval(watch)
  const lines = out.split('\n').slice(0, -1).map(l => JSON.parse(l))
  is([code, lines.length, lines.filter(l => l.status === 'healthy').length], [0, count, count], `${count} relays`)
  ok(lines.every(l => named ? l.ms.dns > 0 && l.ip.startsWith('127.1.') : l.ms.dns === null), named ? 'by their names' : 'by their addresses')
  note(`${seconds} s, ${peak} KB`)
  ok(seconds < 10, 'in time', seconds)
  ok(peak < 100000 || /build-/.test(process.env.PATH.split(':')[0]), 'and little memory', peak)
}
done()
