"""Step 4 and 5, the model itself: spoken or typed command in, spoken answer out.

minnow.py init   CORPUS OUT                  tokenizer, configuration, sizes
minnow.py train  CORPUS OUT --minutes 60     stages by share of the time (see README.md)
minnow.py eval   CORPUS OUT                  sentences kept out of training, greedy
minnow.py export CORPUS OUT DIR              the Hugging Face folder, BF16
"""

import argparse
import json
import math
import multiprocessing
import os
import random
import shutil
import time

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

import corpus
from codes import N_FFT
from common import N_SPECIAL, SYS, make_tokenizer, spoken
from data import Data, loader
from model import AIN, TEXT, Trainer, config, quicken


def cmd_init(a):
    os.makedirs(a.out, exist_ok=True)
    ps = corpus.pairs()
    t = make_tokenizer(
        [spoken(u) for _, u, _ in ps]
        + [r for *_, r in ps]
        + [u for _, u, _ in ps]
        + [v for v in SYS.values()]
        + ["system\nuser\nassistant\n"] * 50,
        a.out,
    )
    conf = config(t.get_vocab_size())
    json.dump(conf, open(os.path.join(a.out, "config.json"), "w"), indent=1)
    torch.manual_seed(0)
    T = Trainer(conf)
    n = {
        k: sum(p.numel() for p in getattr(T.m, k).parameters()) / 1e6
        for k in (
            "conformer",
            "audio_adapter",
            "lfm",
            "audio_embedding",
            "depthformer",
            "depth_linear",
            "depth_embeddings",
        )
    }
    print(
        "vocab",
        t.get_vocab_size(),
        "M params",
        {k: round(v, 2) for k, v in n.items()},
        round(sum(n.values()), 2),
    )
    for s in (
        "What is twenty seven plus twelve?",
        "Okay, I told my sister that you are five minutes late.",
    ):
        print([t.decode([i]) for i in t.encode(s, add_special_tokens=False).ids])


def cmd_train(a):
    conf = json.load(open(os.path.join(a.out, "config.json")))
    data = Data(a.corpus, a.out)
    shares = (a.ctc, a.speak, a.answer)
    stage = multiprocessing.Value("i", next((k for k, v in enumerate(shares) if v > 0), 3))
    q = loader(data, a, stage)
    torch.set_num_threads(a.threads)
    torch.manual_seed(int(time.time()))
    T = Trainer(conf)
    ck = os.path.join(a.out, "minnow.pt")
    if os.path.exists(ck) and not a.fresh:
        T.load_state_dict(torch.load(ck)["model"])
        print("resumed")
    else:
        torch.manual_seed(0)
        nn.init.normal_(T.m.audio_embedding.embedding.weight, std=0.02)
        nn.init.normal_(T.m.lfm.embed_tokens.weight, std=0.05)
    quicken(T.m)
    T.hearing = not a.deaf
    if a.deaf:
        T.m.conformer.eval()
    opt = torch.optim.AdamW(T.parameters(), lr=a.lr, betas=(0.9, 0.98), weight_decay=a.decay)
    if os.path.exists(ck) and not a.fresh and "opt" in torch.load(ck):
        opt.load_state_dict(torch.load(ck)["opt"])
    names = ("ctc", "speak", "answer", "all")
    t0, step, e, last = time.time(), 0, {}, None
    while True:
        f = (time.time() - t0) / 60 / a.minutes
        if f >= 1:
            break
        now = next((k for k in range(3) if f < sum(shares[: k + 1])), 3)
        stage.value = now + (10 if f > a.multi else 0)
        st, b = q.get()
        if st != names[now]:
            continue
        if st != last:
            step0, last = step, st
        warm = min(1, (step - step0 + 1) / 60)
        lr = (
            a.lr
            * warm
            * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * max(0, (f - a.flat) / (1 - a.flat)))))
        )
        for g in opt.param_groups:
            g["lr"] = lr
        opt.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            if st == "ctc":
                enc, n = T.encode(b["mels"])
                c = T.ctc_loss(enc, n, b["words"])
                loss, rec = c, {"ctc": c}
            else:
                tl, al, c, ta, ac = T(b, a.share)
                loss = 2 * tl + al + (0.3 * c if b["mels"] and T.hearing else 0)
                rec = {"text": tl, "audio": al, "acc": ta, "a0": ac[0], "a7": ac[7]}
                if b["mels"]:
                    rec["ctc"] = c
        loss.backward()
        nn.utils.clip_grad_norm_(T.parameters(), 1.0)
        opt.step()
        step += 1
        for k, v in rec.items():
            e[k] = float(v) if k not in e else 0.95 * e[k] + 0.05 * float(v)
        if step % 25 == 0:
            print(
                f"{f * a.minutes:.1f} {st} {step} lr {lr:.1e} "
                + " ".join(f"{k} {v:.3f}" for k, v in e.items()),
                flush=True,
            )
        if step % 300 == 0:
            torch.save({"model": T.state_dict(), "conf": conf, "opt": opt.state_dict()}, ck)
    stage.value = -1
    torch.save({"model": T.state_dict(), "conf": conf, "opt": opt.state_dict()}, ck)


@torch.no_grad()
def reply(T, data, task, i=None, typed=None, n=200, wave=None):
    """Greedy, with upstream's own generators: (text, frames)."""
    m, e = T.m, data.enc
    ids = (
        e("<|startoftext|>")
        + e("<|im_start|>system\n")
        + e(SYS[task])
        + e("<|im_end|>\n")
        + e("<|im_start|>user\n")
    )
    flag = [TEXT] * len(ids)
    mel = torch.empty(128, 0)
    lens = torch.empty(0, dtype=torch.long)
    if typed is not None:
        k = e(typed)
        ids += k
        flag += [TEXT] * len(k)
    else:
        mel = data.hear(data.users.wave(i) if wave is None else wave)
        lens = torch.tensor([mel.shape[1]])
        flag += [AIN] * (-(-mel.shape[1] // 8))
    k = e("<|im_end|>\n") + e("<|im_start|>assistant\n")
    ids += k
    flag += [TEXT] * len(k)
    gen = m.generate_interleaved if task == "chat" else m.generate_sequential
    txt, fr = [], []
    for t in gen(
        text=torch.tensor([ids]),
        audio_in=mel,
        audio_in_lens=lens,
        audio_out=torch.empty(8, 0, dtype=torch.long),
        modality_flag=torch.tensor([flag]),
        max_new_tokens=n,
    ):
        if t.numel() == 1:
            txt.append(int(t))
        else:
            fr.append(t.numpy())
    return data.tok.decode([t for t in txt if t >= N_SPECIAL]), np.array(fr).reshape(-1, 8), txt


def load(a):
    conf = json.load(open(os.path.join(a.out, "config.json")))
    T = Trainer(conf)
    T.load_state_dict(torch.load(os.path.join(a.out, "minnow.pt"))["model"])
    T.eval()
    return T, Data(a.corpus, a.out)


def cmd_eval(a):
    torch.set_num_threads(a.threads)
    T, data = load(a)
    rng = random.Random(5)
    held = rng.sample(data.held, min(a.n, len(data.held)))
    ok = wer_n = wer_d = 0
    for i in held:
        m = data.users.meta[i]
        t, f, _ = reply(T, data, "chat", i)
        a_, _, _ = reply(T, data, "asr", i, n=40)
        ok += t == m["reply"]
        r, h = spoken(m["user"]).lower().split(), a_.lower().split()
        d = np.arange(len(h) + 1)
        for x in range(1, len(r) + 1):
            p, d[0] = d[0], x
            for y in range(1, len(h) + 1):
                p, d[y] = d[y], min(d[y] + 1, d[y - 1] + 1, p + (r[x - 1] != h[y - 1]))
        wer_n += d[-1]
        wer_d += len(r)
        if a.show:
            print(
                m["voice"],
                "|",
                m["user"],
                "|",
                a_,
                "|",
                t,
                "" if t == m["reply"] else "   XX " + m["reply"],
                len(f),
                f[-1][0] if len(f) else None,
            )
    print(f"held-out: {ok}/{len(held)} answers right, WER {100 * wer_n / wer_d:.1f} %")


def cmd_export(a):
    T, _ = load(a)
    d = a.dir
    os.makedirs(d + "/audio_detokenizer", exist_ok=True)
    sd = {
        k: v.contiguous().to(torch.bfloat16) if v.is_floating_point() else v
        for k, v in T.m.state_dict().items()
    }
    save_file(sd, d + "/model.safetensors", metadata={"format": "pt"})
    for f in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(os.path.join(a.out, f), d)
    z = torch.load(os.path.join(a.out, "detok.pt"))
    save_file(
        {k: v.contiguous() for k, v in z["model"].items()},
        d + "/audio_detokenizer/model.safetensors",
        metadata={"format": "pt"},
    )
    c = dict(
        z["conf"], architectures=["Lfm25AudioTokenizer"], model_type="lfm2", output_size=N_FFT + 2
    )
    json.dump(c, open(d + "/audio_detokenizer/config.json", "w"), indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = {"init": cmd_init, "train": cmd_train, "eval": cmd_eval, "export": cmd_export}
    add = parser.add_argument
    add("command", choices=commands)
    add("corpus")
    add("out")
    add("dir", nargs="?", help="export: where the folder goes")
    add("--threads", type=int, default=2)
    add("--minutes", type=float, default=60)
    add("--lr", type=float, default=1e-3)
    add("--batch", type=int, default=32)
    add("--decay", type=float, default=0.02)
    add("--share", type=float, default=0.5, help="share of the audio frames that are learnt from")
    add("--fresh", action="store_true", help="begin anew")
    add("--ctc", type=float, default=0.15, help="share of the time for the encoder by CTC")
    add("--speak", type=float, default=0.15, help="share for speaking from typed text")
    add("--answer", type=float, default=0.1, help="share for answering in text")
    add("--deaf", action="store_true", help="leave the encoder as it is")
    add("--multi", type=float, default=0.7, help="share before conversations of several turns")
    add("--flat", type=float, default=0.5, help="share before the learning rate falls")
    add("--n", type=int, default=60, help="eval: number of sentences")
    add("--show", action="store_true", help="eval: print each one")
    arguments = parser.parse_args()
    commands[arguments.command](arguments)


if __name__ == "__main__":
    main()
