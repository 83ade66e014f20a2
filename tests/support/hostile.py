#!/usr/bin/env python3
"""Hostile clients of `runnel serve` (server.md I), while four people talk with it: hostile.py PORT
WYOMING PID SOURCE. Each of them gets the answer of the table; the four hear nothing of it, and
nothing is left of them. Ends with 1 when that is not so. Needs nothing but Python, and loopback
addresses besides 127.0.0.1."""
import array
import base64
import json
import os
import random
import re
import socket
import struct
import sys
import threading
import time

import websocket
from flac_of_silence import flac
from talkers import Talker

PORT, WYOMING, PID = (int(a) for a in sys.argv[1:4])
SOURCE = sys.argv[4]
HOST = f"Host: 127.0.0.1:{PORT}\r\n"
JSON_POST = f"POST /v1/chat/completions HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
failed, rows = [], 0


def check(name, good, seen=""):
    global rows
    rows += 1
    if not good:
        failed.append(name)
    print(f"ok: {name}" if good else f"FAILED: {name}: {str(seen)[:300]}", flush=True)


# ---- What the server has

def metric(name):
    page = ask("GET /metrics HTTP/1.1\r\n" + HOST + "Connection: close\r\n\r\n", whole=True)
    found = re.search(rb"^%s ([0-9.]+)" % name.encode(), page, re.M)
    return float(found.group(1))


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def resident():
    with open(f"/proc/{PID}/statm") as f:
        return int(f.read().split()[1]) * 4096


# ---- Ways to ask

def connect(source="127.0.0.2", port=PORT, wait=20):
    s = socket.create_connection(("127.0.0.1", port), 5, (source, 0))
    s.settimeout(wait)
    return s


def read(s, whole=False):
    """The first bytes that come, or all; b"": closed; None: nothing within the time."""
    got = b""
    try:
        while True:
            more = s.recv(65536)
            got += more
            if not more or not whole:
                return got
    except socket.timeout:
        return got or None
    except OSError:
        return got


def ask(*pieces, whole=False, wait=20, source="127.0.0.2"):
    s = connect(source, wait=wait)
    try:
        for p in pieces:
            s.sendall(p if isinstance(p, bytes) else p.encode())
    except OSError:
        pass
    got = read(s, whole)
    s.close()
    return got


def status(answer):
    found = re.match(rb"HTTP/1\.[01] (\d+)", answer or b"")
    return int(found.group(1)) if found else answer


def frame(data, kind=1, last=True, bits=0, size=None):
    size = len(data) if size is None else size
    head = bytes([(0x80 if last else 0) | bits | kind])
    head += bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size) \
        if size < 65536 else b"\xff" + struct.pack(">Q", size)
    return head + bytes(4) + data  # masked by nothing


class Peer:
    """A WebSocket that says what it likes. Where the machine is full it comes again, as it is told
    to."""

    def __init__(self, source="127.0.0.2"):
        end = time.monotonic() + 60
        while not self.open(source) and time.monotonic() < end:
            self.socket.close()
            time.sleep(2)

    def open(self, source):
        self.socket = connect(source)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET /v1/realtime HTTP/1.1\r\n{HOST}Upgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                             f"Sec-WebSocket-Key: {key}\r\n\r\n").encode())
        self.rest, self.codes, self.types = b"", [], []
        self.fill(lambda: b"\r\n\r\n" in self.rest)
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        return b" 503 " not in head

    def fill(self, done):
        while not done():
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.rest += more

    def say(self, *frames):
        try:
            for f in frames:
                self.socket.sendall(f)
        except OSError:
            pass
        return self

    def ends(self, wait=20, last=None):
        """The code of the close frame; 0: none came; None: it is open after that time, or when an
        event of type `last` came."""
        self.socket.settimeout(wait)
        try:
            while True:
                self.fill(lambda: len(self.rest) >= 2)
                size, at = self.rest[1], 2
                if size > 125:
                    at = 4 if size == 126 else 10
                    self.fill(lambda: len(self.rest) >= at)
                    size = int.from_bytes(self.rest[2:at], "big")
                self.fill(lambda: len(self.rest) >= at + size)
                kind, data = self.rest[0] & 15, self.rest[at:at + size]
                self.rest = self.rest[at + size:]
                if kind == 8:
                    return int.from_bytes(data[:2], "big")
                if kind == 9:
                    self.socket.settimeout(20)
                    self.say(frame(data, 10))
                    self.socket.settimeout(wait)
                if kind == 1:
                    e = json.loads(data)
                    self.types.append(e["type"])
                    if e["type"] == last:
                        return None
                    if e["type"] == "error":
                        self.codes.append(e["error"]["code"])
        except socket.timeout:
            return None
        except (EOFError, OSError):
            return 0
        finally:
            self.socket.settimeout(20)


def event(kind, **rest):
    return frame(json.dumps({"type": kind, **rest}).encode())


# ---- Rows of the table

def slow():
    """Beside the rest: those who take their time, and one who never answers a ping."""
    def closed(name, seconds, *pieces):
        begin = time.monotonic()
        s = connect("127.0.0.6", wait=seconds + 10)
        s.sendall(pieces[0].encode())
        try:
            for byte in pieces[1]:
                time.sleep(1)
                s.sendall(byte.encode())
        except (OSError, IndexError):
            pass
        read(s, True)
        took = time.monotonic() - begin
        check(f"{name}: closed in {took:.0f} s", took < seconds + 3, took)
    upgrade = f"GET /v1/realtime HTTP/1.1\r\n{HOST}Upgrade: websocket\r\n"
    clients = [("a head, one byte a second", 10, "GET /health HT", "TP/1.1 and so on it goes"),
               ("a body that stops", 10, JSON_POST + "Content-Length: 1000\r\n\r\n{", ""),
               ("half an upgrade", 10, upgrade, "")]
    threads = [threading.Thread(target=closed, args=c) for c in clients]

    def deaf():
        p, begin = Peer("127.0.0.7"), time.monotonic()
        p.say(event("response.create"))
        p.socket.settimeout(60)
        gone = read(p.socket, True)
        took = time.monotonic() - begin
        check(f"no answer to pings: closed in {took:.0f} s", 20 < took < 45 and gone is not None)
    threads.append(threading.Thread(target=deaf))
    for t in threads:
        t.start()
    return threads


def frames():
    piece = bytes(65536).replace(b"\0", b" ")
    large = [frame(piece, 1 if i == 0 else 0, False) for i in range(80)]
    for name, what, codes in (
            ("a message of 5 MiB", large, {1009}),
            ("10,000 empty fragments", [frame(b"", 1, False)] + [frame(b"", 0, False)] * 10000,
             {1008}),
            ("20,000 pings", [frame(b"", 9)] * 20000, {1008, None}),
            ("a binary message", [frame(b"\0\1", 2)], {1003}),
            ("bad UTF-8", [frame(b"\xc3\x28")], {1007}),
            ("reserved bits", [frame(b"x", bits=0x70)], {1002}),
            ("a ping in fragments", [frame(b"", 9, False)], {1002}),
            ("a close of one byte", [frame(b"x", 8)], {1002}),
            ("30,000 events", [event("input_audio_buffer.clear")] * 30000, {1008})):
        code = Peer().say(*what).ends(5)
        check(name, code in codes, code)
    p = Peer()
    code = p.say(frame(b"", size=1 << 62)).ends(2)
    check("a frame that promises 2^62 bytes", code in (None, 1009), code)
    p.socket.close()


def texts():
    """One event each that is none; the session goes on."""
    session = '{"type":"session.update","session":{"type":"realtime",%s}}'
    append = '{"type":"input_audio_buffer.append","audio":"%s"}'
    keys = ",".join(f'"k{i}":0' for i in range(400))
    for name, text, codes in (
            ("depth 100,000", "[" * 100000, "invalid_json"),
            ("3 MB of keys", '{"type":"x",%s}' % ",".join(f'"k{i}":0' for i in range(300000)),
             "invalid_json"),
            ("400 keys", "{%s}" % keys, "invalid_json"),
            ("a key twice", '{"type":"response.cancel","type":"response.cancel"}', "invalid_json"),
            ("1e999", session % '"max_output_tokens":1e999', "invalid_json invalid_value"),
            ("2^63", session % '"max_output_tokens":9223372036854775808',
             "invalid_json invalid_value"),
            ("half a character", '{"type":"\\ud800"}', "invalid_json"),
            ("NUL", session % '"instructions":"a\\u0000b"', "invalid_value"),
            ("more behind it", '{"type":"response.cancel"} x', "invalid_json"),
            ("letters that are not base64's", append % "%%%%", "invalid_value"),
            ("wrong padding", append % "AA=A", "invalid_value"),
            ("4 MB of '='", append % ("=" * 4000000), "invalid_value"),
            ("sound that is no text", append.replace('"%s"', "7"), "invalid_value"),
            ("truncate before any item", '{"type":"conversation.item.truncate","item_id":"x",'
             '"content_index":0,"audio_end_ms":-1}', "item_not_found"),
            ("an unknown event", '{"type":"no.such"}', "invalid_value")):
        p = Peer()
        p.say(frame(text.encode()), event("input_audio_buffer.clear"))
        code = p.ends(20, "input_audio_buffer.cleared")
        lives = code is None and p.types[-1:] == ["input_audio_buffer.cleared"]
        check(name, lives and len(p.codes) == 1 and p.codes[0] in codes, (code, p.codes, p.types))
        p.socket.close()


def storms():
    """Events by the thousand, out of their order."""
    for name, what, allowed in (
            ("commit x 1,000", event("input_audio_buffer.commit"),
             {"input_audio_buffer_commit_empty"}),
            ("response.create x 1,000", event("response.create"),
             {"conversation_already_has_active_response"}),
            ("cancel x 1,000", event("response.cancel"), {"response_cancel_not_active"})):
        p = Peer()
        code = p.say(*[what] * 1000).ends(10)
        check(name, code == 1008 and set(p.codes) <= allowed | {"rate_limit_exceeded"},
              (code, set(p.codes)))
        check(f"{name}: each response ends",
              p.types.count("response.created") == p.types.count("response.done") or code == 1008)
    p = Peer()
    p.say(*[event("session.update", session={"type": "realtime", "instructions": f"Be {i}."})
            for i in range(900)])
    check("session.update x 900", p.ends(3) is None and p.types.count("session.updated") == 900,
          len(p.types))
    p.socket.close()


def sounds():
    """Sound of any speed and kind: nothing grows, and there is no storm of answers."""
    random.seed(1)
    noise = array.array("h", (random.randrange(-32768, 32767) for _ in range(48000))).tobytes()
    for name, block, count in (("silence, 1000 times as fast", bytes(960000), 60),
                               ("noise of full scale, 100 times as fast", noise * 10, 30)):
        p, begin = Peer(), time.monotonic()
        text = base64.b64encode(block).decode()
        for _ in range(count):
            p.say(event("input_audio_buffer.append", audio=text)).ends(0.01)
        p.say(event("input_audio_buffer.clear"))
        code, answers = p.ends(10), p.types.count("response.created")
        check(f"{name}: {count * len(block) / 48000:.0f} s in {time.monotonic() - begin:.0f} s",
              code in (None, 1008) and answers < 60, (code, answers))
        p.socket.close()


def unread():
    """20 s of sound and more wait for somebody who reads nothing."""
    p = Peer()
    p.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    audio = base64.b64encode(bytes(960000)).decode()
    p.say(event("conversation.item.create", item={
        "id": "long", "type": "message", "role": "user",
        "content": [{"type": "input_audio", "audio": audio}]}))
    p.say(*[event("conversation.item.retrieve", item_id="long")] * 40)
    before, begin = metric("runnel_slow_readers_closed_total"), time.monotonic()
    while metric("runnel_slow_readers_closed_total") == before and time.monotonic() < begin + 30:
        time.sleep(0.5)
    took = time.monotonic() - begin
    check(f"nothing is read: closed in {took:.0f} s", 8 < took < 25, took)
    p.socket.close()


def multipart(body, size=None, edge="XX"):
    body = body if isinstance(body, bytes) else body.encode()
    return (f"POST /v1/audio/transcriptions HTTP/1.1\r\n{HOST}Content-Type: multipart/form-data; "
            f"boundary={edge}\r\nContent-Length: {len(body) if size is None else size}\r\n\r\n"
            ).encode() + body


def upload(data, name="a.wav", edge="XX"):
    def part(head, value):
        head = f"--{edge}\r\nContent-Disposition: form-data; {head}\r\n\r\n"
        return head.encode() + value + b"\r\n"
    return multipart(part('name="model"', b"x") + part(f'name="file"; filename="{name}"', data) +
                     f"--{edge}--\r\n".encode(), edge=edge)


def forms():
    field = '--XX\r\nContent-Disposition: form-data; name="%s"\r\n\r\nx\r\n'
    edge = "b" * 70
    with open(f"{SOURCE}/samples/questions/light.wav", "rb") as f:
        light = f.read()
    for name, request, wanted in (
            ("no final boundary", multipart(field % "model"), {400}),
            ("1,000 parts", multipart(field % "a" * 1000 + "--XX--\r\n"), {400}),
            ("a part's head of 1 MB", multipart(field % ("a" * 1000000) + "--XX--\r\n"), {400}),
            ("a name with line ends", multipart(field % "a\r\nb" + "--XX--\r\n"), {400}),
            ("a length that is too long", multipart("--XX--\r\n", 1000), {400, 408, b"", None}),
            ("a length that is too short", multipart(field % "model" + "--XX--\r\n", 10),
             {400, b""}),
            ("a boundary of 70 bytes, and it in the data",
             upload(b"\r\n--" + edge.encode()[:69] + light, edge=edge), {400}),
            ("a path as a name", upload(b"not sound", "../../etc/passwd"), {400}),
            ("FLAC that is cut off", upload(flac(60)[:50]), {400}),
            ("WAV that claims 4 GiB", upload(light[:4] + b"\xff" * 4 + light[8:40] + b"\xff" * 4),
             {400, 200}),
            ("nothing", upload(b""), {400}),
            ("text as WAV", upload(b"Once upon a time"), {400}),
            ("2.2 hours in a few KB", upload(flac(7900)), {400})):
        answer = ask(request, wait=300)
        check(f"a form: {name}", status(answer) in wanted, answer)
    answer = ask(upload(light), whole=False, wait=30)
    check("a form that is one", status(answer) == 200, answer)


def heads():
    get = "GET %s HTTP/1.1\r\n" + HOST + "%s\r\n"
    for name, request, wanted in (
            ("chunks", JSON_POST + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", {411}),
            ("a length and chunks", JSON_POST + "Content-Length: 2\r\nTransfer-Encoding: chunked"
             "\r\n\r\n0\r\n\r\n", {411, 400}),
            ("two lengths", JSON_POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", {400}),
            ("a body of 1 GB", JSON_POST + "Content-Length: 1000000000\r\n\r\n", {413}),
            ("two pairs to smuggle", JSON_POST + "Content-Length: 6\r\nTransfer-Encoding: chunked"
             "\r\n\r\n0\r\n\r\nG", {411, 400}),
            ("an absolute URI", get % (f"http://127.0.0.1:{PORT}/v1/models", ""),
             {400, 403, 404, b""}),
            ("Host twice", get % ("/v1/models", "Host: evil.example\r\n"), {403, 400}),
            ("%00 in the path", get % ("/v1/models/%00", ""), {400, 404}),
            ("a path of 100 KB", get % ("/" + "a" * 100000, ""), {400, 404, b""}),
            ("dots in the path", get % ("/../../etc/passwd", ""), {404}),
            ("Origin of a stranger", get % ("/v1/models", "Origin: http://evil.example\r\n"),
             {403}),
            ("Host of a stranger", "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n", {403})):
        answer = ask(request)
        check(f"a head: {name}", status(answer) in wanted, answer)
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    for origin in ("http://evil.example", "null"):
        answer = ask(get % ("/v1/realtime", f"{upgrade}Origin: {origin}\r\n"))
        check(f"an upgrade from {origin}", status(answer) == 403, answer)


def wyoming():
    for name, data in (("a line without an end", b"x" * (1 << 20)), ("a length below 0",
                       b'{"type": "audio-chunk", "payload_length": -1}\n'),
                       ("data of 2^40", b'{"type": "describe", "data_length": 1099511627776}\n'),
                       ("no JSON", b"hello\n"), ("no type", b"{}\n")):
        s = connect(port=WYOMING, wait=10)
        try:
            s.sendall(data)
        except OSError:
            pass
        check(f"Wyoming: {name}", read(s, True) is not None)
        s.close()


def crowd():
    """10,000 connections, of which an address keeps 64 at most."""
    kept = []
    for i in range(10000):
        try:
            s = socket.create_connection(("127.0.0.1", PORT), 2, ("127.0.0.4", 0))
        except OSError:
            continue
        if i < 1000:
            kept.append(s)
        else:
            s.close()
    begin = time.monotonic()
    answer = ask(f"GET /health HTTP/1.1\r\n{HOST}\r\n", source="127.0.0.5")
    took = time.monotonic() - begin
    check(f"10,000 connections, and /health in {took * 1e3:.0f} ms",
          status(answer) == 200 and took < 0.1, answer)
    open_count = 0
    for s in kept:
        s.settimeout(0.001)
        open_count += read(s) is None
        s.close()
    check(f"{open_count} of 1,000 are kept", open_count <= 64, open_count)


def uploads():
    """A thousand who vanish in mid-upload."""
    for i in range(1000):
        s = connect(f"127.0.0.{10 + i % 100}")
        s.sendall(multipart("--XX\r\n", 1000000))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()


def main():
    first = Talker(PORT, SOURCE)
    first.talk()
    alone = first.answers[0][0]
    assert len(alone) > 20000
    time.sleep(1)
    before, gaps = descriptors(), metric("runnel_underruns_total")
    talkers = [Talker(PORT, SOURCE, i) for i in range(4)]
    for t in talkers:
        t.start()
    time.sleep(3)
    waiting = slow()
    for row in (frames, texts, storms, sounds, unread, forms, heads, wyoming, crowd, uploads):
        row()
    size = resident()
    for row in (frames, texts, forms, uploads):  # once more: nothing is left of the first time
        row()
    for t in waiting:
        t.join()
    for t in talkers:
        t.over = True
    for t in talkers:
        t.join(60)
    for t in talkers:
        heard = [sound for answers in t.answers for sound in answers]
        check(f"who talks hears the same, {len(heard)} times", t.trouble is None and heard and
              all(sound == alone for sound in heard), (t.trouble, [len(s) for s in heard]))
    gaps = metric("runnel_underruns_total") - gaps
    check("and without a gap", gaps == 0, gaps)
    time.sleep(5)
    check("descriptors are as before", abs(descriptors() - before) <= 1, (before, descriptors()))
    grown = resident() - size
    check(f"memory grew by {grown >> 10} KiB", grown < 8 << 20, grown)
    print(f"{rows - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
