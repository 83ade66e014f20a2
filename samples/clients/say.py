#!/usr/bin/env python3
"""A text as a sound file: say.py "TEXT" OUT.wav (or .mp3, .flac, .opus)"""
import os
import sys

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
                api_key=os.environ.get("OPENAI_API_KEY", "none"))
text, out = sys.argv[1:]
speech = client.audio.speech.with_streaming_response.create(
    model="default", voice="default", input=text, response_format=out.rsplit(".", 1)[-1])
with speech as answer:
    answer.stream_to_file(out)
