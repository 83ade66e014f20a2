"""People who talk with `runnel serve` at the pace of speech, for campaigns. Needs nothing but
Python."""
import base64
import threading
import time
import wave

import websocket


class Talker(threading.Thread):
    """Asks the same again and again until `over`; after `turns` turns in a conversation of its
    own. answers: of each conversation the sounds of its turns; least: the least sound in reserve
    when more of an answer came, in s."""

    def __init__(self, port, source, number=0, turns=1, name="light"):
        super().__init__(daemon=True)
        self.port, self.number, self.turns, self.over = port, number, turns, False
        self.answers, self.least, self.trouble, self.code = [], 10.0, None, None
        self.since = None  # when the turn under way began
        self.ends = 0  # twice how often it left a conversation; odd: it is about to
        with wave.open(f"{source}/samples/questions/{name}.wav") as f:
            self.pcm = f.readframes(f.getnframes()) + bytes(20000)

    def run(self):
        try:
            time.sleep(0.37 * self.number)
            while not self.over:
                self.talk()
        except (OSError, EOFError, AssertionError, SystemExit) as x:
            self.trouble = repr(x)

    def talk(self):
        """One conversation."""
        s = self.open()
        self.answers.append([])
        while not self.over and len(self.answers[-1]) < self.turns:
            sound = self.ask(s)
            if sound is None:
                self.over = True
                return
            self.answers[-1].append(sound)
        self.ends += 1
        s.close()
        self.ends += 1

    def is_heard(self):
        """Is in the midst of a turn."""
        since = self.since
        return since is not None and time.monotonic() - since > 0.8

    def open(self):
        s = websocket.Socket(self.port)
        assert b" 101 " in s.head, s.head
        s.send("session.update", session={"type": "realtime", "audio": {"input": {
            "format": {"type": "audio/pcm", "rate": 16000}}}})
        s.wait("session.updated")
        return s

    def ask(self, s):
        """The sound of an answer, which is played to its end; None: the server went away."""
        begin, sound, played_from = time.monotonic(), b"", None
        self.since = begin
        try:
            for at in range(0, len(self.pcm), 1280):
                time.sleep(max(0, begin + at / 32000 - time.monotonic()))
                s.send("input_audio_buffer.append",
                       audio=base64.b64encode(self.pcm[at:at + 1280]).decode())
        except OSError:
            pass  # closed: how, the events tell
        while True:
            e = s.next()
            if e is None:
                self.code = s.code
                return None
            assert e["type"] != "error", e
            if e["type"] == "response.output_audio.delta":
                now = time.monotonic()
                played_from = played_from or now
                self.least = min(self.least, played_from + len(sound) / 48000 - now) \
                    if sound else self.least
                sound += base64.b64decode(e["delta"])
            if e["type"] == "response.done":
                assert e["response"]["status"] == "completed", e
                self.since = None
                time.sleep(max(0, played_from + len(sound) / 48000 + 0.1 - time.monotonic()))
                return sound
