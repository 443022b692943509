"""Two sides are brought together by nr-negentropy, and hold the union of
what each of them had, less what rules delete.

What must be there is computed here, from the events, by rules written down
once more: nothing of what is tested is asked.

    NR_SEED             the same choices again
    NR_FULL             sets of up to 200,000 events
    NR_UNION_SECONDS    that one run may take
    NR_UNION_ROUNDS
"""

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time

from nrtest import (Relay, done, equal, export_ids, note, ok, run, seed,
                    write_lines)

FULL = bool(os.environ.get('NR_FULL'))
SECONDS = float(os.environ.get('NR_UNION_SECONDS', 600 if FULL else 120))
ROUNDS = int(os.environ.get('NR_UNION_ROUNDS', 1000))
PRIVATE = (4, 1059)
rng = seed()

# ---- the rules ----------------------------------------------------------------


def replaceable(kind):
    return kind in (0, 3) or 10000 <= kind < 20000


def first_tag(event, name):
    return next((t[1] for t in event['tags'] if t[0] == name), None)


def address(event):
    kind = event['kind']
    if replaceable(kind):
        return '%d:%s:' % (kind, event['pubkey'])
    if 30000 <= kind < 40000:
        return '%d:%s:%s' % (kind, event['pubkey'], first_tag(event, 'd') or '')
    return None


def expiry(event):
    return int(first_tag(event, 'expiration') or sys.maxsize)


def owners(event):
    """Whose deletions count."""
    if event['kind'] == 5:
        return []
    return [event['pubkey']] + [t[1] for t in event['tags'] if t[0] == 'p'
                                and event['kind'] == 1059]


def less_deleted(events, now):
    """What rules leave of a set of events, whatever their order."""
    by_id, by_address = set(), {}
    for e in events:
        for t in e['tags'] if e['kind'] == 5 else ():
            if t[0] == 'e':
                by_id.add((t[1], e['pubkey']))
            elif t[0] == 'a' and t[1].split(':')[1] == e['pubkey']:
                by_address[t[1]] = max(by_address.get(t[1], -1),
                                       e['created_at'])
    left, newest = {}, {}
    for e in events:
        where = address(e)
        if 20000 <= e['kind'] < 30000 or expiry(e) <= now or \
                any((e['id'], who) in by_id for who in owners(e)) or \
                by_address.get(where, -1) >= e['created_at']:
            continue
        other = newest.get(where)
        if where is not None and other is not None:
            if (-other['created_at'], other['id']) < \
                    (-e['created_at'], e['id']):
                continue
            del left[other['id']]
        if where is not None:
            newest[where] = e
        left[e['id']] = e
    return left


class Way:
    """How events go, and which ones stay where they are."""

    def __init__(self, relay, whole=False):
        self.relay = relay
        self.whole = whole      # with --private and --protected
        self.args = ('--private', '--protected') if whole else ()

    def down(self, e):
        # Nobody else reads these from a relay, and we are nobody.
        return not self.relay or e['kind'] not in PRIVATE

    def up(self, e):
        return self.whole or not (e['kind'] in PRIVATE or ['-'] in e['tags'])


def together(way, a, b, now):
    """What must be here and there, after both directions."""
    a, b = (less_deleted(x, now).values() for x in (a, b))
    return (less_deleted(list(a) + [e for e in b if way.down(e)], now),
            less_deleted(list(b) + [e for e in a if way.up(e)], now))


# ---- events -------------------------------------------------------------------


class Author:
    def __init__(self, name):
        key = hashlib.sha256(name.encode()).hexdigest()
        self.file = 'key.' + name
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, key.encode() + b'\n')
        os.close(fd)
        self.pubkey = self.sign([{}])[0]['pubkey']

    def sign(self, drafts):
        text = ''.join(json.dumps(d) + '\n' for d in drafts)
        out = subprocess.run(('nr-sign', '-q', '-K', self.file), check=True,
                             input=text.encode(), stdout=subprocess.PIPE).stdout
        return [Event(line) for line in out.decode().split('\n')[:-1]]


class Event(dict):
    """An event, and its line."""

    def __init__(self, line):
        dict.__init__(self, json.loads(line))
        self.line = line


AUTHORS = [Author('%d' % i) for i in range(4)]
NOW = int(time.time())
DAY = 86400


def draft(kind, at, tags=(), content=''):
    return {'kind': kind, 'created_at': at, 'tags': list(tags),
            'content': content}


class Times:
    """Any time of 90 days; a quarter of all in few seconds, by thousands."""

    def __init__(self, n):
        self.crowded = [NOW - rng.randrange(DAY, 90 * DAY)
                        for _ in range(1 + n // 20000)]

    def any(self):
        if rng.random() < 0.25:
            return rng.choice(self.crowded)
        return NOW - rng.randrange(DAY, 90 * DAY)


def some_draft(times, i):
    """Most are notes; the rest is what rules have something to say about."""
    p, at = rng.random(), times.any()
    text = 'event %d' % i
    if p < 0.6:
        return draft(1, at, (), text)
    if p < 0.75:
        # Few addresses and few times: many versions, and ties among them.
        return draft(rng.choice((0, 3, 10002, 30023, 30023, 30023)),
                     at // DAY * DAY, [['d', '%d' % rng.randrange(20)]], text)
    if p < 0.80:
        return draft(1, at, [['expiration', '%d' % rng.choice(
            (1, NOW - 10, NOW + DAY, NOW + 400 * DAY))]], text)
    if p < 0.83:
        return draft(1, at, [['-']], text)
    if p < 0.88:
        return draft(rng.choice(PRIVATE), at,
                     [['p', rng.choice(AUTHORS).pubkey]], text)
    if p < 0.89:
        return draft(20001, at, (), text)
    return draft(7, at, [['e', '0' * 64]], text)


def deletion(events, author):
    """Of some events, and of an address, not always the author's own.

    By id only what has no address: whether older versions die with the one
    that is named depends on which came first.
    """
    tags = []
    for e in rng.sample(events, min(len(events), rng.randrange(1, 4))):
        if address(e) is None:
            tags.append(['e', e['id']])
        elif rng.random() < 0.2:
            tags.append(['a', address(e)])
    return draft(5, NOW - rng.randrange(DAY, 90 * DAY), tags,
                 'by %s' % author.pubkey[:8])


def generate(n):
    """n events by some authors, in any order."""
    times = Times(n)
    drafts = [[] for _ in AUTHORS]
    for i in range(n * 9 // 10):
        rng.choice(drafts).append(some_draft(times, i))
    by_author = [a.sign(d) for a, d in zip(AUTHORS, drafts)]
    events = [e for part in by_author for e in part]
    drafts = [[] for _ in AUTHORS]
    for i in range(n - len(events)):
        who = rng.randrange(len(AUTHORS))
        # Deletions have no effect on deletions, but they may name them.
        own = by_author[who] if rng.random() < 0.9 else events
        drafts[who].append(deletion(own, AUTHORS[who]))
        drafts[who][-1]['content'] += ' %d' % i
    for i, a in enumerate(AUTHORS):
        by_author[i] += a.sign(drafts[i])
    again = [draft(5, NOW - 1, [['e', e['id']] for e in part[-3:]])
             for part in by_author]
    events = [e for part in by_author for e in part]
    if n > 1000:
        events += [a.sign([d])[0] for a, d in zip(AUTHORS, again)]
    rng.shuffle(events)
    return events


def spread(events, both):
    """Onto two sides; a share of them onto both."""
    a, b = [], []
    for e in events:
        p = rng.random()
        if p < both or p < both + (1 - both) / 2:
            a.append(e)
        if p < both or p >= both + (1 - both) / 2:
            b.append(e)
    rng.shuffle(b)
    return a, b


# ---- running --------------------------------------------------------------------


def store(name, events):
    shutil.rmtree(name, ignore_errors=True)
    write_lines('lines', [e.line for e in events])
    r = run('nr-import', '-nn', '-q', '-S', name, 'lines', timeout=600)
    if r.status != 0:
        ok(False, 'a store is filled', r)
    return name


def negentropy(*args):
    """The result, and what it reports."""
    r = run('nr-negentropy', *args, timeout=SECONDS)
    try:
        return r, json.loads(r.out.split('\n')[-2])
    except (IndexError, ValueError):
        return r, {}


def holds(name, dir, must, all_events, after):
    """Exactly these, but for what expires just now."""
    r, ids = export_ids(dir)
    now = int(time.time())
    going = {e['id'] for e in all_events if after < expiry(e) <= now}
    want = sorted(set(must) - going)
    got = sorted(set(ids) - going)
    return ok(r.status == 0 and len(set(ids)) == len(ids) and want == got,
              name, r, 'wanted %d, has %d' % (len(want), len(got)),
              'lacks %s' % sorted(set(want) - set(got))[:3],
              'more %s' % sorted(set(got) - set(want))[:3])


def figures(f):
    return ' '.join('%s %s' % (k, f.get(k)) for k in (
        'have', 'need', 'received', 'sent', 'rounds', 'bytes_up',
        'bytes_down', 'splits', 'pages', 'seconds') if k in f)


def within(f):
    return f.get('rounds', ROUNDS + 1) <= ROUNDS and f['connections'] == 1 \
        and f['seconds'] <= SECONDS


def moved(f):
    return f.get('received', 0) + f.get('sent', 0)


BOTH = (('--both',),)
ONE_BY_ONE = (('--down',), ('--up',))
RELAY, STORE, ALL = Way(True), Way(False), Way(False, True)


def meet(name, a, b, way, *args, runs=BOTH):
    """Bring two sets together; the last report."""
    here, there = store('here', a), store('there', b)
    relay = Relay(there) if way.relay else None
    peer = 'ws://127.0.0.1:%d' % relay.port if relay else './there'
    options = ('-S', here, *args, *way.args, peer)
    for how in runs:
        r, f = negentropy(*how, *options)
        note('%s, %s: %s' % (name, ' '.join(how), figures(f)))
        ok(r.status == 0 and within(f), '%s, %s' % (name, ' '.join(how)), r, f)
    now = int(time.time())
    at_a, at_b = together(way, a, b, now)
    holds('%s: all is here' % name, here, at_a, a + b, now)
    holds('%s: all is there' % name, there, at_b, a + b, now)
    r, f = negentropy('--both', *options)
    ok(r.status == 0 and moved(f) == 0, '%s: nothing moves then' % name, r, f)
    if set(at_a) == {i for i, e in at_b.items() if way.down(e)}:
        equal([1, 0, 0], [f['rounds'], f['have'], f['need']],
              '%s: one round tells' % name)
    if relay:
        equal(0, relay.stop(), '%s: the relay has no complaint' % name)
    return f


OVERLAPS = (0, 0.5, 0.9, 0.99, 1)


def random_sets(sizes):
    for n in sizes:
        for both in OVERLAPS:
            a, b = spread(generate(n), both)
            way = rng.choice((RELAY, STORE, ALL))
            runs = rng.choice((BOTH, ONE_BY_ONE))
            meet('%d events, %g in both, %s' % (
                n, both, 'relay' if way.relay else 'store'), a, b, way,
                 runs=runs)


# ---- the hard cases ---------------------------------------------------------------

MANY = 6000 if FULL else 1500
alice, bob = AUTHORS[0], AUTHORS[1]
long_ago = NOW - 20 * DAY


def notes(n, at=None, text='note', author=alice, tags=()):
    return author.sign([draft(1, long_ago + i % 7 if at is None else at, tags,
                              '%s %d' % (text, i)) for i in range(n)])


def versions(n, at, text, author=alice, tags=()):
    return author.sign([draft(30023, at, [['d', '%d' % i], *tags], text)
                        for i in range(n)])


def deletions(events, author=alice):
    """A hundred events each."""
    return author.sign([draft(5, NOW - DAY, [['e', e['id']] for e in
                                             events[i:i + 100]])
                        for i in range(0, len(events), 100)])


def hard_cases():
    some = notes(MANY)
    for way in (RELAY, STORE):
        f = meet('the same on both sides', some, some, way)
        ok(f['bytes_up'] + f['bytes_down'] < 1000, 'in few bytes', f)
    meet('nothing here', [], some, RELAY)
    meet('nothing there', some, [], RELAY)
    gone = deletions(some)
    meet('deletions here, the deleted there', gone, some, RELAY)
    meet('the deleted here, deletions there', some, gone, RELAY)
    meet('deletions there, one direction at a time', some, gone, STORE,
         runs=ONE_BY_ONE)
    meet("somebody else's deletions", some, deletions(some[:300], bob), RELAY)
    old = versions(MANY, NOW - 3 * DAY, 'old')
    new = versions(MANY, NOW - 2 * DAY, 'new')
    meet('newer versions here', new, old, RELAY)
    meet('newer versions there', old, new, RELAY)
    mixed = [rng.sample(pair, 2) for pair in zip(
        versions(200, long_ago, 'one'), versions(200, long_ago, 'other'))]
    meet('versions of one second', [x for x, y in mixed],
         [y for x, y in mixed], RELAY)
    names = alice.sign([draft(5, NOW - DAY, [['a', address(e)]
                                             for e in new[:400]])])
    meet('addresses deleted here', names, new, RELAY)
    meet('addresses deleted there', new, names, RELAY)
    a, b = spread(notes(4 * MANY, long_ago, 'one second'), 0.5)
    meet('many of one second', a, b, RELAY)
    meet('many of one second, small frames', a, b, RELAY, '--frame-size',
         '4096')


# ---- while it runs ----------------------------------------------------------------

class Held:
    """A relay behind a connection that, after the first answer to
    reconciliation, carries nothing to it until a time has come."""

    def __init__(self, port, until):
        self.port, self.until = port, until
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.own = self.listener.getsockname()[1]
        self.held = False
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listener.accept()
        relay = socket.create_connection(('127.0.0.1', self.port))
        threading.Thread(target=self.back, args=(relay, client),
                         daemon=True).start()
        while data := client.recv(1 << 16):
            if self.held:
                time.sleep(max(0, self.until - time.time()))
            relay.sendall(data)
        relay.close()

    def back(self, relay, client):
        try:
            while data := relay.recv(1 << 16):
                # What a server sends is not masked.
                self.held = self.held or b'"NEG-MSG"' in data
                client.sendall(data)
        except OSError:
            pass


def expiring():
    """Found, and expired before they were there: in both directions."""
    end = int(time.time()) + 5
    tags = [['expiration', '%d' % end]]
    a = notes(700, None, 'here', alice, tags) + notes(20, None, 'stay', alice)
    b = notes(300, None, 'there', bob, tags) + notes(20, None, 'stay', bob)
    here, there = store('here', a), store('there', b)
    relay = Relay(there)
    held = Held(relay.port, end + 1)
    r, f = negentropy('-S', here, '--both', 'ws://127.0.0.1:%d' % held.own)
    note('expiring on the way: %s' % figures(f))
    ok(f.get('have') == 720 and f.get('need') == 320,
       'what expires soon is found', r, f)
    equal([0, 20, 20, 700, 0], [r.status] + [f.get(k) for k in (
        'received', 'accepted', 'gone', 'missing')],
          'that it expired on the way is no failure', r, f)
    now = int(time.time())
    at_a, at_b = together(RELAY, a, b, now)
    holds('what expired is not here', here, at_a, a + b, now)
    holds('nor there', there, at_b, a + b, now)
    r, f = negentropy('-S', here, '--both', 'ws://127.0.0.1:%d' % relay.port)
    equal([0, 1, 0], [r.status, f['rounds'], moved(f)], 'nothing moves then')
    relay.stop()


# ---- what one side refuses and the other keeps --------------------------------------

def for_ever(name, here, there, seen, how=('--both',), move=1):
    """Each side has what its own rules leave; a run changes nothing."""
    r, f = negentropy('-S', here, *how, './' + there)
    before = export_ids(here)[1], export_ids(there)[1]
    equal([0, seen], [r.status, [sorted(x) for x in before]], name, r, f)
    r, f = negentropy('-S', here, *how, './' + there)
    after = export_ids(here)[1], export_ids(there)[1]
    equal([0, move, 0, 0], [r.status, moved(f), f.get('stored', 0),
                            f.get('accepted', 0)],
          '%s: again, and no more than that' % name, r, f)
    equal(before, after, '%s: nothing changes' % name)


def ids(*parts):
    return sorted(e['id'] for part in parts for e in part)


def unequal():
    old, new = versions(1, NOW - 9 * DAY, 'old'), versions(1, NOW - DAY, 'new')
    gone = deletions(new)
    here, there = store('here', new + gone), store('there', old)
    for_ever('older than one that was deleted here', here, there,
             [ids(gone), ids(old, gone)])
    here, there = store('here', old), store('there', new + gone)
    for_ever('older than one that was deleted there', here, there,
             [ids(old, gone), ids(gone)])
    some = notes(3)
    here, there = store('here', some), store('there', deletions(some[:1]))
    gone = ids(deletions(some[:1]))
    for_ever('deleted there, upwards only', here, there,
             [ids(some), sorted(gone + ids(some[1:]))], ('--up',))
    here, there = store('here', some), store('there', some)
    run('nr-store', '-S', here, 'delete', '-i', some[0]['id'])
    for_ever("deleted on the operator's word", here, there,
             [ids(some[1:]), ids(some)])


hard_cases()
expiring()
unequal()
random_sets((0, 1000, 30000, 200000) if FULL else (1, 100, 1500))
done()
