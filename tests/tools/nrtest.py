"""What the tests of faults share: TAP, the programs, a small client.

The programs are found in PATH, as tests/lib.sh sets it; fault.so beside
them in $NR_BUILD/tests.  Everything happens in the current directory.
"""

import atexit
import base64
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time

BIN = next(d for d in os.environ['PATH'].split(':')
           if os.access(d + '/nr-store', os.X_OK))
FAULT_SO = BIN + '/tests/fault.so'
SANITIZED = re.search(r'/build-[^/]*(address|thread)', BIN)
DOCUMENTED = (0, 1, 2, 3, 4)

# ---- TAP --------------------------------------------------------------------

_count = 0
_failed = 0


def ok(passed, name, *details):
    global _count, _failed
    _count += 1
    print('%s %d - %s' % ('ok' if passed else 'not ok', _count, name))
    sys.stdout.flush()
    if not passed:
        _failed += 1
        complain('not ok %d - %s' % (_count, name))
        for d in details:
            complain(str(d)[:1000])
    return passed


def equal(want, got, name, *more):
    return ok(want == got, name, 'want: %r' % (want,), 'got:  %r' % (got,),
              *more)


def note(text):
    for line in str(text).split('\n'):
        print('# ' + line)
    sys.stdout.flush()


def complain(text):
    """To stderr, which prove shows, as it does not the notes."""
    for line in str(text).split('\n'):
        print('# ' + line, file=sys.stderr)
    sys.stderr.flush()


def reap():
    """Whatever happens, leave no process behind."""
    for p in _started:
        if p.poll() is None:
            p.kill()
            p.wait()


_started = []
atexit.register(reap)


def skip(reason, name):
    global _count
    _count += 1
    print('ok %d - %s # SKIP %s' % (_count, name, reason))


def done():
    print('1..%d' % _count)
    sys.exit(1 if _failed else 0)


def seed():
    s = int(os.environ.get('NR_SEED') or time.time())
    note('seed %d' % s)
    return random.Random(s)


# ---- programs ---------------------------------------------------------------

def environment(fault=None, log=None, trace=None, mapsize=None):
    """The environment with fault.so loaded and told what to do."""
    env = dict(os.environ)
    preload = [FAULT_SO]
    if SANITIZED:
        # The sanitizer's library must come first, and keeps malloc.
        name = 'libasan.so' if SANITIZED.group(1) == 'address' else 'libtsan.so'
        preload.insert(0, subprocess.check_output(
            [os.environ.get('CC', 'cc'), '-print-file-name=' + name],
            text=True).strip())
    env['LD_PRELOAD'] = ' '.join(preload)
    for key, value in (('NR_FAULT', fault), ('NR_FAULT_LOG', log),
                       ('NR_FAULT_TRACE', trace), ('NR_FAULT_MAPSIZE', mapsize)):
        if value is not None:
            env[key] = os.path.abspath(value) if 'LOG' in key or 'TRACE' in key \
                else str(value)
    return env


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __str__(self):
        return 'status %s: %s' % (self.status, self.err.strip())


def run(*args, env=None, timeout=60, stdin=subprocess.DEVNULL):
    """Run to the end.  status is negative for a signal, None for a hang."""
    p = subprocess.Popen(args, env=env, stdin=stdin, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, errors='replace')
    _started.append(p)
    try:
        out, err = p.communicate(timeout=timeout)
        return Result(p.returncode, out, err)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        return Result(None, out, err)


def start(*args, env=None):
    p = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, errors='replace')
    _started.append(p)
    return p


def finish(p, timeout=30):
    try:
        out, err = p.communicate(timeout=timeout)
        return Result(p.returncode, out, err)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        return Result(None, out, err)


def free_port():
    """One that nobody listens on, below those that clients are given."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                pass


class Relay:
    """nr-serve; port is None where it ended before it was ready."""

    def __init__(self, store, *args, env=None, timeout=20):
        ready, tell = os.pipe()
        port = free_port()
        self.errname = '%s.%d.serve' % (store.rstrip('/').replace('/', '_'),
                                        time.monotonic_ns())
        with open(self.errname, 'wb') as err:
            self.p = subprocess.Popen(
                ('nr-serve', '-S', store, '--listen', '127.0.0.1:%d' % port,
                 '--ready-fd', str(tell)) + args, pass_fds=(tell,), env=env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        _started.append(self.p)
        os.close(tell)
        # An end of file says the same, where the newline was not to be had.
        self.port = None
        if select.select([ready], [], [], timeout)[0]:
            if os.read(ready, 1) or self._lives():
                self.port = port
        os.close(ready)

    def _lives(self):
        try:
            self.p.wait(0.5)
            return False
        except subprocess.TimeoutExpired:
            return True

    def err(self):
        with open(self.errname, errors='replace') as f:
            return f.read()

    def wait(self, timeout=30):
        try:
            return self.p.wait(timeout)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            return None

    def kill(self):
        self.p.kill()
        return self.p.wait()

    def stop(self, timeout=30):
        """SIGTERM; the exit status, None for a hang."""
        self.p.terminate()
        return self.wait(timeout)


# ---- a client -----------------------------------------------------------------

class Gone(Exception):
    """The relay is not there any more."""


class Client:
    """A WebSocket of text messages, over a plain socket."""

    def __init__(self, port, timeout=10):
        try:
            self.s = socket.create_connection(('127.0.0.1', port), timeout)
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.s.sendall((
                'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n'
                'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
                'Sec-WebSocket-Key: %s\r\n\r\n'
                % base64.b64encode(os.urandom(16)).decode()).encode())
            self.buf = b''
            while b'\r\n\r\n' not in self.buf:
                self._more()
        except OSError as e:
            raise Gone(str(e))
        head, self.buf = self.buf.split(b'\r\n\r\n', 1)
        if b' 101 ' not in head.split(b'\r\n')[0]:
            raise Gone(head.decode(errors='replace'))

    def _more(self):
        data = self.s.recv(1 << 16)
        if not data:
            raise Gone('closed')
        self.buf += data

    def send(self, text):
        b = text.encode() if isinstance(text, str) else text
        n = len(b)
        # Masked with zeros, as a client's frames must be masked.
        head = bytes([0x81]) + (
            bytes([0x80 | n]) if n < 126 else
            b'\xfe' + n.to_bytes(2, 'big') if n < 65536 else
            b'\xff' + n.to_bytes(8, 'big')) + b'\0\0\0\0'
        try:
            self.s.sendall(head + b)
        except OSError as e:
            raise Gone(str(e))

    def _frame(self):
        """The next frame in the buffer, or None."""
        b = self.buf
        if len(b) < 2:
            return None
        n, at = b[1] & 127, 2
        if n == 126:
            n, at = int.from_bytes(b[2:4], 'big'), 4
        elif n == 127:
            n, at = int.from_bytes(b[2:10], 'big'), 10
        if len(b) < at or len(b) < at + n:
            return None
        self.buf = b[at + n:]
        return b[0] & 15, b[at:at + n]

    def receive(self, timeout=10):
        """The next text message as JSON; None when there is none in time."""
        end = time.monotonic() + timeout
        while True:
            f = self._frame()
            if f is None:
                left = end - time.monotonic()
                if left <= 0 or not select.select([self.s], [], [], left)[0]:
                    return None
                try:
                    self._more()
                except OSError as e:
                    raise Gone(str(e))
            elif f[0] == 1:
                return json.loads(f[1])
            elif f[0] == 8:
                raise Gone('closed: %r' % f[1][2:])
            elif f[0] == 9:
                pass

    def close(self):
        self.s.close()


def publish(port, lines, acked, window=16, refused=None, stop=None, late=None):
    """Publish lines; what is OK'd goes into the set acked, and what is
    after an error into late as well.  Returns how many are unanswered when
    the relay goes away or stop() says so."""
    failed = False
    waiting = 0
    it = iter(lines)
    left = len(lines)
    try:
        c = Client(port)
        while left > 0 and not (stop and stop()):
            while waiting < window:
                line = next(it, None)
                if line is None:
                    break
                try:
                    c.send('["EVENT",' + line + ']')
                except Gone:
                    # What it said before is still to be read.
                    it = iter(())
                    break
                waiting += 1
            m = c.receive(0.1 if stop else 10)
            if m is None:
                if stop:
                    continue
                break
            if m[0] == 'OK':
                waiting -= 1
                left -= 1
                failed = failed or m[3].startswith('error:')
                if m[2]:
                    acked.add(m[1])
                    if failed and late is not None:
                        late.add(m[1])
                elif refused is not None:
                    refused[m[1]] = m[3]
            elif m[0] == 'NOTICE':
                # An event so broken that its id was not found, or no memory.
                waiting -= 1
                left -= 1
        c.close()
    except Gone:
        pass
    return left


# ---- events and stores ----------------------------------------------------------

def generate(name, n, seed, *args):
    with open(name, 'wb') as f:
        subprocess.run(('nr-bench', 'gen', '-q', '-n', str(n), '--seed',
                        str(seed)) + args, stdout=f, check=True)
    with open(name, 'rb') as f:
        return f.read().decode().split('\n')[:-1]


def write_lines(name, lines):
    with open(name, 'wb') as f:
        f.write(''.join(l + '\n' for l in lines).encode())


def id_of(line):
    return line[7:71]


def lasting(line):
    """Will it be live for ever, whatever else is stored?"""
    e = json.loads(line)
    k = e['kind']
    return not (k in (0, 3, 5, 62) or 10000 <= k < 40000 or
                any(t and t[0] == 'expiration' for t in e['tags']))


def segments(store):
    d = store + '/log'
    return sorted(d + '/' + n for n in os.listdir(d)
                  if re.fullmatch(r'\d{8}(\.\d+)?\.jsonl', n))


def torn(store):
    return sorted(n for n in os.listdir(store + '/log') if n.endswith('.torn'))


def log_ids(store):
    """The ids of all whole lines, in order."""
    ids = []
    for s in segments(store):
        with open(s, 'rb') as f:
            data = f.read()
        ids += [l[7:71].decode() for l in data.split(b'\n')[:-1]
                if l.startswith(b'{"id":"')]
    return ids


def export_ids(store, env=None):
    r = run('nr-export', '-S', store, '--ids', env=env)
    return r, r.out.split()


def stale_slots(store):
    """Processes in LMDB's table of readers that are no more."""
    with open(store + '/index/lock.mdb', 'rb') as f:
        head, table = f.read(128), f.read()
    used = int.from_bytes(head[56:60], sys.byteorder)
    found = set()
    for at in range(0, 64 * used, 64):
        pid = int.from_bytes(table[at + 8:at + 12], sys.byteorder)
        if pid != 0 and not os.path.exists('/proc/%d' % pid):
            found.add(pid)
    return found


def problems(store, acked, known, stays):
    """Open the store afresh and say what is wrong, as a list of texts.

    acked   ids that must be in the log, once
    known   ids that may be there at all
    stays   those that are live where they are in the log
    """
    wrong = []
    r = run('nr-store', '-q', '-S', store, 'check', '--full')
    if r.status != 0:
        wrong.append('check: %s %s' % (r, r.out[:300]))
    r, ids = export_ids(store)
    if r.status != 0:
        wrong.append('export: %s' % r)
    exported = set(ids)
    if len(exported) != len(ids):
        wrong.append('exported twice: %d' % (len(ids) - len(exported)))
    if exported - known:
        wrong.append('exported but never published: %s' % list(exported - known)[:3])
    ids = log_ids(store)
    logged = set(ids)
    lost = (acked & stays) - exported
    if lost:
        wrong.append('acknowledged but not exported: %d, %s'
                     % (len(lost), list(lost)[:3]))
    lost = (logged & stays) - exported - acked
    if lost:
        wrong.append('in the log but not exported: %d, %s'
                     % (len(lost), list(lost)[:3]))
    if len(logged) != len(ids):
        wrong.append('in the log twice: %d' % (len(ids) - len(logged)))
    if acked - logged:
        wrong.append('acknowledged but not in the log: %d' % len(acked - logged))
    r = run('nr-store', '-S', store, 'stat', '--json')
    slots = json.loads(r.out)['index']['reader_slots'] if r.status == 0 else r
    if slots != 1:
        wrong.append('reader slots: %s' % slots)
    return wrong
