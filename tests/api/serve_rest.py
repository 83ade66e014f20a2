#!/usr/bin/env python3
"""REST clients of `runnel serve` with the demo model: serve_rest.py PORT SOUND. Ends with 1 when an
answer is not what it should be. Needs nothing but Python."""
import base64
import io
import json
import sys
import threading
import time
import wave

from serving import ask, begin, check, events, finish, form, refused

SOUND = open(sys.argv[2], "rb").read()
SPOKEN = "Turn on the kitchen light."


def transcriptions():
    path = "/v1/audio/transcriptions"
    for kind in ("json", "text", "srt", "vtt", "verbose_json"):
        answer = ask(path, *form(SOUND, [("model", "m"), ("response_format", kind)]))
        check(f"transcription: {kind}",
              answer.status == 200 and SPOKEN.encode() in answer.body, answer)
        if kind == "json":
            check("transcription: duration", json.loads(answer.body)["usage"]["type"] == "duration")
    told = events(ask(path, *form(SOUND, [("model", "m"), ("stream", "true")])))
    check("transcription: stream",
          "".join(e.get("delta", "") for e in told) == told[-1]["text"] == SPOKEN, told)
    refused("transcription: no sound", 400, "invalid_audio",
            ask(path, *form(b"no wav", [("model", "m")])))
    refused("transcription: half a file", 400, "invalid_audio",
            ask(path, *form(SOUND[:40], [("model", "m")])))
    refused("transcription: no file", 400, "missing_required_parameter",
            ask(path, *form(None, [("model", "m")])))
    refused("transcription: a form", 400, "invalid_value",
            ask(path, *form(SOUND, [("model", "m"), ("response_format", "xml")])))
    body, kind = form(SOUND, [("model", "m")])
    answer = ask(path, body[:-20], kind)
    check("transcription: no end", answer.status == 400, answer)


def speech():
    path, text = "/v1/audio/speech", {"model": "m", "voice": "alloy", "input": "Hello! " * 3}
    pcm = ask(path, {**text, "response_format": "pcm"})
    check("speech: pcm", pcm.status == 200 and pcm.headers["content-type"] == "audio/pcm" and
          len(pcm.body) > 10000, pcm.headers)
    answer = ask(path, {**text, "response_format": "wav"})
    check("speech: wav", answer.body[:4] == b"RIFF" and answer.body[44:] == pcm.body,
          answer.body[:50])
    told = events(ask(path, {**text, "response_format": "pcm", "stream_format": "sse"}))
    sound = b"".join(base64.b64decode(e["audio"]) for e in told if "audio" in e)
    last = told[-1]
    check("speech: events", sound == pcm.body and last["type"] == "speech.audio.done", last)
    for kind in ("flac", "opus"):
        answer = ask(path, {**text, "response_format": kind})
        check(f"speech: {kind}", answer.status == 200 and len(answer.body) > 1000, answer)
    refused("speech: a format", 400, "unsupported_format",
            ask(path, {**text, "response_format": "aac"}))
    refused("speech: nothing", 400, "missing_required_parameter",
            ask(path, {"model": "m", "voice": "alloy"}))
    refused("speech: no JSON", 400, "invalid_json",
            ask(path, b"{", "application/json; charset=utf-8"))


def heard():
    sound = {"type": "input_audio",
             "input_audio": {"data": base64.b64encode(SOUND).decode(), "format": "wav"}}
    return [{"role": "user", "content": [sound]}]


def chat():
    path, hello = "/v1/chat/completions", [{"role": "user", "content": "hello"}]
    answer = json.loads(ask(path, {"model": "m", "messages": hello}).body)
    text, usage = answer["choices"][0]["message"]["content"], answer["usage"]
    check("chat", answer["object"] == "chat.completion" and len(text) > 3 and
          answer["choices"][0]["finish_reason"] == "stop", answer)
    check("chat: usage", 0 < usage["prompt_tokens"] and usage["total_tokens"] ==
          usage["prompt_tokens"] + usage["completion_tokens"], usage)
    told = events(ask(path, {"model": "m", "messages": hello, "stream": True,
                             "stream_options": {"include_usage": True}}))
    check("chat: stream ends", told[-1] == "[DONE]", told[-1])
    chunks = told[:-1]
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    check("chat: stream", said == text and chunks[-1]["usage"] == usage, (said, chunks[-1]))
    spoken = {"model": "m", "messages": heard(), "modalities": ["text", "audio"],
              "audio": {"voice": "alloy", "format": "wav"}}
    whole = json.loads(ask(path, spoken).body)["choices"][0]["message"]["audio"]
    sound = wave.open(io.BytesIO(base64.b64decode(whole["data"])))
    check("chat: spoken", sound.getframerate() == 24000 and "light" in whole["transcript"], whole)
    spoken.update(stream=True, audio={"voice": "alloy", "format": "pcm16"})
    chunks = events(ask(path, spoken))[:-1]
    parts = [c["choices"][0]["delta"].get("audio", {}) for c in chunks]
    pcm = b"".join(base64.b64decode(p.get("data", "")) for p in parts)
    check("chat: spoken stream", pcm == sound.readframes(sound.getnframes()) and
          "".join(p.get("transcript", "") for p in parts) == whole["transcript"], len(pcm))
    # What was said is known by its id.
    again = heard() + [{"role": "assistant", "audio": {"id": whole["id"]}}] + hello
    check("chat: by id", ask(path, {"model": "m", "messages": again}).status == 200)
    again[1]["audio"]["id"] = "audio_000000000000000000000"
    refused("chat: an id", 400, "audio_not_found", ask(path, {"model": "m", "messages": again}))
    refused("chat: no messages", 400, "missing_required_parameter", ask(path, {"model": "m"}))
    refused("chat: twice", 400, "invalid_json", ask(path, b'{"model":"m","model":"m"}'))
    long = [{"role": "user", "content": "word " * 5000}]
    refused("chat: too long", 400, "context_length_exceeded",
            ask(path, {"model": "m", "messages": long}))
    return whole


def together(whole):
    """Many at once say what one alone says, and who goes away takes nobody along."""
    answers = []

    def one():
        body = {"model": "m", "messages": heard(), "modalities": ["text", "audio"],
                "audio": {"voice": "alloy", "format": "wav"}}
        answer = ask("/v1/chat/completions", body)
        answers.append(json.loads(answer.body)["choices"][0]["message"]["audio"]["data"])

    def leave():
        r = begin("/v1/chat/completions",
                  {"model": "m", "messages": heard(), "modalities": ["text", "audio"],
                   "stream": True, "audio": {"voice": "alloy", "format": "pcm16"}})
        r.read(200)
        r.close()

    threads = [threading.Thread(target=t) for t in (one, leave, one, leave, one)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("together", answers == [whole["data"]] * 3, len(answers))
    for _ in range(100):  # those who left are forgotten: the server can be full of others
        ready = ask("/health/ready").status == 200
        if ready:
            break
        time.sleep(0.1)
    check("together: none stays", ready)


transcriptions()
speech()
together(chat())
finish()
