#!/usr/bin/env python3
"""A realtime conversation of many kinds of turns, kept as a log for support/check_events.py:
serve_events.py PORT SOURCE LOG. Ends with 1 when something is not as it should be. Needs nothing
but Python."""
import array
import base64
import json
import sys
import wave

from serving import PORT, check, finish, websocket

SOURCE, LOG = sys.argv[2:]
HEARD = "conversation.item.input_audio_transcription.completed"


class Logged(websocket.Socket):
    """A socket that keeps what goes over it."""
    log = []

    def send(self, type_, **rest):
        self.log.append({"dir": "in", "event": {"type": type_, **rest}})
        super().send(type_, **rest)

    def next(self):
        e = super().next()
        if e is not None:
            self.log.append({"dir": "out", "event": e})
        return e

    def until(self, *types):
        """Waits for an event of each of these."""
        missing, found = set(types), {}
        while missing:
            e = self.next()
            assert e is not None and e["type"] != "error", (e, missing)
            if e["type"] in missing:
                missing.remove(e["type"])
                found[e["type"]] = e
        return found


def question(name):
    """At 24 kHz, the only rate that the client's types know."""
    with wave.open(f"{SOURCE}/samples/questions/{name}.wav") as f:
        assert f.getframerate() == 16000
        x = array.array("h", f.readframes(f.getnframes())).tolist() + [0]
    return array.array("h", [y for i in range(0, len(x) - 2, 2) for y in (
        x[i], (x[i] + 2 * x[i + 1]) // 3, (2 * x[i + 1] + x[i + 2]) // 3)]).tobytes()


def update(s, **session):
    s.send("session.update", session={"type": "realtime", **session})
    return s.until("session.updated")["session.updated"]["session"]


def hear(s, detection, **more):
    update(s, audio={"input": {"format": {"type": "audio/pcm", "rate": 24000},
                               "turn_detection": detection, **more}})


def voices(s):
    """Turns by voice, with transcripts; an answer that is interrupted and cut."""
    hear(s, {"type": "server_vad", "silence_duration_ms": 400}, transcription={"model": "any"})
    update(s, include=["item.input_audio_transcription.logprobs"])
    s.speak(question("light") + bytes(48000))
    found = s.until("response.done", HEARD)
    heard, done = found[HEARD], found["response.done"]["response"]
    check("a transcript", heard["transcript"].strip() == "Turn on the kitchen light.", heard)
    told = b"".join(bytes(t["bytes"]) for t in heard["logprobs"]).decode()
    check("its tokens", told == heard["transcript"] and
          all(t["logprob"] <= 0 for t in heard["logprobs"]), heard)
    check("an answer", done["status"] == "completed" and
          done["usage"]["input_token_details"]["image_tokens"] == 0, done)
    item = done["output"][0]["id"]
    s.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=300)
    s.until("conversation.item.truncated")
    s.speak(question("weather") + bytes(48000))
    s.until("response.output_audio.delta")
    s.speak(question("light") + bytes(48000))
    s.until("input_audio_buffer.speech_started")
    while s.until("response.done")["response.done"]["response"]["status"] != "completed":
        pass


def typed(s):
    """Texts, answers beside the conversation, what is cancelled, items put in and taken out."""
    update(s, output_modalities=["text"])
    text = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
    s.send("conversation.item.create", item={**text, "id": "mine"}, previous_item_id="root")
    s.send("response.create", response={"metadata": {"a": "b"}})
    s.until("response.done")
    s.send("response.create", response={"conversation": "none", "input": [
        {"type": "item_reference", "id": "mine"}]})
    s.until("response.done")
    s.send("response.create", response={"output_modalities": ["audio"]})
    s.send("response.cancel")
    done = s.until("response.done")["response.done"]["response"]
    check("what is cancelled", done["status"] == "cancelled", done)
    s.send("conversation.item.retrieve", item_id="mine")
    s.send("conversation.item.delete", item_id="mine")
    s.until("conversation.item.deleted")


def by_hand(s):
    """Turns that the client ends, by telephone's codes, too."""
    hear(s, None)
    update(s, output_modalities=["audio"], max_output_tokens=20)
    s.speak(question("light"))
    s.send("input_audio_buffer.commit")
    s.send("response.create")
    s.until("response.done")
    update(s, audio={"input": {"format": {"type": "audio/pcmu"}},
                     "output": {"format": {"type": "audio/pcma"}}})
    samples = array.array("h", question("light"))[::2]
    loud = bytes(0xff if abs(x) < 16 else 0x80 | (x < 0) << 7 ^ 0x2f for x in samples)
    s.send("input_audio_buffer.append", audio=base64.b64encode(loud).decode())
    s.send("input_audio_buffer.clear")
    s.send("response.create")
    s.until("response.done")


socket = Logged(PORT)
for part in (voices, typed, by_hand):
    part(socket)
socket.close()
with open(LOG, "w") as out:
    for entry in Logged.log:
        out.write(json.dumps(entry) + "\n")
finish()
