#!/usr/bin/env python3
"""activate.py - run a program as systemd runs a service that has a socket.

    activate.py SOCKETS PORTFILE STATES CMD...

SOCKETS sockets listen on free ports of 127.0.0.1, which go to PORTFILE, a line
each.  What the program says at NOTIFY_SOCKET goes to STATES, a message a line,
with ';' between its lines and its process id as PID.  SIGHUP and SIGTERM are
passed on.  Ends with the program's status.
"""
import os
import signal
import socket
import sys
import tempfile

count, ports, states, cmd = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
listening = []
for _ in range(count):
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen(64)
    listening.append(s)
with open(ports, 'w') as f:
    for s in listening:
        f.write('%d\n' % s.getsockname()[1])

place = tempfile.mkdtemp()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(place + '/notify')
pid = os.fork()
if pid == 0:
    saved = [os.dup(s.fileno()) for s in listening]
    high = [os.dup2(fd, 100 + i) for i, fd in enumerate(saved)]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i)
        os.set_inheritable(3 + i, True)
    os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()),
                      NOTIFY_SOCKET=place + '/notify', WATCHDOG_USEC='1000000')
    os.execvp(cmd[0], cmd)
for sig in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(sig, lambda number, frame: os.kill(pid, number))
notify.settimeout(0.05)
status = None
with open(states, 'w') as f:
    while True:
        try:
            text = notify.recv(4096).decode().replace('\n', ';')
            f.write(text.replace(str(pid), 'PID') + '\n')
            f.flush()
            continue
        except (socket.timeout, InterruptedError):
            pass
        if status is not None:
            break
        done, how = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(how)
notify.close()
os.unlink(place + '/notify')
os.rmdir(place)
sys.exit(status if status >= 0 else 99)
