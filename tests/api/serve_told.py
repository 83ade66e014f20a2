#!/usr/bin/env python3
"""What --log-content adds to the log: serve_told.py PORT LOG. Ends with 1 when something is not as
it should be. Needs nothing but Python."""
import json
import sys
import time

from serving import PORT, ask, check, finish, form, websocket

WORDS = "Turn on the kitchen light."


def lines():
    with open(sys.argv[2]) as f:
        return [json.loads(line) for line in f if line.startswith("{")]


answer = ask("/v1/chat/completions", {"model": "m", "messages": [{"role": "user",
                                                                   "content": WORDS}]})
check("a chat", answer.status == 200, answer)
body, kind = form(b"no sound", [("model", "m")])
check("a file", ask("/v1/audio/transcriptions", body, kind).status == 400)
s = websocket.Socket(PORT)
s.send("session.update", session={"type": "realtime", "instructions": WORDS})
s.wait("session.updated")
s.close()
end = time.monotonic() + 10
while time.monotonic() < end and not any(e["what"] == "realtime" for e in lines()):
    time.sleep(0.05)
told = lines()
chats = [e for e in told if e["path"] == "/v1/chat/completions"]
check("what was asked", len(chats) == 1 and WORDS in chats[0]["content"], told)
files = [e for e in told if e["path"] == "/v1/audio/transcriptions"]
check("a file's name", len(files) == 1 and files[0]["file"] == "../../a.wav", told)
events = [e for e in told if e["what"] == "event"]
check("events in", any(e["why"] == "in" and WORDS in e["content"] for e in events), events)
check("events out", any(e["why"] == "out" and "session.created" in e["content"] for e in events),
      events)
finish()
