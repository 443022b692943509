// nr-sign's events before nostr-tools, and before a relay that wants work.
//
//	sign.mjs MINED DRAFTS KEYFILE RELAY
import { readFileSync } from 'node:fs'
import { verifyEvent, getEventHash, getPublicKey } from 'nostr-tools/pure'
import { ok, is, run, done, Client } from './tap.mjs'

const [mined, drafts, key, relay] = process.argv.slice(2)
const events = text => text.trim().split('\n').map(l => JSON.parse(l))

const signed = await run('nr-sign', ['-K', key, drafts])
const all = events(signed.out)
is(all.filter(e => !verifyEvent(e)).length, 0, 'nostr-tools finds all events valid')
const secret = Uint8Array.from(Buffer.from(readFileSync(key, 'latin1').trim(), 'hex'))
ok(all.every(e => e.pubkey === getPublicKey(secret)), 'and by the key')

// What JSON can say in many ways: every control character, pairs, escapes.
const texts = [
  Array.from({ length: 31 }, (_, i) => String.fromCharCode(i + 1)).join(''),
  'a"b\\c/d\n\r\t\b\f\u007f\u2028\u2029\ufeff\ud83d\ude00\uffff',
]
const odd = texts.flatMap(t => [{ content: t, tags: [[t, t], []] }, { content: t }])
const back = await run('nr-sign', ['-K', key], odd.map(d => JSON.stringify(d)).join('\n'))
is(back.code, 0, 'odd texts are signed')
const odds = events(back.out)
is(odds.map(e => e.content), odd.map(d => d.content), 'as they were')
is(odds.map(e => e.id), odds.map(e => getEventHash(e)), 'with the id that nostr-tools makes')
is(odds.filter(e => !verifyEvent(e)).length, 0, 'and it finds them valid')

const works = events(readFileSync(mined, 'utf8'))
is(works.filter(e => !verifyEvent(e)).length, 0, 'mined events too')
const c = await Client.open(relay)
const answers = []
for (const e of works)
  answers.push((await c.publish(e))[0])
is(answers, works.map(() => true), 'a relay that wants the work takes them')
const idle = all.find(e => e.kind === 1 && !e.id.startsWith('000'))
const refused = await c.publish(idle)
ok(refused[0] === false && refused[1].startsWith('pow:'), 'and not one without')
c.close()
done()
