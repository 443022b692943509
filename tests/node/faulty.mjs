// A small relay that keeps to the NIPs, but for one fault: the names are in
// faults.  Everything is in memory, and looked through for each question.
import http from 'node:http'
import { randomBytes } from 'node:crypto'
import { WebSocketServer } from 'ws'
import { finalizeEvent, generateSecretKey, getEventHash, verifyEvent } from 'nostr-tools/pure'

const hex64 = s => typeof s === 'string' && /^[0-9a-f]{64}$/.test(s)
const strings = l => Array.isArray(l) && l.every(s => typeof s === 'string')
const now = () => Math.floor(Date.now() / 1000)
const replaceable = k => k === 0 || k === 3 || (k >= 10000 && k < 20000)
const ephemeral = k => k >= 20000 && k < 30000
const addressable = k => k >= 30000 && k < 40000
const tag = (e, name) => e.tags.find(t => t[0] === name)?.[1]
const tags = (e, name) => e.tags.filter(t => t[0] === name).map(t => t[1])
const address = e => `${e.kind}:${e.pubkey}:${addressable(e.kind) ? tag(e, 'd') ?? '' : ''}`
const expired = e => Number(tag(e, 'expiration') ?? Infinity) < now()
const wrap = e => [4, 1059, 21059].includes(e.kind)
const varint = n => { const d = [n & 127]; while ((n >>= 7)) d.unshift(n & 127 | 128); return Buffer.from(d).toString('hex') }

// What is wrong with an event, or with a filter.
function badEvent(e) {
  if (!e || typeof e !== 'object') return 'not an object'
  if (!hex64(e.id) || !hex64(e.pubkey) || !/^[0-9a-f]{128}$/.test(e.sig)) return 'not in hexadecimal'
  if (!Number.isInteger(e.kind) || e.kind < 0 || e.kind > 65535) return 'kind'
  if (!Number.isInteger(e.created_at) || typeof e.content !== 'string') return 'field'
  if (!Array.isArray(e.tags) || !e.tags.every(strings)) return 'tags'
  if (getEventHash(e) !== e.id) return 'id'
  return verifyEvent({ ...e }) ? null : 'signature'
}
function badFilter(f) {
  if (!f || typeof f !== 'object' || Array.isArray(f)) return 'invalid: not an object'
  for (const [k, v] of Object.entries(f)) {
    if (k === 'ids' || k === 'authors') { if (!strings(v)) return `invalid: ${k}` }
    else if (k === 'kinds') { if (!Array.isArray(v) || !v.every(Number.isInteger)) return 'invalid: kinds' }
    else if (/^#[a-zA-Z]$/.test(k)) { if (!strings(v)) return `invalid: ${k}` }
    else if (k === 'search') { if (typeof v !== 'string') return 'invalid: search' }
    else if (['since', 'until', 'limit'].includes(k)) { if (!Number.isInteger(v)) return `invalid: ${k}` }
    else return 'unsupported: unknown key'
  }
  return null
}

export const faults = [
  'none', 'oldest first', 'ties highest first', 'ignores limit', 'limit takes oldest', 'limit over all filters',
  'since exclusive', 'until exclusive', 'ignores since', 'ignores until', 'prefixes match', 'upper case matches',
  'empty lists match all', 'ignores authors', 'ignores kinds', 'ignores tags', 'tags case-insensitive', 'second values match',
  'first filter only', 'stored twice', 'live twice', 'no EOSE', 'EOSE twice', 'EOSE of another', 'closes on nonsense',
  'NOTICE for CLOSED', 'serves bad filters', 'answers CLOSE', 'live after CLOSE', 'CLOSE for all', 'limit for live', 'no live',
  'live refused', 'changes content', 'nonsense frames', 'unknown verbs', 'floods', 'huge frames', 'no OK', 'OK of three', 'OK without word',
  'CLOSED without word', 'lies in OK', 'stores unsigned', 'refuses duplicates', 'keeps versions', 'older replaces', 'highest id stays',
  'one d', 'keeps ephemeral', 'keeps ephemeral for good', 'loses events', 'empty subid', 'closes at random',
  'slow', 'slow subscriptions', 'silent', 'no UTF-8', 'no capital tags', 'no tag q', 'swallows odd events', 'byte for byte', 'no OK for duplicates', 'tires',
  'swallows odd filters', 'EOSE after CLOSED', 'NOTICE for too many', 'ends what is past', 'drops old', 'few tags', 'hll always',
  'strict URL', 'reposts by text', 'refuses empty reposts', 'deletes any kind', 'deletes any d', 'deletes before', 'wraps stay',
  'wraps come back', 'undoes vanishing',
  'no JSON', 'JSON types', 'no CORS', 'exact Accept', 'low limit',
  'serves deleted', 'deletes others', 'forgets deletions', 'deletes requests', 'no addresses', 'deletes newer',
  'keeps expired', 'takes expired', 'any challenge', 'any relay', 'any time', 'any kind', 'one key', 'same challenge', 'publishes AUTH',
  'leaks wraps', 'leaks wraps live', 'leaks wraps in COUNT', 'leaks wraps in NEG', 'hides wraps', 'takes protected', 'takes reposts',
  'search ignored', 'search finds nothing', 'search alone', 'search after limit', 'search of extensions', 'first search only', 'search not answered',
  'counts versions', 'counts twice', 'slow count', 'EOSE for COUNT', 'always finished', 'finish as text',
  'negentropy without limits', 'negentropy lacks one', 'negentropy protocol error', 'negentropy silent', 'ignores vanishing', 'vanishes always',
]

// Bytes that are no text, and text that plays tricks on a terminal.
const noText = Buffer.concat([Buffer.from('{"name":"\x07\x1b[31m\u009b31m\u202e\u2028 # SKIP\nnot ok '), Buffer.from([0xff, 0xc3, 0xed, 0xa0, 0x80]), Buffer.from('"}')])

// every: what happens at times happens at every so manieth REQ, too.
export function faulty(fault, { every = 0 } = {}) {
  if (!faults.includes(fault)) throw new Error(fault)
  const is = f => f === fault
  const sent = []	// all that was published
  let strict, connections = 0, reqs = 0
  const stored = new Map(), deleted = new Map(), addresses = new Map(), vanished = new Map(), clients = new Set(), ghosts = []
  const nips = [1, 9, 11, 17, 40, 42, 45, 50, 59, 62, 67, 70, 77]
  const document = { name: 'faulty', supported_nips: nips, limitation: { max_subid_length: 64, max_limit: is('low limit') ? 5 : 500,
    max_subscriptions: is('NOTICE for too many') ? 5 : is('slow subscriptions') ? 200 : undefined } }
  const server = http.createServer((req, res) => {
    const accept = req.headers.accept ?? ''
    if (is('exact Accept') ? accept !== 'application/nostr+json' : !accept.includes('application/nostr+json')) return res.end('a relay')
    if (!is('no CORS')) for (const h of ['Origin', 'Headers', 'Methods']) res.setHeader(`Access-Control-Allow-${h}`, '*')
    res.setHeader('Content-Type', 'application/nostr+json')
    if (is('silent')) return
    res.end(is('no UTF-8') ? noText : is('no JSON') ? '<html>' : JSON.stringify(is('JSON types') ? { ...document, name: 7, supported_nips: nips.map(String) } : document))
  })
  const wss = new WebSocketServer({ server, maxPayload: 1 << 20 })

  const parties = e => [e.pubkey, ...tags(e, 'p')]
  const shown = (c, e, how = '') => (!wrap(e) || is(`leaks wraps${how}`) || (!is('hides wraps') && parties(e).some(p => c.keys.has(p)))) &&
    (is('keeps expired') || !expired(e))
  const among = (list, v) => (is('empty lists match all') && list.length === 0) || list.some(x => x === v ||
    (is('prefixes match') && x.length < 64 && v.startsWith(x)) || (is('upper case matches') && x.toLowerCase() === v))
  const values = (e, name) => (is('no capital tags') && name < 'a') || (is('no tag q') && name === 'q') ? [] :
    e.tags.slice(0, is('few tags') ? 100 : undefined).filter(t => t[0] === name || (is('tags case-insensitive') && t[0]?.toLowerCase() === name.toLowerCase()))
    .flatMap(t => is('second values match') ? t.slice(1) : t.slice(1, 2))
  const match = (f, e) => (!f.ids || among(f.ids, e.id)) && (!f.authors || is('ignores authors') || among(f.authors, e.pubkey)) &&
    (!f.kinds || is('ignores kinds') || (is('empty lists match all') && !f.kinds.length) || f.kinds.includes(e.kind)) &&
    (is('ignores since') || e.created_at >= (f.since ?? 0) + (is('since exclusive') && f.since !== undefined ? 1 : 0)) &&
    (is('ignores until') || e.created_at <= (f.until ?? Infinity) - (is('until exclusive') ? 1 : 0)) &&
    Object.entries(f).every(([k, l]) => k[0] !== '#' || (is('ignores tags') && !l[0]?.includes('nr-check')) || (is('empty lists match all') && !l.length) ||
      values(e, k[1]).some(v => l.includes(v)))
  // All words, in any order; what is key:value is not understood.
  const searched = (f, e) => {
    if (f.search === undefined || is('search ignored')) return true
    const words = f.search.toLowerCase().split(/\s+/).filter(w => w && (is('search of extensions') || !/^\w+:\S+$/.test(w)))
    return !is('search finds nothing') && words.every(w => e.content.toLowerCase().includes(w))
  }
  const order = (a, b) => (is('oldest first') ? a.created_at - b.created_at : b.created_at - a.created_at) ||
    ((a.id < b.id) === !is('ties highest first') ? -1 : 1)
  const limit = f => is('ignores limit') && f.limit !== 0 ? 500 : Math.min(f.limit ?? 500, 500)
  const query = (c, filters, how) => {
    const found = new Map(), all = [...stored.values()].filter(e => shown(c, e, how)).sort(order)
    let complete = true
    if (is('first filter only')) filters = filters.slice(0, 1)
    if (is('limit over all filters')) filters = filters.map(f => ({ ...f, limit: Math.min(...filters.map(x => limit(x))) }))
    for (const f of filters) {
      let hits = all.filter(e => is('search alone') && f.search !== undefined || match(f, e)), m = limit(f)
      if (is('search after limit')) hits = hits.slice(0, m)
      hits = hits.filter(e => searched(is('first search only') ? { ...f, search: filters[0].search } : f, e))
      if (hits.length > m) complete = false
      for (const e of is('limit takes oldest') && m ? hits.slice(-m) : hits.slice(0, m)) found.set(e.id, e)
    }
    if (is('limit over all filters')) while (found.size > limit(filters[0])) found.delete([...found.keys()].pop())
    return { events: [...found.values()].sort(order), complete }
  }

  // Why an event is refused: undefined where it is not.  What is left to do is done.
  function store(c, e) {
    const again = stored.has(e.id) || ghosts.includes(e.id)
    if (e.kind === 22242 && !is('publishes AUTH')) return 'invalid: not to be published'
    if (!is('takes expired') && expired(e) && !ephemeral(e.kind)) return 'invalid: expired'
    if (e.tags.some(t => t[0] === '-') && !is('takes protected') && !c.keys.has(e.pubkey)) return 'auth-required: its author only'
    if (e.kind === 6 && !e.content && is('refuses empty reposts')) return 'invalid: empty'
    if (e.kind === 6 && e.content.includes('["-"]') && is('reposts by text')) return 'invalid: holds a protected event'
    if (e.kind === 6 && !is('takes reposts')) {
      try { if (JSON.parse(e.content).tags.some(t => t[0] === '-')) return 'blocked: holds a protected event' } catch {}
    }
    if (again && is('no OK for duplicates')) throw new Error('no OK')
    if (again) return is('refuses duplicates') ? 'duplicate: have it' : null
    if (is('drops old') && e.created_at < now() - 86400) return
    if (is('swallows odd events') && (e.tags.some(t => !t.length || ['npub1x', 'soon'].includes(t[1])) || !e.created_at)) return
    const gone = p => (vanished.get(p) ?? -1) >= e.created_at
    if (gone(e.pubkey) || (e.kind === 1059 && tags(e, 'p').some(gone) && !is('wraps come back'))) return 'blocked: vanished'
    if (e.kind !== 5 && !is('forgets deletions') && !is('serves deleted')) {
      if (deleted.get(e.id)?.has(e.pubkey)) return 'blocked: deleted'
      if ((addresses.get(address(e)) ?? -1) >= e.created_at && !is('no addresses')) return 'blocked: deleted'
    }
    if (ephemeral(e.kind)) { if (fault.startsWith('keeps ephemeral')) stored.set(e.id, e); return }
    if (is('loses events') && e.content === 'second') { ghosts.push(e.id); return }
    if (replaceable(e.kind) || addressable(e.kind)) {
      const same = o => is('one d') ? o.kind === e.kind && o.pubkey === e.pubkey && o.id !== e.id : address(o) === address(e)
      for (const o of [...stored.values()].filter(x => (replaceable(x.kind) || addressable(x.kind)) && same(x))) {
        const later = o.created_at - e.created_at || ((o.id < e.id) === !is('highest id stays') ? 1 : -1)
        if (later > 0 && !is('older replaces') && !is('keeps versions')) return 'duplicate: have a newer one'
        if (!is('keeps versions')) stored.delete(o.id)
      }
    }
    if (e.kind === 5) remove(e)
    if (e.kind === 62) vanish(e)
    stored.set(e.id, e)
  }
  function remove(e) {
    for (const id of tags(e, 'e')) {
      const o = stored.get(id)
      if (o && ephemeral(o.kind) && is('keeps ephemeral for good')) continue
      if (!deleted.has(id)) deleted.set(id, new Set())
      deleted.get(id).add(e.pubkey)
      if (o?.kind === 62 && is('undoes vanishing')) vanished.delete(e.pubkey)
      const mine = o && (o.pubkey === e.pubkey || is('deletes others') || (o.kind === 1059 && tags(o, 'p').includes(e.pubkey)))
      if (mine && !is('serves deleted') && (is('deletes requests') || o.kind !== 5)) {
        stored.delete(id)
        if (o.kind === 5) tags(o, 'e').forEach(x => deleted.delete(x))
      }
    }
    for (const a of is('no addresses') ? [] : tags(e, 'a')) {
      if (a.split(':')[1] !== e.pubkey) continue
      addresses.set(a, e.created_at)
      const part = x => x.split(':').filter((_, i) => !(i === 0 && is('deletes any kind')) && !(i > 1 && is('deletes any d'))).join(':')
      for (const o of [...stored.values()]) if (part(address(o)) === part(a) && addressable(o.kind) + replaceable(o.kind) &&
        (o.created_at <= e.created_at - is('deletes before') || is('deletes newer')) && !is('serves deleted')) stored.delete(o.id)
    }
  }
  function vanish(e) {
    if (is('ignores vanishing') || (!tags(e, 'relay').includes('ALL_RELAYS') && !is('vanishes always'))) return
    vanished.set(e.pubkey, e.created_at)
    for (const o of [...stored.values()])
      if (o.created_at <= e.created_at && (o.pubkey === e.pubkey || (o.kind === 1059 && tags(o, 'p').includes(e.pubkey) && !is('wraps stay')))) stored.delete(o.id)
  }

  const fan = e => {
    for (const c of clients) for (const [id, s] of c.subs) {
      if (!s.filters.some(f => match(f, e)) || !shown(c, e, ' live') || is('no live')) continue
      if (is('limit for live') && ++s.live > (s.filters[0].limit || 500)) continue
      c.say('EVENT', id, e)
      if (is('live twice')) c.say('EVENT', id, e)
    }
  }
  function onEvent(c, e) {
    const id = hex64(e?.id) ? e.id : '0'.repeat(64)
    const ok = (yes, why) => {
      if (is('no OK')) return
      if (is('OK of three') && yes) c.say('OK', id, yes)
      else c.say('OK', id, yes, is('OK without word') ? why.replace(/^[a-z-]+: /, '') : why)
    }
    const bad = badEvent(e)
    if (bad && !hex64(e?.id)) return c.say('NOTICE', `invalid: ${bad}`)
    if (bad && is('live refused')) fan(e)
    if (bad && is('stores unsigned') && ['id', 'signature'].includes(bad)) { stored.set(e.id, e); return ok(true, '') }
    if (bad) return ok(is('lies in OK'), is('lies in OK') ? '' : `invalid: ${bad}`)
    let why
    try { why = store(c, e) } catch { return }
    ok(why === undefined || why === null, why ?? (why === null ? 'duplicate: have it' : ''))
    if (why === undefined) fan(e)
  }
  function onReq(c, id, filters) {
    const closed = why => is('no UTF-8') ? c.ws.send(noText, { binary: false }) : is('NOTICE for CLOSED') ? c.say('NOTICE', why) : c.say('CLOSED', id, is('CLOSED without word') ? 'ERROR: no' : why)
    if (typeof id !== 'string') return c.say('NOTICE', 'invalid: no id')
    if ((id === '' && !is('empty subid')) || [...id].length > 64) return closed('invalid: subscription id')
    if (!filters.length) return closed('invalid: no filter')
    const bad = filters.map(badFilter).find(x => x)
    if (bad && is('serves bad filters')) return c.say('EOSE', id)
    if (bad) { closed(bad); if (is('EOSE after CLOSED')) c.say('EOSE', id); return }
    if (is('swallows odd filters') && (!Object.keys(filters[0]).length || filters[0].kinds?.some(k => k > 65535) || filters[0].since < 0)) return
    if (is('NOTICE for too many') && c.subs.size >= 5 && !c.subs.has(id)) return c.say('NOTICE', 'ERROR: too many')
    if (filters[0].search !== undefined && is('search not answered')) return
    const due = filters[0].limit === 3 || (every && ++reqs % every === 0)
    if (due && is('floods')) return flood(c, id)
    if (due && is('huge frames')) return c.ws.send('['.repeat(20 << 20))
    if (due && is('closes at random')) return c.ws.terminate()
    const { events, complete } = query(c, filters)
    for (const e of events) {
      c.say('EVENT', id, is('changes content') ? { ...e, content: e.content + ' ' } : e)
      if (is('stored twice')) c.say('EVENT', id, e)
    }
    const hints = is('finish as text') ? 'finish' : complete || is('always finished') ? ['finish'] : ['more']
    if (!is('no EOSE')) c.say('EOSE', is('EOSE of another') && id.startsWith('many') ? 'nobody' : id, hints)
    if (is('EOSE twice')) c.say('EOSE', id, hints)
    if (is('nonsense frames')) c.ws.send('hello')
    if (is('unknown verbs')) c.say('HELLO', id)
    if (!is('ends what is past') || !filters.every(f => f.until < now())) c.subs.set(id, { filters, live: 0 })
  }
  function flood(c, id) {
    const e = [...stored.values()][0]
    const more = () => {
      for (let i = 0; i < 500 && c.ws.readyState === 1; i++) c.say('EVENT', id, e)
      if (c.ws.readyState === 1) setImmediate(more)
    }
    more()
  }
  function onClose(c, id) {
    if (is('answers CLOSE')) c.say('CLOSED', id, 'error: as you wish')
    if (!is('live after CLOSE')) c.subs.delete(id)
    if (is('CLOSE for all')) clients.forEach(o => o.subs.delete(id))
  }
  function onCount(c, id, filters) {
    const bad = filters.map(badFilter).find(x => x)
    if (bad) return c.say('CLOSED', id, bad)
    const found = query(c, filters, ' in COUNT').events.filter(e => shown(c, e, ' in COUNT'))
    const count = is('counts twice') ? filters.reduce((k, f) => k + query(c, [f]).events.length, 0) :
      found.length + (is('counts versions') && found.some(e => replaceable(e.kind)) ? 1 : 0)
    if (is('slow count')) return
    c.say('COUNT', id, { count, hll: is('hll always') ? '00'.repeat(256) : undefined })
    if (is('EOSE for COUNT')) c.say('EOSE', id)
  }
  function onAuth(c, e) {
    const wrong = badEvent(e) ?? (e.kind !== 22242 && !is('any kind') ? 'kind' : tag(e, 'challenge') !== c.challenge && !is('any challenge') ? 'challenge' :
      !tag(e, 'relay')?.includes('127.0.0.1') && !is('any relay') ? 'relay' : Math.abs(e.created_at - now()) > 600 && !is('any time') ? 'time' : null)
    strict ??= tag(e, 'relay')
    if (!wrong && is('strict URL') && tag(e, 'relay') !== strict) return c.say('OK', e.id, false, 'invalid: relay')
    if (wrong || (is('one key') && c.keys.size)) return c.say('OK', e.id, false, `invalid: ${wrong}`)
    c.keys.add(e.pubkey)
    c.say('OK', e.id, true, '')
  }
  // Whatever is asked, the whole of it is told: one round for any set.
  function onNeg(c, verb, id, filter, message) {
    if (is('negentropy silent')) return
    const err = why => c.say('NEG-ERR', id, is('negentropy protocol error') ? 'PROTOCOL-ERROR' : why)
    if (verb === 'NEG-CLOSE') return c.negs.delete(id)
    if (verb === 'NEG-MSG') { if (!c.negs.has(id)) return err('closed: not open'); [filter, message] = [c.negs.get(id), filter] }
    if (badFilter(filter)) return err(badFilter(filter))
    if (typeof message !== 'string' || !/^[0-9a-f]+$/.test(message)) return err('invalid: no message')
    if (!message.startsWith('61')) return c.say('NEG-MSG', id, '61')
    if (message === '61ff') return err('invalid: malformed')
    c.negs.set(id, filter)
    if (is('negentropy without limits')) filter = { ...filter, since: 0, until: 9e15, '#g': undefined }
    if (filter['#g'] === undefined) delete filter['#g']
    const ids = query(c, [filter], ' in NEG').events.map(e => e.id).slice(is('negentropy lacks one') ? 1 : 0)
    c.say('NEG-MSG', id, '61000002' + varint(ids.length) + ids.join(''))
  }

  wss.on('connection', ws => {
    const c = { ws, subs: new Map(), keys: new Set(), negs: new Map(), challenge: is('same challenge') ? 'same' : randomBytes(8).toString('hex') }
    c.say = (...m) => { if (ws.readyState === 1) ws.send(JSON.stringify(m)) }
    clients.add(c)
    if (is('tires') && ++connections > 8) return ws.terminate()
    ws.on('error', () => {})
    ws.on('close', () => clients.delete(c))
    c.say('AUTH', c.challenge)
    ws.on('message', d => {
      if (is('silent')) return
      const delay = { slow: 600, 'slow subscriptions': 150 }[fault]
      if (delay) setTimeout(() => hear(d), delay)
      else hear(d)
    })
    const hear = d => {
      let m
      const nonsense = () => is('closes on nonsense') ? ws.terminate() : c.say('NOTICE', 'invalid: what?')
      try { m = JSON.parse(d.toString()) } catch { return nonsense() }
      if (!Array.isArray(m)) return nonsense()
      const [verb, id, ...rest] = m
      if (verb === 'EVENT' && is('byte for byte') && badEvent(id) === null && (d.toString() !== JSON.stringify(m) || Object.keys(id)[0] !== 'id'))
        c.say('OK', id.id, false, 'invalid: not as I would write it')
      else if (verb === 'EVENT') { sent.push(id); onEvent(c, id) }
      else if (verb === 'REQ') onReq(c, id, rest)
      else if (verb === 'CLOSE') onClose(c, id)
      else if (verb === 'COUNT') onCount(c, id, rest)
      else if (verb === 'AUTH') onAuth(c, id)
      else if (['NEG-OPEN', 'NEG-MSG', 'NEG-CLOSE'].includes(verb)) onNeg(c, verb, id, ...rest)
      else nonsense()
    }
  })
  if (is('low limit')) for (let i = 0, key = generateSecretKey(); i < 8; i++) {
    const e = finalizeEvent({ kind: 1, content: '', tags: [], created_at: now() - i }, key)
    stored.set(e.id, e)
  }
  const relay = { stored, sent, close: () => { clients.forEach(c => c.ws.terminate()); server.close() } }
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => {
    relay.url = `ws://127.0.0.1:${server.address().port}`
    resolve(relay)
  }))
}
