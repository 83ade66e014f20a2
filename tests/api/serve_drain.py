#!/usr/bin/env python3
"""A server of `runnel serve` that is told to end in mid-answer: serve_drain.py PORT PID. Ends
with 1 when an answer is not what it should be."""
import json
import os
import signal
import sys
import time

from serving import ask, begin, check, finish, refused

PID = int(sys.argv[2])
SPEECH = {"model": "m", "voice": "alloy", "input": "Hello, how are you today? " * 12,
          "response_format": "pcm"}

whole = begin("/v1/audio/speech", SPEECH).read()
speaking = begin("/v1/audio/speech", SPEECH)
start = speaking.read(1000)
os.kill(PID, signal.SIGTERM)
for _ in range(100):
    ready = ask("/health/ready")
    if ready.status == 503:
        break
    time.sleep(0.01)
check("not ready", json.loads(ready.body) == {"status": "draining"})
check("alive", ask("/health/live").status == 200)
answer = ask("/v1/audio/speech", SPEECH)
refused("nothing new", 503, "draining", answer)
check("nothing new: until", int(answer.headers["retry-after"]) > 0, answer)
rest = start + speaking.read()
check("what is under way is finished", rest == whole, (len(rest), len(whole)))
finish()
