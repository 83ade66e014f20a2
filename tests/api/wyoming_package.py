#!/usr/bin/env python3
"""The package wyoming's own client against `runnel serve --wyoming`: wyoming_package.py PORT WAV"""
import asyncio
import sys
import wave

from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop, wav_to_chunks
from wyoming.client import AsyncClient
from wyoming.handle import Handled
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop,
                         SynthesizeStopped, SynthesizeVoice)


async def ask(events, last):
    """A connection of its own; every event up to the first of the type `last`."""
    got = []
    async with AsyncClient.from_uri(f"tcp://127.0.0.1:{sys.argv[1]}") as client:
        for event in events:
            await client.write_event(event.event())
        while not got or not last.is_type(got[-1].type):
            event = await asyncio.wait_for(client.read_event(), 60)
            assert event is not None, [e.type for e in got]
            got.append(event)
    return got


async def main():
    info = Info.from_event((await ask([Describe()], Info))[-1])
    assert [p.name for p in info.asr + info.tts + info.handle] == ["runnel"] * 3, info
    assert info.asr[0].supports_transcript_streaming and info.tts[0].supports_synthesize_streaming
    assert info.asr[0].models[0].languages == ["en"] and info.tts[0].voices[0].name == "default"
    assert Pong.from_event((await ask([Ping("a")], Pong))[-1]).text == "a"

    with wave.open(sys.argv[2]) as f:
        sound = [e for e in wav_to_chunks(f, 1024, start_event=True, stop_event=True)]
    got = await ask([Transcribe(language="en"), *sound], Transcript)
    assert Transcript.from_event(got[-1]).text == "Turn on the kitchen light."
    pieces = [TranscriptChunk.from_event(e).text for e in got if TranscriptChunk.is_type(e.type)]
    assert "".join(pieces) == "Turn on the kitchen light.", pieces

    text, voice = "The light is on. The door is shut.", SynthesizeVoice(name="default")
    whole = await ask([Synthesize(text=text, voice=voice)], AudioStop)
    parts = await ask([SynthesizeStart(voice=voice), SynthesizeChunk(text[:20]),
                       SynthesizeChunk(text[20:]), Synthesize(text=text), SynthesizeStop()],
                      SynthesizeStopped)
    sounds = []
    for events in (whole, parts):
        start = AudioStart.from_event(events[0])
        assert (start.rate, start.width, start.channels) == (24000, 2, 1), start
        chunks = [AudioChunk.from_event(e) for e in events if AudioChunk.is_type(e.type)]
        sounds.append(b"".join(chunk.audio for chunk in chunks))
    assert sounds[0] == sounds[1] and len(sounds[0]) > 48000, [len(s) for s in sounds]

    question = Transcript(text="Turn on the kitchen light.", context={"conversation_id": "c"})
    told = Handled.from_event((await ask([question], Handled))[-1])
    assert told.text == "The kitchen light is on." and told.context == {"conversation_id": "c"}

asyncio.run(main())
