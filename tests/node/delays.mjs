// A relay of known delays: every answer is late by what its turn says, and
// with "stall" nothing is answered for a second, now and then; "spaces" and
// "late" answer as others write JSON, and after a second; "mute" never.
//	node delays.mjs MODE	the port goes to stdout
import { WebSocketServer } from 'ws'

const [mode] = process.argv.slice(2)
// As Python's json has it, and with the members in another order.
const spaced = a => '[' + a.map(x => JSON.stringify(x)).join(', ') + ']'
const listeners = []
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => console.log(server.address().port))
const waiting = []		// [time due, send]
const began = performance.now()
let turn = 0
// Timers of node are late by a millisecond or two; this one is not.
const tick = () => {
  const now = performance.now()
  if (mode !== 'stall' || (now - began) % 1500 < 1000)
    while (waiting.length && waiting[0][0] <= now) waiting.shift()[1]()
  setImmediate(tick)
}
tick()
server.on('connection', s => s.on('message', m => {
  const [verb, id, filter] = JSON.parse(m)
  if (verb === 'CLOSE') return
  if (mode === 'mute') return
  if (mode === 'spaces' && verb === 'REQ' && filter.limit === 0) listeners.push([s, id])
  const delay = mode === 'late' ? 1000 : mode === 'stall' ? 2 : turn++ % 20 ? 20 : 100	// of 20, one is slow
  if (mode === 'spaces') {
    if (verb === 'EVENT') {
      s.send(spaced(['OK', id.id, true, '']))
      const { id: key, ...rest } = id
      for (const [to, sub] of listeners) to.send(spaced(['EVENT', sub, { ...rest, id: key }]))
    } else s.send(verb === 'COUNT' ? `["COUNT", "${id}", {"approximate": false, "count": 7}]` : spaced(['EOSE', id]))
    return
  }
  const item = [performance.now() + delay, () => {
    if (verb === 'REQ' && mode === 'wrong')
      s.send(JSON.stringify(['EVENT', id, { id: 'f'.repeat(64), pubkey: 'f'.repeat(64), created_at: 1, kind: 65000, tags: [], content: '', sig: 'f'.repeat(128) }]))
    if (verb === 'REQ') s.send(JSON.stringify(mode === 'closed' ? ['CLOSED', id, 'rate-limited: slow down'] : ['EOSE', id]))
    if (verb === 'EVENT') s.send(JSON.stringify(mode === 'lies' ? ['OK', 'e'.repeat(64), true, ''] : mode === 'drops' ? ['NOTICE', ''] : ['OK', id.id, mode !== 'pow', mode === 'pow' ? 'pow: 20 bits' : '']))
  }]
  let i = waiting.length
  while (i > 0 && waiting[i - 1][0] > item[0]) i--
  waiting.splice(i, 0, item)
}))
