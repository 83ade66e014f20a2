#!/usr/bin/env python3
"""REST clients of `runnel serve` with the demo model: serve_rest.py PORT SOUND. Ends with 1 when an
answer is not what it should be. Needs nothing but Python."""
import base64
import http.client
import io
import json
import sys
import threading
import time
import wave

PORT, SOUND = int(sys.argv[1]), open(sys.argv[2], "rb").read()
SPOKEN = "Turn on the kitchen light."
failed = []


def check(name, good, seen=""):
    if not good:
        failed.append(name)
        print(f"FAILED: {name}: {str(seen)[:300]}")


def post(path, body, kind="application/json"):
    """Status, content type, body."""
    c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    if not isinstance(body, bytes):
        body = json.dumps(body)
    c.request("POST", path, body, {"Content-Type": kind})
    r = c.getresponse()
    answer = r.status, r.getheader("content-type"), r.read()
    c.close()
    return answer


def refused(name, code, answer, status=400):
    try:
        error = json.loads(answer[2])["error"]
        check(name, (answer[0], error["code"]) == (status, code) and error["message"], error)
    except (ValueError, KeyError):
        check(name, False, answer)


def form(fields, file=SOUND):
    """A multipart body and its content type."""
    edge, out = "b0undary", b""
    for name, value in fields:
        out += (f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
                f'{value}\r\n').encode()
    if file is not None:
        out += (f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="../../a.wav"'
                '\r\n\r\n').encode() + file + b"\r\n"
    return out + f"--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


def events_of(body):
    """The data of server-sent events."""
    blocks = body.decode().split("\n\n")
    whole = blocks[-1] == "" and all(b.startswith("data: ") for b in blocks[:-1])
    check("events: their form", whole, blocks)
    return [b[6:] for b in blocks[:-1]]


def transcriptions():
    path = "/v1/audio/transcriptions"
    for kind in ("json", "text", "srt", "vtt", "verbose_json"):
        answer = post(path, *form([("model", "m"), ("response_format", kind)]))
        check(f"transcription: {kind}", answer[0] == 200 and SPOKEN.encode() in answer[2], answer)
        if kind == "json":
            check("transcription: duration", json.loads(answer[2])["usage"]["type"] == "duration")
    answer = post(path, *form([("model", "m"), ("stream", "true")]))
    events = [json.loads(e) for e in events_of(answer[2])]
    check("transcription: stream", answer[1].startswith("text/event-stream") and
          "".join(e.get("delta", "") for e in events) == events[-1]["text"] == SPOKEN, events)
    refused("transcription: no sound", "invalid_audio",
            post(path, *form([("model", "m")], b"no wav")))
    refused("transcription: half a file", "invalid_audio",
            post(path, *form([("model", "m")], SOUND[:40])))
    refused("transcription: no file", "missing_required_parameter",
            post(path, *form([("model", "m")], None)))
    refused("transcription: a form", "invalid_value",
            post(path, *form([("model", "m"), ("response_format", "xml")])))
    body, kind = form([("model", "m")])
    answer = post(path, body[:-20], kind)
    check("transcription: no end", answer[0] == 400, answer)


def speech():
    path, text = "/v1/audio/speech", {"model": "m", "voice": "alloy", "input": "Hello! " * 3}
    pcm = post(path, {**text, "response_format": "pcm"})
    check("speech: pcm", pcm[0] == 200 and pcm[1] == "audio/pcm" and len(pcm[2]) > 10000, pcm)
    answer = post(path, {**text, "response_format": "wav"})
    check("speech: wav", answer[2][:4] == b"RIFF" and answer[2][44:] == pcm[2], answer[2][:50])
    answer = post(path, {**text, "response_format": "pcm", "stream_format": "sse"})
    events = [json.loads(e) for e in events_of(answer[2])]
    sound = b"".join(base64.b64decode(e["audio"]) for e in events if "audio" in e)
    last = events[-1]
    check("speech: events", sound == pcm[2] and last["type"] == "speech.audio.done", last)
    for kind in ("flac", "opus"):
        answer = post(path, {**text, "response_format": kind})
        check(f"speech: {kind}", answer[0] == 200 and len(answer[2]) > 1000, answer)
    refused("speech: a format", "unsupported_format",
            post(path, {**text, "response_format": "aac"}))
    refused("speech: nothing", "missing_required_parameter",
            post(path, {"model": "m", "voice": "alloy"}))
    refused("speech: no JSON", "invalid_json", post(path, b"{", "application/json; charset=utf-8"))


def heard():
    sound = {"type": "input_audio",
             "input_audio": {"data": base64.b64encode(SOUND).decode(), "format": "wav"}}
    return [{"role": "user", "content": [sound]}]


def chat():
    path, hello = "/v1/chat/completions", [{"role": "user", "content": "hello"}]
    answer = json.loads(post(path, {"model": "m", "messages": hello})[2])
    text, usage = answer["choices"][0]["message"]["content"], answer["usage"]
    check("chat", answer["object"] == "chat.completion" and len(text) > 3 and
          answer["choices"][0]["finish_reason"] == "stop", answer)
    check("chat: usage", 0 < usage["prompt_tokens"] and usage["total_tokens"] ==
          usage["prompt_tokens"] + usage["completion_tokens"], usage)
    events = events_of(post(path, {"model": "m", "messages": hello, "stream": True,
                                   "stream_options": {"include_usage": True}})[2])
    check("chat: stream ends", events[-1] == "[DONE]", events[-1])
    chunks = [json.loads(e) for e in events[:-1]]
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    check("chat: stream", said == text and chunks[-1]["usage"] == usage, (said, chunks[-1]))
    spoken = {"model": "m", "messages": heard(), "modalities": ["text", "audio"],
              "audio": {"voice": "alloy", "format": "wav"}}
    whole = json.loads(post(path, spoken)[2])["choices"][0]["message"]["audio"]
    sound = wave.open(io.BytesIO(base64.b64decode(whole["data"])))
    check("chat: spoken", sound.getframerate() == 24000 and "light" in whole["transcript"], whole)
    spoken.update(stream=True, audio={"voice": "alloy", "format": "pcm16"})
    chunks = [json.loads(e) for e in events_of(post(path, spoken)[2])[:-1]]
    parts = [c["choices"][0]["delta"].get("audio", {}) for c in chunks]
    pcm = b"".join(base64.b64decode(p.get("data", "")) for p in parts)
    check("chat: spoken stream", pcm == sound.readframes(sound.getnframes()) and
          "".join(p.get("transcript", "") for p in parts) == whole["transcript"], len(pcm))
    # What was said is known by its id.
    again = heard() + [{"role": "assistant", "audio": {"id": whole["id"]}}] + hello
    check("chat: by id", post(path, {"model": "m", "messages": again})[0] == 200)
    again[1]["audio"]["id"] = "audio_000000000000000000000"
    refused("chat: an id", "audio_not_found", post(path, {"model": "m", "messages": again}))
    refused("chat: no messages", "missing_required_parameter", post(path, {"model": "m"}))
    refused("chat: twice", "invalid_json", post(path, b'{"model":"m","model":"m"}'))
    long = [{"role": "user", "content": "word " * 5000}]
    refused("chat: too long", "context_length_exceeded",
            post(path, {"model": "m", "messages": long}))
    return whole


def together(whole):
    """Many at once say what one alone says, and who goes away takes nobody along."""
    answers = []

    def one():
        body = {"model": "m", "messages": heard(), "modalities": ["text", "audio"],
                "audio": {"voice": "alloy", "format": "wav"}}
        answer = post("/v1/chat/completions", body)
        answers.append(json.loads(answer[2])["choices"][0]["message"]["audio"]["data"])

    def leave():
        c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        c.request("POST", "/v1/chat/completions", json.dumps(
            {"model": "m", "messages": heard(), "modalities": ["text", "audio"], "stream": True,
             "audio": {"voice": "alloy", "format": "pcm16"}}), {"Content-Type": "application/json"})
        c.getresponse().read(200)
        c.sock.close()

    threads = [threading.Thread(target=t) for t in (one, leave, one, leave, one)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("together", answers == [whole["data"]] * 3, len(answers))
    for _ in range(100):  # those who left are forgotten: the server can be full of others
        c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
        c.request("GET", "/health/ready")
        ready = c.getresponse().status == 200
        c.close()
        if ready:
            break
        time.sleep(0.1)
    check("together: none stays", ready)


transcriptions()
speech()
together(chat())
sys.exit(1 if failed else 0)
