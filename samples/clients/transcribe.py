#!/usr/bin/env python3
"""What is said in a sound file: transcribe.py FILE"""
import os
import sys

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
                api_key=os.environ.get("OPENAI_API_KEY", "none"))
with open(sys.argv[1], "rb") as file:
    answer = client.audio.transcriptions.create(model="default", file=file)
print(answer.text)
