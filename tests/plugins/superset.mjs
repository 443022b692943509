#!/usr/bin/env node
// A plugin that knows more than strfry's: it says hello, and answers in
// batches, in any order.  Its first argument is its name for messages.
//
// An event waits as long as its content says ("wait 300"); a read is decided
// by its kind, a connection by its address.
import { createInterface } from 'node:readline'
import { appendFileSync } from 'node:fs'

const [name = 'superset', log] = process.argv.slice(2)
const say = answers => console.log(JSON.stringify(answers.length === 1 ? answers[0] : answers))
const waitFor = text => Number(/^wait (\d+)/.exec(text)?.[1] ?? 0)

function decide(q) {
  if (q.type === 'new') {
    const text = q.event.content
    if (text === 'keys') return { action: 'reject', msg: 'blocked: ' + q.authedAll?.length + ' ' + (q.authedAll?.[0] === q.authed) }
    if (text === 'name') return { action: 'reject', msg: 'blocked: ' + name }
    return { action: 'accept', wait: waitFor(text) }
  }
  if (q.type === 'req') {
    const kind = q.filters[0].kinds?.[0]
    if (kind === 7) return { action: 'reject', msg: `restricted: ${q.verb} of ${q.filters.length}` }
    if (kind === 8) return { action: 'shadowReject' }
    return { action: 'accept', wait: kind === 9 ? q.filters[0].since : 0 }
  }
  const last = Number(q.sourceInfo.split('.')[3])
  return { action: last === 66 ? 'reject' : last === 67 ? 'shadowReject' : 'accept',
    msg: last === 66 ? 'go away' : '', wait: last === 68 ? 500 : 0 }
}

console.log(JSON.stringify({ type: 'hello', version: 1, asks: ['new', 'req', 'connect'], batch: 16, more: {} }))
createInterface({ input: process.stdin, terminal: false }).on('line', line => {
  const now = []
  for (const q of [JSON.parse(line)].flat()) {
    if (log) appendFileSync(log, JSON.stringify(q) + '\n')
    const { wait, ...rest } = decide(q)
    const answer = { seq: q.seq, ...(q.event ? { id: q.event.id } : {}), ...rest }
    if (q.seq === undefined) delete answer.seq
    if (wait) setTimeout(say, wait, [answer])
    else now.unshift(answer)
  }
  if (now.length) say(now)
}).on('close', () => {})
