#!/usr/bin/env python3
"""What a request has in common with those before it is not read again: serve_prefix.py PORT open,
or PORT keys FILE PROCESS. Without keys that belongs to the connection, with keys to the key; no
answer tells, and nobody else has any of it. Ends with 1 when it is otherwise. Needs nothing but
Python."""
import http.client
import json
import os
import signal
import sys

PORT, MODE = int(sys.argv[1]), sys.argv[2]
ALICE, OTHER = "0123456789abcdef", "fedcba9876543210"
HEAD = [{"role": "system", "content": "Answer in as few words as there can be, and say no more."},
        {"role": "user", "content": "How is the weather in Vienna today, and how will it be?"}]
failed = []


def check(name, good, seen=""):
    if not good:
        failed.append(name)
        print(f"FAILED: {name}: {str(seen)[:300]}")


def connect():
    return http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)


def ask(connection, messages, key=None, **more):
    """The words of the answer, and how many of the question's tokens were there before."""
    head = {"Content-Type": "application/json"}
    if key is not None:
        head["Authorization"] = f"Bearer {key}"
    connection.request("POST", "/v1/chat/completions",
                       json.dumps({"model": "m", "messages": messages, "max_tokens": 24, **more}),
                       head)
    answer = json.loads(connection.getresponse().read())
    usage = answer["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    check("cached are some of all", 0 <= cached < usage["prompt_tokens"], usage)
    return answer["choices"][0]["message"]["content"], cached


def goes_on(words):
    return HEAD + [{"role": "assistant", "content": words},
                   {"role": "user", "content": "And who are you?"}]


def check_caller(name, mine, again, other):
    """Connections, with their keys: what the first two had the third one has not."""
    words, cached = ask(mine[0], HEAD, mine[1])
    check(f"{name}: nothing at first", cached == 0, cached)
    same, cached = ask(again[0], HEAD, again[1])
    check(f"{name}: the same question", same == words and cached > 10, (same, words, cached))
    more, cached = ask(again[0], goes_on(words), again[1])
    check(f"{name}: the next question", cached > 20, cached)
    strange, cached = ask(other[0], goes_on(words), other[1])
    check(f"{name}: another has nothing of it", cached == 0, cached)
    check(f"{name}: no answer tells", strange == more, (strange, more))


if MODE == "open":
    one = connect()
    check_caller("a connection", (one, None), (one, None), (connect(), None))
    told = ask(connect(), HEAD, temperature=0.7, seed=5)[0]
    check("a seed counts as before", ask(one, HEAD, temperature=0.7, seed=5)[0] == told, told)
else:
    check_caller("a key", (connect(), ALICE), (connect(), ALICE), (connect(), OTHER))
    with open(sys.argv[3], "a") as keys:  # whatever the keys are now, their owners are others
        keys.write("a-third-one-of-ours\n")
    os.kill(int(sys.argv[4]), signal.SIGHUP)
    third = connect()
    while True:  # until the keys are read
        third.request("GET", "/v1/models", headers={"Authorization": "Bearer a-third-one-of-ours"})
        answer = third.getresponse()
        if answer.read() and answer.status == 200:
            break
    check("keys read again: all is forgotten", ask(connect(), HEAD, ALICE)[1] == 0)
sys.exit(1 if failed else 0)
