#!/usr/bin/env python3
"""As many who talk as `runnel serve` says it has room for, then a restart among them:
serve_load.py RUNNEL SOURCE MINUTES TALKS(0: all). Nobody runs out of sound, all hear the same, one
more is told when to come again, nothing grows; and when the server is told to end, every answer
does, and every one who comes back is answered by the next server. Ends with 1 when that is not so.
Needs nothing but Python."""
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import websocket
from talkers import Talker

RUNNEL, SOURCE, MINUTES, TALKS = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
failed = []


def check(name, good, seen=""):
    if not good:
        failed.append(name)
    print(f"ok: {name}" if good else f"FAILED: {name}: {str(seen)[:300]}", flush=True)


def start(port, *options):
    """A server and its line."""
    server = subprocess.Popen([RUNNEL, "serve", "-q", "--port", str(port), *options],
                              stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline()


def metric(port, name):
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20).read().decode()
    return float(re.search(r"^%s ([0-9.]+)" % re.escape(name), page, re.M).group(1))


class Use:
    """Memory, descriptors and threads of a process."""

    def __init__(self, pid):
        with open(f"/proc/{pid}/statm") as f:
            self.memory = int(f.read().split()[1]) * 4096
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        self.threads = len(os.listdir(f"/proc/{pid}/task"))


def come_and_go(port, pid):
    """10,000 conversations that say nothing leave nothing."""
    sizes = []
    for count in (100, 9900):
        for _ in range(count):
            s = websocket.Socket(port)
            s.wait("session.created")
            s.close()
        sizes.append(Use(pid).memory)
    check(f"10,000 conversations: memory {sizes[1] / sizes[0]:.3f} times that of 100",
          sizes[1] <= 1.02 * sizes[0], sizes)


def is_refused(port):
    """One more, with a time to come again."""
    s = websocket.Socket(port)
    while b"}}" not in s.rest and (more := s.socket.recv(4096)):
        s.rest += more
    return b" 503 " in s.head and b"server_overloaded" in s.rest and \
        re.search(rb"\r\nretry-after: ([2-9]|10)(\r|$)", s.head) is not None


def seconds_of_health(port):
    """What an answer takes; asked ten times a second."""
    begin = time.monotonic()
    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20).read()
    seconds = time.monotonic() - begin
    time.sleep(max(0, 0.1 - seconds))
    return seconds


def load(port, pid, count):
    """For some minutes; returns those who talk."""
    alone = Talker(port, SOURCE)
    alone.talk()
    talkers = [Talker(port, SOURCE, i, 20) for i in range(count)]
    for t in talkers:
        t.start()
    begin, end = time.monotonic(), time.monotonic() + 60 * MINUTES
    full = all_there = 0
    early, most, health = None, [0, 0], []
    while time.monotonic() < end and not any(t.trouble for t in talkers):
        health += [seconds_of_health(port) for _ in range(50)]
        use = Use(pid)
        if early is None and time.monotonic() > begin + 15 * MINUTES:
            early = use
        # A conversation takes more the longer it is: the most of a time is compared, not an end.
        most[early is not None] = max(most[early is not None], use.memory)
        ends = [t.ends for t in talkers]
        if metric(port, 'runnel_connections{protocol="realtime"}') == count:
            refused = is_refused(port)
            # Nobody made room meanwhile.
            if ends == [t.ends for t in talkers] and not any(n % 2 for n in ends):
                all_there += 1
                full += refused
    late = sorted(health)[len(health) * 99 // 100] * 1e3
    check(f"/health: 99 of 100 within {late:.1f} ms (n {len(health)})", late <= 10)
    check("nobody had trouble", not any(t.trouble for t in talkers), [t.trouble for t in talkers])
    turns = [sound for t in talkers for talk in t.answers for sound in talk]
    first = [talk[0] for t in talkers for talk in t.answers if talk]
    check(f"{count} talk, {len(turns)} answers; each has the sound that it has alone",
          first and all(sound == alone.answers[0][0] for sound in first),
          [len(sound) for sound in first])
    by_turn = {}
    for t in talkers:
        for talk in t.answers:
            for i, sound in enumerate(talk):
                by_turn.setdefault(i, set()).add(sound)
    check("and all the same in each turn", all(len(sounds) == 1 for sounds in by_turn.values()),
          {i: len(sounds) for i, sounds in by_turn.items()})
    check(f"one more is told when to come again, {full} times", full == all_there > 0,
          (full, all_there))
    use, grown = Use(pid), most[1] - most[0]
    check(f"memory grew by {grown >> 10} KiB in three quarters of the time",
          grown < (1 << 20) * (2 * count + max(4, MINUTES * 3 / 4 / 60)), grown)
    check("no threads and descriptors more", use.threads == early.threads and
          abs(use.descriptors - early.descriptors) <= count, (use.__dict__, early.__dict__))
    gaps, least = metric(port, "runnel_underruns_total"), min(t.least for t in talkers)
    check(f"no gap; the least reserve was {least * 1e3:.0f} ms", gaps == 0, gaps)
    return talkers


def restart(server, port, talkers, options):
    """In the midst of their turns."""
    for t in talkers:
        t.turns = 10 ** 6  # they go on where they are until they are sent away
    while sum(t.is_heard() for t in talkers) < (len(talkers) + 1) // 2:
        time.sleep(0.01)
    heard = {t: sum(len(talk) for talk in t.answers) for t in talkers if t.is_heard()}
    begin = time.monotonic()
    server.send_signal(signal.SIGTERM)
    code = server.wait(40)
    check(f"it ends with 0 after {time.monotonic() - begin:.1f} s", code == 0, code)
    next_server, line = start(port, *options)
    print(f"the next one is ready {time.monotonic() - begin:.1f} s after the signal")
    check("it is ready", line.startswith("ready"), line)
    for t in talkers:
        t.over = True
    for t in talkers:
        t.join(30)
    check("all were sent away, when their answer was over",
          all(t.trouble is None and t.code == 1001 for t in heard),
          [(t.trouble, t.code) for t in heard])
    check(f"{len(heard)} who were speaking are answered first",
          all(sum(len(talk) for talk in t.answers) == count + 1 for t, count in heard.items()))
    again = [Talker(port, SOURCE) for _ in talkers]
    threads = [threading.Thread(target=t.talk) for t in again]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    check("who comes back is answered", all(t.answers and len(t.answers[0]) == 1 for t in again),
          [t.trouble for t in again])
    return next_server


def main():
    server, line = start(0)
    port = int(re.search(r":(\d+)/", line).group(1))
    room = int(re.search(r"(\d+) conversations", line).group(1))
    count = room if TALKS == 0 else min(TALKS, room)
    print(line.strip())
    if count < room:  # a server that has room for so many
        server.send_signal(signal.SIGTERM)
        server.wait(40)
        server, line = start(port, "--sessions", str(count))
    options = ["--sessions", str(count)]
    try:
        come_and_go(port, server.pid)
        talkers = load(port, server.pid, count)
        server = restart(server, port, talkers, options)
    finally:
        server.send_signal(signal.SIGTERM)
        check("the end", server.wait(40) == 0)
    print(f"{len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
