#!/usr/bin/env python3
"""A server of `runnel serve` that is told to end in mid-answer: serve_drain.py PORT PID. Ends
with 1 when an answer is not what it should be."""
import http.client
import json
import os
import signal
import sys
import time

PORT, PID = int(sys.argv[1]), int(sys.argv[2])
SPEECH = {"model": "m", "voice": "alloy", "input": "Hello, how are you today? " * 12,
          "response_format": "pcm"}
failed = []


def check(name, good, seen=""):
    if not good:
        failed.append(name)
        print(f"FAILED: {name}: {str(seen)[:300]}")


def ask(method, path, body=None):
    c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    c.request(method, path, json.dumps(body) if body else None,
              {"Content-Type": "application/json"})
    return c.getresponse()


whole = ask("POST", "/v1/audio/speech", SPEECH).read()
speaking = ask("POST", "/v1/audio/speech", SPEECH)
begun = speaking.read(1000)
os.kill(PID, signal.SIGTERM)
for _ in range(100):
    ready = ask("GET", "/health/ready")
    if ready.status == 503:
        break
    time.sleep(0.01)
check("not ready", json.loads(ready.read()) == {"status": "draining"})
check("alive", ask("GET", "/health/live").status == 200)
refused = ask("POST", "/v1/audio/speech", SPEECH)
check("nothing new", refused.status == 503 and int(refused.getheader("retry-after")) > 0 and
      json.loads(refused.read())["error"]["code"] == "draining", refused.status)
rest = begun + speaking.read()
check("what is under way is finished", rest == whole, (len(rest), len(whole)))
sys.exit(1 if failed else 0)
