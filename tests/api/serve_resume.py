#!/usr/bin/env python3
"""Realtime clients of `runnel serve --resume-seconds` whose connections break off:
serve_resume.py PORT SOURCE open|keys. Ends with 1 when something is not what it should be."""
import sys
import time

from serving import PORT, check, finish, websocket

MODE = sys.argv[3]


def connect(id=None, key=None):
    """A socket, and the id of its session."""
    path = "/v1/realtime" + (f"?session_id={id}" if id else "")
    s = websocket.Socket(PORT, path, f"Authorization: Bearer {key}\r\n" if key else "")
    return s, s.wait("session.created")["session"]["id"]


def come_back(id, key=None):
    """Whether that session goes on; the server needs a moment to see that the other is gone."""
    for _ in range(100):
        s, again = connect(id, key)
        if again == id:
            return s
        s.close()
        time.sleep(0.02)
    return None


def break_off(key=None):
    """A session with an item whose connection breaks off."""
    s, id = connect(key=key)
    s.send("conversation.item.create", item={
        "type": "message", "role": "user", "id": "said",
        "content": [{"type": "input_text", "text": "Turn on the kitchen light."}]})
    s.wait("conversation.item.done")
    s.socket.close()
    return id


def main():
    key = "0123456789abcdef" if MODE == "keys" else None
    id = break_off(key)
    s = come_back(id, key)
    check("it goes on", s is not None, id)
    added, done = s.next(), s.next()
    check("its items", added["type"] == "conversation.item.added" and
          done["type"] == "conversation.item.done" and done["item"]["id"] == "said" and
          done["item"]["content"][0]["text"] == "Turn on the kitchen light.", (added, done))
    s.send("response.create", response={"output_modalities": ["text"]})
    done = s.wait("response.done")["response"]
    check("and is answered", done["status"] == "completed" and
          "light" in done["output"][0]["content"][0]["text"], done)
    # Only who broke off comes back: one at a time, and nobody once it was closed.
    other, again = connect(id, key)
    check("it is not shared", again != id)
    other.close()
    s.close()
    time.sleep(0.2)
    other, again = connect(id, key)
    check("what was closed is gone", again != id)
    other.close()
    if MODE == "keys":
        id = break_off(key)
        stranger, again = connect(id, "fedcba9876543210")
        check("another key", again != id)
        stranger.close()
        s = come_back(id, key)
        check("the right one", s is not None)
        s.close()


main()
finish()
