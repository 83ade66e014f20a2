#!/usr/bin/env python3
"""Whether a log of realtime events is what OpenAI's own client takes: check_events.py LOG...
Lines {"dir": "in" or "out", "event": {...}}, as tests/api/serve_events.py and realtime_rig.c
(REALTIME_RIG_LOG) write them. Needs the package openai. Ends with 1 when something is wrong."""
import json
import sys

import openai.types.realtime as types
import pydantic

SERVER = pydantic.TypeAdapter(types.RealtimeServerEvent)
wrong = []


def complain(where, what):
    wrong.append(where)
    print(f"FAILED: {where}: {what}")


class Order:
    """What of server.md A.5 can be told from the events alone."""

    def __init__(self):
        self.ids, self.open, self.parts, self.added, self.count = set(), {}, set(), set(), 0

    def take(self, e):
        """A sentence that says what is wrong; None: nothing."""
        kind = e["type"]
        self.count += 1
        if self.count == 1 and kind != "session.created":
            return "the first event is session.created"
        if e["event_id"] in self.ids:
            return "the event_id was there before"
        self.ids.add(e["event_id"])
        if kind.startswith("response."):
            return self.response(e, kind)
        if kind == "conversation.item.added":
            self.added.add(e["item"]["id"])
        if kind == "conversation.item.done" and e["item"]["id"] not in self.added:
            return "done before it was added"
        return None

    def response(self, e, kind):
        name = e.get("response_id") or e["response"]["id"]
        if kind == "response.created":
            here = e["response"]["conversation_id"]
            if here is not None and here in self.open.values():
                return "two responses in the conversation at once"
            self.open[name] = here
        elif name not in self.open:
            return "outside of response.created and response.done"
        if kind == "response.content_part.added":
            self.parts.add(e["item_id"])
        if kind.endswith(".delta") and "arguments" not in kind and e["item_id"] not in self.parts:
            return "a delta without its part"
        if kind == "response.content_part.done":
            self.parts.remove(e["item_id"])
        if kind == "response.done":
            self.open.pop(name)
            if e["response"]["usage"] is None or e["response"]["status"] == "in_progress":
                return "no status or usage at the end"
        return None


def check(path):
    order, kinds = Order(), set()
    with open(path) as f:
        for number, line in enumerate(f, 1):
            entry = json.loads(line)
            e, where = entry["event"], f"{path}:{number}: {entry['event'].get('type')}"
            if entry["dir"] == "in":
                continue
            try:
                SERVER.validate_python(e)
            except pydantic.ValidationError as x:
                complain(where, str(x)[:400])
            kinds.add(e["type"])
            fault = order.take(e)
            if fault:
                complain(where, fault)
    if order.open:
        complain(path, f"without response.done: {list(order.open)}")
    print(f"{path}: {order.count} events of {len(kinds)} types")


for name in sys.argv[1:]:
    check(name)
sys.exit(1 if wrong else 0)
