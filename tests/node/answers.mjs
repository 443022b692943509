// A relay that answers nr-bench load after 20 ms, or after a second ("late"),
// never ("mute"), as others write JSON ("spaces"), with refusals ("pow",
// "closed") or with what is wrong ("wrong", "lies").
//	node answers.mjs MODE	the port goes to stdout
import { WebSocketServer } from 'ws'

const [mode] = process.argv.slice(2)
// As Python's json has it, and with the members in another order.
const spaced = a => '[' + a.map(x => JSON.stringify(x)).join(', ') + ']'
const listeners = []
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => console.log(server.address().port))
server.on('connection', s => s.on('message', m => {
  const [verb, id, filter] = JSON.parse(m)
  if (verb === 'CLOSE') return
  if (mode === 'mute') return
  if (mode === 'spaces' && verb === 'REQ' && filter.limit === 0) listeners.push([s, id])
  if (mode === 'spaces') {
    if (verb === 'EVENT') {
      s.send(spaced(['OK', id.id, true, '']))
      const { id: key, ...rest } = id
      for (const [to, sub] of listeners) to.send(spaced(['EVENT', sub, { ...rest, id: key }]))
    } else s.send(verb === 'COUNT' ? `["COUNT", "${id}", {"approximate": false, "count": 7}]` : spaced(['EOSE', id]))
    return
  }
  setTimeout(() => {
    if (verb === 'REQ' && mode === 'wrong')
      s.send(JSON.stringify(['EVENT', id, { id: 'f'.repeat(64), pubkey: 'f'.repeat(64), created_at: 1, kind: 65000, tags: [], content: '', sig: 'f'.repeat(128) }]))
    if (verb === 'REQ') s.send(JSON.stringify(mode === 'closed' ? ['CLOSED', id, 'rate-limited: slow down'] : ['EOSE', id]))
    if (verb === 'EVENT') s.send(JSON.stringify(mode === 'lies' ? ['OK', 'e'.repeat(64), true, ''] : ['OK', id.id, mode !== 'pow', mode === 'pow' ? 'pow: 20 bits' : '']))
  }, mode === 'late' ? 1000 : 20)
}))
