#!/usr/bin/env python3
"""A question in writing or in a WAV file, the answer written as it comes and spoken into a file:
ask.py "TEXT"|FILE.wav [ANSWER.wav]"""
import base64
import os
import sys
import wave

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
                api_key=os.environ.get("OPENAI_API_KEY", "none"))
question = sys.argv[1]
if question.endswith(".wav"):
    with open(question, "rb") as file:
        sound = base64.b64encode(file.read()).decode()
    question = [{"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}]
answer = client.chat.completions.create(
    model="default", messages=[{"role": "user", "content": question}],
    modalities=["text", "audio"], audio={"voice": "default", "format": "pcm16"}, stream=True)
pcm = b""
for chunk in answer:
    audio = getattr(chunk.choices[0].delta, "audio", None) if chunk.choices else None
    if audio:
        print(getattr(audio, "transcript", None) or "", end="", flush=True)
        pcm += base64.b64decode(getattr(audio, "data", None) or "")
print()
if len(sys.argv) > 2:
    with wave.open(sys.argv[2], "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes(pcm)
