// One address that asks and publishes as fast as it can, for tests/bench/load:
//	flood.mjs URL SECONDS
// Writes what became of that to stdout, as JSON.
import WebSocket from 'ws'
import { finalizeEvent, generateSecretKey } from 'nostr-tools/pure'

const [url, seconds] = process.argv.slice(2)
const key = generateSecretKey(), until = Date.now() + seconds * 1000
const seen = { connections: 0, not_now: 0, closed: 0, events: 0, refused: 0, accepted: 0, answered: 0 }
const events = Array.from({ length: 200 }, (_, i) =>
  JSON.stringify(['EVENT', finalizeEvent({ kind: 1, content: `flood ${i} ${process.pid}`, tags: [], created_at: Math.floor(Date.now() / 1000) }, key)]))
let n = 0

function come() {
  if (Date.now() > until) return
  const ws = new WebSocket(url, { perMessageDeflate: false, headers: { 'X-Forwarded-For': '198.51.100.66' } })
  const again = () => setTimeout(come, 20)
  ws.on('unexpected-response', () => { seen.not_now++; ws.terminate() })
  ws.on('error', () => {})
  ws.on('open', () => {
    seen.connections++
    const more = () => {
      if (Date.now() > until) return ws.terminate()
      if (ws.readyState !== WebSocket.OPEN) return
      if (ws.bufferedAmount < 1 << 20)
        for (let i = 0; i < 20; i++) {
          ws.send(events[n++ % events.length])
          ws.send(`["REQ","s${n % 50}",{"limit":5000}]`)
        }
      setTimeout(more, 1)
    }
    more()
  })
  ws.on('message', d => {
    const text = d.toString('latin1', 0, 100)
    if (text.startsWith('["EVENT"')) seen.events++
    else if (text.startsWith('["CLOSED"') || text.includes(',false,')) seen.refused++
    else if (text.startsWith('["OK"')) seen.accepted++
    else if (text.startsWith('["EOSE"')) seen.answered++
  })
  ws.on('close', () => { if (Date.now() <= until) { seen.closed++; again() } })
}
for (let i = 0; i < 30; i++) come()
setTimeout(() => { console.log(JSON.stringify(seen)); process.exit() }, seconds * 1000 + 500)
