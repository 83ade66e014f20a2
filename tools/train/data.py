"""Training sequences from the corpus: lists of (kind, value, supervised), one entry a position.

    clips, codes -> augment -> log-mel; conversation -> positions; conversations -> batch

A batch holds about as many positions as it may (--positions), of conversations of like length.
"""

import json
import os
import random

import numpy as np
import torch
import torch.multiprocessing

import corpus
import strangers
from common import AUDIO_START, EOA, SYS, Clips, spoken, tokenizer
from model import AIN, AOUT, TEXT, mel_maker

FACTS = ("add", "sub", "mul", "next", "before")
HIDDEN = ("what is it", "i ask you something", "and now")
# (what is asked for, typed?): share. Only "all" has conversations of several turns.
TASKS = {
    "speak": {("tts", True): 4, ("chat", True): 5, ("text", True): 1},
    "answer": {("text", True): 5, ("text", False): 4, ("asr", False): 0.5, ("chat", True): 0.5},
    "all": {
        ("chat", False): 5,
        ("chat", True): 1.5,
        ("asr", False): 2,
        ("tts", True): 0.8,
        ("text", True): 1.5,
        ("text", False): 1,
    },
}


def room(x, rng):
    """A decaying tail of noise behind every sample."""
    n = int(16000 * rng.uniform(0.05, 0.4))
    h = np.random.randn(n) * np.exp(-np.arange(n) / (n / 5)) * rng.uniform(0.05, 0.35)
    h[0] = 1
    size = 1 << (len(x) + n).bit_length()
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(h, size), size)[: len(x)]


def band(x, rng):
    """A telephone, a cheap loudspeaker: nothing below low and above high, gently."""
    low, high = rng.uniform(50, 350), rng.uniform(2800, 7500)
    f = np.fft.rfftfreq(len(x), 1 / 16000)
    return np.fft.irfft(np.fft.rfft(x) / (1 + (low / (f + 1)) ** 4) / (1 + (f / high) ** 8), len(x))


def loudness(x):
    return np.sqrt((x**2).mean() + 1e-12)


class Data:
    """The spoken corpus with its codes, and how one example is made from it."""

    def __init__(self, root, out):
        self.users = Clips(root, "user", "reject", "natural")
        z = np.load(os.path.join(out, "reply_codes.npz"))
        self.codes, self.at = z["codes"].astype(np.int64), z["at"]
        self.of = {m["text"]: i for i, m in enumerate(Clips(root, "reply").meta)}
        self.spoken_replies = list(self.of)
        self.enc, self.tok = tokenizer(out)
        self.word_is, self.word_comes = self.enc(" is")[-1], self.enc(" comes")[-1]
        self.held = [i for i, m in enumerate(self.users.meta) if m["part"] == "held"]
        self.by = {}
        for i, m in enumerate(self.users.meta):
            if m["part"] == "train" and m["reply"] in self.of and m["n"] > 1600:
                kind = "sorry " + m["kind"] if m["intent"] == "sorry" else m["intent"]
                self.by.setdefault(kind, []).append(i)
        self.weights = {k: len(v) ** 0.6 for k, v in self.by.items()}
        sorry = [k for k in self.weights if k.startswith("sorry")]
        domain = sum(v for k, v in self.weights.items() if k not in sorry)
        for k, share in (("sorry english", 0.13), ("sorry foreign", 0.05), ("sorry noise", 0.03)):
            self.weights[k] = share * domain if k in sorry else 0
        self.weights = {k: v for k, v in self.weights.items() if v}
        # Facts are taught in writing, all of them: held-out ones are held out in sound only.
        pairs = corpus.pairs()
        self.facts = [dict(user=u, reply=r) for k, u, r in pairs if k in FACTS]
        known = {u for _, u, _ in pairs}
        no = strangers.REFUSALS["english"]
        self.strange = [dict(user=s, reply=no) for s in strangers.sentences(known, 3000, seed=41)]
        self.mel = mel_maker(json.load(open(os.path.join(out, "config.json"))))

    def pick(self, rng):
        k = rng.choices(list(self.weights), list(self.weights.values()))[0]
        return rng.choice(self.by[k])

    def frames(self, text):
        i = self.of[text]
        return self.codes[self.at[i] : self.at[i + 1]]

    def augment(self, x, rng):
        if rng.random() < 0.6:  # speed and pitch together
            r = rng.uniform(0.84, 1.18)
            n = int(len(x) / r)
            x = np.interp(np.arange(n) * r, np.arange(len(x)), x)
        x = np.pad(x, (int(rng.uniform(0, 0.4) * 16000), int(rng.uniform(0, 0.6) * 16000)))
        if rng.random() < 0.35:
            x = room(x, rng)
        if rng.random() < 0.25:
            x = band(x, rng)
        if rng.random() < 0.3:  # a microphone's tilt
            x = np.append(x[:1], x[1:] + rng.uniform(-0.5, 0.5) * x[:-1])
        x = x / max(1e-3, np.abs(x).max()) * 10 ** rng.uniform(-1.3, -0.05)
        if rng.random() < 0.8:  # noise, white to brown, or people far away
            w = np.random.randn(len(x))
            if rng.random() < 0.5:
                w = np.convolve(w, np.ones(rng.randint(2, 24)), "same")
            if rng.random() < 0.2:
                w = sum(np.resize(self.users.wave(self.pick(rng)), len(x)) for _ in range(3))
            x = x + w * (loudness(x) / loudness(w) * 10 ** (-rng.uniform(6, 45) / 20))
        if rng.random() < 0.05:
            x = np.clip(x, -0.4 * np.abs(x).max(), 0.4 * np.abs(x).max())
        return x.astype(np.float32)

    def hear(self, x, rng=None):
        t = torch.from_numpy(np.ascontiguousarray(x))[None]
        m = self.mel(t, torch.tensor([t.shape[1]]))[0][0]
        if rng is not None and rng.random() < 0.6:  # SpecAugment
            m = m.clone()
            for _ in range(2):
                f = rng.randint(0, 20)
                f0 = rng.randint(0, 128 - f)
                m[f0 : f0 + f] = 0
                w = rng.randint(0, max(1, min(20, m.shape[1] // 8)))
                s = rng.randint(0, m.shape[1] - w)
                m[:, s : s + w] = 0
        return m

    def head(self, task):
        e = self.enc
        ids = e("<|startoftext|>") + e("<|im_start|>system\n") + e(SYS[task]) + e("<|im_end|>\n")
        return [(TEXT, t, 0) for t in ids]

    def typed_question(self, rng):
        """(what is written, who asked, whether the question is hidden). A hidden question is a
        fact whose answer must be computed from the echo of the question in the reply."""
        p = rng.random()
        if p < 0.15:
            m = rng.choice(self.strange)
        elif p < 0.6:
            m = rng.choice(self.facts)
            if rng.random() < 0.5:
                return rng.choice(HIDDEN + (rng.choice(self.facts)["user"],)), m, True
        else:
            m = self.users.meta[self.pick(rng)]
            if not m["user"]:
                m = rng.choice(self.strange)
        return m["user"] if rng.random() < 0.4 else spoken(m["user"]), m, False

    def heard_question(self, rng):
        """(log-mel, who asked, whether the question is hidden); hidden ones are other people's."""
        i = self.pick(rng)
        m = asked = self.users.meta[i]
        hidden = m["intent"] in FACTS and rng.random() < 0.2
        if hidden:
            asked = rng.choice(self.facts)
        return self.hear(self.augment(self.users.wave(i), rng), rng), m, asked, hidden

    def answer(self, task, m):
        """The positions of the reply, all of them supervised."""
        e = self.enc
        if task == "asr":
            return [(TEXT, t, 1) for t in e(m["reply"] if "kind" in m else spoken(m["user"]))]
        if task == "text":
            return [(TEXT, t, 1) for t in e(m["reply"])]
        sound = [(AOUT, f, 1) for f in self.frames(m["reply"])] + [(AOUT, np.full(8, EOA), 1)]
        if task == "tts":
            return [(TEXT, AUDIO_START, 1)] + sound
        text = [(TEXT, t, 1) for t in e(m["reply"] + "<|text_end|>")]
        s = []
        while text or sound:
            s += text[:6] + sound[:12]
            text, sound = text[6:], sound[12:]
        return s

    def turn(self, task, rng, typed):
        """(positions, log-mel or None, tokens heard or None)"""
        e = self.enc
        s, mel, words, hidden = [(TEXT, t, 0) for t in e("<|im_start|>user\n")], None, None, False
        if task == "tts":
            m = dict(reply=rng.choice(self.spoken_replies))
            shown = m["reply"].lower() if rng.random() < 0.2 else m["reply"]
            s += [(TEXT, t, 0) for t in e(shown)]
        elif typed:
            shown, m, hidden = self.typed_question(rng)
            s += [(TEXT, t, 0) for t in e(shown)]
        else:
            mel, who, m, hidden = self.heard_question(rng)
            hidden = hidden and task != "asr"
            m = m if hidden else who
            words = e(spoken(who["user"])) if who["user"] else None
            s += [(AIN, 0, 0)] * (-(-mel.shape[1] // 8))
        s += [(TEXT, t, 0) for t in e("<|im_end|>\n") + e("<|im_start|>assistant\n")]
        reply = self.answer(task, m)
        if hidden:  # nothing can be known before the echo ends
            k = max(
                n
                for n, (kind, v, _) in enumerate(reply)
                if kind == TEXT and v in (self.word_is, self.word_comes)
            )
            reply = [(kind, v, int(kind == AOUT or n > k)) for n, (kind, v, _) in enumerate(reply)]
        end = e("<|im_end|>\n")
        s += reply + [(TEXT, end[0], 1)] + [(TEXT, t, 0) for t in end[1:]]
        return s, mel, words

    def example(self, rng, stage, multi):
        """A conversation: (positions, log-mels, tokens heard)."""
        tasks = TASKS[stage]
        task, typed = rng.choices(list(tasks), list(tasks.values()))[0]
        turns = 1
        if task in ("chat", "text") and multi and rng.random() < 0.4:
            turns = rng.choice((2, 2, 3, 3, 4, 5, 6, 8, 10, 12))
        s, mels, words = self.head(task), [], []
        for _ in range(turns):
            by_hand = typed if turns == 1 else rng.random() < 0.3
            a, mel, w = self.turn(task, rng, by_hand)
            s += a
            if mel is not None:
                mels.append(mel)
                words.append(w)
        return s, mels, words


def collate(items):
    L = max(len(s) for s, _, _ in items)
    B = len(items)
    kind = torch.zeros(B, L, dtype=torch.long)
    sup = torch.zeros(B, L, dtype=torch.bool)
    text, aout, mels, words = [], [], [], []
    for b, (s, m, w) in enumerate(items):
        kind[b, : len(s)] = torch.tensor([k for k, _, _ in s])
        sup[b, : len(s)] = torch.tensor([bool(v) for _, _, v in s])
        text += [v for k, v, _ in s if k == TEXT]
        aout += [v for k, v, _ in s if k == AOUT]
        mels += m
        words += w
    return dict(
        kind=kind,
        sup=sup,
        text=torch.tensor(text),
        aout=torch.tensor(np.array(aout).reshape(-1, 8)),
        mels=mels,
        words=words,
    )


def ctc_batch(data, rng, count):
    """Clips with what is said in them, no conversation."""
    mels, words = [], []
    while len(mels) < count:
        i = data.pick(rng)
        m = data.users.meta[i]
        if m["user"]:
            mels.append(data.hear(data.augment(data.users.wave(i), rng), rng))
            words.append(data.enc(spoken(m["user"])))
    return dict(mels=mels, words=words)


def batches(data, rng, stage, multi, positions):
    """Three batches' worth of conversations, sorted by length and cut where a batch is full."""
    pool, total = [], 0
    while total < 3 * positions:
        pool.append(data.example(rng, stage, multi))
        total += len(pool[-1][0])
    pool.sort(key=lambda x: len(x[0]))
    parts = [[]]
    for x in pool:
        if parts[-1] and len(x[0]) * (len(parts[-1]) + 1) > positions:
            parts.append([])
        parts[-1].append(x)
    rng.shuffle(parts)
    return [collate(p) for p in parts]


def loader(data, positions, order, seed):
    """A queue of (stage, batch), filled by a process of its own: in a thread the interpreter's lock
    would halve the speed. order is shared: the index of the stage, plus 10 for conversations of
    several turns, negative to end."""
    mp = torch.multiprocessing
    mp.set_sharing_strategy("file_system")
    ctx = mp.get_context("fork")
    q = ctx.Queue(6)

    def work():
        rng = random.Random(seed)
        np.random.seed(seed % 2**32)
        torch.set_num_threads(1)
        while order.value >= 0:
            stage = ("ctc", "speak", "answer", "all")[order.value % 10]
            if stage == "ctc":
                q.put((stage, ctc_batch(data, rng, max(1, positions // 60))))
                continue
            for b in batches(data, rng, stage, order.value >= 10, positions):
                q.put((stage, b))

    ctx.Process(target=work, daemon=True).start()
    return q
