#!/usr/bin/env python3
"""A telephone exchange (Asterisk's AudioSocket) that calls `runnel serve --audiosocket`:
serve_audiosocket.py PORT PHONES QUESTION.wav. PHONES is the port for calls; QUESTION, at 16 kHz, is
what the caller says. Ends with 1 when something is not as it should be."""
import array
import base64
import os
import socket
import struct
import sys
import threading
import time
import wave

from serving import PORT, ask, check, finish, websocket

PHONES = int(sys.argv[2])
QUIET = 150 if "RUNNEL_TEST_SHORT" in os.environ else 25  # messages: an answer is over, or is slow
with wave.open(sys.argv[3]) as f:
    QUESTION = array.array("h", f.readframes(f.getnframes()))


class Call:
    def __init__(self, kind, rate):
        self.kind, self.rate, self.size = kind, rate, rate // 50 * 2
        self.socket = socket.create_connection(("127.0.0.1", PHONES), 20)
        self.send(0x01, bytes(range(16)))

    def send(self, kind, payload=b""):
        self.socket.sendall(struct.pack(">BH", kind, len(payload)) + payload)

    def say(self, samples):
        data = samples.tobytes()
        for at in range(0, len(data) - self.size + 1, self.size):
            self.send(self.kind, data[at:at + self.size])

    def read(self, size):
        got = b""
        while len(got) < size:
            more = self.socket.recv(size - len(got))
            if not more:
                return None
            got += more
        return got

    def next(self):
        """Kind and payload of the next message; None: it was hung up."""
        head = self.read(3)
        if head is None:
            return None
        kind, size = struct.unpack(">BH", head)
        return kind, self.read(size)


def taken(kind, rate, samples):
    """A call in which the samples and a second of silence are said, and its first message: tried
    until there is room for it, as a slow machine has room for one conversation."""
    until = time.monotonic() + 60
    while True:
        call = None
        try:
            call = Call(kind, rate)
            call.say(samples)
            call.say(array.array("h", bytes(2 * rate)))
            message = call.next()
        except OSError:
            message = None
        if message is not None or time.monotonic() > until:
            return call, message
        time.sleep(0.2)


def answered(kind, rate, samples):
    """The samples of the answer, as it is played, without the silence around it."""
    call, message = taken(kind, rate, samples)
    begun = time.monotonic()
    sound, count, quiet = array.array("h"), 0, 0
    while quiet < QUIET and time.monotonic() < begun + 60:
        if message is None:
            check(f"{rate} Hz: it hangs up", False)
            return sound
        check(f"{rate} Hz: a message", message[0] == kind and len(message[1]) == call.size, message)
        count += 1
        if count == 1:
            first = time.monotonic()
        heard = array.array("h", message[1])
        quiet = 0 if any(heard) or not sound else quiet + 1
        while heard and heard[-1] == 0:  # silence where more of it was not made yet
            heard.pop()
        sound.extend(heard)
        call.send(kind, bytes(call.size))  # the caller is silent, not gone
        message = call.next()
    took = time.monotonic() - first
    check(f"{rate} Hz: no faster than it is played", took > 0.02 * (count - 1) - 0.2, (took, count))
    if kind == 0x10:
        text = ask("/metrics").body.decode()
        check("a call is counted", 'runnel_connections{protocol="audiosocket"} 0' not in text)
    call.send(0x00)
    check(f"{rate} Hz: it is over", hung_up(call))
    return sound


def hung_up(call):
    try:
        while True:
            message = call.next()
            if message is None:
                return True
    except OSError:
        return True


def realtime():
    """The same question's answer over /v1/realtime, at 16 kHz both ways."""
    pcm = {"format": {"type": "audio/pcm", "rate": 16000}}
    s = websocket.Socket(PORT)
    while b" 503 " in s.head:  # the calls are just ending
        time.sleep(0.2)
        s = websocket.Socket(PORT)
    s.send("session.update",
           session={"type": "realtime", "audio": {"input": pcm, "output": pcm}})
    s.wait("session.updated")
    s.speak(QUESTION.tobytes() + bytes(32000))
    s.wait("response.done")
    return array.array("h", b"".join(base64.b64decode(e["delta"]) for e in s.events
                                     if e["type"] == "response.output_audio.delta"))


def same(played, said):
    """Whether they are the same samples, but for how they were rounded and that of the first ones
    are lacking that are silence."""
    at = 0
    for x in said:
        if at < len(played) and abs(played[at] - x) <= 8:
            at += 1
        elif abs(x) > 8:
            return False
    return len(said) > 8000 and at == len(played)


def calls():
    """Two calls at once, of different rates."""
    half = array.array("h", ((a + b) // 2 for a, b in zip(QUESTION[::2], QUESTION[1::2])))
    got = {}
    threads = [threading.Thread(target=lambda k=k, r=r, s=s: got.update({r: answered(k, r, s)}))
               for k, r, s in ((0x10, 8000, half), (0x12, 16000, QUESTION))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("8 kHz: an answer", len(got.get(8000, [])) > 4000, {r: len(s) for r, s in got.items()})
    check("16 kHz: the answer", same(got.get(16000, []), realtime()))


def strangers():
    for name, data in (("no name", b"\x10\x00\x02ab"), ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
                       ("a short name", b"\x01\x00\x02ab"), ("an error", b"\xff\x00\x01\x02"),
                       ("another rate", b"\x01\x00\x10" + bytes(16) + b"\x10\x00\x00\x12\x00\x00")):
        s = socket.create_connection(("127.0.0.1", PHONES), 20)
        s.sendall(data)
        try:
            while s.recv(4096):
                pass
        except socket.timeout:
            check(name, False, "it is not closed")
        except OSError:
            pass
        s.close()


calls()
strangers()
finish()
