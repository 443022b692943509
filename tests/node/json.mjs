// The event reader against JSON.parse.
//
//	json.mjs SEED CASES SEEDFILE
//
// Events are written in many ways and then damaged.  What the reader
// accepts, JSON.parse must accept with the same values, and the normal
// line must have them too.  What was only written differently, within the
// rules of NIP-01, the reader must accept.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { ok, note, done } from './tap.mjs'

const seed = BigInt(process.argv[2]), cases = Number(process.argv[3])
const events = readFileSync(process.argv[4], 'utf8').trim().split('\n').map(l => JSON.parse(l))
const fields = ['id', 'pubkey', 'created_at', 'kind', 'tags', 'content', 'sig']

// splitmix64, as in lib/util/rng.h.
let state = seed
const u64 = x => BigInt.asUintN(64, x)
function next() {
  state = u64(state + 0x9e3779b97f4a7c15n)
  let z = state
  z = u64((z ^ z >> 30n) * 0xbf58476d1ce4e5b9n)
  z = u64((z ^ z >> 27n) * 0x94d049bb133111ebn)
  return z ^ z >> 31n
}
const below = n => Number(next() % BigInt(n))
const pick = a => a[below(a.length)]
const chance = n => below(n) === 0

// ---- writing an event in some legal way ---------------------------------------

const space = () => chance(3) ? Array.from({ length: below(4) }, () => pick([' ', '\n', '\t', '\r'])).join('') : ''
const short = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\b': '\\b', '\f': '\\f', '/': '\\/' }
const hex4 = c => {
  const h = c.toString(16).padStart(4, '0')
  return chance(2) ? h.toUpperCase() : h
}

// One UTF-16 unit after the other, so that pairs may become two escapes.
function string(s, style) {
  let out = '"'
  for (const ch of s) {
    const must = ch < ' ' || ch === '"' || ch === '\\'
    if (!must && !(style.escape && chance(style.escape))) {
      out += ch
    } else if (short[ch] && !chance(3)) {
      out += short[ch]
    } else {
      for (let i = 0; i < ch.length; i++) out += '\\u' + hex4(ch.charCodeAt(i))
    }
  }
  return out + '"'
}

const extra = style => string(pick(['x', 'relay', '', 'ids', 'tag', 'é']), style)
const value = (depth = 0) => pick([
  () => 'null', () => 'true', () => '1.5e-3', () => '-0', () => '"\\u00e9\\/"', () => '[]', () => '{}',
  () => depth > 5 ? '0' : `[${space()}${value(depth + 1)},${value(depth + 1)}]`,
  () => depth > 5 ? '""' : `{${space()}"a":${value(depth + 1)},"a":${space()}1}`,
])()

function number(n, style) {
  if (!style.numbers) return String(n)
  return pick([
    () => `${n}.0`, () => `${n}e0`, () => `${n}E+0`, () => `${n}0e-1`, () => `-${n}`, () => `0${n}`, () => `+${n}`,
    () => `${n}.`, () => `${n}.5`, () => `${n}e400`, () => `${n}e-400`, () => '9223372036854775807',
    () => '9223372036854775808', () => '65536', () => '65535', () => '-0', () => '1e3', () => `${n}00000000000000000000`,
    () => `"${n}"`, () => 'NaN', () => 'null', () => '-', () => '1e', () => '0x10', () => '0.1e1', () => '1E4',
  ])()
}

function write(e, style) {
  let members = fields.map(f => {
    let v
    if (f === 'tags')
      v = '[' + e.tags.map(t => space() + '[' + t.map(s => space() + string(s, style) + space()).join(',') +
        (t.length ? '' : space()) + ']' + space()).join(',') + (e.tags.length ? '' : space()) + ']'
    else if (f === 'created_at' || f === 'kind') v = chance(2) ? String(e[f]) : number(e[f], style)
    else v = string(e[f], f === 'content' || style.hexEscape ? style : {})
    return string(f, style) + space() + ':' + space() + v
  })
  if (style.shuffle)
    for (let i = members.length - 1; i > 0; i--) {
      const j = below(i + 1);
      [members[i], members[j]] = [members[j], members[i]]
    }
  if (style.unknown) members.splice(below(members.length + 1), 0, extra(style) + ':' + space() + value())
  if (style.duplicate) members.splice(below(members.length + 1), 0, pick(members))
  if (style.missing) members.splice(below(members.length), 1)
  return space() + '{' + members.map(m => space() + m + space()).join(',') + '}' + space()
}

// ---- what it is written from ----------------------------------------------------

const oddities = ['\u0001', '\u001f', '\u007f', '\u2028', '\ufeff', '\ufffe', '\uffff', '\u{10ffff}', '\u{1f919}', 'é', '/',
  '\\', '"', '\b', '\f', '\\u0000', '],"content":"', '<script>', '\u0080', '\u0800', '\ud7ff', '\ue000']

function event() {
  const e = structuredClone(pick(events))
  e.content = e.content.slice(0, 80)
  while (chance(2)) e.content += pick(oddities)
  e.tags = e.tags.slice(0, 4)
  while (chance(3)) e.tags.push(Array.from({ length: below(4) }, () => pick(oddities) + pick(oddities)))
  return e
}

// Damage to the bytes, most of which nobody should accept.
const splinters = ['\\ud800', '\\udc00', '\\ud83d\\ude00', '\\u0000', '\\x41', '\\u12', '\\', '"', '\x00', '\x01', '\n', '\t',
  '{', '}', '[', ']', ',', ':', ',,', ' ', 'null', '0', '-', 'e', '.', '/*x*/', '//', "'", '\\u0022', '\\u005c']
const raw = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80], [0xef, 0xbb, 0xbf], [0xe2, 0x82], [0xf0, 0x9f, 0xa4, 0x99]]

function damage(b) {
  const at = below(b.length)
  const put = x => Buffer.concat([b.subarray(0, at), Buffer.from(x), b.subarray(at)])
  switch (below(8)) {
    case 0: return b.subarray(0, at)
    case 1: return Buffer.concat([b.subarray(0, at), b.subarray(at + 1 + below(3))])
    case 2: { const c = Buffer.from(b); c[at] ^= 1 << below(8); return c }
    case 3: return put(pick(raw))
    case 4: return chance(2) ? Buffer.concat([b, Buffer.from(pick(splinters))]) : Buffer.concat([Buffer.from(pick(raw)), b])
    case 5: return Buffer.concat([b.subarray(0, at), b.subarray(at, at + 5), b.subarray(at)])
    default: return put(pick(splinters))
  }
}

function makeCase() {
  const style = { escape: pick([0, 0, 2, 10]), shuffle: chance(2), unknown: chance(3),
    numbers: chance(4), duplicate: chance(12), missing: chance(25),
    // Digits of an id, key or signature behind escapes: refused, by decision.
    hexEscape: chance(40) }
  const e = event()
  const whole = Buffer.from(write(e, style))
  let bytes = whole, damaged = chance(3)
  if (damaged) do bytes = damage(bytes); while (chance(4) && bytes.length)
  // A second key of the same name is no event for us, and for node it is.
  return { bytes, due: !damaged && !style.numbers && !style.duplicate && !style.missing &&
    !style.hexEscape, event: e }
}

// ---- comparing --------------------------------------------------------------------

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
function parse(bytes) {
  try { return { value: JSON.parse(utf8.decode(bytes)) } } catch { return {} }
}
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
// -0 is 0.
const seven = e => fields.map(f => typeof e[f] === 'number' ? e[f] + 0 : e[f])

const all = Array.from({ length: cases }, makeCase)
const input = Buffer.concat(all.flatMap(c => [Buffer.from(c.bytes.length + '\n'), c.bytes]))
const run = spawnSync('normal', [], { input, maxBuffer: 1 << 30 })
ok(run.status === 0 && run.signal === null, 'the reader reads all of them', run.stderr.toString())
const answers = run.stdout.toString().split('\n').slice(0, -1)
ok(answers.length === cases, `${cases} answers`)

let accepted = 0, both = 0
const wrong = { accepts: [], values: [], line: [], refuses: [] }, verdicts = {}
all.forEach((c, i) => {
  const a = answers[i], theirs = parse(c.bytes)
  if (a[0] !== '+') {
    verdicts[a.slice(1)] = (verdicts[a.slice(1)] ?? 0) + 1
    if (theirs.value !== undefined) both++
    if (c.due) wrong.refuses.push([a, c.bytes.toString('latin1')])
    return
  }
  accepted++
  const mine = JSON.parse(a.slice(1))
  if (theirs.value === undefined) return wrong.accepts.push(c.bytes.toString('latin1'))
  if (!same(seven(mine), seven(theirs.value))) wrong.values.push([a, c.bytes.toString('latin1')])
  if (!same(Object.keys(mine), fields) || (c.due && !same(seven(mine), seven(c.event)))) wrong.line.push(a)
})
const share = accepted / cases
note(`seed ${seed}: ${cases} cases, ${accepted} accepted (${(100 * share).toFixed(1)} %), ` +
  `${both} that JSON.parse alone takes, ${all.filter(c => c.due).length} that must be accepted`)
note('refused: ' + Object.entries(verdicts).sort((a, b) => b[1] - a[1]).map(([k, v]) => `${k} ${v}`).join(', '))
ok(wrong.accepts.length === 0, 'what the reader accepts, JSON.parse accepts', wrong.accepts[0])
ok(wrong.values.length === 0, 'with the same values', wrong.values[0])
ok(wrong.line.length === 0, 'and the normal line has them in order', wrong.line[0])
ok(wrong.refuses.length === 0, 'what is only written differently is accepted', wrong.refuses[0])
ok(share > 0.3 && share < 0.9, 'a good part is accepted, and a good part is not')
ok(Object.keys(verdicts).length >= 15, 'for many reasons')
done()
