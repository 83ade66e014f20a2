"""Step 2, speak the corpus. Goes on where an earlier run was stopped.

    synth.py CORPUS reply|user|reject|natural ... [--per 4] [--limit N]

reply    every reply in the voice minnow is to speak with, 24 kHz          about 1.5 hours
user     each user sentence --per times by simple voices, 16 kHz           about 1 hour
reject   sentences beside the domain, foreign ones, human prompts, noise   about 20 minutes
natural  each user sentence and some others once by a natural voice        about 2 hours

Hours are of one core. CORPUS gets NAME.i16, all samples one after the other as int16, and
NAME.jsonl with one line per clip: where it lies and what it says. A clip comes out the same
however often the run was interrupted: its seed is its number.
"""

import argparse
import glob
import json
import os
import random
import subprocess
import sys

import numpy as np

import corpus
import ongrid
import strangers
import voices

SOUNDS = "/usr/share/asterisk/sounds"  # Debian's asterisk-core-sounds-*-g722
# People who are to be rejected in training; the English prompts belong to judge.py.
PEOPLE = ("fr_CA_f_June", "it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU")


class Store:
    """NAME.i16 and NAME.jsonl, opened for more; what was half written is cut off."""

    def __init__(self, out, name):
        base = os.path.join(out, name)
        for end in (".i16", ".jsonl"):
            open(base + end, "ab").close()
        whole = open(base + ".jsonl", "rb").read()
        whole = whole[: whole.rfind(b"\n") + 1]
        lines = whole.splitlines()
        self.count = len(lines)
        last = json.loads(lines[-1]) if lines else dict(at=0, n=0)
        self.n = last["at"] + last["n"]
        os.truncate(base + ".jsonl", len(whole))
        os.truncate(base + ".i16", 2 * self.n)
        self.f, self.j = open(base + ".i16", "ab"), open(base + ".jsonl", "a")

    def add(self, x, gain=None, **meta):
        """Without a gain the loudest sample becomes 0.7."""
        if gain is None:
            gain = 0.7 / max(1e-3, np.abs(x).max(initial=0))
        q = np.round(np.clip(x * gain, -1, 1) * 32767).astype("<i2")
        self.f.write(q.tobytes())
        self.f.flush()
        self.j.write(json.dumps(dict(meta, at=self.n, n=len(q))) + "\n")
        self.j.flush()
        self.n += len(q)


def g722(path):
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "g722", "-i", path, "-f", "s16le", "-ar", "16000", "-"],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return voices.trim(np.frombuffer(raw, "<i2").astype(np.float64) / 32768, 16000)


def noise(rng, folk):
    """Babble of clips in folk, tones, hum, clicks or coloured noise, 1 to 4 seconds."""
    g = np.random.default_rng(rng.randrange(2**31))
    n = int(16000 * rng.uniform(1, 4))
    t = np.arange(n) / 16000
    kind = rng.choice(["babble", "babble", "music", "colour", "hum", "clicks"])
    x = np.zeros(n)
    if kind == "babble":
        for _ in range(rng.randint(3, 7)):
            y = folk(rng)
            k = rng.randrange(n)
            x += np.roll(np.resize(y, n), k) * rng.uniform(0.4, 1)
    elif kind == "music":
        at = 0
        root = rng.uniform(110, 440)
        while at < n:
            d = int(16000 * rng.uniform(0.1, 0.5))
            for s in rng.sample([0, 3, 4, 5, 7, 9, 10, 12], rng.randint(1, 3)):
                f = root * 2 ** (s / 12)
                e = np.exp(-t[:d] * rng.uniform(1, 8))
                tone = sum(np.sin(2 * np.pi * f * h * t[:d]) / h**1.5 for h in range(1, 6)) * e
                x[at : at + d] += tone[: max(0, n - at)]
            at += d
    elif kind == "colour":
        x = np.cumsum(g.standard_normal(n)) if rng.random() < 0.3 else g.standard_normal(n)
        x = np.convolve(x, np.ones(rng.randint(1, 20)), "same")
        x = (x - x.mean()) * (1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.1, 6) * t))
    elif kind == "hum":
        x = sum(np.sin(2 * np.pi * h * rng.choice([50, 60]) * t) / h for h in range(1, 9))
        x = x + 0.1 * g.standard_normal(n)
    else:
        for _ in range(rng.randint(2, 12)):
            k = rng.randrange(n)
            m = min(n - k, rng.randint(40, 900))
            x[k : k + m] += g.standard_normal(m) * np.exp(-np.arange(m) / (m / 5))
    return kind, x


def reply_jobs(a):
    train, held = corpus.split()
    texts = sorted({r for _, _, r in train + held} | set(strangers.REFUSALS.values()))
    random.Random(3).shuffle(texts)
    return [lambda rng, t=t: (ongrid.speak(t), dict(text=t, gain=1.3)) for t in texts]


def user_jobs(a):
    train, held = corpus.split()
    jobs = [("train", p) for p in train for _ in range(a.per)] + [("held", p) for p in held]
    random.Random(4).shuffle(jobs)

    def make(rng, part, pair):
        v, x = voices.robot(pair[1], rng)
        return x, dict(part=part, intent=pair[0], user=pair[1], reply=pair[2], voice=v)

    return [lambda rng, j=j: make(rng, *j) for j in jobs]


def refused(kind, text, voice, part="train"):
    return dict(
        part=part, intent="sorry", user=text, reply=strangers.REFUSALS[kind], voice=voice, kind=kind
    )


def reject_jobs(a):
    made = strangers.sentences({u for _, u, _ in corpus.pairs()})
    jobs = [("english", s) for s in made]
    jobs += [("foreign", (l, s)) for l, v in strangers.FOREIGN.items() for s in v.split("|")] * 8
    people = sorted(p for d in PEOPLE for p in glob.glob(f"{SOUNDS}/{d}/**/*.g722", recursive=True))
    jobs += [("human", p) for p in people]
    jobs += [("noise", None)] * 1200
    random.Random(5).shuffle(jobs)

    def folk(rng):
        return voices.robot(rng.choice(made), rng)[1]

    def make(rng, kind, what):
        if kind == "english":
            v, x = voices.robot(what, rng)
            return x, refused("english", what, v)
        if kind == "foreign":
            v = what[0] + rng.choice(voices.VARIANT)
            x = voices.espeak(what[1], v, rng.randint(120, 190), rng.randint(25, 75))
            return x, refused("foreign", "", v)
        if kind == "human":
            x = g722(what)[: 16000 * 6]
            return x, refused("foreign", "", what[len(SOUNDS) + 1 :].split("/")[0])
        v, x = noise(rng, folk)
        return x, refused("noise", "", v)

    return [lambda rng, j=j: make(rng, *j) for j in jobs]


def natural_jobs(a):
    train, held = corpus.split()
    jobs = [("train", p) for p in train] + [("held", p) for p in held]
    jobs += [("sorry", s) for s in strangers.sentences({p[1] for p in train + held}, 1200, seed=29)]
    random.Random(6).shuffle(jobs)

    def make(rng, part, what):
        if part == "sorry":
            v, x = voices.natural(what, rng)
            return x, refused("english", what, v)
        v, x = voices.natural(what[1], rng)
        return x, dict(part=part, intent=what[0], user=what[1], reply=what[2], voice=v)

    return [lambda rng, j=j: make(rng, *j) for j in jobs]


KINDS = {"reply": reply_jobs, "user": user_jobs, "reject": reject_jobs, "natural": natural_jobs}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("kinds", nargs="+", choices=KINDS)
    ap.add_argument("--per", type=int, default=4)
    ap.add_argument("--limit", type=int, default=0, help="no more than N clips of each kind")
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    for kind in a.kinds:
        jobs = KINDS[kind](a)
        jobs = jobs[: a.limit or len(jobs)]
        store = Store(a.out, kind)
        for k in range(store.count, len(jobs)):
            x, meta = jobs[k](random.Random(k * 7919 + 13))
            store.add(x, **meta)
            if k % 200 == 0:
                print(kind, k, "of", len(jobs), file=sys.stderr, flush=True)
        rate = voices.REPLY_RATE if kind == "reply" else voices.RATE
        print(kind, len(jobs), "clips", round(store.n / rate / 3600, 2), "h", file=sys.stderr)


if __name__ == "__main__":
    main()
