#!/usr/bin/env python3
"""Two spoken questions through pipecat's service for OpenAI's realtime protocol, the second into
the answer of the first: pipecat_talk.py PORT SOURCE. Ends with 1 unless both are answered without
an error. Needs pipecat-ai[openai]."""
import asyncio
import collections
import sys
import wave

import numpy
from pipecat.frames.frames import InputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

PORT, SOURCE = sys.argv[1:]
RATE = 24000
seen, sound, text, errors = collections.Counter(), 0, "", []


class Sink(FrameProcessor):
    async def process_frame(self, frame, direction):
        global sound, text
        await super().process_frame(frame, direction)
        name = type(frame).__name__
        seen[name] += 1
        if name == "TTSAudioRawFrame":
            sound += len(frame.audio) // 2
        if name == "TTSTextFrame":
            text += frame.text
        if name == "ErrorFrame":
            errors.append(frame.error)
        await self.push_frame(frame, direction)


def question(name):
    with wave.open(f"{SOURCE}/samples/questions/{name}.wav") as f:
        x = numpy.frombuffer(f.readframes(f.getnframes()), "<i2")
        at = numpy.arange(int(len(x) * RATE / f.getframerate())) * f.getframerate() / RATE
    return numpy.interp(at, numpy.arange(len(x)), x).astype("<i2").tobytes()


async def feed(task):
    """A question, the beginning of its answer, another question, all of its answer."""
    pcm = question("weather") + bytes(2 * RATE * 3 // 2) + question("light") + bytes(2 * RATE * 6)
    await asyncio.sleep(2)
    begin = asyncio.get_event_loop().time()
    for i, at in enumerate(range(0, len(pcm), 1920)):
        await task.queue_frame(InputAudioRawFrame(audio=pcm[at:at + 1920], sample_rate=RATE,
                                                  num_channels=1))
        await asyncio.sleep(max(0, begin + 0.04 * i - asyncio.get_event_loop().time()))
    await task.cancel()


async def main():
    llm = OpenAIRealtimeLLMService(
        api_key="none", base_url=f"ws://127.0.0.1:{PORT}/v1/realtime",
        settings=OpenAIRealtimeLLMService.Settings(model="minnow"))
    task = PipelineTask(Pipeline([llm, Sink()]), params=PipelineParams(
        audio_in_sample_rate=RATE, audio_out_sample_rate=RATE))
    feeding = asyncio.ensure_future(feed(task))
    await PipelineRunner(handle_sigint=False).run(task)
    await feeding


try:
    asyncio.run(main())
except asyncio.CancelledError:
    pass
print(dict(seen), f"{sound / RATE:.2f} s of sound: {text}")
turns = sum(count for name, count in seen.items() if "UserStartedSpeaking" in name)
if errors or sound < 2 * RATE or turns != 2 or "light is on" not in text:
    sys.exit(f"FAILED: {errors}")
