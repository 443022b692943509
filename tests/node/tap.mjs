// TAP, a relay to talk to, and a client that hides nothing.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'
import { finalizeEvent, generateSecretKey, getPublicKey } from 'nostr-tools/pure'

let n = 0, failed = 0
const dir = mkdtempSync(join(tmpdir(), 'nr-node.'))
const servers = new Set()
process.on('exit', () => {
  servers.forEach(p => p.kill('SIGKILL'))
  rmSync(dir, { recursive: true, force: true })
})

export const scratch = name => join(dir, name)

export function ok(pass, name, detail) {
  console.log(`${pass ? 'ok' : 'not ok'} ${++n} - ${name}`)
  if (!pass) {
    failed++
    // To stderr, which prove shows.
    console.error(`# not ok ${n} - ${name}`)
    if (detail !== undefined) console.error('# ' + JSON.stringify(detail)?.slice(0, 500))
  }
  return pass
}
export const is = (got, want, name) =>
  ok(JSON.stringify(got) === JSON.stringify(want), name, { got, want })
export const note = text => console.log('# ' + text)
// Go on counting behind tests that were made elsewhere.
export const go = from => { n = from }
export function done() {
  console.log(`1..${n}`)
  process.exit(failed ? 1 : 0)
}
export const sleep = ms => new Promise(r => setTimeout(r, ms))
export async function until(cond, ms = 5000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(10))
    if (await cond()) return true
  return false
}

// Run a program to its end; resolves to its status and output.
export function run(cmd, args, input = '') {
  return new Promise(resolve => {
    const p = spawn(cmd, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    let out = '', err = ''
    p.stdout.on('data', d => { out += d })
    p.stderr.on('data', d => { err += d })
    p.stdin.on('error', () => {})
    p.stdin.end(input)
    p.on('close', (code, signal) => resolve({ code, signal, out, err }))
  })
}

// Start nr-serve on a free port and wait until it is ready.
export function serve(store, ...args) {
  const p = spawn('nr-serve', ['-S', store, '--listen', '127.0.0.1:0', '--ready-fd', '3', ...args],
    { stdio: ['ignore', 'inherit', 'pipe', 'pipe'] })
  const relay = { process: p, err: '' }
  servers.add(p)
  p.stderr.on('data', d => { relay.err += d })
  relay.exited = new Promise(r => p.on('close', (code, signal) => {
    servers.delete(p)
    r({ code, signal })
  }))
  relay.stop = async (signal = 'SIGTERM') => { p.kill(signal); return relay.exited }
  return new Promise((resolve, reject) => {
    p.stdio[3].once('data', () => {
      relay.port = Number(/serving ws:\/\/[^\n]*:(\d+)/.exec(relay.err)[1])
      relay.url = `ws://127.0.0.1:${relay.port}`
      resolve(relay)
    })
    relay.exited.then(r => reject(new Error(`nr-serve: ${r.code} ${r.signal}: ${relay.err}`)))
  })
}

// A connection that keeps every message.
export class Client {
  static open(url, options) {
    return new Promise((resolve, reject) => {
      const c = new Client()
      // Nothing is compressed unless a test is about that.
      c.ws = new WebSocket(url, { perMessageDeflate: false, ...options })
      c.messages = []
      c.hints = {}
      c.closed = null
      c.waiting = []
      c.ws.on('message', d => {
        const m = JSON.parse(d.toString())
        // Sent at once to everybody; not part of any answer.
        if (m[0] === 'AUTH') c.challenge = m[1]
        else {
          // NIP-67's hint is kept apart.
          if (m[0] === 'EOSE' && m.length === 3) c.hints[m[1]] = m.pop()
          c.messages.push(m)
        }
        c.waiting.forEach(f => f())
      })
      c.ws.on('open', () => resolve(c))
      c.ws.on('error', reject)
      c.ws.on('close', (code, why) => {
        c.closed = { code, why: why.toString() }
        c.waiting.forEach(f => f())
      })
    })
  }
  send(...message) { this.ws.send(JSON.stringify(message)) }
  raw(text) { this.ws.send(text) }
  // The first message that pred likes, removed from those kept.
  take(pred, ms = 5000) {
    return new Promise(resolve => {
      const look = () => {
        const i = this.messages.findIndex(pred)
        if (i < 0 && !this.closed) return false
        this.waiting = this.waiting.filter(f => f !== look)
        clearTimeout(timer)
        resolve(i < 0 ? null : this.messages.splice(i, 1)[0])
        return true
      }
      const timer = setTimeout(() => {
        this.waiting = this.waiting.filter(f => f !== look)
        resolve(null)
      }, ms)
      if (!look()) this.waiting.push(look)
    })
  }
  ok(id, ms) { return this.take(m => m[0] === 'OK' && m[1] === id, ms) }
  async publish(event) {
    this.send('EVENT', event)
    const m = await this.ok(event.id)
    return m && m.slice(2)
  }
  // Stored events of a subscription, up to EOSE or CLOSED.
  async query(id, ...filters) {
    this.send('REQ', id, ...filters)
    const end = await this.take(m => (m[0] === 'EOSE' || m[0] === 'CLOSED') && m[1] === id, 20000)
    const events = this.messages.filter(m => m[0] === 'EVENT' && m[1] === id).map(m => m[2])
    this.messages = this.messages.filter(m => !(m[0] === 'EVENT' && m[1] === id))
    return { end, events, ids: events.map(e => e.id) }
  }
  // NIP-42, as an author; with other fields to get it wrong.
  async auth(author, { relay = this.ws.url, challenge, kind = 22242, created_at = now(), ...more } = {}) {
    await until(() => this.challenge)
    const tags = [['relay', relay], ['challenge', challenge ?? this.challenge]]
    const event = { ...author.sign(kind, '', tags, created_at), ...more }
    this.send('AUTH', event)
    const m = await this.ok(event.id)
    return m && m.slice(2)
  }
  close() { this.ws.terminate() }
}

export const now = () => Math.floor(Date.now() / 1000)
export class Author {
  constructor() {
    this.key = generateSecretKey()
    this.pubkey = getPublicKey(this.key)
  }
  sign(kind, content = '', tags = [], created_at = now()) {
    return finalizeEvent({ kind, content, tags, created_at }, this.key)
  }
}
