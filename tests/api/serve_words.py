#!/usr/bin/env python3
"""What `runnel serve` says against what the program says by itself: serve_words.py PORT
QUESTION.wav FOLDER TEXT. FOLDER has long.wav, TEXT as `runnel say` speaks it, heard.txt, what
`transcribe` makes of the question, and said.txt, what `chat` answers. Ends with 1 when they differ.
Needs nothing but Python."""
import base64
import json
import pathlib
import socket
import struct
import sys
import threading
import wave

from serving import PORT, ask, check, events, finish, form, refused

DATA = pathlib.Path(__file__).parents[1] / "data"
QUESTION, FOLDER, TEXT = open(sys.argv[2], "rb").read(), *sys.argv[3:5]


def transcribe(file=QUESTION, **fields):
    return ask("/v1/audio/transcriptions",
               *form(file, {"model": "m", **fields}.items(), first=True))


def speak(text, **more):
    return ask("/v1/audio/speech", {"model": "m", "input": text, **more})


def chat(messages, **more):
    return ask("/v1/chat/completions", {"model": "m", "messages": messages, **more})


def user(content):
    return [{"role": "user", "content": content}]


def pcm_of(path):
    with wave.open(path) as w:
        return w.readframes(w.getnframes())


# ---- The program's own words

def transcriptions():
    heard = " ".join(open(f"{FOLDER}/heard.txt").read().split())
    answer = transcribe()
    check("json", json.loads(answer[2])["text"] == heard, answer)
    check("text", transcribe(response_format="text")[2].decode() == heard + "\n")
    check("srt", heard.split()[0].encode() in transcribe(response_format="srt")[2])
    whole = json.loads(transcribe(response_format="verbose_json")[2])
    check("verbose_json", whole["text"] == heard and "words" not in whole and
          [s["text"] for s in whole["segments"]] != [] and
          all(0 <= s["no_speech_prob"] < 0.6 for s in whole["segments"]), whole)
    told = events(transcribe(stream="true"))
    check("stream", "".join(e["delta"] for e in told[:-1]) == heard == told[-1]["text"], told)
    quiet = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 64036, b"WAVEfmt ", 16, 1, 1, 16000, 32000, 2,
                        16, b"data", 64000) + bytes(64000)
    hole = (DATA / "audio-cases/hole.mp3").read_bytes()
    told = json.loads(transcribe(hole)[2])
    check("a hole is told", told.get("damaged") == [[7.095, 7.491]] and told["text"], told)
    answer = transcribe(hole, response_format="srt")
    check("a hole is told of subtitles",
          answer[1].get("x-runnel-damaged") == "7.095-7.491", answer[1])
    answer = transcribe(quiet)
    check("silence", answer[0] == 200 and json.loads(answer[2])["text"] == "", answer)


def speech():
    said = pcm_of(f"{FOLDER}/long.wav")
    check("pcm", speak(TEXT, response_format="pcm")[2] == said)
    wav = speak(TEXT, response_format="wav")
    check("wav", wav[2][44:] == said and wav[2][40:44] == b"\xff\xff\xff\xff" and
          wav[1]["content-type"] == "audio/wav" and wav[1]["transfer-encoding"] == "chunked",
          wav[1])
    told = events(speak(TEXT, response_format="pcm", stream_format="sse"))
    sound = b"".join(base64.b64decode(e["audio"]) for e in told[:-1])
    check("speech in events", sound == said and told[-1]["type"] == "speech.audio.done", told[-1])
    for name, begin in ("flac", b"fLaC"), ("opus", b"OggS"):
        check(name, speak("Yes.", response_format=name)[2][:4] == begin)


def chats():
    said = open(f"{FOLDER}/said.txt").read().strip()
    brief = [{"role": "system", "content": "Be brief."}, *user("Hello")]
    answer = json.loads(chat(brief)[2])
    message = answer["choices"][0]
    check("chat", message["message"]["content"] == said and
          message["finish_reason"] == "stop", answer)
    told = events(chat(brief, stream=True, stream_options={"include_usage": True}))
    text = "".join(e["choices"][0]["delta"].get("content", "") for e in told[:-2])
    check("chat in a stream", text == said and told[-1] == "[DONE]" and
          told[-2]["usage"] == answer["usage"] and
          told[-3]["choices"][0]["finish_reason"] == "stop", told[-3:])
    short = json.loads(chat(brief, max_tokens=1)[2])["choices"][0]
    check("a short one", short["finish_reason"] == "length", short)
    begin = said[:len(said) // 2]
    stopped = json.loads(chat(brief, stop=said[len(begin):])[2])["choices"][0]
    check("a stop text", stopped["message"]["content"] == begin and
          stopped["finish_reason"] == "stop", stopped)
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {
        "type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"],
        "additionalProperties": False}}}
    held = json.loads(chat(user("Is it on?"), response_format=schema)[2])
    held = held["choices"][0]["message"]["content"]
    check("a schema", set(json.loads(held)) == {"on"}, held)


def spoken_chats():
    sound = {"type": "input_audio",
             "input_audio": {"data": base64.b64encode(QUESTION).decode(), "format": "wav"}}
    both = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"}}
    answer = json.loads(chat(user([sound]), **both)[2])
    audio = answer["choices"][0]["message"]["audio"]
    check("a spoken answer", audio["transcript"] and len(audio["data"]) > 1000 and
          answer["usage"]["prompt_tokens_details"]["audio_tokens"] > 10 and
          answer["usage"]["completion_tokens_details"]["audio_tokens"] > 10, answer["usage"])
    told = [e["choices"][0]["delta"].get("audio", {})
            for e in events(chat(user([sound]), stream=True, **both))[:-1]]
    check("a spoken stream",
          "".join(a.get("transcript", "") for a in told) == audio["transcript"] and
          b"".join(base64.b64decode(a.get("data", "")) for a in told) ==
          base64.b64decode(audio["data"]) and "expires_at" in told[-2], told[-2:])
    more = [*user([sound]), {"role": "assistant", "audio": {"id": audio["id"]}}, *user("Thanks.")]
    same = [more[0], {"role": "assistant", "content": audio["transcript"]}, more[2]]
    check("an answer by its id", json.loads(chat(more)[2])["choices"] ==
          json.loads(chat(same)[2])["choices"])
    more[1]["audio"]["id"] = "audio_none"
    refused("an answer that never was", 400, "audio_not_found", chat(more))


# ---- What is refused

def refusals():
    refused("a damaged sound", 400, "invalid_audio", transcribe(b"fLaC" + bytes(100)))
    refused("a large file", 413, "payload_too_large", transcribe(bytes(4000001)))
    refused("a form as JSON", 415, "unsupported_media_type",
            ask("/v1/audio/transcriptions", {"model": "m"}))
    refused("nothing to speak", 400, "invalid_value", speak("..."))
    refused("a deep one", 400, "invalid_json",
            ask("/v1/chat/completions", b'{"a":' * 1000 + b"1" + b"}" * 1000))
    refused("a picture", 400, "unsupported_parameter",
            chat(user([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}])))
    refused("a schema that is none", 400, "invalid_value",
            chat(user("Q"), response_format={"type": "json_schema",
                                             "json_schema": {"schema": {"type": "none"}}}))


# ---- Who goes away, and who comes at once

def leavers():
    """Clients that close in the midst of an answer, or of their body, leave nothing behind."""
    body = json.dumps({"model": "m", "input": TEXT * 20, "response_format": "pcm"}).encode()
    upload, kind = form(QUESTION, [], first=True)
    heads = [("/v1/audio/speech", "application/json", body, len(body)),
             ("/v1/audio/transcriptions", kind, upload[:20000], len(upload))]
    for path, content_type, part, size in heads * 4:
        s = socket.create_connection(("127.0.0.1", PORT), 5)
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nContent-Type: {content_type}"
                  f"\r\nContent-Length: {size}\r\n\r\n".encode() + part)
        if part is body:
            s.recv(1000)
        s.close()


def at_once():
    """Several at the same time get what each gets alone."""
    alone = speak("Yes.", response_format="pcm")[2]
    got = []
    threads = [threading.Thread(target=lambda: got.append(speak("Yes.", response_format="pcm")[2]))
               for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("six at once", got == [alone] * 6, [len(x) for x in got])


transcriptions()
speech()
chats()
spoken_chats()
refusals()
leavers()
at_once()
finish()
