// nr-bench check: nothing is said against nr-serve; each fault of a relay is
// found, by the statements that are about it and what follows from it.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { ok, is, done, serve, scratch, run, until, Author } from './tap.mjs'
import { faulty, faults } from './faulty.mjs'
import { WebSocketServer } from 'ws'

const check = (url, ...args) => run('nr-bench', ['check', '--json', ...args, url])
const lines = out => out.trim().split('\n').filter(x => x).map(x => JSON.parse(x))
const by = (out, result) => lines(out).filter(x => x.result === result).map(x => x.statement)
const events = async (store, ...filter) => (await run('nr-export', ['-S', store, ...filter])).out.trim().split('\n').filter(x => x).map(x => JSON.parse(x))

// ---- nr-serve
const seed = (await run('nr-bench', ['gen', '-q', '-n', '300', '--seed', '3'])).out
const limits = ['min_pow=8', 'max_subscriptions=6', 'max_message=16K', 'max_event_tags=50', 'max_content=2000', 'max_limit=30', 'default_limit=20',
  'max_age=86400', 'max_future=60']
let kept
for (const [name, store, set, least] of [
  ['nr-serve', 'plain', [], 255], ['with AUTH for all', 'auth', ['read=auth', 'write=auth'], 250], ['with narrow limits', 'limits', limits, 260],
]) {
  const dir = scratch(store)
  await run('nr-import', ['-q', '-S', dir], seed)
  const before = (await events(dir)).map(e => e.id).sort()
  const relay = await serve(dir, ...set.flatMap(s => ['--set', s]))
  let r = await check(relay.url)
  is([r.code, by(r.out, 'fail')], [0, []], `${name}: nothing wrong without writing`)
  is((await events(dir)).map(e => e.id).sort(), before, `${name}: and nothing written`)
  r = await check(relay.url, '--write', '--timeout', '20s')
  is([r.code, by(r.out, 'fail')], [0, []], `${name}: nothing wrong with it`)
  ok(by(r.out, 'ok').length >= least, `${name}: and little skipped`, [by(r.out, 'ok').length, by(r.out, 'skip')])
  const left = (await events(dir)).filter(e => !before.includes(e.id))
  is(left.filter(e => ![5, 62].includes(e.kind)), [], `${name}: nothing of it is left but requests`)
  ok(new RegExp(`${left.filter(e => [5, 62].includes(e.kind)).length} requests to delete or to vanish stay, 0 other events could not`).test(r.err), `${name}: which it says`, r.err)
  ok(!/got no OK|has kept/.test(r.err), `${name}: and no more`, r.err)
  if (store === 'plain') kept = r.out
  await relay.stop()
}
const names = lines(kept).map(x => x.statement)
is(new Set(names).size, names.length, 'each statement has a name of its own')
ok(names.length >= 280, 'there are many', names.length)
ok(names.every((s, i) => s.startsWith(`nip${String(lines(kept)[i].nip).padStart(2, '0')}-`)), 'which begins with its NIP')
is(Object.keys(lines(kept)[0]), ['nip', 'statement', 'text', 'result', 'expected', 'seen', 'ms'], 'the keys of a line')

// What a relay shows is enough for nearly all that only reads: also where the newest events are of one second, or serve for nothing.
const gen = async (...args) => (await run('nr-bench', ['gen', '-q', ...args])).out
const crowded = await gen('-n', '3000', '--since', '1700000000', '--until', '1700000040')
for (const [name, shown] of [['gen', await gen('-n', '20000')], ['crowded', crowded],
  ['versions', crowded.split('\n').filter(l => l && [0, 3, 10002, 30023].includes(JSON.parse(l).kind)).join('\n')]]) {
  const dir = scratch(`shown-${name}`)
  await run('nr-import', ['-q', '-S', dir], shown)
  const relay = await serve(dir)
  const r = await check(relay.url)
  const skipped = lines(r.out).filter(x => x.result === 'skip' && !/^publishes: /.test(x.seen)).map(x => x.statement)
  is([r.code, by(r.out, 'fail')], [0, []], `shown by ${name}: nothing wrong`)
  ok(skipped.length <= 12 && by(r.out, 'ok').length >= 122, `shown by ${name}: and all is tried`, skipped)
  await relay.stop()
}
const few = await serve(scratch('few'))
await run('nr-publish', ['-q', few.url], crowded.split('\n').slice(0, 1).join('\n') + '\n')
const unseen = lines((await check(few.url)).out).find(x => x.statement === 'nip01-ids')
is([unseen.result, unseen.seen], ['skip', 'the relay does not show enough: needs 4 events of different seconds that are public and do not expire: 1 among 1'],
  'what is missing is told')
await few.stop()

// Members only: as one, and as nobody.
const member = new Author(), [list, key] = [scratch('members'), scratch('key')]
writeFileSync(list, `${member.pubkey}\n`)
writeFileSync(key, `${Buffer.from(member.key).toString('hex')}\n`, { mode: 0o600 })
const closed = await serve(scratch('closed'), '--set', 'read=members', '--set', 'write=members', '--set', `members=${list}`)
const m = await check(closed.url, '--write', '--timeout', '20s', '-K', key)
is([m.code, by(m.out, 'fail')], [0, []], 'nothing is wrong for a member')
ok(by(m.out, 'ok').length >= 205, 'and little skipped', by(m.out, 'skip'))
is((await events(scratch('closed'))).filter(e => e.pubkey === member.pubkey), [], 'who signs none of the events')
const nobody = await check(closed.url, '--write', '--timeout', '20s')
is([nobody.code, by(nobody.out, 'fail')], [0, []], 'nor for a stranger: what cannot be tried is skipped')
ok(by(nobody.out, 'skip').length > 100, 'which is much', by(nobody.out, 'ok'))
ok(!/got no OK/.test(nobody.err), 'every event has had its answer', nobody.err)
await closed.stop()

// ---- faults: which statements say so
const only = {
  'no JSON': [11, 'nip11-served'], 'JSON types': [11, 'nip11-types'], 'no CORS': [11, 'nip11-cors-origin nip11-cors-headers nip11-cors-methods'],
  'exact Accept': [11, 'nip11-accept-list'], 'low limit': [11, 'nip11-limit'],
  'oldest first': [1, 'nip01-ids-order nip01-limit nip01-limit-one nip01-or-limit nip01-order nip01-order-authors nip01-limit-newest ' +
    'nip01-limit-authors nip01-limit-ties nip01-or-tags nip01-addressable-d nip01-replaceable-authors'],
  'ties highest first': [1, 'nip01-order-ties nip01-limit-ties'],
  'ignores limit': [1, 'nip01-limit nip01-limit-one nip01-or-limit nip01-limit-newest nip01-limit-authors nip01-limit-ties ' +
    'nip01-or-tags'],
  'limit takes oldest': [1, 'nip01-limit nip01-limit-one nip01-or-limit nip01-limit-newest nip01-limit-authors nip01-limit-ties ' +
    'nip01-or-tags'],
  'limit over all filters': [1, 'nip01-or-limit nip01-or-tags'],
  'since exclusive': [1, 'nip01-since-inclusive nip01-since-until nip01-and-all nip01-order-ties nip01-since-tag nip01-since-kind ' +
    'nip01-tag-author-until'],
  'until exclusive': [1, 'nip01-until-inclusive nip01-since-until nip01-and-all nip01-order-ties nip01-limit-ties nip01-until-tag ' +
    'nip01-until-author nip01-since-kind nip01-tag-author-until'],
  'ignores since': [1, 'nip01-since-inclusive nip01-since-until nip01-since-after nip01-order-ties nip01-since-tag nip01-since-kind ' +
    'nip01-tag-author-until nip01-events-match'],
  'ignores until': [1, 'nip01-until-inclusive nip01-since-until nip01-until-before nip01-order-ties nip01-limit-ties nip01-until-tag ' +
    'nip01-until-author nip01-since-kind nip01-tag-author-until nip01-events-match'],
  'prefixes match': [1, 'nip01-prefix-id'], 'upper case matches': [1, 'nip01-id-upper-case'],
  'empty lists match all': [1, 'nip01-empty-ids nip01-empty-kinds nip01-empty-tag nip01-events-match'],
  'ignores authors': [1, 'nip01-and-author-other nip01-prefix-author nip01-until-author nip01-author nip01-author-kind nip01-or-tags ' +
    'nip01-addressable-d nip01-events-match'],
  'ignores kinds': [1, 'nip01-and-kind-other nip01-empty-kinds nip01-until-author nip01-author-kind nip01-tag-author-until ' +
    'nip01-replaceable-0 nip01-replaceable-3 nip01-replaceable-10002 nip01-replaceable-older nip01-replaceable-tie ' +
    'nip01-replaceable-authors nip01-versions-at-once nip01-ephemeral-kept nip01-events-match'],
  'ignores tags': [1, 'nip01-and-tag-other nip01-empty-tag nip01-tags-and nip01-tags-or nip01-tag-case nip01-tag-first-value ' +
    'nip01-tag-whole-value nip01-tag-characters nip01-tag-space nip01-tag-p nip01-tag-e nip01-tag-a nip01-or-tags nip01-letters-lower ' +
    'nip01-events-match'],
  'tags case-insensitive': [1, 'nip01-tags-and nip01-tags-or nip01-tag-case nip01-or-tags nip01-events-match'],
  'second values match': [1, 'nip01-tag-first-value nip01-events-match'],
  'first filter only': [1, 'nip01-or nip01-or-limit nip01-or-tags'],
  'live twice': [1, 'nip01-live-once'],
  'closes on nonsense': [1, 'nip01-bad-json nip01-bad-words nip01-bad-empty nip01-bad-object nip01-bad-array nip01-bad-number ' +
    'nip01-bad-verb nip01-bad-depth'],
  'serves bad filters': [1, 'nip01-filter-number nip01-filter-kinds nip01-filter-kind nip01-filter-since nip01-filter-limit ' +
    'nip01-filter-authors nip01-filter-tag'],
  'live after CLOSE': [1, 'nip01-live-close'], 'live refused': [1, 'nip01-live-invalid nip01-events-valid'],
  'changes content': [1, 'nip01-keeps-escapes nip01-keeps-unicode nip01-keeps-del nip01-keeps-nonchars nip01-keeps-markup ' +
    'nip01-keeps-spaces nip01-keeps-empty-values nip01-keeps-tag-order nip01-keeps-numbers nip01-control nip01-events-valid'],
  'no capital tags': [1, 'nip01-tag-case nip01-letters-upper'], 'no tag q': [1, 'nip01-letters-lower'],
  'swallows odd events': ['1,40', 'nip01-odd-empty-tags nip01-odd-references nip01-odd-time-zero nip40-odd'],
  'byte for byte': [1, 'nip01-written-escapes nip01-written-spaces nip01-written-order'], 'EOSE after CLOSED': [1, 'nip01-eose-once'],
  'drops old': [1, 'nip01-odd-time-zero nip01-week-old'], 'few tags': [1, 'nip01-contacts-large'],
  'nonsense frames': [1, 'nip01-messages'], 'unknown verbs': [1, 'nip01-messages'], 'OK of three': [1, 'nip01-ok-form'],
  'OK without word': [1, 'nip01-duplicate nip01-bad-signature nip01-bad-id nip01-changed nip01-ok-form'],
  'CLOSED without word': [1, 'nip01-closed-form'],
  'lies in OK': [1, 'nip01-bad-signature nip01-bad-id nip01-changed nip01-no-content nip01-no-sig nip01-bad-kind-text ' +
    'nip01-bad-kind-large nip01-bad-tags nip01-bad-tag-number nip01-bad-content nip01-bad-created'],
  'stores unsigned': [1, 'nip01-bad-signature nip01-bad-id nip01-changed'], 'refuses duplicates': [1, 'nip01-duplicate nip01-at-once'],
  'keeps versions': ['1,17', 'nip01-replaceable-0 nip01-replaceable-3 nip01-replaceable-10002 nip17-relay-list nip01-addressable ' +
    'nip01-replaceable-older nip01-addressable-older nip01-replaceable-tie nip01-addressable-tie nip01-versions-at-once'],
  'older replaces': [1, 'nip01-replaceable-older nip01-addressable-older nip01-replaceable-tie nip01-addressable-tie ' +
    'nip01-versions-at-once'],
  'highest id stays': [1, 'nip01-replaceable-tie nip01-addressable-tie'], 'one d': [1, 'nip01-addressable-d'],
  'keeps ephemeral': ['1,45,77', 'nip45-ephemeral nip77-ephemeral nip01-ephemeral-kept'], 'keeps ephemeral for good': [1, 'nip01-ephemeral-kept'], 'empty subid': [1, 'nip01-subid-empty'],
  'closes at random': [1, 'nip01-limit-kept nip01-tag-author-until'], 'huge frames': [1, 'nip01-limit-kept nip01-tag-author-until'],
  'serves deleted': [9, 'nip09-event nip09-event-tag nip09-again nip09-before nip09-of-request nip09-address nip09-address-replaceable ' +
    'nip09-address-second nip09-address-after'],
  'deletes others': [9, 'nip09-others'], 'forgets deletions': [9, 'nip09-again nip09-before nip09-of-request nip09-address-after'],
  'deletes requests': [9, 'nip09-of-request'], 'no addresses': [9, 'nip09-address nip09-address-replaceable nip09-address-second nip09-address-after'],
  'deletes any kind': [9, 'nip09-address-kind'], 'deletes any d': [9, 'nip09-address-d'], 'deletes before': [9, 'nip09-address-second'],
  'deletes newer': [9, 'nip09-address-newer'], 'keeps expired': [40, 'nip40-expires nip40-count nip40-sync'], 'takes expired': [40, 'nip40-expired'],
  'any challenge': [42, 'nip42-challenge'], 'any relay': [42, 'nip42-relay'], 'any time': [42, 'nip42-old nip42-future'],
  'any kind': [42, 'nip42-kind'], 'one key': [42, 'nip42-several'], 'same challenge': [42, 'nip42-challenges'],
  'publishes AUTH': [42, 'nip42-published nip42-never-sent'],
  'leaks wraps': ['17,59', 'nip59-stranger nip59-another nip59-another-id nip59-live'], 'leaks wraps live': ['17,59', 'nip59-live'],
  'leaks wraps in COUNT': ['17,45,59', 'nip59-count'], 'leaks wraps in NEG': ['17,59', 'nip59-sync'], 'hides wraps': ['17,59', 'nip17-recipient nip17-inbox nip59-deletion'],
  'takes protected': [70, 'nip70-stranger nip70-another'], 'takes reposts': [70, 'nip70-repost'], 'reposts by text': [70, 'nip70-repost-text'],
  'refuses empty reposts': [70, 'nip70-repost-empty'], 'strict URL': [42, 'nip42-relay-slash'],
  'search finds nothing': [50, 'nip50-words nip50-kind nip50-extension nip50-best nip50-or'],
  'search alone': [50, 'nip50-kind'], 'search after limit': [50, 'nip50-best'], 'search of extensions': [50, 'nip50-extension'],
  'first search only': [50, 'nip50-or'],
  'counts versions': [45, 'nip45-replaced'], 'counts twice': [45, 'nip45-or'], 'EOSE for COUNT': [45, 'nip45-once'], 'hll always': [45, 'nip45-hll'],
  'always finished': [67, 'nip67-partial nip67-partial-tag'], 'finish as text': [67, 'nip67-form'],
  'negentropy without limits': [77, 'nip77-tag nip77-time'],
  'negentropy lacks one': [77, 'nip77-same nip77-ids nip77-tag nip77-time nip77-nothing nip77-replaced'],
  'negentropy protocol error': [77, 'nip77-malformed nip77-filter nip77-unknown'],
  'ignores vanishing': [62, 'nip62-vanish nip62-again nip62-deletion nip62-wraps'], 'undoes vanishing': [62, 'nip62-deletion'],
  'wraps stay': [62, 'nip62-wraps'], 'wraps come back': [62, 'nip62-wraps'], 'vanishes always': [62, 'nip62-another-relay'],
}
// Those that cost time, or much else: what must be among the statements.
const among = {
  // The second may end what is asked next.
  'EOSE twice': [1, 'nip01-eose-once'],
  'no EOSE': ['1,67', 'nip01-eose nip01-newest-first', '300ms'], 'no OK': ['1,9', 'nip01-publish', '300ms'], 'no live': [59, 'nip59-live', '1s'],
  'silent': [1, 'nip01-eose nip01-newest-first nip01-publish', '300ms'], 'slow': [1, 'nip01-eose nip01-newest-first', '500ms'],
  'search ignored': [50, 'nip50-best', '5s'], 'search not answered': [50, 'nip50-answered nip50-words', '300ms'],
  'no OK for duplicates': [1, 'nip01-duplicate nip01-at-once', '300ms'], 'tires': [1, 'nip01-reconnect', '300ms'],
  'swallows odd filters': [1, 'nip01-filter-empty nip01-filter-kind-large nip01-filter-since-negative', '300ms'],
  'NOTICE for too many': [11, 'nip11-subscriptions-beyond', '1s'], 'ends what is past': [1, 'nip01-live-past', '1s'],
  'slow count': [45, 'nip45-ids nip45-none', '300ms'], 'negentropy silent': [77, 'nip77-same nip77-ids', '300ms'],
  'no UTF-8': ['1,11', 'nip11-served nip01-filter-kinds nip01-messages', '1s'],
  'EOSE of another': [1, 'nip01-several nip01-subscribed', '2s'], 'NOTICE for CLOSED': [1, 'nip01-filter-kinds', '2s'],
  'answers CLOSE': [1, 'nip01-close nip01-messages', '5s'], 'CLOSE for all': [1, 'nip01-live-own', '2s'],
  'limit for live': [1, 'nip01-live-limit', '2s'], 'floods': [1, 'nip01-limit-kept nip01-events-once', '5s'],
  'stored twice': [1, 'nip01-ids nip01-tag nip01-events-once', '5s'], 'loses events': [1, 'nip01-ids nip01-tag nip01-kept', '5s'],
}
is(faults.filter(f => !['none', 'slow subscriptions'].includes(f) && !only[f] && !among[f]), [], 'every fault is tried')

const tried = {}
const todo = faults.filter(f => f !== 'slow subscriptions')
async function some() {
  for (let f; (f = todo.shift());) {
    const relay = await faulty(f)
    const [nip, , timeout] = f === 'none' ? ['1,9,11,17,40,42,45,50,59,62,67,70,77', '', '20s'] : only[f] ?? among[f]
    const began = Date.now()
    tried[f] = await check(relay.url, '--write', '--nip', String(nip), '--timeout', timeout ?? '20s')
    Object.assign(tried[f], { relay, ms: Date.now() - began })
    relay.close()
  }
}
await Promise.all([some(), some()])
is([tried.none.code, by(tried.none.out, 'fail')], [0, []], 'nothing is wrong with the relay without a fault')
for (const [f, [, want]] of Object.entries(only)) {
  is(by(tried[f].out, 'fail'), want.split(' '), `found: ${f}`)
  if (tried[f].code !== 1) is(tried[f].code, 1, `status 1: ${f}`)
}
for (const [f, [, want]] of Object.entries(among)) {
  const got = by(tried[f].out, 'fail')
  is([want.split(' ').filter(s => !got.includes(s)), tried[f].code], [[], 1], `found among others: ${f}`)
}
// Those of filters are found in what a relay shows, too.
const shown = seed.split('\n').filter(l => l).map(l => JSON.parse(l)).filter(e => [1, 6, 7].includes(e.kind))
for (const [f, want] of Object.entries({
  'none': '', 'oldest first': 'nip01-ids-order', 'ignores limit': 'nip01-limit nip01-limit-one', 'limit takes oldest': 'nip01-limit nip01-limit-one',
  'limit over all filters': 'nip01-or-limit', 'since exclusive': 'nip01-since-inclusive nip01-since-until nip01-shown-time nip01-shown-author nip01-shown-kind nip01-shown-tag', 'until exclusive': 'nip01-until-inclusive nip01-since-until nip01-shown-newest',
  'ignores since': 'nip01-since-after', 'ignores until': 'nip01-until-before', 'prefixes match': 'nip01-prefix-id', 'upper case matches': 'nip01-id-upper-case',
  'empty lists match all': 'nip01-empty-ids', 'ignores authors': 'nip01-and-author-other', 'ignores kinds': 'nip01-and-kind-other',
  'ignores tags': 'nip01-and-tag-other', 'first filter only': 'nip01-or', 'stored twice': 'nip01-ids', 'counts twice': 'nip45-or',
  'negentropy lacks one': 'nip77-same', 'always finished': 'nip67-partial' })) {
  const relay = await faulty(f)
  shown.forEach(e => relay.stored.set(e.id, e))
  const r = await check(relay.url, '--nip', '1,45,67,77', '--timeout', '20s'), got = by(r.out, 'fail')
  is([want.split(' ').filter(s => s && !got.includes(s)), f === 'none' ? got : []], [[], []], `found without --write: ${f}`)
  relay.close()
}
const said = lines(tried['keeps ephemeral'].out).find(x => x.statement === 'nip01-ephemeral-kept')
is([said.expected, said.seen.startsWith('1 event: ')], ['0 events', true], 'with what was expected and what was seen')
ok(/(\d+) other events? could not be removed/.exec(tried['serves deleted'].err)?.[1] > 0, 'what could not be removed is told', tried['serves deleted'].err)


// ---- what is published
const { sent } = tried.none.relay
ok(sent.filter(e => e?.tags).length > 100, 'much is published', sent.length)
is(new Set(sent.filter(e => e?.tags).map(e => e.tags.find(t => t[0] === 't' && /^nr-check-[0-9a-f]{16}$/.test(t[1]))?.[1])).size, 1,
  'every event has the tag of the run')
const keeping = tried['keeps ephemeral']
ok(/the relay kept [1-9]\d* ephemeral events? of ours; it was asked to delete/.test(keeping.err), 'ephemeral events that stay are told', keeping.err)
ok(/ 0 other events could not be removed/.test(keeping.err), 'and removed', keeping.err)
is([...keeping.relay.stored.values()].filter(e => ![5, 62].includes(e.kind)), [], 'so that they are gone')
ok(/ [1-9]\d* other events? could not be removed/.test(tried['keeps ephemeral for good'].err), 'or told', tried['keeps ephemeral for good'].err)
ok(/ [1-9]\d* events? got no OK: the relay may have (it|them) \(preparation, nip\d\d-[^ ]*, .*, \.\.\.\)\n/.test(tried['no OK'].err), 'as is what got no OK', tried['no OK'].err)

// ---- who does not answer is not waited for again and again
for (const [f, what] of [['no EOSE', 'EOSE or CLOSED to a REQ'], ['silent', 'EOSE or CLOSED to a REQ'], ['no OK', 'OK to an EVENT']]) {
  const t = tried[f], fails = by(t.out, 'fail').length
  ok(fails >= 1 && fails <= 12, `${f}: some statements fail`, fails)
  ok(lines(t.out).some(x => x.result === 'skip' && /not waited for any longer/.test(x.seen)), `${f}: others are skipped, with the reason`)
  is(t.err.split('\n').filter(x => x.includes(`no ${what} in time`)).length, 1, `${f}: it is told, once`)
}
const slowly = await faulty('slow subscriptions')
const subs = lines((await check(slowly.url, '--nip', '11', '--timeout', '1s')).out).find(x => x.statement === 'nip11-subscriptions')
ok(subs.result === 'skip' && /^slow: \d+ of 200 within 4000 ms$/.test(subs.seen), 'many subscriptions of a slow relay have an end', subs)
slowly.close()
// Twelve waits of each sort, and a bit for each statement.
ok(tried.silent.ms < lines(tried.silent.out).length * 300 / 2, 'silent: it is short', tried.silent.ms)

// ---- options
const plain = await faulty('keeps ephemeral')
let r = await run('nr-bench', ['check', '--nip', '1', '--write', plain.url])
const tap = r.out.trim().split('\n')
ok(/^# \d+ statements: \d+ ok, \d+ skipped, 1 failed$/.test(tap.at(-2)), 'TAP has a summary', tap.at(-2))
ok(r.err.trim().endsWith(`nr-bench: check: ${tap.at(-2).slice(2)}`), 'and stderr, as its last line', r.err)
is(tap.at(-1), `1..${tap.filter(l => /^(not )?ok /.test(l)).length}`, 'TAP has a plan')
const bad = tap.findIndex(l => l.startsWith('not ok'))
ok(/^not ok \d+ - NIP-01: .* \(nip01-ephemeral-kept\)$/.test(tap[bad]), 'what fails is named', tap[bad])
ok(/^# expected 0 events$/.test(tap[bad + 1]) && /^# seen 1 event/.test(tap[bad + 2]), 'with what was expected and seen', tap.slice(bad, bad + 3))
r = await check(plain.url, '--nip', '50')
is(lines(r.out).map(x => x.nip).filter(n => n !== 50), [], '--nip: no other statements')
r = await check(plain.url, '--nip', '1', '-q')
is([r.code, r.err], [0, ''], '-q: not a word')
r = await run('nr-bench', ['check', '--nip', '65', plain.url])
is([r.code, r.out, r.err], [2, '1..0 # SKIP no statements about NIP-65\n', 'nr-bench: check: no statements about NIP-65\n'],
  'a NIP without statements: nothing is asked, status 2')
r = await check(plain.url, '--nip', '65,2')
is([r.code, r.out, r.err], [2, '', 'nr-bench: check: no statements about NIP-02, NIP-65\n'], 'nor are there lines of JSON')
r = await check(plain.url, '--nip', '65,67')
is([r.code, by(r.out, 'fail'), /no statements about NIP-65/.test(r.err)], [0, [], true], 'with others it is a remark')
is((await check(plain.url, '--nip', '9')).code, 0, 'what would have to be published is skipped')
plain.close()

// Whatever bytes a relay sends, what is written is text.
const bytes = args => new Promise(resolve => {
  const p = spawn('nr-bench', ['check', ...args], { stdio: ['ignore', 'pipe', 'ignore'] }), parts = []
  p.stdout.on('data', d => parts.push(d))
  p.on('close', () => resolve(Buffer.concat(parts)))
})
const text = b => { try { return new TextDecoder('utf-8', { fatal: true }).decode(b) } catch { return '' } }
const odd = await faulty('no UTF-8')
for (const args of [[], ['--json']]) {
  const t = text(await bytes([...args, '--nip', '1,11', '--timeout', '1s', odd.url]))
  ok(t.length > 5000 && t.includes('\ufffd'), `valid UTF-8 ${args}`, t.slice(0, 200))
  is(/[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]/.exec(t), null, `no control characters ${args}`)
  ok(t.includes('\\u001b[31m'), `which are escaped ${args}`)
  ok(!/^not ok (?!\d+ - NIP-)/m.test(t), `nor lines of its own ${args}`)
}
odd.close()
const silent = await faulty('negentropy silent')
const child = spawn('nr-bench', ['check', '--json', '--write', '--nip', '77', '--timeout', '20s', silent.url], { stdio: ['ignore', 'ignore', 'pipe'] })
const told = []
child.stderr.on('data', d => told.push(d))
const exited = new Promise(resolve => child.on('close', (code, signal) => resolve({ code, signal })))
ok(await until(() => silent.stored.size >= 12, 20000), 'events are published')
child.kill('SIGINT')
is(await exited, { code: null, signal: 'SIGINT' }, 'a signal is its end')
is([...silent.stored.values()].filter(e => e.kind !== 5), [], 'and what it published is deleted', told.join(''))
silent.close()
is((await check('ws://127.0.0.1:1')).code, 3, 'nobody there: status 3')
const mute = new WebSocketServer({ port: 0, host: '127.0.0.1' })
await until(() => mute.address())
r = await check(`ws://127.0.0.1:${mute.address().port}`, '--nip', '67', '--write', '--timeout', '200ms')
is(r.code === 0 || r.code === 1, true, 'a relay that says nothing costs no more than the time')
mute.close()
r = await check('ws://127.0.0.1:1', '--nip', 'c7,7D')
is([r.code, r.err], [2, 'nr-bench: check: no statements about NIP-7D, NIP-C7\n'], 'NIPs that are named by letters')
r = await check('ws://127.0.0.1:1', '--nip', '9999')
is([r.code, r.err], [2, 'nr-bench: --nip: there is no NIP-9999\n'], 'and those that there are not')
for (const args of [[], ['--nip', '0'], ['--nip', 'x'], ['--nip', '100'], ['--nip', 'C71'], ['--timeout', '1ms'], ['--timeout', 'soon']])
  is((await run('nr-bench', ['check', ...args, ...(args.length ? [`ws://127.0.0.1:1`] : [])])).code, 2, `usage: ${args.join(' ') || 'no relay'}`)
done()
