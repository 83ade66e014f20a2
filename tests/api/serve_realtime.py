#!/usr/bin/env python3
"""A realtime client of `runnel serve`: serve_realtime.py PORT SOURCE. Ends with 1 when something is
not what it should be. Needs nothing but Python."""
import array
import base64
import json
import re
import sys
import wave

from serving import PORT, ask, check, finish, websocket

SOURCE = sys.argv[2]


def Socket(*rest):
    return websocket.Socket(PORT, *rest)


def question(name):
    """A clip of samples/questions as PCM of 24 kHz, a second of silence behind it."""
    with wave.open(f"{SOURCE}/samples/questions/{name}.wav") as w:
        x = array.array("h", w.readframes(w.getnframes()))
    y = array.array("h")
    for i in range(len(x) * 3 // 2):
        at = i * 2 // 3
        y.append(x[at] if i % 3 == 0 or at + 1 == len(x) else (x[at] + x[at + 1]) // 2)
    return y.tobytes() + bytes(48000)


def answer(s, begin=0):
    """Text and sound of the events from there on."""
    text = "".join(e["delta"] for e in s.events[begin:] if "transcript.delta" in e["type"]
                   and e["type"].startswith("response."))
    sound = b"".join(base64.b64decode(e["delta"]) for e in s.events[begin:]
                     if e["type"] == "response.output_audio.delta")
    return text, sound


def spoken_turn():
    s = websocket.Socket(PORT)
    first = s.next()
    check("session.created", first["type"] == "session.created" and
          first["session"]["model"] == "minnow", first)
    s.send("session.update", session={"type": "realtime", "audio": {"input": {
        "transcription": {"model": "minnow"}}}})
    s.wait("session.updated")
    s.speak(question("light"))
    done = s.wait("response.done")
    heard = [e for e in s.events if e["type"].endswith("transcription.completed")]
    if not heard:
        heard = [s.wait("conversation.item.input_audio_transcription.completed")]
    check("what was said", heard[0]["transcript"] == "Turn on the kitchen light.", heard)
    check("completed", done["response"]["status"] == "completed", done)
    u = done["response"]["usage"]
    check("usage", u["input_token_details"]["audio_tokens"] > 10 and
          u["output_token_details"]["audio_tokens"] > 10, u)
    return s


def ends_by_sound(pieces):
    """Where a turn ends that is judged by how finished it sounds, for messages of those sizes."""
    s = Socket()
    s.send("session.update", session={"type": "realtime", "audio": {"input": {
        "turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}})
    s.wait("session.updated")
    pcm, at = question("light") + bytes(48000), 0
    while at < len(pcm):
        for size in pieces:
            s.send("input_audio_buffer.append",
                   audio=base64.b64encode(pcm[at:at + size]).decode())
            at += size
    end = s.wait("input_audio_buffer.speech_stopped")["audio_end_ms"]
    done = s.wait("response.done")
    check("answered", done["response"]["status"] == "completed", done)
    s.close()
    return end, answer(s)[1]


def main():
    check("ends depend on the sound alone",
          ends_by_sound([960]) == ends_by_sound([96000, 2, 12000]))
    s = spoken_turn()
    text, sound = answer(s)
    check("the answer", text == "The kitchen light is on.", text)
    check("its sound", len(sound) > 48000 and len(sound) % 2 == 0, len(sound))
    # The same again in another conversation: the same bits.
    other = spoken_turn()
    check("the same sound", answer(other)[1] == sound)
    other.close()

    # Who speaks into a reply stops it, and is answered.
    begin = len(s.events)
    s.speak(question("weather"))
    started = s.wait("input_audio_buffer.speech_started")
    item = [e for e in s.events if e["type"] == "response.output_item.added"][-1]["item"]["id"]
    s.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=400)
    check("speech_started", started["audio_start_ms"] > 2000, started)
    done = s.wait("response.done")
    check("the next answer", "snowy" in answer(s, begin)[0] or "Vienna" in answer(s, begin)[0],
          answer(s, begin)[0])
    s.send("conversation.item.retrieve", item_id=item)
    kept = s.wait("conversation.item.retrieved")["item"]["content"][0]
    check("what was heard", len(base64.b64decode(kept["audio"])) == 400 * 48 and
          len(kept["transcript"]) < len(text), kept["transcript"])

    # Text, manual turns, a client that cancels.
    s.send("session.update", session={"type": "realtime", "output_modalities": ["text"], "audio": {
        "input": {"turn_detection": None}}})
    s.wait("session.updated")
    begin = len(s.events)
    s.speak(question("light"))
    s.send("input_audio_buffer.commit")
    s.send("response.create")
    done = s.wait("response.done")
    check("a manual turn in text", done["response"]["status"] == "completed" and
          done["response"]["output"][0]["content"][0]["type"] == "output_text", done)
    s.send("response.create")
    s.wait("response.created")
    s.send("response.cancel")
    done = s.wait("response.done")
    check("cancelled", done["response"]["status"] in ("cancelled", "completed"), done)
    s.frame(2, b"x")
    while s.next() is not None:
        pass
    check("binary is refused", s.code == 1003, s.code)

    # The older dialect, by sub-protocol; what is not there; one message too large.
    old = websocket.Socket(PORT, "/v1/realtime",
                           "Sec-WebSocket-Protocol: realtime, openai-beta.realtime-v1\r\n")
    check("the sub-protocol", b"sec-websocket-protocol: realtime" in old.head.lower(), old.head)
    check("session.created of the older dialect", "modalities" in old.next()["session"])
    check("conversation.created", old.next()["type"] == "conversation.created")
    old.frame(1, b" " * (5 << 20))
    while old.next() is not None:
        pass
    check("too large", old.code in (1009, None), old.code)
    bad = websocket.Socket(PORT)
    bad.next()
    bad.frame(1, b'{"type": "\xff"}')
    check("UTF-8", bad.next() is None and bad.code == 1007, bad.code)
    half = websocket.Socket(PORT)
    half.wait("session.created")
    half.frame(8, b"x")
    check("half a code", half.next() is None and half.code == 1002, half.code)
    check("no calls", b" 400 " in websocket.Socket(PORT, "/v1/realtime?call_id=1").head)

    # A secret is made for one purpose.
    made = json.loads(ask("/v1/realtime/client_secrets",
                          {"session": {"type": "transcription"}}).body)
    check("a secret", made["value"].startswith("ek_") and
          made["session"]["object"] == "realtime.transcription_session", made)
    t = websocket.Socket(PORT, "/v1/realtime", f"Authorization: Bearer {made['value']}\r\n")
    check("its session", t.next()["session"]["type"] == "transcription")
    t.speak(question("light"))
    heard = t.wait("conversation.item.input_audio_transcription.completed")
    check("only a transcript", heard["transcript"] == "Turn on the kitchen light.", heard)
    check("and no response", not [e for e in t.events if e["type"].startswith("response")])
    counted()
    t.close()


def counted():
    text = ask("/metrics").body.decode()
    for wanted in (r"events_in_total [1-9]", r"events_out_total [1-9]",
                   r"first_audio_seconds_count [1-9]",
                   r"encoded_seconds_total [1-9]", r"sessions\{state=\"listening\"\} [1-9]"):
        check(wanted, re.search("^runnel_" + wanted, text, re.M), text)


main()
finish()
