// A TCP connection that says what no client would say.
import net from 'node:net'
import { randomBytes } from 'node:crypto'
import { until } from './tap.mjs'

export const CONT = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10

// A frame; the options break the rules one by one.
export function frame(op, payload = '', o = {}) {
  const data = Buffer.from(payload)
  const { fin = 1, rsv = 0, mask = true, length = data.length } = o
  const form = o.form ?? (length < 126 ? 7 : length < 65536 ? 16 : 64)
  const head = [fin << 7 | rsv << 4 | op,
    (mask ? 0x80 : 0) | (form === 7 ? length : form === 16 ? 126 : 127)]
  const size = Buffer.alloc(form === 7 ? 0 : form / 8)
  if (form === 16) size.writeUInt16BE(length)
  if (form === 64) size.writeBigUInt64BE(BigInt(length))
  if (!mask) return Buffer.concat([Buffer.from(head), size, data])
  const key = randomBytes(4)
  return Buffer.concat([Buffer.from(head), size, key, data.map((b, i) => b ^ key[i & 3])])
}

export const handshake = [
  'GET / HTTP/1.1', 'Host: 127.0.0.1', 'Upgrade: websocket', 'Connection: Upgrade',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', '', '',
].join('\r\n')

export class Raw {
  static open(port) {
    return new Promise((resolve, reject) => {
      const r = new Raw()
      r.bytes = Buffer.alloc(0)
      r.frames = []
      r.closed = false
      r.socket = net.connect(port, '127.0.0.1', () => resolve(r))
      r.socket.setNoDelay(true)
      r.socket.on('data', d => { r.bytes = Buffer.concat([r.bytes, d]); if (r.upgraded) r.parse() })
      r.socket.on('error', e => { r.closed = true; reject(e) })
      r.socket.on('end', () => { r.closed = true })
      r.socket.on('close', () => { r.closed = true })
    })
  }

  // A WebSocket that is ready for frames.
  static async websocket(port) {
    const r = await Raw.open(port)
    r.write(handshake)
    await until(() => r.text.includes('\r\n\r\n'))
    r.head = r.text
    r.bytes = r.bytes.subarray(r.bytes.indexOf('\r\n\r\n') + 4)
    r.upgraded = true
    r.parse()
    return r
  }

  // The answer to one HTTP request, up to the end of the connection or ms.
  static async http(port, request, ms = 2000) {
    const r = await Raw.open(port)
    r.write(request)
    await until(() => r.closed || r.complete(), ms)
    r.end()
    return r.text
  }

  // Is a whole answer there?
  complete() {
    const body = this.text.indexOf('\r\n\r\n')
    const length = /^content-length: *(\d+)/im.exec(this.text)
    return body >= 0 && length && this.bytes.length >= body + 4 + Number(length[1])
  }

  get text() { return this.bytes.toString('latin1') }
  write(data) { return this.socket.write(data) }
  end() { this.socket.destroy() }
  reset() { this.socket.resetAndDestroy() }

  parse() {
    for (;;) {
      const b = this.bytes
      if (b.length < 2) return
      let n = b[1] & 127, head = 2
      if (n === 126 && b.length >= 4) { n = b.readUInt16BE(2); head = 4 }
      else if (n === 127 && b.length >= 10) { n = Number(b.readBigUInt64BE(2)); head = 10 }
      else if (n >= 126) return
      if (b.length < head + n) return
      const data = b.subarray(head, head + n)
      if (!data.toString().startsWith('["AUTH",')) this.frames.push({ op: b[0] & 15, data })
      this.bytes = b.subarray(head + n)
    }
  }

  send(...message) { return this.write(frame(TEXT, JSON.stringify(message))) }

  // The first frame with this opcode, removed from those kept.
  async frame(op, ms = 3000) {
    const at = () => this.frames.findIndex(f => f.op === op)
    await until(() => at() >= 0 || this.closed, ms)
    return at() < 0 ? null : this.frames.splice(at(), 1)[0]
  }
  async message(ms) {
    const f = await this.frame(TEXT, ms)
    const m = f && JSON.parse(f.data.toString())
    if (m?.[0] === 'EOSE') m.length = 2
    return m
  }

  // How it ended: the code of a close frame, 0 without one, null if not.
  async ended(ms = 3000) {
    await until(() => this.closed || this.frames.some(f => f.op === CLOSE), ms)
    const f = this.frames.find(x => x.op === CLOSE)
    if (f) return f.data.length >= 2 ? f.data.readUInt16BE(0) : 1005
    return this.closed ? 0 : null
  }
}
