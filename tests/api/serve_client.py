#!/usr/bin/env python3
"""The official client against `runnel serve`: serve_client.py BASE QUESTION.wav. Every REST call
that it has for what the server does; one line for each that is not as it should be."""
import base64
import sys

import openai

BASE, QUESTION = sys.argv[1:3]
client = openai.OpenAI(base_url=BASE, api_key="none", max_retries=0, timeout=60)
failed = []


def check(name, what):
    try:
        good, seen = what()
    except Exception as x:  # a client's exception is an answer that does not fit its types
        good, seen = False, repr(x)
    if not good:
        failed.append(name)
        print(f"FAILED: {name}: {str(seen)[:500]}")


def transcribe(**more):
    with open(QUESTION, "rb") as f:
        return client.audio.transcriptions.create(file=f, model="m", **more)


def speak(**more):
    return client.audio.speech.create(model="m", voice="alloy", input="Yes.", **more).read()


def chat(content, **more):
    return client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": content}], **more)


def raised(kind, call):
    try:
        call()
    except kind as x:
        return bool(x.code and x.type), x
    return False, "nothing was raised"


WORDS = transcribe().text
SOUND = [{"type": "input_audio", "input_audio": {
    "data": base64.b64encode(open(QUESTION, "rb").read()).decode(), "format": "wav"}}]
BOTH = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "wav"}}
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"]}}}


def models():
    seen = [m.id for m in client.models.list()]
    return client.models.retrieve(seen[0]).owned_by == "runnel", seen


def subtitles():
    seen = transcribe(response_format="srt"), transcribe(response_format="vtt")
    return "-->" in seen[0] and seen[1].startswith("WEBVTT"), seen


def verbose():
    seen = transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    return (seen.text == WORDS and seen.language == "english" and
            seen.segments[0].tokens and seen.words[0].end > seen.words[0].start), seen


def logprobs():
    seen = transcribe(include=["logprobs"])
    text = b"".join(bytes(map(int, p.bytes)) for p in seen.logprobs).decode()
    return text.split() == seen.text.split() and all(p.logprob <= 0 for p in seen.logprobs), seen


def transcript_events():
    seen = list(transcribe(stream=True, language="en", prompt="light", temperature=0.0))
    return (seen[-1].type == "transcript.text.done" and seen[-1].text == WORDS and
            "".join(e.delta for e in seen[:-1]) == WORDS), seen


def speech_formats():
    seen = {f: speak(response_format=f)[:4] for f in ("wav", "flac", "opus")}
    return seen == {"wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS"}, seen


def speech_default():
    seen = speak()[:3]
    return seen[:1] == b"\xff" or seen in (b"ID3", b"RIF"), seen


def speech_stream():
    with client.audio.speech.with_streaming_response.create(
            model="m", voice="default", input="Yes.", response_format="pcm",
            instructions="calm", speed=1.0) as r:
        got = b"".join(r.iter_bytes())
        return got == speak(response_format="pcm"), r.headers.get("content-type")


def talk():
    seen = chat("Hello", max_completion_tokens=64, temperature=0.5, seed=1)
    again = chat("Hello", max_completion_tokens=64, temperature=0.5, seed=1)
    return seen.choices == again.choices and seen.usage.total_tokens > 0, seen


def talk_events():
    seen = list(chat("Hello", stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in seen if c.choices)
    return text == chat("Hello").choices[0].message.content and seen[-1].usage.total_tokens, seen


def talk_surely():
    seen = chat("Hello", logprobs=True, top_logprobs=3, max_completion_tokens=16).choices[0]
    tokens = seen.logprobs.content
    text = b"".join(bytes(t.bytes) for t in tokens).decode()
    best = all(t.logprob <= t.top_logprobs[0].logprob <= 0 and len(t.top_logprobs) == 3
               for t in tokens)
    told = [c.choices[0] for c in chat("Hello", logprobs=True, top_logprobs=3, stream=True,
                                       max_completion_tokens=16)]
    told = [t for c in told if c.logprobs for t in c.logprobs.content]
    return text == seen.message.content and best and told == tokens, (seen, told)


def talk_again():
    before = chat("Who are you, and what can you do?").usage
    after = chat("Who are you, and what can you do?").usage
    return (after.prompt_tokens == before.prompt_tokens and
            after.prompt_tokens_details.cached_tokens > 0), (before, after)


def talk_aloud():
    m = chat(SOUND, **BOTH).choices[0].message
    return m.audio.transcript and base64.b64decode(m.audio.data)[:4] == b"RIFF", m.audio.transcript


def talk_with_tools():
    seen = chat("Weather in Vienna?", tools=[WEATHER], tool_choice="auto").choices[0]
    return seen.finish_reason in ("stop", "tool_calls"), seen


check("models", models)
check("no such model", lambda: raised(openai.NotFoundError,
                                      lambda: client.models.retrieve("none")))
check("subtitles", subtitles)
check("verbose_json", verbose)
check("logprobs", logprobs)
check("transcript events", transcript_events)
check("formats of speech", speech_formats)
check("speech as it comes by default", speech_default)
check("speech as a stream", speech_stream)
check("a chat", talk)
check("a chat in a stream", talk_events)
check("a chat with how sure it was", talk_surely)
check("a chat again", talk_again)
check("a chat aloud", talk_aloud)
check("a chat with tools", talk_with_tools)
check("a bad request", lambda: raised(openai.BadRequestError, lambda: chat("Q", n=2)))
check("a bad sound", lambda: raised(openai.BadRequestError, lambda:
                                    client.audio.transcriptions.create(
                                        file=("a.wav", b"no sound"), model="m")))
sys.exit(len(failed) > 0)
