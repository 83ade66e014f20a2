"""Step 2, speak the corpus: user sentences in many voices at 16 kHz, replies in one at 24 kHz.

    synth.py CORPUS [--per 6] [--jobs 2] [--limit N]

Programs from Debian: espeak-ng, flite, festival with festvox-us-slt-hts and festvox-kallpc16k.
CORPUS gets user.i16 and reply.i16, all samples one after the other as int16, and for each an index
user.jsonl, reply.jsonl with one line per clip: where it lies and what it says.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

import corpus

ESPEAK = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-us-nyc", "en-029"]
VARIANT = ["", *"+m1 +m2 +m3 +m4 +m5 +m6 +m7 +f1 +f2 +f3 +f4 +f5".split()]
VARIANT += "+Andy +Annie +Alex +Gene +Jacky +Lee +Linda +Mario +Michael +Steph +Steph2".split()
FLITE = ["kal16", "awb", "rms", "slt"]


def load(path, rate):
    sr, x = wavfile.read(path)
    if x.ndim > 1:
        x = x[:, 0]
    x = x.astype(np.float64) / 32768
    if sr != rate:
        g = math.gcd(sr, rate)
        x = resample_poly(x, rate // g, sr // g)
    return trim(x, rate)


def trim(x, rate, pad=0.08, thr=0.004):
    on = np.nonzero(np.abs(x) > thr)[0]
    if len(on) == 0:
        return x
    p = int(pad * rate)
    a, b = max(0, on[0] - p), min(len(x), on[-1] + p)
    return x[a:b]


def say_espeak(text, rng, path):
    v = rng.choice(ESPEAK) + rng.choice(VARIANT)
    subprocess.run(
        [
            "espeak-ng",
            "-v",
            v,
            "-s",
            str(rng.randint(120, 190)),
            "-p",
            str(rng.randint(25, 75)),
            "-w",
            path,
            text,
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return v


def say_flite(text, rng, path):
    v = rng.choice(FLITE)
    subprocess.run(
        [
            "flite",
            "-voice",
            v,
            "--setf",
            f"duration_stretch={rng.uniform(0.85, 1.25):.2f}",
            "-t",
            text,
            "-o",
            path,
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return "flite-" + v


def festival_batch(items, voice, rate, stretch=None):
    """items: [(text, path)]; one festival process speaks them all."""
    with tempfile.NamedTemporaryFile("w", suffix=".scm", delete=False) as f:
        f.write(f"(voice_{voice})\n")
        for text, path in items:
            if stretch:
                f.write(f"(Parameter.set 'Duration_Stretch {stretch})\n")
            t = text.replace('"', "")
            f.write(
                f'(let ((u (utt.synth (Utterance Text "{t}")))) '
                f'(utt.save.wave u "{path}" \'riff))\n'
            )
    subprocess.run(
        ["festival", "--batch", f.name],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.unlink(f.name)


class Store:
    def __init__(self, out, name):
        self.f = open(os.path.join(out, name + ".i16"), "wb")
        self.j = open(os.path.join(out, name + ".jsonl"), "w")
        self.n = 0

    def add(self, x, **meta):
        peak = max(1e-3, np.abs(x).max())
        q = np.round(x / peak * 0.7 * 32767).astype("<i2")
        self.f.write(q.tobytes())
        self.j.write(json.dumps(dict(meta, at=self.n, n=len(q))) + "\n")
        self.n += len(q)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out")
    ap.add_argument("--per", type=int, default=6)
    ap.add_argument("--limit", type=int, default=0)
    ap.add_argument("--jobs", type=int, default=2)
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    tr, ho = corpus.split()
    if a.limit:
        tr, ho = tr[: a.limit], ho[: max(1, a.limit // 10)]
    tmp = tempfile.mkdtemp()

    # reply voice: every reply and every user sentence (for TTS)
    texts = sorted({r for _, _, r in tr + ho} | {u for _, u, _ in tr + ho})
    chunks = [texts[i : i + 200] for i in range(0, len(texts), 200)]

    def out_chunk(k):
        items = [(t, f"{tmp}/o{k}_{i}.wav") for i, t in enumerate(chunks[k])]
        festival_batch(items, "cmu_us_slt_arctic_hts", 24000)
        return [(t, load(p, 24000)) for t, p in items if os.path.exists(p)]

    st = Store(a.out, "reply")
    with ThreadPoolExecutor(a.jobs) as ex:
        for res in ex.map(out_chunk, range(len(chunks))):
            for t, x in res:
                st.add(x, text=t)
    print("replies", st.n / 24000 / 3600, "h", file=sys.stderr)

    def one(job):
        k, part, (intent, u, r), seed = job
        rng = random.Random(seed)
        p = f"{tmp}/i{k}.wav"
        v = say_flite(u, rng, p) if rng.random() < 0.45 else say_espeak(u, rng, p)
        x = load(p, 16000)
        os.unlink(p)
        return part, intent, u, r, v, x

    jobs, k = [], 0
    for part, ps, per in (("train", tr, a.per), ("held", ho, 2)):
        for pr in ps:
            for j in range(per):
                jobs.append((k, part, pr, k * 7919 + 13))
                k += 1
    st = Store(a.out, "user")
    with ThreadPoolExecutor(a.jobs) as ex:
        for i, (part, intent, u, r, v, x) in enumerate(ex.map(one, jobs)):
            st.add(x, part=part, intent=intent, user=u, reply=r, voice=v)
            if i % 2000 == 0:
                print(i, len(jobs), file=sys.stderr)
    print("users", st.n / 16000 / 3600, "h", file=sys.stderr)


if __name__ == "__main__":
    main()
