// A relay that speaks NIP-77 wrongly: one way for each name.
import { WebSocketServer } from 'ws'

const hex = n => Array.from({ length: n }, () => Math.floor(Math.random() * 16).toString(16)).join('')
const varint = n => { const d = [n & 127]; while ((n >>= 7)) d.unshift(n & 127 | 128); return Buffer.from(d).toString('hex') }
// Everything up to infinity, a list of ids.
const list = ids => '6100' + '00' + '02' + varint(ids.length) + ids.join('')

export const ways = {
  silence: () => {},
  notice: say => say('NOTICE', 'ERROR: bad msg: unknown cmd'),
  unsupported: say => say('NOTICE', 'unrecognised message type NEG-OPEN'),
  closed: (say, id) => say('CLOSED', id, 'unsupported: no NEG-OPEN here'),
  'protocol error': (say, id) => say('NEG-ERR', id, 'PROTOCOL-ERROR'),
  blocked: (say, id) => say('NEG-ERR', id, 'blocked: this query is too big'),
  'blocked with a number': (say, id) => say('NEG-ERR', id, 'blocked: too many', 7),
  'results too big': (say, id) => say('NEG-ERR', id, 'RESULTS_TOO_BIG'),
  malformed: (say, id) => say('NEG-MSG', id, '61ff'),
  'no hexadecimal': (say, id) => say('NEG-MSG', id, 'hello'),
  'no string': (say, id) => say('NEG-MSG', id, 7),
  'another version': (say, id) => say('NEG-MSG', id, '60'),
  'endless rounds': (say, id) => say('NEG-MSG', id, '610000' + '01' + hex(32)),
  'endless lies': (say, id) => say('NEG-MSG', id, list(Array.from({ length: 100 }, () => hex(64))) + '000001' + hex(32)),
  'one id a round': (say, id) => say('NEG-MSG', id, list([hex(64)]) + '000001' + hex(32)),
  'the same of ours': (say, id) => say('NEG-MSG', id, list([]) + '000001' + hex(32)),
  lies: (say, id) => say('NEG-MSG', id, list(Array.from({ length: 3000 }, () => hex(64)))),
  'a huge frame': (say, id) => say('NEG-MSG', id, '61'.repeat(20 << 20)),
  unasked: (say, id) => { for (let i = 0; i < 3; i++) say('NEG-MSG', `${id}x`, '61'); say('NEG-MSG', id, '61') },
  goodbye: (say, id, ws) => ws.terminate(),
}

// events: what it has, and lists whatever it is asked; more: what it sends to
// every REQ, too.
export function wrong(way, { events = [], more = [] } = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 64 << 20 })
  const relay = { url: null, stored: [], messages: [], close: () => server.close() }
  server.on('connection', ws => {
    const say = (...m) => { if (ws.readyState === 1) ws.send(JSON.stringify(m)) }
    ws.on('error', () => {})
    ws.on('message', d => {
      const [verb, id, filter] = JSON.parse(d.toString())
      relay.messages.push(verb)
      if (verb === 'NEG-OPEN' || verb === 'NEG-MSG') {
        if (ways[way]) return ways[way](say, id, ws)
        say('NEG-MSG', id, list(events.map(e => e.id)))
      } else if (verb === 'REQ') {
        const match = e => (!filter.ids || filter.ids.includes(e.id)) && e.created_at >= (filter.since ?? 0) &&
          e.created_at <= (filter.until ?? Infinity)
        for (const e of events.filter(match).sort((a, b) => b.created_at - a.created_at).slice(0, filter.limit ?? 500)) say('EVENT', id, e)
        for (const e of more) say('EVENT', id, e)
        say('EOSE', id)
      } else if (verb === 'EVENT') {
        relay.stored.push(id)
        say('OK', id.id, true, '')
      }
    })
  })
  return new Promise(resolve => server.on('listening', () => {
    relay.url = `ws://127.0.0.1:${server.address().port}`
    resolve(relay)
  }))
}
