"""SIGKILL at random moments under load: see tests/1600-kill.t."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

from nrtest import (Relay, environment, equal, export_ids, finish, generate,
                    id_of, lasting, note, ok, done, problems, publish, run,
                    seed, segments, stale_slots, start, torn, write_lines)

ROUNDS = int(os.environ.get('NR_KILL_ROUNDS') or 20)
PER_ROUND = 2500
CONNECTIONS = 4
rng = seed()


class Pool:
    """Events that have not been used yet, made as they are needed."""

    def __init__(self):
        self.lines, self.made = [], 0

    def take(self, n):
        while len(self.lines) < n:
            self.made += 1
            new = generate('events', 20000, rng.randrange(1 << 30))
            self.lines += new
        taken, self.lines = self.lines[:n], self.lines[n:]
        return taken


class Round:
    """What is known of the store, over all rounds."""

    def __init__(self):
        self.store = 'store'
        self.acked, self.known = set(), set()
        self.counts = dict(acks=0, torn=0, tails=0, rebuilt=0, fresh=0)
        self.ntorn = 0
        self.lasting = set()

    def offer(self, lines):
        for l in lines:
            e = json.loads(l)
            self.known.add(e['id'])
            if lasting(l):
                self.lasting.add(e['id'])

    def acknowledge(self, ids):
        self.counts['acks'] += len(ids)
        self.acked |= ids


pool, state = Pool(), Round()


def load(port, lines, killed):
    """Publish on several connections; returns the ids that were OK'd."""
    acked = [set() for _ in range(CONNECTIONS)]
    threads = [threading.Thread(target=publish, args=(
        port, lines[i::CONNECTIONS], acked[i], 16, None, killed.is_set))
        for i in range(CONNECTIONS)]
    for t in threads:
        t.start()
    return threads, acked


def serve_round(fault=None, beside=False):
    """A relay under load; it, or an import beside it, is killed."""
    lines = pool.take(PER_ROUND)
    state.offer(lines)
    relay = Relay(state.store, '--segment', '1M',
                  env=environment(fault, 'fired') if fault else None)
    if relay.port is None:
        if fault and relay.wait() == -9:
            return None         # while it opened the store
        return 'nr-serve did not start: %s' % relay.err()
    killed = threading.Event()
    importer = None
    if beside:
        more = pool.take(PER_ROUND)
        state.offer(more)
        write_lines('more', more)
        importer = start('nr-import', '-q', '-S', state.store, 'more')
    threads, acked = load(relay.port, lines, killed)
    wrong = None
    if fault:
        # It dies of itself, or has had nothing to die of.
        for t in threads:
            t.join(30)
        if relay.stop() not in (0, -9):
            wrong = 'nr-serve: %s' % relay.err()
    else:
        time.sleep(rng.uniform(0.01, 0.35))
        if beside:
            importer.kill()
            importer.communicate()
            time.sleep(0.05)
        if not beside or rng.random() < 0.5:
            relay.kill()
        else:
            # What the import left, the relay goes on from.
            for t in threads:
                t.join(30)
            end = time.monotonic() + 5
            while stale_slots(state.store) and time.monotonic() < end:
                time.sleep(0.1)
            if stale_slots(state.store):
                wrong = 'stale readers beside a relay: %s' % stale_slots(state.store)
            if relay.stop() != 0:
                wrong = 'nr-serve: %s' % relay.err()
    killed.set()
    for t in threads:
        t.join(30)
    relay.kill()
    for a in acked:
        state.acknowledge(a)
    return wrong


def import_round(fault=None, fresh=False):
    """An import that is killed; its summary is its acknowledgement."""
    if fresh:
        shutil.rmtree(state.store, ignore_errors=True)
        state.acked, state.known = set(), set()
        state.ntorn = 0
        state.counts['fresh'] += 1
    lines = pool.take(PER_ROUND)
    state.offer(lines)
    write_lines('import', lines)
    p = start('nr-import', '-q', '-S', state.store, '--segment', '1M', 'import',
              env=environment(fault, 'fired') if fault else None)
    if not fault:
        time.sleep(rng.uniform(0.002, 0.06 if fresh else 0.12))
        p.kill()
    r = finish(p)
    if r.status == 0:
        state.acknowledge({id_of(l) for l in lines if lasting(l)})
    elif r.status != -9:
        return 'nr-import: %s' % r
    return None


def reopen():
    """The first to open the store says what it met."""
    if not os.path.isdir(state.store + '/log'):
        return []
    if os.path.exists('trace'):
        os.unlink('trace')
    r = run('nr-store', '-S', state.store, 'stat', '--json',
            env=environment(trace='trace'))
    if r.status != 0:
        return ['reopening: %s' % r]
    with open('trace') as f:
        calls = f.read().splitlines()
    # Lines beyond the indexed end are written again where they are.
    if any(c.startswith('pwrite ') and '/log/0' in c and '.torn' not in c
           for c in calls):
        state.counts['tails'] += 1
    if any(c.startswith('unlink index/data.mdb') for c in calls):
        state.counts['rebuilt'] += 1
    n = len(torn(state.store))
    state.counts['torn'] += n - state.ntorn
    state.ntorn = n
    return []


# By turns, so that few rounds have some of each; the moments are random.
def nth(most):
    return rng.randrange(1, most)


MODES = [
    ('nr-serve', lambda: serve_round()),
    ('nr-import', lambda: import_round()),
    ('nr-serve, a torn write', lambda: serve_round(
        'write:%d:torn:/log/0' % nth(12))),
    ('nr-import, a torn write', lambda: import_round(
        'write:%d:torn:/log/0' % nth(3))),
    ('nr-import beside nr-serve', lambda: serve_round(beside=True)),
    ('nr-serve, before a commit', lambda: serve_round(
        'commit:%d:kill' % nth(12))),
    ('nr-serve', lambda: serve_round()),
    ('nr-import, after a sync', lambda: import_round(
        'sync:%d:after:/log/0' % nth(3))),
    ('nr-import into an empty store', lambda: import_round(fresh=True)),
    ('nr-serve', lambda: serve_round()),
]

bad = []
def met_all():
    return all(state.counts[k] > 0 for k in ('torn', 'tails', 'rebuilt'))


begun = time.monotonic()
rounds = 0
# Where chance has left something out, it gets some more of it.
while rounds < ROUNDS or (rounds < 3 * ROUNDS and not met_all()):
    i = rounds
    rounds += 1
    name, play = MODES[i % len(MODES)]
    wrong = []
    w = play()
    if w:
        wrong.append(w)
    wrong += reopen()
    if not os.path.isdir(state.store + '/log'):
        continue            # killed before there was a store
    wrong += problems(state.store, state.acked, state.known, state.lasting)
    if wrong:
        bad.append(i)
        for w in wrong:
            note('round %d, %s: %s' % (i, name, w))
        shutil.copytree(state.store, 'kept.%d' % i)

c = state.counts
note('%d rounds in %.1f s: %d acknowledgements, %d torn tails, %d re-indexed '
     'tails, %d rebuilt indexes, %d fresh stores'
     % (rounds, time.monotonic() - begun, c['acks'], c['torn'], c['tails'],
        c['rebuilt'], c['fresh']))
equal([], bad, 'after each kill the store is whole')
ok(c['acks'] > 50 * ROUNDS, 'events were acknowledged')
ok(c['torn'] > 0, 'torn tails were met')
ok(c['tails'] > 0, 'tails were indexed again')
ok(c['rebuilt'] > 0, 'half-built indexes were met')
done()
