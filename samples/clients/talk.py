#!/usr/bin/env python3
"""One spoken turn: talk.py QUESTION.wav ANSWER.wav

The file (16 bits, mono, 24 kHz) goes to the server at the pace of a microphone, silence behind it;
the server hears where the question ends, and what it answers is written and kept."""
import asyncio
import base64
import os
import sys
import wave

from openai import AsyncOpenAI

RATE = 24000
BLOCK = RATE // 25  # 40 ms


async def speak(connection, pcm):
    """Sends the question and then silence, until it is cancelled."""
    at = 0
    while True:
        block = pcm[at:at + 2 * BLOCK].ljust(2 * BLOCK, b"\0")
        at += 2 * BLOCK
        await connection.input_audio_buffer.append(audio=base64.b64encode(block).decode())
        await asyncio.sleep(BLOCK / RATE)


async def main(question, answer):
    client = AsyncOpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
                         api_key=os.environ.get("OPENAI_API_KEY", "none"))
    with wave.open(question) as file:
        if file.getparams()[:3] != (1, 2, RATE):
            sys.exit(f"{question}: this is not 16 bits, mono, {RATE} Hz")
        pcm = file.readframes(file.getnframes())
    heard = b""
    async with client.realtime.connect(model="default") as connection:
        speaker = asyncio.ensure_future(speak(connection, pcm))
        async for event in connection:
            if event.type == "response.output_audio.delta":
                heard += base64.b64decode(event.delta)
            elif event.type == "response.output_audio_transcript.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "error":
                sys.exit(event.error.message)
            elif event.type == "response.done":
                break
        speaker.cancel()
    print()
    with wave.open(answer, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(heard)


asyncio.run(main(*sys.argv[1:]))
