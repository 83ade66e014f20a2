"""Step 5, the folder that is handed over: checkpoint, spoken clips, and what the reference answers.

    pack.py CORPUS OUT DIR [--private DIR2]

DIR/expected.json holds for each clip what was said, the right answer, and text, tokens and frames
of liquid-audio's own generators. --private makes 60 further clips for a test nobody trains to.
"""

import argparse
import json
import os
import random
import wave

import numpy as np
import torch

import minnow as M
from common import spoken

FIXED = [
    "hello",
    "who are you",
    "what can you do",
    "tell me a joke",
    "what is the wifi password",
    "open the window",
    "where is the elevator",
    "when do you open on sunday",
    "what is the weather in vienna",
    "thank you",
]


def write_wav(path, x, rate):
    x = np.clip(np.asarray(x) * 32767, -32768, 32767).astype("<i2")
    with wave.open(path, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(rate)
        w.writeframes(x.tobytes())


def answers(T, data, items, folder):
    out = []
    for name, i in items:
        m = data.users.meta[i]
        x = data.users.wave(i)
        write_wav(f"{folder}/{name}.wav", x * (32768 / 32767), 16000)
        a, _, at = M.reply(T, data, "asr", n=60, wave=x)
        r, f, rt = M.reply(T, data, "chat", n=300, wave=x)
        said = spoken(m["user"]) if m["user"] else ""
        out.append(
            dict(
                clip=f"{name}.wav",
                voice=m["voice"],
                spoken=said,
                right_answer=m["reply"],
                asr_text=a,
                asr_tokens=at,
                reply_text=r,
                reply_tokens=rt,
                reply_frames=f.tolist(),
            )
        )
        print(
            name,
            "|",
            m["user"],
            "|",
            a,
            "|",
            r,
            "" if r == m["reply"] else "  XX " + m["reply"],
            len(f),
            flush=True,
        )
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("corpus")
    ap.add_argument("out")
    ap.add_argument("dir")
    ap.add_argument("--private")
    ap.add_argument("--threads", type=int, default=2)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    M.cmd_export(a)
    T, data = M.load(a)
    # The weights as stored; tables that are computed, not stored, stay exact.
    T.m.load_state_dict(
        {
            k: v.to(torch.bfloat16).float() if v.is_floating_point() else v
            for k, v in T.m.state_dict().items()
        }
    )
    rng = random.Random(11)
    held = [i for i in data.held if not data.users.meta[i]["voice"].startswith("en-029")]
    rng.shuffle(held)
    by = {m["user"]: i for i, m in enumerate(data.users.meta) if m["part"] == "train"}
    os.makedirs(a.dir + "/clips", exist_ok=True)
    items = [("held-%02d" % k, i) for k, i in enumerate(held[:30])] + [
        ("known-%02d" % k, by[u]) for k, u in enumerate(FIXED) if u in by
    ]
    exp = dict(
        made_with="liquid-audio 1.3.0, float32 arithmetic on the stored BF16 weights, "
        "greedy everywhere",
        clips=answers(T, data, items, a.dir + "/clips"),
        typed=[],
        say=[],
    )
    for u in (
        "What is seven plus five?",
        "turn on the kitchen light",
        "Where is the ticket desk?",
        "Who are you?",
        "i am lost",
    ):
        r, f, rt = M.reply(T, data, "chat", typed=u, n=300)
        t, _, tt = M.reply(T, data, "text", typed=u, n=60)
        exp["typed"].append(
            dict(
                user=u,
                reply_text=r,
                reply_tokens=rt,
                reply_frames=f.tolist(),
                text_only=t,
                text_only_tokens=tt,
            )
        )
    for u in (
        "The kitchen light is on.",
        "Seven plus five is twelve.",
        "Timer set for ten minutes.",
    ):
        _, f, rt = M.reply(T, data, "tts", typed=u, n=300)
        exp["say"].append(dict(text=u, tokens=rt, frames=f.tolist()))
    json.dump(exp, open(a.dir + "/expected.json", "w"), separators=(",", ":"))
    if a.private:
        os.makedirs(a.private, exist_ok=True)
        e = answers(T, data, [("p-%02d" % k, i) for k, i in enumerate(held[30:90])], a.private)
        json.dump(e, open(a.private + "/expected.json", "w"), separators=(",", ":"))


if __name__ == "__main__":
    main()
