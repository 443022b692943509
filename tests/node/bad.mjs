// Relays that behave as none should, and a cable that is cut.
import net from 'node:net'
import { WebSocketServer } from 'ws'

// A WebSocket server; speak(ws, send, message) is called for each message,
// and with message undefined for each connection.
export function relay(speak, options = {}) {
  return new Promise(resolve => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false, ...options }, () => {
      const r = { port: server.address().port, connections: 0, requests: [], server }
      r.url = `ws://127.0.0.1:${r.port}`
      r.stop = () => { server.clients.forEach(c => c.terminate()); server.close() }
      server.on('connection', ws => {
        r.connections++
        ws.on('error', () => {})
        const send = (...m) => { if (ws.readyState === 1) ws.send(JSON.stringify(m)) }
        ws.on('message', d => {
          const m = JSON.parse(d.toString())
          r.requests.push(m)
          speak(ws, send, m)
        })
        speak(ws, send)
      })
      resolve(r)
    })
  })
}

// What a good relay does with these events, with a bound of its own.
export function answer(events, m, { cap = 500, hint = false, until = true } = {}) {
  const f = m[2]
  const match = events.filter(e =>
    (!f.kinds || f.kinds.includes(e.kind)) && (!f.authors || f.authors.includes(e.pubkey)) &&
    (f.since === undefined || e.created_at >= f.since) &&
    (!until || f.until === undefined || e.created_at <= f.until))
    .sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
  const some = match.slice(0, Math.min(cap, f.limit ?? cap))
  const eose = ['EOSE', m[1]]
  if (hint) eose.push([some.length === match.length ? 'finish' : 'more'])
  return [...some.map(e => ['EVENT', m[1], e]), eose]
}

// TCP that says nothing, to be counted.
export function silent() {
  return new Promise(resolve => {
    const sockets = new Set()
    const server = net.createServer(s => { sockets.add(s); s.on('error', () => {}); s.on('data', () => {}) })
    server.listen(0, '127.0.0.1', () => {
      const port = server.address().port
      resolve({ port, url: `ws://127.0.0.1:${port}`, stop: () => { sockets.forEach(s => s.destroy()); server.close() } })
    })
  })
}

// A way to a port that is cut, times times, after a number of bytes from the
// relay that next() gives for each connection; hard: by a reset.
export function cable(port, times, next) {
  return new Promise(resolve => {
    const c = { cuts: 0, connections: 0 }
    const sockets = new Set()
    const server = net.createServer(a => {
      c.connections++
      const b = net.connect(port, '127.0.0.1')
      let left = c.cuts < times ? next(c.cuts) : Infinity
      const end = () => { a.destroy(); b.destroy(); sockets.delete(a); sockets.delete(b) }
      for (const s of [a, b]) { sockets.add(s); s.on('error', end); s.on('close', end) }
      a.on('data', d => b.write(d))
      b.on('data', d => {
        if (d.length < left) { left -= d.length; a.write(d); return }
        c.cuts++
        const hard = c.cuts % 2
        a.write(d.subarray(0, left), () => {
          if (hard && a.resetAndDestroy) a.resetAndDestroy()
          end()
        })
        left = Infinity
        b.removeAllListeners('data')
      })
    })
    server.listen(0, '127.0.0.1', () => {
      c.port = server.address().port
      c.url = `ws://127.0.0.1:${c.port}`
      c.stop = () => { sockets.forEach(s => s.destroy()); server.close() }
      resolve(c)
    })
  })
}
