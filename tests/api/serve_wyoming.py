#!/usr/bin/env python3
"""A Wyoming client of `runnel serve --wyoming`: serve_wyoming.py PORT QUESTION.wav SAID.wav, where
SAID is what `runnel say` makes of TEXT below. Ends with 1 when something is not as it should be.
Needs nothing but Python."""
import json
import socket
import sys
import threading
import wave

from serving import PORT, check, finish

TEXT = "The light is on. The door is shut."


class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT), 10)
        self.socket.settimeout(60)
        self.file = self.socket.makefile("rb")

    def send(self, kind, data=None, payload=b""):
        text = json.dumps(data).encode() if data else b""
        head = {"type": kind, "version": "1.10.2"}
        if text:
            head["data_length"] = len(text)
        if payload:
            head["payload_length"] = len(payload)
        self.socket.sendall(json.dumps(head).encode() + b"\n" + text + payload)
        return self

    def read(self):
        """Type, data and payload of the next event; None: the connection ended."""
        line = self.file.readline()
        if not line:
            return None
        head = json.loads(line)
        data = self.file.read(head.get("data_length", 0))
        return head["type"], json.loads(data) if data else {}, \
            self.file.read(head.get("payload_length", 0))

    def until(self, last):
        events = []
        while not events or events[-1][0] != last:
            event = self.read()
            if event is None:
                raise RuntimeError(f"the connection ended before {last}: {events[-3:]}")
            events.append(event)
        return events


def sound(events):
    return b"".join(payload for kind, _, payload in events if kind == "audio-chunk")


def hear(client, path):
    with wave.open(path) as f:
        data = {"rate": f.getframerate(), "width": 2, "channels": f.getnchannels()}
        client.send("transcribe", {"language": "en"}).send("audio-start", data)
        while block := f.readframes(1024):
            client.send("audio-chunk", data, block)
    client.send("audio-stop", {"timestamp": None})
    return client.until("transcript")


def speak_in_pieces(client):
    client.send("synthesize-start", {"voice": {"name": "default"}})
    for at in range(0, len(TEXT), 7):
        client.send("synthesize-chunk", {"text": TEXT[at:at + 7]})
    return client.send("synthesize", {"text": TEXT}).send("synthesize-stop") \
        .until("synthesize-stopped")


def answer(client, text, conversation):
    client.send("transcript", {"text": text, "context": {"conversation_id": conversation}})
    return client.until("handled")[-1][1]


def all_requests(question, said):
    c = Client()
    info = c.send("describe").until("info")[-1][1]
    check("info", {k: len(v) for k, v in info.items()} == {"asr": 1, "tts": 1, "handle": 1,
          "intent": 0, "wake": 0, "mic": 0, "snd": 0}, info)
    check("pong", c.send("ping", {"text": "a"}).until("pong")[-1][1] == {"text": "a"})
    events = hear(c, question)
    check("speech to text", events[-1][1]["text"] == "Turn on the kitchen light.", events)
    spoken = [(kind, data["timestamp"]) for kind, data, _ in events if kind.startswith("voice-")]
    check("where it was", [k for k, _ in spoken] == ["voice-started", "voice-stopped"] and
          0 <= spoken[0][1] < spoken[1][1] < 5000, spoken)
    pieces = "".join(data["text"] for kind, data, _ in events if kind == "transcript-chunk")
    check("its pieces", pieces == events[-1][1]["text"], pieces)
    events = c.send("synthesize", {"text": TEXT}).until("audio-stop")
    check("text to speech is that of say", sound(events) == said, len(sound(events)))
    check("its format", events[0][:2] == ("audio-start", {"rate": 24000, "width": 2, "channels": 1,
          "timestamp": None}), events[0])
    events = speak_in_pieces(c)
    check("a text in pieces sounds as the whole", sound(events) == said, len(sound(events)))
    check("it is one sound", [k for k, _, _ in events if k != "audio-chunk"]
          == ["audio-start", "audio-stop", "synthesize-stopped"])
    told = answer(c, "Turn on the kitchen light.", "one")
    check("the agent", told == {"text": "The kitchen light is on.",
                                "context": {"conversation_id": "one"}}, told)


def many_at_once(said):
    """Each of three connections has the sound that it has alone."""
    sounds = []

    def one():
        sounds.append(sound(Client().send("synthesize", {"text": TEXT}).until("audio-stop")))
    threads = [threading.Thread(target=one) for _ in range(3)]
    for t in threads:
        t.start()
    gone = Client().send("synthesize", {"text": TEXT * 20})
    gone.until("audio-chunk")
    gone.socket.close()  # in the midst of an answer
    for t in threads:
        t.join(60)
    check("three at once, beside one that goes away", sounds == [said] * 3,
          [len(s) for s in sounds])


def refused(name, kind, data, words):
    c = Client().send(kind, data)
    told = c.until("error")[-1][1]["text"]
    check(name, words in told and c.read() is None, told)


def strangers():
    refused("a voice", "synthesize", {"text": "a", "voice": {"name": "nobody"}}, "nobody")
    refused("no text", "synthesize", {}, "text")
    refused("a rate", "audio-start", {"rate": 1, "width": 2, "channels": 1}, "rate")
    for name, data in (("no JSON", b"hello\n"), ("no type", b"{}\n"), ("a long line", b"x" * 9000),
                       ("below 0", b'{"type": "a", "data_length": -1}\n'),
                       ("terabytes", b'{"type": "a", "data_length": 1099511627776}\n')):
        c = Client()
        try:
            c.socket.sendall(data)
            seen = c.socket.recv(10)
        except OSError:
            seen = b""
        check(name, seen == b"", seen)
    crowd = [Client() for _ in range(40)]
    served = 0
    for c in crowd:
        try:
            served += c.send("ping").read() is not None
        except OSError:
            pass
    check("at most 32", served == 32, served)


with wave.open(sys.argv[3]) as f:
    speech = f.readframes(f.getnframes())
all_requests(sys.argv[2], speech)
many_at_once(speech)
strangers()
finish()
