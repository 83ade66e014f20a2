"""A realtime client of `runnel serve`, as much of a WebSocket as it takes. Needs nothing but
Python."""
import base64
import json
import os
import socket
import struct


class Socket:
    """A WebSocket and the events that came over it."""

    def __init__(self, port, path="/v1/realtime?model=minnow", headers=""):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                             "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Version: 13\r\n"
                             f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
                             f"{headers}\r\n").encode())
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            more = self.socket.recv(65536)
            if not more:
                break
            self.rest += more
        self.head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        self.events, self.code = [], None

    def take(self, size):
        while len(self.rest) < size:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.rest += more
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def frame(self, kind, data):
        mask = os.urandom(4)
        size = len(data)
        head = bytes([0x80 | kind]) + (bytes([0x80 | size]) if size < 126 else
                                       b"\xfe" + struct.pack(">H", size) if size < 65536 else
                                       b"\xff" + struct.pack(">Q", size))
        keys = mask * (size // 4 + 1)
        masked = (int.from_bytes(data, "little") ^ int.from_bytes(keys[:size], "little")) \
            .to_bytes(size, "little") if size else b""
        self.socket.sendall(head + mask + masked)

    def send(self, type_, **rest):
        self.frame(1, json.dumps({"type": type_, **rest}).encode())

    def close(self):
        self.frame(8, b"\x03\xe8")
        while self.next() is not None:
            pass

    def answer_ping(self, data):
        try:
            self.frame(10, data)
        except OSError:
            pass  # closed meanwhile: how, the next frames tell

    def next(self):
        """The next event; None: the connection was closed, with self.code."""
        while True:
            try:
                kind, size = self.take(2)
                if size in (126, 127):
                    size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
                data = self.take(size)
            except (EOFError, OSError):
                return None
            if kind & 15 == 8:
                self.code = int.from_bytes(data[:2], "big")
                return None
            if kind & 15 == 9:
                self.answer_ping(data)
            elif kind & 15 == 1:
                self.events.append(json.loads(data))
                return self.events[-1]

    def wait(self, type_):
        while True:
            e = self.next()
            if e is None:
                raise SystemExit(f"FAILED: closed with {self.code} before {type_}")
            if e["type"] == "error":
                raise SystemExit(f"FAILED: an error before {type_}: {e}")
            if e["type"] == type_:
                return e

    def speak(self, pcm):
        for at in range(0, len(pcm), 4800):
            self.send("input_audio_buffer.append",
                      audio=base64.b64encode(pcm[at:at + 4800]).decode())
