"""Training sequences from the corpus: lists of (kind, value, supervised), one entry a position."""

import json
import os
import random
import time

import numpy as np
import torch
import torch.multiprocessing

import corpus
from common import AUDIO_START, EOA, SYS, Clips, spoken, tokenizer
from model import AIN, AOUT, TEXT, mel_maker


class Data:
    """The spoken corpus with its codes, and how one example is made from it."""

    multi = False

    def __init__(self, root, out):
        self.users, self.replies = Clips(root, "user"), Clips(root, "reply")
        z = np.load(os.path.join(out, "reply_codes.npz"))
        self.codes, self.at = z["codes"].astype(np.int64), z["at"]
        self.of = {m["text"]: i for i, m in enumerate(self.replies.meta)}
        self.enc, self.tok = tokenizer(out)
        self.word_is, self.word_comes = self.enc(" is")[-1], self.enc(" comes")[-1]
        self.train = [i for i, m in enumerate(self.users.meta) if m["part"] == "train"]
        self.held = [i for i, m in enumerate(self.users.meta) if m["part"] == "held"]
        self.held_text = {self.users.meta[i]["user"] for i in self.held}
        by = {}
        for i in self.train:
            by.setdefault(self.users.meta[i]["intent"], []).append(i)
        self.by = by
        # Facts are taught in writing, all of them: held-out ones are held out in sound only.
        self.facts = [
            dict(user=u, reply=r)
            for k, u, r in corpus.pairs()
            if k in ("add", "sub", "mul", "next", "before")
        ]
        self.weights = {k: len(v) ** 0.6 for k, v in by.items()}
        self.mel = mel_maker(json.load(open(os.path.join(out, "config.json"))))

    def pick(self, rng):
        k = rng.choices(list(self.weights), list(self.weights.values()))[0]
        return rng.choice(self.by[k])

    def frames(self, text):
        i = self.of[text]
        return self.codes[self.at[i] : self.at[i + 1]]

    def augment(self, x, rng):
        if rng.random() < 0.7:  # speed and pitch together
            r = rng.uniform(0.86, 1.16)
            n = int(len(x) / r)
            x = np.interp(np.arange(n) * r, np.arange(len(x)), x).astype(np.float32)
        if rng.random() < 0.3:  # a small room
            n = int(16000 * rng.uniform(0.05, 0.25))
            h = (
                np.random.randn(n).astype(np.float32)
                * np.exp(-np.arange(n) / (n / 5))
                * rng.uniform(0.05, 0.3)
            )
            h[0] = 1
            N = 1 << (len(x) + n).bit_length()
            x = np.fft.irfft(np.fft.rfft(x, N) * np.fft.rfft(h, N), N)[: len(x)].astype(np.float32)
        if rng.random() < 0.3:  # a microphone's tilt
            a = rng.uniform(-0.5, 0.5)
            x = np.append(x[:1], x[1:] + a * x[:-1]).astype(np.float32)
        a, b = int(rng.uniform(0, 0.4) * 16000), int(rng.uniform(0, 0.5) * 16000)
        x = np.pad(x, (a, b))
        x = x / max(1e-3, np.abs(x).max()) * 10 ** rng.uniform(-1.3, -0.05)
        if rng.random() < 0.85:  # noise, white to brown
            w = np.random.randn(len(x)).astype(np.float32)
            if rng.random() < 0.6:
                w = np.convolve(w, np.ones(rng.randint(2, 12)), "same")
            snr = rng.uniform(8, 45)
            w *= np.sqrt((x**2).mean() / ((w**2).mean() + 1e-9)) * 10 ** (-snr / 20)
            x = x + w
        return x.astype(np.float32)

    def hear(self, x, rng=None):
        t = torch.from_numpy(np.ascontiguousarray(x))[None]
        m, _ = self.mel(t, torch.tensor([t.shape[1]]))
        m = m[0]
        if rng is not None and rng.random() < 0.7:  # SpecAugment
            m = m.clone()
            for _ in range(2):
                f = rng.randint(0, 20)
                f0 = rng.randint(0, 128 - f)
                m[f0 : f0 + f] = 0
            for _ in range(2):
                w = rng.randint(0, max(1, min(20, m.shape[1] // 8)))
                s = rng.randint(0, m.shape[1] - w)
                m[:, s : s + w] = 0
        return m

    def head(self, task):
        e = self.enc
        return [
            (TEXT, t, 0)
            for t in e("<|startoftext|>")
            + e("<|im_start|>system\n")
            + e(SYS[task])
            + e("<|im_end|>\n")
        ]

    def turn(self, task, i, rng, typed=False, aug=True):
        e, m, echo = self.enc, self.users.meta[i], False
        # A fact; half the time its question is hidden, so that the answer is found from the echo
        # of the question in the reply.
        if typed and rng.random() < 0.6:
            m, echo = rng.choice(self.facts), rng.random() < 0.5
        s = [(TEXT, t, 0) for t in e("<|im_start|>user\n")]
        mel = None
        if task == "tts":
            text = rng.choice(list(self.of)) if rng.random() < 0.5 else m["reply"]
            if text not in self.of:
                text = m["reply"]
            if text in self.held_text:
                text = m["reply"]
            shown = text if text != text.lower() else spoken(text)
            s += [(TEXT, t, 0) for t in e(shown)]
        elif typed:
            u = m["user"] if rng.random() < 0.4 else spoken(m["user"])
            if echo:
                u = (
                    rng.choice(self.facts)["user"]
                    if rng.random() < 0.5
                    else rng.choice(("what is it", "i ask you something", "and now"))
                )
            s += [(TEXT, t, 0) for t in e(u)]
        else:
            x = self.users.wave(i)
            mel = self.hear(self.augment(x, rng), rng) if aug else self.hear(x)
            s += [(AIN, 0, 0)] * (-(-mel.shape[1] // 8))
        s += [(TEXT, t, 0) for t in e("<|im_end|>\n") + e("<|im_start|>assistant\n")]
        if task == "asr":
            s += [(TEXT, t, 1) for t in e(spoken(m["user"]))]
        elif task == "text":
            s += [(TEXT, t, 1) for t in e(m["reply"])]
        elif task == "tts":
            s += (
                [(TEXT, AUDIO_START, 1)]
                + [(AOUT, f, 1) for f in self.frames(text)]
                + [(AOUT, np.full(8, EOA), 1)]
            )
        else:
            T = [(TEXT, t, 1) for t in e(m["reply"] + "<|text_end|>")]
            A = [(AOUT, f, 1) for f in self.frames(m["reply"])] + [(AOUT, np.full(8, EOA), 1)]
            while T or A:
                s += T[:6] + A[:12]
                T, A = T[6:], A[12:]
        if echo:  # nothing can be known before the echo ends
            k = max(
                n
                for n, (kind, v, _) in enumerate(s)
                if kind == TEXT and v in (self.word_is, self.word_comes)
            )
            s = [
                (kind, v, sup if kind == AOUT else int(sup and n > k))
                for n, (kind, v, sup) in enumerate(s)
            ]
        end = e("<|im_end|>\n")
        s += [(TEXT, end[0], 1)] + [(TEXT, t, 0) for t in end[1:]]
        return s, mel

    def example(self, rng, tasks):
        task, typed = rng.choices([t[0] for t in tasks], [t[1] for t in tasks])[0]
        s, mels, words = self.head(task), [], []
        turns = rng.choices([1, 2, 3], [0.7, 0.2, 0.1])[0] if task == "chat" and self.multi else 1
        for _ in range(turns):
            i = self.pick(rng)
            a, mel = self.turn(task, i, rng, typed)
            s += a
            if mel is not None:
                mels.append(mel)
                words.append(self.enc(spoken(self.users.meta[i]["user"])))
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


def loader(data, a, stage_ref):
    """A queue of batches, filled by a process of its own: in a thread the interpreter's lock would
    halve the speed. stage_ref says what to make: the stage, plus 10 for conversations of several
    turns, negative to end."""
    mp = torch.multiprocessing
    mp.set_sharing_strategy("file_system")
    ctx = mp.get_context("fork")
    q = ctx.Queue(6)

    def work(seed):
        rng = random.Random(seed)
        np.random.seed(seed)
        torch.set_num_threads(1)
        while True:
            code = stage_ref.value
            if code < 0:
                return
            st, data.multi = ("ctc", "speak", "answer", "all")[code % 10], code >= 10
            if st == "ctc":
                it = []
                for _ in range(a.batch):
                    i = data.pick(rng)
                    it.append(
                        (
                            [],
                            [data.hear(data.augment(data.users.wave(i), rng), rng)],
                            [data.enc(spoken(data.users.meta[i]["user"]))],
                        )
                    )
                b = dict(mels=[x[1][0] for x in it], words=[x[2][0] for x in it])
            else:
                tasks = {
                    "answer": [
                        (("text", True), 5),
                        (("text", False), 4),
                        (("asr", False), 0.5),
                        (("chat", True), 0.5),
                    ],
                    "speak": [(("tts", False), 4), (("chat", True), 5), (("text", True), 1)],
                    "all": [
                        (("chat", False), 5),
                        (("asr", False), 2),
                        (("tts", False), 0.8),
                        (("chat", True), 1.2),
                        (("text", True), 2),
                        (("text", False), 1),
                    ],
                }[st]
                pool = sorted(
                    (data.example(rng, tasks) for _ in range(3 * a.batch)), key=lambda x: len(x[0])
                )  # like lengths together: less padding
                parts = [pool[k : k + a.batch] for k in range(0, len(pool), a.batch)]
                rng.shuffle(parts)
                for p in parts:
                    q.put((st, collate(p)))
                continue
            q.put((st, b))

    for s in range(1):
        ctx.Process(target=work, args=(int(time.time()) + s,), daemon=True).start()
    return q
