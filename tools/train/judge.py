"""Step 6, how good a bundle of minnow is: neutral judges, fixed questions, one table.

    judge.py WORK MODEL [--runnel PATH] [--rows voice,answers,...] [--n N | --long] [--json FILE]

MODEL is what `runnel --model` takes. Rows:
    voice    words of spoken replies that whisper-base mishears, pocketsphinx beside it
    answers  right answers to sentences never trained on, simple voices, interleaved
    unheard  the same by four voices never trained on, two of them natural
    talk     twelve questions in one conversation
    asr      words its own ASR gets wrong, of the sentences of answers and unheard
    people   human prompts out of its domain that it says it did not understand
    refused  sentences of its domain that it refuses; measured by all the rows above
    speed    size, first sound, real-time factor; --against MODEL2 measures both in turn

--long takes the full numbers (100 replies, 90 sentences by each voice, 10 talks, 200 prompts); else
--n (12) of each. WORK keeps the spoken questions, whisper's weights and what was heard of equal
sounds, so a second run is cheap. Nothing here is random from run to run.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from scipy.io import wavfile

import corpus
import hearing
import strangers
import voices
import wording
from common import spoken

PROMPTS = "/usr/share/asterisk/sounds/en_US_f_Allison"
PROMPT_TEXTS = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
ROWS = ("voice", "answers", "unheard", "talk", "asr", "people", "refused", "speed")
REFUSALS = {tuple(wording.words(r)) for r in strangers.REFUSALS.values()}


def same(a, b):
    return wording.words(a) == wording.words(b)


def is_refusal(text):
    return tuple(wording.words(text)) in REFUSALS


def mixed(pairs, n, seed):
    """n pairs, the intents in turn, so that the sums do not drown the rest."""
    rng = random.Random(seed)
    by = {}
    for p in pairs:
        by.setdefault(p[0], []).append(p)
    for v in by.values():
        rng.shuffle(v)
    out, kinds = [], sorted(by)
    while len(out) < n:
        for k in kinds:
            if by[k]:
                out.append(by[k].pop())
    return out[:n]


def human_prompts(n):
    """[(path, text)] of English prompts of four words and more that minnow cannot know."""
    import gzip

    known = {w for _, u, r in corpus.pairs() for w in wording.words(u + " " + r)}
    out = []
    for line in gzip.open(PROMPT_TEXTS, "rt", encoding="utf-8"):
        name, _, text = line.strip().partition(": ")
        w = wording.words(text)
        path = f"{PROMPTS}/{name}.g722"
        if "[" in text or len(w) < 4 or all(x in known for x in w) or not os.path.exists(path):
            continue
        out.append((path, text))
    random.Random(8).shuffle(out)
    return out[:n]


class Bench:
    """The model under judgement, with a cache of questions, answers and what was heard."""

    def __init__(self, a, model):
        self.a, self.model = a, model
        self.tag = hashlib.sha256(open(model, "rb").read()).hexdigest()[:12]
        self.listener = None
        self.refused = [0, 0]

    def folder(self, *names):
        d = os.path.join(self.a.work, *names)
        os.makedirs(d, exist_ok=True)
        return d

    def question(self, voice, text):
        """The path of a sentence spoken by a voice; "robot" is one of many, the text decides."""
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = f"{self.folder('questions', voice)}/{key}.wav"
        if not os.path.exists(path):
            rng = random.Random(key)
            x = voices.robot(text, rng)[1] if voice == "robot" else voices.unheard(voice, text)
            self.write(path, x)
        return path

    def prompt(self, source):
        from synth import g722

        path = f"{self.folder('questions', 'people')}/{os.path.basename(source)[:-5]}.wav"
        if not os.path.exists(path):
            self.write(path, g722(source))
        return path

    @staticmethod
    def write(path, x):
        x = np.concatenate([np.zeros(1600), x, np.zeros(3200)])
        x = x / max(1e-3, np.abs(x).max()) * 0.7
        wavfile.write(path + ".tmp", 16000, np.round(x * 32767).astype(np.int16))
        os.rename(path + ".tmp", path)

    def run(self, command, *rest):
        p = subprocess.run(
            [self.a.runnel, command, "-q", "-t", "1", "-m", self.model, *rest],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if p.returncode not in (0, 5):
            sys.exit(f"{command} {' '.join(rest)}: {p.stderr.strip()}")
        return [json.loads(l) for l in p.stdout.splitlines() if l.startswith("{")]

    def replies(self, questions):
        """One conversation: [(text, path of the sound, times)], one for each question."""
        key = hashlib.sha256("|".join(questions).encode()).hexdigest()[:16]
        d = self.folder("answers", self.tag, key)
        if not os.path.exists(d + "/all.json"):
            rest = ["--json", *questions, "-o", d if len(questions) > 1 else d + "/one.wav"]
            out = self.run("reply", *rest)
            json.dump(out, open(d + "/all.tmp", "w"))
            os.rename(d + "/all.tmp", d + "/all.json")
        out = json.load(open(d + "/all.json"))
        out += [{}] * (len(questions) - len(out))  # a sound without speech gets no answer
        return [(o.get("text", ""), o.get("audio"), o.get("times", {})) for o in out]

    def heard(self, who, path):
        key = hashlib.sha256(open(path, "rb").read()).hexdigest()[:24]
        note = f"{self.folder('heard', who)}/{key}"
        if not os.path.exists(note):
            if who == "whisper" and self.listener is None:
                self.listener = hearing.Whisper(self.a.work)
            text = self.listener(path) if who == "whisper" else hearing.sphinx(path)
            open(note + ".tmp", "w").write(text)
            os.rename(note + ".tmp", note)
        return open(note).read()

    def show(self, *what):
        if self.a.show:
            print("   ", *what, flush=True)

    def asked(self, voice, pairs):
        """Right answers of spoken questions, each a conversation of its own."""
        right = 0
        for _, user, want in pairs:
            text = self.replies([self.question(voice, user)])[0][0]
            self.refused[0] += is_refusal(text)
            self.refused[1] += 1
            right += same(text, want)
            if not same(text, want):
                self.show(voice, "|", user, "|", text)
        return right


def row_voice(b, n):
    """Of simple voices, since it is the reply's sound that matters, not whether it is right."""
    wrong, sphinx, said = 0, 0, 0
    for _, user, _ in mixed(corpus.pairs(), n, 12):
        text, sound, _ = b.replies([b.question("robot", user)])[0]
        e, k = wording.misheard(text, b.heard("whisper", sound))
        if e:
            b.show(text, "|", b.heard("whisper", sound))
        wrong, said = wrong + e, said + k
        sphinx += wording.misheard(text, b.heard("sphinx", sound))[0]
    return {"whisper": wrong / said, "sphinx": sphinx / said, "words": said}


def held(n):
    out = corpus.split()[1]
    random.Random(5).shuffle(out)
    return out[:n]


def row_answers(b, n):
    pairs = held(n)
    return {"right": b.asked("robot", pairs) / len(pairs), "of": len(pairs)}


def row_unheard(b, n):
    pairs = held(n)
    out = {v: b.asked(v, pairs) / len(pairs) for v in voices.UNHEARD}
    return {"right": statistics.mean(out.values()), "of": 4 * len(pairs), **out}


def row_talk(b, n):
    """Talks of twelve questions, the intents mixed."""
    pairs = mixed(corpus.pairs(), 12 * n, 31)
    right = []
    for k in range(n):
        talk = pairs[k::n]
        got = b.replies([b.question("robot", u) for _, u, _ in talk])
        right.append(sum(same(t, want) for (t, _, _), (_, _, want) in zip(got, talk)))
        for (t, _, _), (_, u, want) in zip(got, talk):
            b.refused[0] += is_refusal(t)
            b.refused[1] += 1
            if not same(t, want):
                b.show(k, "|", u, "|", t)
    return {"right of 12": statistics.mean(right), "worst": min(right), "talks": n}


def row_asr(b, n):
    out = {}
    for voice in ("robot", *voices.UNHEARD):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
            for _, user, _ in held(n):
                line = {"audio_filepath": b.question(voice, user), "text": spoken(user)}
                f.write(json.dumps(line) + "\n")
            f.flush()
            total = b.run("eval", "--json", "--whole", "--refs", f.name)[-1]
        out[voice] = total["total"]["words"]["rate"]
    new = [out[v] for v in voices.UNHEARD]
    return {"wer": out["robot"], "wer unheard": statistics.mean(new), **out}


def row_people(b, n):
    prompts = human_prompts(n)
    no = 0
    for path, text in prompts:
        got = b.replies([b.prompt(path)])[0][0]
        no += is_refusal(got)
        if not is_refusal(got):
            b.show(text, "|", got)
    return {"not understood": no / len(prompts), "of": len(prompts)}


def row_refused(b, n):
    return {"refused": b.refused[0] / max(1, b.refused[1]), "of": b.refused[1]}


def row_speed(b, n):
    """Medians over the same questions, the two models in turn when there are two."""
    out = {"megabytes": os.path.getsize(b.model) / 1e6}
    models = [b.model] + ([b.a.against] if b.a.against else [])
    got = {m: [] for m in models}
    questions = [b.question("robot", u) for _, u, _ in held(n)]
    with tempfile.TemporaryDirectory() as d:
        for q in questions:
            for m in models:
                c = [b.a.runnel, "reply", "-q", "-m", m, "--json", q, "-o", d + "/a.wav"]
                text = subprocess.run(c, stdout=subprocess.PIPE, text=True, check=True).stdout
                got[m].append(json.loads(text.splitlines()[0])["times"])
    for m, name in zip(models, ("", " (other)")):
        out["first sound ms" + name] = statistics.median(t["first_sound_ms"] for t in got[m])
        out["real-time factor" + name] = statistics.median(
            t["total_ms"] / 1000 / max(0.08, t["audio_seconds"]) for t in got[m]
        )
    return out


FULL = {"voice": 100, "talk": 10, "people": 200, "speed": 40}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("work", help="a folder for what is kept")
    ap.add_argument("model")
    ap.add_argument("--runnel", default="../../build/release/runnel")
    ap.add_argument("--rows", default=",".join(ROWS))
    ap.add_argument("--n", type=int, default=12)
    ap.add_argument("--long", action="store_true", help="the full numbers")
    ap.add_argument("--against", help="speed: a second model, in turn with the first")
    ap.add_argument("--json", help="a file for the figures")
    ap.add_argument("--show", action="store_true", help="print what went wrong")
    a = ap.parse_args()
    b = Bench(a, a.model)
    figures = {}
    for name in a.rows.split(","):
        n = FULL.get(name, 90) if a.long else max(1, a.n // 12) if name == "talk" else a.n
        figures[name] = globals()["row_" + name](b, n)
        shown = (
            f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures[name].items()
        )
        print(f"{name:8}", ", ".join(shown), flush=True)
    if a.json:
        json.dump({"model": a.model, "sha256": b.tag, **figures}, open(a.json, "w"), indent=1)


if __name__ == "__main__":
    main()
