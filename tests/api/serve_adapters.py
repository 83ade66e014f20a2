#!/usr/bin/env python3
"""A server of `runnel serve` with the adapters "voice" and "other": serve_adapters.py PORT BASE
SOUND FOLDER. BASE is the model's own name; FOLDER has none.txt and voice.txt, what `runnel chat`
answers to TEXT without and with the first of them. Ends with 1 when something is not as it should
be."""
import json
import sys
import threading

from serving import PORT, ask, check, finish, form, refused, websocket

BASE, SOUND, FOLDER = sys.argv[2], open(sys.argv[3], "rb").read(), sys.argv[4]
TEXT = "one two three"
CHAT = "/v1/chat/completions"


def chat(model):
    answer = ask(CHAT, {"model": model, "messages": [{"role": "user", "content": TEXT}],
                        "max_tokens": 20})
    return json.loads(answer.body)


def said(model):
    return chat(model)["choices"][0]["message"]["content"]


def upgrade(query, headers=""):
    """The model of a realtime session, or what is answered instead of one."""
    s = websocket.Socket(PORT, f"/v1/realtime{query}", headers)
    return s.next()["session"]["model"] if b" 101 " in s.head else s.head + s.rest


def models():
    ids = [m["id"] for m in json.loads(ask("/v1/models").body)["data"]]
    check("models", ids == [BASE, "voice", "other"], ids)
    one = json.loads(ask("/v1/models/voice").body)
    check("one of them", one["id"] == "voice" and one["owned_by"] == "runnel", one)
    refused("none of them", 404, "model_not_found", ask("/v1/models/default"))


def chosen():
    """A request's model answers, and says who it is."""
    for model, name in ((BASE, "none"), ("voice", "voice")):
        answer = chat(model)
        check(f"a chat with {model}", answer["model"] == model, answer["model"])
        text = answer["choices"][0]["message"]["content"]
        words = open(f"{FOLDER}/{name}.txt").read().strip()
        check(f"the words of {model}", text.strip() == words, (text, words))
    heard = [ask("/v1/audio/transcriptions", *form(SOUND, [("model", m)])).body
             for m in (BASE, "voice", BASE)]
    check("transcripts", heard[0] == heard[2] != heard[1], heard)


def unknown():
    chat_of = {"model": "voices", "messages": [{"role": "user", "content": TEXT}]}
    refused("a chat", 404, "model_not_found", ask(CHAT, chat_of))
    refused("a speech", 404, "model_not_found",
            ask("/v1/audio/speech", {"model": "voices", "voice": "alloy", "input": TEXT}))
    refused("a transcript", 404, "model_not_found",
            ask("/v1/audio/transcriptions", *form(SOUND, [("model", "voices")])))
    refused("a secret", 404, "model_not_found",
            ask("/v1/realtime/client_secrets", {"session": {"type": "realtime", "model": "v"}}))
    got = upgrade("?model=voices")
    check("a realtime session", b" 404 " in got and b"model_not_found" in got, got)


def realtime():
    for query, model in (("?model=voice", "voice"), ("", BASE)):
        got = upgrade(query)
        check(f"realtime{query}", got == model, got)
    made = json.loads(ask("/v1/realtime/client_secrets",
                          {"session": {"type": "realtime", "model": "other"}}).body)
    check("a secret's session", made["session"]["model"] == "other", made)
    got = upgrade("?model=voice", f"Authorization: Bearer {made['value']}\r\n")
    check("a secret is for its model", got == "other", got)


def together():
    """Each says beside the others what it says alone."""
    names = [BASE, "voice", "other"] * 3
    alone = {name: said(name) for name in names[:3]}
    check("each its own words", len(set(alone.values())) == 3, alone)
    got = {}
    threads = [threading.Thread(target=lambda i=i, n=n: got.update({i: said(n)}))
               for i, n in enumerate(names)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("at once", [got.get(i) for i in range(9)] == [alone[n] for n in names], got)


models()
chosen()
unknown()
realtime()
together()
finish()
