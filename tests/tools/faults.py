"""Fail the n-th call, n = 1, 2, 3... until none fires: see
tests/1700-faults.t."""

import concurrent.futures
import json
import os
import shutil
import sys
import tempfile
import time

from nrtest import (DOCUMENTED, SANITIZED, Relay, done, environment,
                    export_ids, generate, id_of, lasting, note, complain, ok, problems,
                    publish, run, seed, write_lines)

FULL = bool(os.environ.get('NR_FULL'))
BUDGET = float(os.environ.get('NR_FAULT_SECONDS') or (1800 if FULL else 30)) \
    * (4 if SANITIZED else 1)
WORKERS = 2
rng = seed()
# No disk is at stake here: what is in memory is written faster.
if os.access('/dev/shm', os.W_OK):
    fast = tempfile.TemporaryDirectory(prefix='nr-test.', dir='/dev/shm')
    os.chdir(fast.name)

# Group of calls, what is done to one of them.
PLANS = [(g, a) for g in ('alloc', 'write', 'sync', 'trunc', 'open', 'mmap',
                          'rename', 'commit')
         for a in (('fail',) if g in ('alloc', 'mmap') else
                   ('fail', 'short', 'torn') if g == 'write' else
                   ('kill',) if g == 'commit' else
                   ('fail', 'after'))
         if not (SANITIZED and g in ('alloc', 'mmap'))]
# A disk that stays full, a sync that goes on failing.
PLANS += [('write', 'fails'), ('sync', 'fails')]

lines = [l for l in generate('events', 400, 17) if lasting(l)][:120]
first, second = lines[:40], lines[40:80]
third = lines[80:]
write_lines('first', first)
write_lines('second', second)
write_lines('third', third)
known = {id_of(l) for l in lines}


class Outcome:
    def __init__(self, fired, wrong, acked=0, status=None, site=''):
        self.fired, self.wrong = fired, wrong
        self.acked, self.status, self.site = acked, status, site


def fired(log):
    """The line that fault.so wrote, if it did anything."""
    if not os.path.exists(log):
        return None
    with open(log) as f:
        text = f.read()
    os.unlink(log)
    return text.split('\n')[0] or None


def judge(d, status, acked, log, deliberate, err):
    """What is to be said of a store after a fault."""
    site = fired(log)
    wrong = []
    if status is None:
        wrong.append('hangs')
    elif status not in DOCUMENTED and not (deliberate and status == -9):
        wrong.append('status %s: %s' % (status, err.strip()[-3000:]))
    if status == 4:
        wrong.append('says that the store is corrupt: %s' % err.strip()[-300:])
    if os.path.isdir(d + '/log'):
        wrong += problems(d, acked, known, known)
    elif acked:
        wrong.append('the store is gone')
    return Outcome(site is not None, wrong, len(acked), status,
                   site.split()[3] if site else '')


def fresh(d, base):
    shutil.rmtree(d, ignore_errors=True)
    if base:
        shutil.copytree(base, d)
        # A copy is rebuilt by whoever opens it first.
        if not FULL or rng.random() < 0.8:
            run('nr-export', '-S', d, '--count')


def try_import(d, base, fault, deliberate):
    log = d + '.fired'
    fresh(d, base)
    acked = {id_of(l) for l in first} if base else set()
    # Small segments: new ones are begun as well.
    r = run('nr-import', '-S', d, '-j', '1', '--segment', '20000', 'second',
            'third', env=environment(fault, log))
    if r.status == 0:
        acked |= {id_of(l) for l in second + third}
    return judge(d, r.status, acked, log, deliberate, r.err)


def try_serve(d, base, fault, deliberate):
    log = d + '.fired'
    fresh(d, base)
    acked = {id_of(l) for l in first} if base else set()
    refused = {}
    relay = Relay(d, '--segment', '20000', '--set', 'verify_threads=1', '--set',
                  'query_threads=1', env=environment(fault, log))
    if relay.port is not None:
        # In a few batches, on two connections; then once more what was
        # refused, as a client would; a connection may be what fails.
        publish(relay.port, second, acked, 8, refused)
        publish(relay.port, third, acked, 20, refused)
        for _ in range(2):
            if relay.p.poll() is not None:
                break
            again = [l for l in second + third if id_of(l) not in acked]
            publish(relay.port, again, acked, 20)
        status = relay.stop()
    else:
        status = relay.wait()
    o = judge(d, status, acked, log, deliberate, relay.err())
    # It failed once and went on: then all is there in the end.
    if fault.endswith(':fail') and status == 0 and acked != known_after(base):
        o.wrong.append('does not recover: %d of %d acknowledged, %s'
                       % (len(acked), len(known_after(base)), relay.err()))
    return o


def known_after(base):
    return known if base else {id_of(l) for l in second + third}


def try_export(d, base, fault, deliberate):
    """A backup with a cursor: the cursor is never ahead of the file."""
    log = d + '.fired'
    for name in ('out', 'cursor'):
        if os.path.exists(d + '.' + name):
            os.unlink(d + '.' + name)
    command = ('nr-export', '-S', 'base', '--log', '--ids', '--cursor',
               d + '.cursor', '-o', d + '.out')
    r = run(*command, env=environment(fault, log))
    site = fired(log)
    got = set()
    again = run(*command[:-2])
    if os.path.exists(d + '.out'):
        with open(d + '.out') as f:
            got = set(f.read().split())
    wrong = []
    if r.status is None or r.status not in DOCUMENTED + (-9,) or \
            (r.status == -9 and not deliberate):
        wrong.append('status %s: %s' % (r.status, r.err))
    want = {id_of(l) for l in first}
    if again.status != 0 or got | set(again.out.split()) != want:
        wrong.append('a backup with a gap: %d and %d lines, %s' % (
            len(got), len(again.out.split()), again))
    if r.status == 0 and got != want:
        wrong.append('it says that all is written, but it is not')
    return Outcome(site is not None, wrong, 0, r.status,
                   site.split()[3] if site else '')


def plan_name(program, base, group, action):
    return '%s%s: %s %s' % (program, '' if base else ' into nothing', group,
                            action)


class Sweep:
    """All n of one plan, or as many as there is time for."""

    def __init__(self, program, attempt, base, group, action):
        self.attempt, self.base = attempt, base
        self.group, self.action = group, action
        self.name = plan_name(program, base, group, action)
        self.dir = self.name.replace(' ', '-').replace(':', '')
        self.tried = self.hits = 0
        self.last = None            # an n that fired nothing
        self.bad, self.sites, self.states = [], set(), {}

    def one(self, n):
        if self.last is not None and n >= self.last:
            return
        # A disk that stays full fails the store's files, not event counters.
        where = ':/' + self.dir if self.action == 'fails' else ''
        o = self.attempt(
            self.dir, self.base, '%s:%d:%s%s' % (
                self.group, n, self.action, where),
            self.action in ('torn', 'after', 'kill'))
        self.tried += 1
        if o.fired:
            self.hits += 1
            self.sites.add(o.site)
            self.states[o.status] = self.states.get(o.status, 0) + 1
        elif self.last is None or n < self.last:
            self.last = n
        for w in o.wrong:
            self.bad.append('n = %d (%s): %s' % (n, o.site, w))
            keep = '%s.%d' % (self.dir, n)
            if os.path.isdir(self.dir) and not os.path.isdir(keep):
                shutil.copytree(self.dir, keep)

    def run(self, stride, offset, until):
        n = 1 + offset % stride
        # However slow the machine is, each plan has its turn.
        while self.last is None and (time.monotonic() < until or
                                     self.tried == 0):
            self.one(n)
            n += stride
        shutil.rmtree(self.dir, ignore_errors=True)
        return self


run('nr-import', '-q', '-S', 'base', 'first')
run('nr-export', '-S', 'base', '--count')
sweeps = []
for base in ('base', None):
    for group, action in PLANS:
        sweeps.append(Sweep('nr-import', try_import, base, group, action))
        sweeps.append(Sweep('nr-serve', try_serve, base, group, action))
for group, action in PLANS:
    if group != 'commit':
        sweeps.append(Sweep('nr-export', try_export, 'base', group, action))
only = os.environ.get('NR_FAULT_ONLY')
if only:
    sweeps = [s for s in sweeps if only in s.name]

# What takes how long differs by machine: strides that grow with the sites,
# and an end.
begun = time.monotonic()
until = begun + BUDGET
offset = rng.randrange(1 << 20)
stride = {'alloc': 11, 'open': 5, 'write': 3, 'sync': 2}
rng.shuffle(sweeps)
with concurrent.futures.ThreadPoolExecutor(WORKERS) as ex:
    list(ex.map(lambda s: s.run(1 if FULL or only else stride.get(s.group, 1),
                                offset, until), sweeps))

total = sum(s.hits for s in sweeps)
places = set().union(*(s.sites for s in sweeps))
for s in sorted(sweeps, key=lambda s: s.name):
    complete = '' if s.last is not None else ', not to the end'
    note('%s: %d of %s calls failed, %d places, statuses %s%s' % (
        s.name, s.hits, s.last - 1 if s.last else '?', len(s.sites),
        ' '.join('%s:%d' % x for x in sorted(s.states.items(), key=str)),
        complete))
    for b in s.bad[:5]:
        complain('%s: %s' % (s.name, b))
note('%d calls failed in %d places of the code, %.1f s'
     % (total, len(places), time.monotonic() - begun))
for program in ('nr-import', 'nr-serve', 'nr-export'):
    mine = [s for s in sweeps if s.name.startswith(program)]
    ok(not any(s.bad for s in mine),
       '%s: whatever fails, nothing acknowledged is lost' % program)
    ok(sum(s.hits for s in mine) > (10 if program == 'nr-export' else 20) or only,
       '%s: many calls were made to fail' % program)
skipped = [s.name for s in sweeps if s.tried == 0]
ok(not FULL or not any(s.last is None for s in sweeps),
   'all of them, where there is time')
ok(not skipped, 'every plan had its turn', skipped)
done()
