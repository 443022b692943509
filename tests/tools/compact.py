"""Compaction against a store that is never compacted, killed at every step,
and under load: see tests/1450-compact-kill.t."""

import hashlib
import json
import os
import re
import shutil
import signal
import sys
import threading
import time

from nrtest import (DOCUMENTED, SANITIZED, Relay, complain, done, environment,
                    equal, export_ids, finish, generate, id_of, lasting, log_ids, note,
                    ok, problems, publish, run, seed, start,
                    write_lines)

FULL = bool(os.environ.get('NR_FULL'))
BUDGET = float(os.environ.get('NR_COMPACT_SECONDS') or (600 if FULL else 25)) \
    * (4 if SANITIZED else 1)
rng = seed()


def refusals(store, name):
    """What becomes of events that are sent (again)."""
    r = run('nr-import', '-q', '-nn', '-S', store, name)
    s = json.loads(r.out)
    for key in ('seconds', 'bytes'):
        del s[key]
    return s


def untidy(store):
    """Files that ought not to be there: halves, two of one segment."""
    names = [n for n in os.listdir(store + '/log')
             if re.match(r'\d{8}\.', n)]
    heads = [n[:8] for n in names]
    return [n for n in names if n.endswith('.tmp') or heads.count(n[:8]) > 1]


# ---- the same events, the same refusals --------------------------------------

def random_deletion(lines):
    some = [json.loads(l) for l in rng.sample(lines, 3)]
    which = rng.randrange(3)
    if which == 0:
        return [json.dumps({'ids': [e['id'] for e in some]})]
    if which == 1:
        return [json.dumps({'authors': [some[0]['pubkey']],
                            'kinds': [some[0]['kind'], 0, 5]})]
    return [json.dumps({'kinds': [some[0]['kind']], 'limit': 9})]


def made_up(author, kind, at, tags):
    """An event that nobody has signed: stores trust who imports with -nn."""
    e = [0, author, at, kind, tags, '']
    text = json.dumps(e, separators=(',', ':'), ensure_ascii=False)
    return json.dumps({
        'id': hashlib.sha256(text.encode()).hexdigest(), 'pubkey': author,
        'created_at': at, 'kind': kind, 'tags': tags, 'content': '',
        'sig': '0' * 128}, separators=(',', ':'), ensure_ascii=False)


def with_vanishing(lines):
    """Some authors ask to vanish, at some time; some get gift wraps."""
    lines = list(lines)
    authors = sorted({json.loads(l)['pubkey'] for l in lines})
    times = sorted(json.loads(l)['created_at'] for l in lines)
    for i in range(40):
        lines.insert(rng.randrange(len(lines)), made_up(
            rng.choice(authors), 1059, rng.choice(times) + 100000 * (i % 3),
            [['p', rng.choice(authors)], ['p', rng.choice(authors)]]))
    for i in range(6):
        who, at = rng.choice(authors), rng.choice(times)
        request = made_up(who, 62, at, [
            ['relay', 'ALL_RELAYS' if i > 0 else 'wss://elsewhere.example']])
        place = rng.randrange(len(lines))
        lines.insert(place, request)
        lines.insert(rng.randrange(len(lines)), made_up(
            who, 5, at + 1, [['e', json.loads(request)['id']]]))
    return lines


def differential(rounds):
    lines = with_vanishing(
        generate('churn', 6000, rng.randrange(1 << 30), '--model', 'churn',
                 '--authors', '25'))
    dropped = scrubbed = 0
    for i in range(rounds):
        part = lines[i * len(lines) // rounds:(i + 1) * len(lines) // rounds]
        write_lines('part', part)
        for s in ('plain', 'compacted'):
            run('nr-import', '-q', '-nn', '-S', s, '--segment', '60000',
                'part')
        if i == rounds // 2:
            write_lines('half', lines[:(i + 1) * len(lines) // rounds])
            with open('half') as f:
                want = run('python3', os.path.join(
                    os.path.dirname(sys.argv[0]), 'oracle.py'), 'live',
                    str(int(time.time())), stdin=f).out.split()
            equal(want, sorted(export_ids('compacted')[1]),
                  'the naive store holds the same')
        if i >= rounds // 2 and rng.random() < 0.7:
            f = random_deletion(lines)
            for s in ('plain', 'compacted'):
                run('nr-store', '-q', '-S', s, 'delete', *f)
        if rng.random() < 0.8:
            r = run('nr-store', '-q', '-S', 'compacted', 'compact',
                    *rng.choice((('--min-dead', '0'), ('--min-dead', '20'),
                                 ('--scrub', '--min-dead', '100'),
                                 ('--scrub', '--min-dead', '30'))))
            for l in filter(None, r.out.split('\n')):
                l = json.loads(l)
                dropped += l.get('lines', 0)
                scrubbed += l.get('scrubbed', 0)
            if r.status != 0:
                complain(r)
        if rng.random() < 0.4:
            run('nr-store', '-q', '-S',
                rng.choice(('plain', 'compacted')), 'reindex')
        if rng.random() < 0.4:
            old = rng.sample(lines[:(i + 1) * len(lines) // rounds], 300)
            write_lines('again', old)
            equal(refusals('plain', 'again'), refusals('compacted', 'again'),
                  'round %d: the same is refused' % i)
        if export_ids('plain')[1] != export_ids('compacted')[1]:
            break
    equal(export_ids('plain')[1], export_ids('compacted')[1],
          'the same events are there')
    note('%d lines dropped, %d overwritten' % (dropped, scrubbed))
    ok(dropped > 500, 'many lines were dropped')
    run('nr-store', '-q', '-S', 'compacted', 'compact', '--min-dead', '0')
    for s in ('plain', 'compacted'):
        run('nr-store', '-q', '-S', s, 'reindex')
    equal(export_ids('plain')[1], export_ids('compacted')[1],
          'also after a rebuild')
    rng.shuffle(lines)
    write_lines('again', lines)
    equal(refusals('plain', 'again'), refusals('compacted', 'again'),
          'the same is refused')
    equal(export_ids('plain')[1], export_ids('compacted')[1],
          'and the same is there')
    for s in ('plain', 'compacted'):
        r = run('nr-store', '-q', '-S', s, 'check')
        equal((0, ''), (r.status, r.out), '%s is in order' % s)


# ---- faults ----------------------------------------------------------------------

PLANS = [(g, a) for g in ('write', 'sync', 'rename', 'trunc', 'unlink',
                          'commit', 'open', 'mmap', 'alloc')
         for a in {'write': ('fail', 'short', 'torn'),
                   'rename': ('fail', 'kill', 'after'),
                   'unlink': ('fail', 'kill', 'after'),
                   'commit': ('kill', 'after'),
                   'alloc': ('fail',), 'mmap': ('fail',),
                   'open': ('fail', 'after')}.get(g, ('fail', 'after'))
         if not (SANITIZED and g in ('alloc', 'mmap'))]
PLANS += [('write', 'fails')]
REWRITE = ('--min-dead', '1')
SCRUB = ('--min-dead', '100', '--scrub')
deleted = []


def attempt(d, how, group, n, action, before):
    """One compaction with a fault; returns whether it fired, and wrongs."""
    command = ('nr-store', '-q', '-S', d, 'compact') + how
    log = d + '.fired'
    if os.path.exists(log):
        os.unlink(log)
    shutil.rmtree(d, ignore_errors=True)
    shutil.copytree('base', d)
    # A copy is rebuilt by whoever opens it first.
    run('nr-export', '-S', d, '--count')
    where = ':/' + d if action == 'fails' else ''
    r = run(*command, env=environment('%s:%d:%s%s' % (group, n, action, where), log))
    fired = os.path.exists(log) and os.path.getsize(log) > 0
    wrong = []
    if r.status not in (0, 3) and not (
            r.status == -9 and action in ('torn', 'kill', 'after')):
        wrong.append('status: %s' % r)
    if rng.random() < 0.3:
        # As after a crash: nothing of the index is left.
        shutil.rmtree(d + '/index')
        os.unlink(d + '/state')
    got, ids = export_ids(d)
    if ids != before:
        wrong.append('%d events, not %d: %s' % (len(ids), len(before), got))
    r = run(*command)
    if r.status != 0:
        wrong.append('the next one: %s' % r)
    if untidy(d):
        wrong.append('left: %s' % untidy(d))
    left = set(log_ids(d)) & set(deleted)
    if left:
        wrong.append('still on the disk: %s' % left)
    r = run('nr-store', '-q', '-S', d, 'check', '--full')
    if r.status != 0:
        wrong.append('check: %s %s' % (r, r.out[:300]))
    if rng.random() < 0.2:
        run('nr-store', '-q', '-S', d, 'reindex')
    if export_ids(d)[1] != before:
        wrong.append('in the end: %d events' % len(export_ids(d)[1]))
    again = refusals(d, 'base.events')
    if again['stored'] != 0:
        wrong.append('came back: %s' % again)
    return fired, wrong


def faults():
    lines = generate('base.events', 900, 11, '--model', 'churn', '--authors',
                     '9')
    for i in range(3):
        write_lines('part', lines[300 * i:300 * i + 300])
        run('nr-import', '-q', '-S', 'base', '--segment', '60000', 'part')
    refusals('base', 'base.events')
    r = run('nr-store', '-q', '-S', 'base', 'delete', '-k', '1')
    global deleted
    deleted = [json.loads(l)['id'] for l in r.out.split()]
    before = export_ids('base')[1]
    until = time.monotonic() + BUDGET
    plans = {p + (how,): 1 for p in PLANS for how in (REWRITE, SCRUB)
             if how is REWRITE or p[0] in ('write', 'sync', 'commit')}
    bad, fired = [], {}
    while plans and time.monotonic() < until:
        for plan in sorted(plans):
            n = plans[plan]
            hit, wrong = attempt('faulty', plan[2], plan[0], n, plan[1],
                                 before)
            fired[plan] = fired.get(plan, 0) + hit
            bad += ['%s %d %s: %s' % (plan[0], n, plan[1], w) for w in wrong]
            # Every one where it changes something; some of the many others.
            plans[plan] += 1 if FULL or plan[0] in (
                'rename', 'commit', 'unlink', 'trunc') else \
                rng.randrange(1, 60 if plan[0] == 'alloc' else 4)
            if not hit:
                del plans[plan]
            if time.monotonic() > until:
                break
    for b in bad[:10]:
        complain(b)
    note('%d calls failed or killed: %s%s' % (
        sum(fired.values()), ', '.join('%s %s %d' % (*p[:2], fired[p])
                                       for p in sorted(fired)),
        ', not all to the end' if plans else ''))
    equal([], bad[:3], 'whatever fails, and wherever it is killed, '
          'the store is whole')
    ok(sum(fired.values()) > 40, 'many calls failed')


# ---- under load -------------------------------------------------------------------

def kill_some(store, until, counts):
    """Compactions one after the other, most of them killed."""
    while time.monotonic() < until:
        fault = rng.choice(['commit:%d:kill', 'commit:%d:after',
                            'write:%d:torn', 'rename:%d:after',
                            'unlink:%d:kill', 'sync:%d:after', None])
        env = environment(fault % rng.randrange(1, 12)) if fault else None
        r = run('nr-store', '-q', '-S', store, 'compact', '--min-dead',
                str(rng.choice((0, 1, 10))), env=env)
        counts[r.status] = counts.get(r.status, 0) + 1
        if r.status not in (0, -9):
            counts.setdefault('wrong', []).append(str(r))


def load(seconds):
    relay = Relay('busy', '--segment', '200000')
    follower = open('followed', 'w')
    follow = start('nr-export', '-S', 'busy', '--log', '--follow', '--ids')
    copy = threading.Thread(target=lambda: follower.write(follow.stdout.read()))
    copy.start()
    until = time.monotonic() + seconds
    counts, acked, known = {}, set(), set()
    killer = threading.Thread(target=kill_some, args=('busy', until, counts))
    killer.start()
    reads = 0
    bad = []
    while time.monotonic() < until:
        lines = generate('some', 1500, rng.randrange(1 << 30), '--model',
                         rng.choice(('churn', 'network')), '--authors', '20')
        known |= {id_of(l) for l in lines}
        publish(relay.port, lines, acked, 32)
        r = run('nr-export', '-S', 'busy', '-k', '1', '--count')
        reads += 1
        if r.status != 0:
            bad.append('a reader: %s' % r)
        with open('some') as f:
            forever = {id_of(l) for l in f if lasting(l)}
        keep.update(acked & forever)
    killer.join()
    time.sleep(1.5)
    follow.terminate()
    copy.join()
    follow.wait()
    follower.close()
    if relay.stop() != 0:
        bad.append('nr-serve: %s' % relay.err())
    deleted = {t[1] for l in deletions('busy') for t in l['tags']
               if len(t) > 1 and t[0] == 'e'}
    stays = keep - deleted
    bad += problems('busy', stays, known, stays)
    with open('followed') as f:
        seen = f.read().split()
    note('%d acknowledged, %d of them for ever, %d reads, compactions by '
         'status: %s' % (len(acked), len(stays), reads, counts))
    equal([], bad[:3] + counts.get('wrong', [])[:2],
          'compacted and killed under load, the store is whole')
    equal(len(seen), len(set(seen)), 'who follows sees nothing twice')
    ok(stays <= set(seen), 'and misses nothing', len(stays - set(seen)))
    ok(counts.get(-9, 0) > 3 and counts.get(0, 0) > 0,
       'some were killed, some were not')
    r = run('nr-store', '-q', '-S', 'busy', 'compact', '--min-dead', '0')
    equal((0, []), (r.status, untidy('busy')), 'nothing is left over')


def deletions(store):
    r = run('nr-export', '-S', store, '-k', '5')
    return [json.loads(l) for l in r.out.split('\n') if l]


# ---- a reader who is late ------------------------------------------------------

def late(*how):
    """A reader stopped before it opens a segment, which is then replaced."""
    shutil.rmtree('late', ignore_errors=True)
    for part in ('first', 'second'):
        write_lines(part, generate('some', 900, 5 if part == 'first' else 6,
                                   '--model', 'churn', '--authors', '9'))
        run('nr-import', '-q', '-S', 'late', '--segment', '400000', part)
    command = ('nr-export', '-S', 'late', '--ids') + how
    want = run(*command).out
    p = start(*command, env=environment('open:1:stop:.jsonl'))
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open('/proc/%d/stat' % p.pid) as f:
            if f.read().rsplit(')', 1)[1].split()[0] == 'T':
                break
        time.sleep(0.02)
    r = run('nr-store', '-q', '-S', 'late', 'compact', '--min-dead', '1')
    p.send_signal(signal.SIGCONT)
    got = finish(p)
    equal((0, 0, want), (r.status, got.status, got.out),
          'a late reader takes a newer snapshot: %s' % ' '.join(how))
    ok(r.out, 'segments were replaced')


keep = set()
differential(14)
faults()
late()
late('--log')
late('--reverse')
load(8)
done()
