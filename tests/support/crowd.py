"""Conversations with `runnel serve` that go on at the pace of speech, for campaigns: what each says
is a script of questions; a reply is played as a client plays it, and compared with the same reply
to nobody else. Needs nothing but Python."""
import array
import base64
import glob
import hashlib
import http.client
import os
import re
import threading
import time
import wave

import websocket

RATE = 24000
SILENCE = {"type": "realtime", "audio": {"input": {
    "format": {"type": "audio/pcm", "rate": RATE}, "turn_detection": None}}}


class Refused(Exception):
    """The server does not take the conversation: the head of its answer."""


def clip(path):
    """A WAV file of 16 kHz as PCM of 24 kHz, base64."""
    with wave.open(path) as w:
        x = array.array("h", w.readframes(w.getnframes()))
    x.append(x[-1])
    y = array.array("h", (x[i * 2 // 3] if i % 3 == 0 else (x[i * 2 // 3] + x[i * 2 // 3 + 1]) // 2
                          for i in range((len(x) - 1) * 3 // 2)))
    return base64.b64encode(y.tobytes()).decode()


def scripts(source, length=3):
    """Lists of `length` questions each; every question begins one."""
    paths = sorted(glob.glob(f"{source}/samples/questions/*.wav"))
    clips = [clip(path) for path in paths]
    return [[clips[(i + 5 * k) % len(clips)] for k in range(length)] for i in range(len(clips))]


class Play:
    """A loudspeaker that begins with the first sound of a reply: how late sound came, in s."""

    def __init__(self):
        self.begin, self.seconds, self.late = None, 0.0, 0.0

    def add(self, now, size):
        if self.begin is None:
            self.begin = now
        self.late = max(self.late, now - self.begin - self.seconds)
        self.seconds += size / (2 * RATE)

    def wait(self):
        if self.begin is not None:
            time.sleep(max(0.0, self.begin + self.seconds - time.monotonic()))


def connect(port):
    s = websocket.Socket(port)
    if b" 101 " not in s.head.split(b"\r\n")[0]:
        s.socket.close()
        raise Refused(s.head.decode())
    s.send("session.update", session=SILENCE)
    s.wait("session.updated")
    return s


def turn(s, question):
    """Asks, and plays the answer to its end: digest of its text and sound, how late sound came."""
    s.send("input_audio_buffer.append", audio=question)
    s.send("input_audio_buffer.commit")
    s.send("response.create")
    play, digest = Play(), hashlib.sha256()
    while True:
        e = s.next()
        if e is None:
            raise EOFError(f"closed with {s.code}")
        s.events.clear()
        if e["type"] == "response.output_audio.delta":
            sound = base64.b64decode(e["delta"])
            play.add(time.monotonic(), len(sound))
            digest.update(sound)
        elif e["type"] == "response.output_audio_transcript.delta":
            digest.update(e["delta"].encode())
        elif e["type"] == "error":
            raise EOFError(f"error: {e['error']}")
        elif e["type"] == "response.done":
            if e["response"]["status"] != "completed":
                raise EOFError(f"response: {e['response']['status_details']}")
            break
    play.wait()
    return digest.hexdigest(), play.late


def solo(port, script):
    """The digests of a script's replies."""
    s = connect(port)
    told = [turn(s, question)[0] for question in script]
    s.close()
    return told


class Crowd:
    """`count` conversations at a time, each from its first script to the next, until stop()."""

    def __init__(self, port, every_script, alone, count):
        self.port, self.scripts, self.alone = port, every_script, alone
        self.lock, self.stopping = threading.Lock(), False
        self.turns, self.talks, self.wrong, self.broken, self.late = 0, 0, 0, [], []
        self.threads = [threading.Thread(target=self.talk, args=(i,)) for i in range(count)]
        for i, thread in enumerate(self.threads):
            thread.start()
            time.sleep(0.05)

    def talk(self, number):
        while not self.stopping:
            script = number % len(self.scripts)
            number += len(self.threads) + 1
            try:
                s = connect(self.port)
                for question, right in zip(self.scripts[script], self.alone[script]):
                    digest, late = turn(s, question)
                    with self.lock:
                        self.turns += 1
                        self.wrong += digest != right
                        self.late.append(late)
                    if self.stopping:
                        break
                s.close()
            except (Refused, EOFError, OSError, SystemExit) as e:
                with self.lock:
                    self.broken.append(str(e)[:200])
                time.sleep(1)
            with self.lock:
                self.talks += 1

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def ask(port, path):
    """(status, headers, body, seconds) of a GET."""
    begin = time.monotonic()
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request("GET", path)
    r = c.getresponse()
    body = r.read().decode()
    c.close()
    return r.status, r.headers, body, time.monotonic() - begin


def metric(port, name):
    found = re.search(rf"^{name} (\S+)$", ask(port, "/metrics")[2], re.M)
    return float(found[1])


def taken(pid):
    """(resident KiB, descriptors, threads) of a process."""
    with open(f"/proc/{pid}/status") as f:
        status = f.read()
    number = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.M)[1])  # noqa: E731
    return number("VmRSS"), len(os.listdir(f"/proc/{pid}/fd")), number("Threads")
