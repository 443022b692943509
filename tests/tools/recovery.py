"""Locks, lost indexes, copies, full maps, failing syncs, crashed machines
and full disks: see tests/1800-recovery.t.

    recovery.py         all but the last
    recovery.py disk    full disks; needs to mount
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from nrtest import (export_ids, Relay, done, environment, equal, export_ids, finish,
                    generate, id_of, lasting, log_ids, note, ok, problems,
                    publish, run, seed, segments, skip, start, torn,
                    write_lines)

FULL = bool(os.environ.get('NR_FULL'))
rng = seed()


def ids(lines):
    return {id_of(l) for l in lines}


def whole(store, acked, known, name):
    wrong = problems(store, acked, known, known)
    return ok(not wrong, name, *wrong)


def stopped(p, timeout=10):
    """Wait until it has stopped itself."""
    end = time.monotonic() + timeout
    while time.monotonic() < end and p.poll() is None:
        with open('/proc/%d/stat' % p.pid) as f:
            if f.read().rsplit(')', 1)[1].split()[0] == 'T':
                return True
        time.sleep(0.005)
    return False


def make(store, lines):
    write_lines('made', lines)
    r = run('nr-import', '-q', '-S', store, 'made')
    if r.status != 0:
        ok(False, 'a store can be made', r)
        done()


def holder(store, lines):
    """An import that has stopped while it holds the write lock."""
    write_lines(store + '.held', lines)
    p = start('nr-import', '-q', '-S', store, store + '.held',
              env=environment('sync:1:stop:/log/0'))
    ok(stopped(p), 'a writer stops in the middle of a batch')
    return p


# ---- locks ----------------------------------------------------------------------

def killed_holder(lines):
    base, held, more = lines[:50], lines[50:250], lines[250:300]
    make('kh', base)
    p = holder('kh', held)
    write_lines('kh.more', more)
    waiter = start('nr-import', '-q', '-S', 'kh', 'kh.more')
    time.sleep(0.3)
    ok(waiter.poll() is None, 'another one waits for the lock')
    p.kill()
    p.wait()
    r = finish(waiter, 9)
    equal(0, r.status, 'and goes on when the holder is killed')
    there = set(export_ids('kh')[1])
    ok(len(there & ids(held)) > 0, 'what the holder had written is taken in')
    whole('kh', ids(base + more), ids(lines), 'nothing is lost, nothing is twice')


def stopped_holder(lines):
    """Takes as long as the lock's timeout: run beside the others."""
    base, held, more = lines[:50], lines[50:250], lines[250:300]
    make('sh', base)
    p = holder('sh', held)
    write_lines('sh.more', more)
    waited = {}

    def wait():
        begun = time.monotonic()
        waited['r'] = run('nr-import', '-S', 'sh', 'sh.more')
        waited['took'] = time.monotonic() - begun

    waiter = threading.Thread(target=wait)
    waiter.start()

    def rest():
        r, got = export_ids('sh')
        ok(r.status == 0 and ids(base) <= set(got), 'readers read meanwhile', r)
        waiter.join()
        r, took = waited['r'], waited['took']
        ok(r.status == 3 and 9 < took < 15,
           'who waits gives up in time (%.1f s)' % took, r)
        ok('held by nr-import %d' % p.pid in r.err, 'and says who holds it', r)
        os.kill(p.pid, signal.SIGCONT)
        equal(0, finish(p).status, 'the holder goes on where it was')
        whole('sh', ids(base + held), ids(lines), 'and all is there')
    return rest


# ---- what happens to files under a running relay --------------------------------

def lost_index(lines):
    base, after = lines[:100], lines[100:160]
    acked, refused = set(), {}
    relay = Relay('li')
    publish(relay.port, base, acked)
    equal(ids(base), acked, 'a relay acknowledges')
    shutil.rmtree('li/index')
    r = run('nr-export', '-S', 'li', '--count')
    ok(r.status == 3, 'without its index others do not join', r)
    publish(relay.port, after, acked, refused=refused)
    status = relay.wait(15)
    equal(3, status, 'it ends when its index is gone')
    ok(re.search('error: .*(replaced|removed|gone)', relay.err()),
       'and says why', relay.err())
    equal(ids(base), acked, 'nothing was acknowledged since')
    whole('li', acked, ids(lines), 'a restart rebuilds the index')


def copies(lines):
    acked, copied = set(), []
    relay = Relay('cp')
    over = threading.Event()
    t = threading.Thread(target=publish, args=(
        relay.port, lines, acked, 16, None, over.is_set))
    t.start()
    for i in range(3):
        time.sleep(0.05)
        before = set(acked)
        copy = 'cp.%d' % i
        subprocess.run(['cp', '-r', 'cp', copy], check=True)
        copied.append((copy, before))
    busy = t.is_alive()
    over.set()
    t.join()
    equal(0, relay.stop(), 'a relay that is copied')
    ok(busy, 'was busy all the time')
    known = ids(lines)
    for copy, before in copied:
        whole(copy, before, known,
              'a copy has what was acknowledged before (%d)' % len(before))
    whole('cp', acked, known, 'and so has the original')


# ---- LMDB's map, a failing sync ----------------------------------------------------

def full_map(lines):
    write_lines('fm.in', lines)
    make('mi', lines[:20])
    r = run('nr-import', '-q', '-S', 'mi', 'fm.in',
            env=environment(log='mi.log', mapsize=128 << 10))
    equal(0, r.status, 'a full map does not stop an import')
    with open('mi.log') as f:
        sizes = f.read().split('\n')
    ok(len(sizes) > 2, 'it grows', sizes)
    whole('mi', ids(lines), ids(lines), 'and all is stored')
    acked = set()
    relay = Relay('ms', env=environment(log='ms.log', mapsize=128 << 10))
    publish(relay.port, lines, acked, 50)
    equal(0, relay.stop(), 'nor a relay')
    with open('ms.log') as f:
        ok(len(f.read().split('\n')) > 2, 'it grows')
    ok(len(acked) == len(ids(lines)), 'all is acknowledged')
    whole('ms', acked, ids(lines), 'and there')


def grown_map(lines):
    """Another process makes the map larger than ours is."""
    make('gm', lines[:20])
    relay = Relay('gm', env=environment(log='gm.log', mapsize=512 << 10))
    acked = set()
    publish(relay.port, lines[:60], acked)
    write_lines('gm.in', lines[100:])
    r = run('nr-import', '-q', '-S', 'gm', 'gm.in')
    equal(0, r.status, 'an import grows the map beside a relay')
    publish(relay.port, lines[60:100], acked)
    equal(80, len(acked - ids(lines[:20])), 'which goes on')
    equal(0, relay.stop(), 'to a good end', relay.err())
    whole('gm', ids(lines), ids(lines), 'and all is there')


def endless_line(lines):
    """Junk without an LF, more of it than a line may have, costs itself."""
    for name, after in (('el', lines[20:]), ('ee', [])):
        for how in ('as a tail', 'rebuilt'):
            store = name + how[:2]
            make(store, lines[:20])
            with open(segments(store)[-1], 'ab') as f:
                for _ in range(17):
                    f.write(b'x' * (8 << 20))
                if after:
                    f.write(b'\n' + ''.join(l + '\n' for l in after).encode())
            if how == 'rebuilt':
                subprocess.run(['rm', '-rf', store + '/index', store + '/state'])
            r = run('nr-store', '-S', store, 'stat')
            known = ids(lines[:20] + after)
            equal(0, r.status, 'a line without an end, %s' % how, r.err)
            equal(known, set(export_ids(store)[1]), '%d events follow it: all are there'
                  % len(after))
            aside = sum(os.path.getsize('%s/log/%s' % (store, t)) for t in torn(store))
            equal(0 if after else 17 << 23, aside, 'and no byte is lost')
            subprocess.run(['rm', '-rf', store])


def failing_sync(lines):
    acked, late, refused = set(), set(), {}
    relay = Relay('fs', env=environment('sync:2:fail:/log/0', 'fs.log'))
    publish(relay.port, lines[:1], acked)
    # Many at a time, so that others are on their way when it fails.
    publish(relay.port, lines[1:], acked, 400, refused, late=late)
    before = set(acked)
    publish(relay.port, [l for l in lines if id_of(l) not in acked], acked)
    status = relay.wait(20)
    ok(os.path.getsize('fs.log') > 0 and 0 < len(before) < len(lines),
       'a sync failed in the middle')
    equal(3, status, 'the relay ends')
    ok('error: ' in relay.err() and 'sync' in relay.err(), 'and says why',
       relay.err())
    ok(any(m.startswith('error: ') for m in refused.values()),
       'what was under way is refused with an error', refused)
    equal((before, set()), (acked, late), 'nothing is acknowledged after it')
    whole('fs', acked, ids(lines), 'the store is whole')
    make('fi', lines[:20])
    write_lines('fi.in', lines)
    r = run('nr-import', '-q', '-S', 'fi', 'fi.in',
            env=environment('sync:1:fail:/log/0'))
    ok(r.status == 3 and 'sync' in r.err, 'an import says so too', r)
    r = run('nr-import', '-q', '-S', 'fi', 'fi.in')
    equal(0, r.status, 'and can be run again')
    whole('fi', ids(lines), ids(lines), 'with all of it')


# ---- a crashed machine ----------------------------------------------------------------

STATE_TEXT = 479        # bytes of the state file before its checksum


def other_boot(store, clean=False):
    """The state file as the machine would find it after a restart."""
    with open(store + '/state', 'rb') as f:
        b = bytearray(f.read())
    i = b.index(b'boot ') + 5
    b[i:i + 36] = b'00000000-0000-0000-0000-000000000000'
    i = b.index(b'clean ') + 6
    b[i:i + 1] = b'1' if clean else b'0'
    b[STATE_TEXT:STATE_TEXT + 32] = hashlib.sha256(
        bytes(b[:STATE_TEXT])).hexdigest()[:32].encode()
    with open(store + '/state', 'wb') as f:
        f.write(b)


def epoch(store):
    with open(store + '/state', 'rb') as f:
        return f.read().split(b'\n')[1]


def trace_open(store):
    """Open it; what happened first to data.mdb, and what it exported."""
    if os.path.exists('trace'):
        os.unlink('trace')
    r, got = export_ids(store, env=environment(trace='trace'))
    with open('trace') as f:
        calls = [c for c in f.read().split('\n') if 'data.mdb' in c]
    return r, got, calls[0].split()[0] if calls else None


def crashed_index(lines):
    early, late = lines[:400], lines[400:800]
    make('ci', early)
    with open('ci/index/data.mdb', 'rb') as f:
        old = f.read()
    make('ci', late)
    want = ids(early + late)
    with open('ci/index/data.mdb', 'rb') as f:
        new = f.read()

    def put(data):
        # In place: the same file, as after a crash.
        with open('ci/index/data.mdb', 'r+b') as f:
            f.write(data)
            f.truncate(len(data))
        other_boot('ci')

    def mixed(share):
        out = bytearray(new)
        for at in range(0, len(old), 4096):
            if rng.random() < share:
                out[at:at + 4096] = old[at:at + 4096]
        return bytes(out)

    r, got, first = trace_open('ci')
    ok(r.status == 0 and set(got) == want and first == 'open',
       'a clean store is opened as it is', r, first)
    images = [('intact', new), ('of the earlier sync', old), ('empty', b''),
              ('without its last pages', new[:len(new) // 2]),
              ('of zeros', bytes(len(new))), ('of noise', rng.randbytes(len(new))),
              ('with a meta page of the earlier sync', old[:4096] + new[4096:])]
    images += [('mixed of two syncs, %d' % i, mixed(rng.uniform(0.05, 0.95)))
               for i in range(40 if FULL else 8)]
    bad = []
    for name, data in images:
        put(data)
        before = epoch('ci')
        r, got, first = trace_open('ci')
        # It must be gone before LMDB sees it.
        if r.status != 0 or set(got) != want or len(got) != len(want) or \
                first != 'unlink' or epoch('ci') == before:
            bad.append('%s: %s, first %s, %d of %d' % (
                name, r, first, len(got), len(want)))
    ok(not bad, 'an index of another boot is never trusted (%d images)'
       % len(images), *bad)
    whole('ci', want, want, 'and what is rebuilt is whole')
    # A dirty one of this boot is; a file in its place is not.
    os.rename('ci/index/data.mdb', 'ci/index/moved')
    shutil.copy('ci/index/moved', 'ci/index/data.mdb')
    os.unlink('ci/index/moved')
    r, got, first = trace_open('ci')
    ok(r.status == 0 and set(got) == want and first == 'unlink',
       'nor is a copy in its place', r, first)


class Cuts:
    """A store whose last batch is cut somewhere, opened many times."""

    def __init__(self, store, lines):
        self.store, self.lines = store, lines
        self.dir = store + '.try'

    def settle(self, base):
        """Remember log and state; base bytes of the log are not touched."""
        self.log = segments(self.store)[-1].split('/')[-1]
        with open('%s/log/%s' % (self.store, self.log), 'rb') as f:
            self.data = f.read()
        self.base = base

    def put(self, data, boot):
        # The same files again, so that they are the ones in the state.
        shutil.rmtree(self.dir, ignore_errors=True)
        subprocess.run(['cp', '-r', self.store, self.dir], check=True)
        with open('%s/log/%s' % (self.dir, self.log), 'wb') as f:
            f.write(data)
        if boot:
            other_boot(self.dir)

    def expect(self, data):
        """Ids of the whole lines that are events."""
        return {l[7:71].decode() for l in data.split(b'\n')[:-1]
                if l in self.good}

    def look(self, data, clean):
        self.good = {l.encode() for l in self.lines}
        want = self.expect(data)
        r, got = export_ids(self.dir)
        if r.status != 0 or set(got) != want or len(got) != len(want):
            return '%s; %d of %d' % (r, len(got), len(want))
        if not want >= self.expect(self.data[:self.base]):
            return 'an acknowledged event is lost'
        if clean:
            r = run('nr-store', '-q', '-S', self.dir, 'check')
            if r.status != 0:
                return 'check: %s %s' % (r, r.out)
            kept = b''
            for name in torn(self.dir):
                with open('%s/log/%s' % (self.dir, name), 'rb') as f:
                    kept += f.read()
            end = data.rfind(b'\n') + 1
            if kept != data[end:]:
                return 'what was torn is not set aside'
        return None


def some(values):
    """All in the long run; else a part that differs from time to time."""
    values = list(values)
    if FULL:
        return values
    step = max(1, len(values) // 60)
    return values[rng.randrange(step)::step]


def crashed_log(lines):
    acked, last = lines[:30], sorted(lines[30:], key=len)[:4]
    make('cl', acked)
    c = Cuts('cl', acked + last)
    base = os.path.getsize(segments('cl')[-1])
    write_lines('cl.last', last)
    # Dies when its lines are in the log and nothing says so.
    r = run('nr-import', '-q', '-S', 'cl', 'cl.last',
            env=environment('sync:1:after:/log/0'))
    equal(-9, r.status, 'a writer dies with its lines in the log')
    c.settle(base)
    data, n = c.data, len(c.data)
    edges = {base, n} | {i + d for i in range(base, n) if data[i] == 10
                         for d in (0, 1, 2)}
    cuts = sorted(x for x in set(some(range(base, n + 1))) | edges if x <= n)
    bad = []
    for cut in cuts:
        c.put(data[:cut], True)
        w = c.look(data[:cut], True)
        if w:
            bad.append('cut at %d: %s' % (cut - base, w))
    ok(not bad, 'cut at any byte of the last batch (%d of %d)'
       % (len(cuts), n + 1 - base), *bad[:3])
    # Pages that never came are zeros.
    bad = []
    zeros = [(cut, pad) for cut in some(range(base, n)) for pad in
             (4096 - cut % 4096, 4096, 12288)]
    for cut, pad in some(zeros):
        image = data[:cut] + bytes(pad)
        c.put(image, True)
        w = c.look(image, True)
        if w:
            bad.append('zeros from %d: %s' % (cut - base, w))
    for at in some(range(base, n - 8)):
        size = rng.randrange(1, n - at)
        image = data[:at] + bytes(size) + data[at + size:]
        c.put(image, True)
        w = c.look(image, False)
        if w:
            bad.append('zeros inside at %d: %s' % (at - base, w))
    ok(not bad, 'zeros at its end or inside it', *bad[:3])


def killed_log(lines):
    """The same boot: the index is trusted, and the log is longer."""
    acked, last = lines[:30], sorted(lines[30:], key=len)[:4]
    make('kl', acked)
    base = os.path.getsize(segments('kl')[-1])
    write_lines('kl.last', last)
    run('nr-import', '-q', '-S', 'kl', 'kl.last',
        env=environment('sync:1:after:/log/0'))
    c = Cuts('kl', acked + last)
    c.settle(base)
    c.dir = c.store
    with open('kl/log/' + c.log, 'rb') as f:
        data = f.read()
    # Once opened the tail is indexed: what is left to try is what follows.
    images, bad = some(range(base + 1, len(data))), []
    for cut in images:
        shutil.rmtree('kl')
        make('kl', acked)
        before = epoch('kl')
        for segment in segments('kl'):
            with open(segment, 'r+b') as f:
                f.seek(base)
                f.write(data[base:cut])
        w = c.look(data[:cut], True)
        if w or epoch('kl') != before:
            bad.append('a tail of %d bytes: %s' % (cut - base, w or 'rebuilt'))
    ok(not bad, 'any tail of a killed writer, without a rebuild (%d)'
       % len(images), *bad[:3])


# ---- full disks ------------------------------------------------------------------------

def mount(kind, size, at):
    """A small file system there, in this mount namespace alone."""
    os.makedirs(at, exist_ok=True)
    if kind == 'tmpfs':
        command = ['mount', '-t', 'tmpfs', '-o', 'size=%d' % size, 'none', at]
    else:
        image = at.replace('/', '_') + '.img'
        with open(image, 'wb') as f:
            f.truncate(size)
        subprocess.run(['mkfs.ext4', '-q', '-F', '-m', '0', image], check=True)
        command = ['mount', '-o', 'loop', image, at]
    r = run(*command)
    if r.status != 0:
        return r.err.strip()
    shutil.rmtree(at + '/lost+found', ignore_errors=True)
    return None


def unmount(at):
    subprocess.run(['umount', at], check=True)


def fill_import(store, name, what):
    """Import until the disk is full."""
    r = run('nr-import', '-q', '-S', store, name)
    ok(r.status == 3 and re.search('space', r.err, re.I),
       '%s: an import into a full disk is status 3 and says so' % what, r)


def disk(kind, where, lines, size):
    store = 'disk-%s-%s' % (kind, where)
    what = '%s, %s' % (kind, where)
    base, rest = lines[:200], lines[200:]
    write_lines('rest', rest)
    at = store if where == 'all' else '%s/%s' % (store, where)
    if where == 'index':
        # Kept apart from the log from the start.
        os.makedirs(store + '/log')
    why = mount(kind, size, at)
    if why:
        skip('no mounting: ' + why, what)
        return
    acked, refused = set(), {}
    relay = Relay(store)
    if not ok(relay.port is not None, what + ': a relay', relay.err()):
        return
    publish(relay.port, base, acked)
    publish(relay.port, rest, acked, 200, refused)
    ok(ids(base) <= acked and len(acked) < len(lines),
       '%s: full after %d acknowledgements' % (what, len(acked)))
    ok(any(re.match('error: .*(space|stored)', m) for m in refused.values()),
       '%s: the others are refused with an error' % what,
       list(refused.values())[:2], relay.err())
    status = relay.stop()
    ok(status in (0, 3), '%s: the relay ends in order' % what, status, relay.err())
    fill_import(store, 'rest', what)
    known = ids(lines)
    if where == 'index':
        # Room again, by a larger one: it is built anew.
        unmount(at)
    elif where == 'log':
        subprocess.run(['cp', '-r', at, 'saved'], check=True)
        unmount(at)
        shutil.rmtree(at)
        os.rename('saved', at)
    else:
        r = run('nr-store', '-q', '-S', store, 'check')
        equal(0, r.status, '%s: the full store is checked' % what)
        whole(store, acked, known, '%s: nothing acknowledged is lost' % what)
        unmount(at)
        return
    whole(store, acked, known, '%s: nothing acknowledged is lost' % what)
    write_lines('rest', rest)
    equal(0, run('nr-import', '-q', '-S', store, 'rest').status,
          '%s: with room again it goes on' % what)
    whole(store, known, known, '%s: to the end' % what)


def disks():
    r = run('mount', '--make-rprivate', '/')
    if r.status != 0:
        skip('no mounting: ' + r.err.strip(), 'full disks')
        return
    lines = [l for l in generate('events', 12000, rng.randrange(1 << 30))
             if lasting(l)]
    for kind in ('ext4', 'tmpfs'):
        disk(kind, 'all', lines, 8 << 20)
        disk(kind, 'log', lines, 4 << 20)
        # What waits to be merged into the index is in the log alone.
        disk(kind, 'index', lines, 3 << (20 if kind == 'ext4' else 18))


# ---- all of it ----------------------------------------------------------------------------

if sys.argv[1:] == ['disk']:
    disks()
    done()
lines = [l for l in generate('events', 4000, rng.randrange(1 << 30))
         if lasting(l)]
rest = stopped_holder(lines[:300])
killed_holder(lines[300:600])
lost_index(lines[:200])
copies(lines)
full_map(lines[:1500])
grown_map(lines)
endless_line(lines[:40])
failing_sync(lines[:2000])
crashed_index(lines)
small = [l for l in lines if len(l) < 800]
crashed_log(small[:60])
killed_log(small[60:120])
rest()
done()
