"""Step 4 and 5, the model itself: spoken or typed command in, spoken answer out.

minnow.py init   CORPUS OUT [--base DIR]     tokenizer, configuration, first weights
minnow.py train  CORPUS OUT --steps 20000    goes on where it was stopped (see README.md)
minnow.py eval   CORPUS OUT                  sentences kept out of training, greedy
minnow.py export CORPUS OUT DIR              the Hugging Face folder, BF16

What is evaluated and exported is the mean of the weights of about the last 1,000 steps.
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
import strangers
from codes import N_FFT
from common import N_SPECIAL, SYS, make_tokenizer, spoken
from data import Data, loader
from model import AIN, TEXT, Trainer, config, quicken

STAGES = ("ctc", "speak", "answer", "all")


def text_corpus():
    pairs = corpus.pairs()
    strange = strangers.sentences({u for _, u, _ in pairs}, 3000, seed=41)
    return (
        [spoken(u) for _, u, _ in pairs]
        + [r for *_, r in pairs]
        + [u for _, u, _ in pairs]
        + strange
        + [spoken(s) for s in strange]
        + list(strangers.REFUSALS.values()) * 300
        + list(SYS.values())
        + ["system\nuser\nassistant\n"] * 50
    )


def cmd_init(a):
    os.makedirs(a.out, exist_ok=True)
    t = make_tokenizer(text_corpus(), a.out)
    conf = config(t.get_vocab_size())
    json.dump(conf, open(os.path.join(a.out, "config.json"), "w"), indent=1)
    torch.manual_seed(0)
    T = Trainer(conf)
    nn.init.normal_(T.m.audio_embedding.embedding.weight, std=0.02)
    nn.init.normal_(T.m.lfm.embed_tokens.weight, std=0.05)
    if a.base:
        adopt(T, t, a.base)
    torch.save({"model": T.state_dict(), "step": 0}, os.path.join(a.out, "minnow.pt"))
    parts = {k: sum(p.numel() for p in v.parameters()) / 1e6 for k, v in T.m.named_children()}
    parts = {k: round(v, 2) for k, v in parts.items()}
    print("vocab", t.get_vocab_size(), "M params", parts, round(sum(parts.values()), 2))
    for s in ("What is twenty seven plus twelve?", strangers.REFUSALS["english"]):
        print([t.decode([i]) for i in t.encode(s, add_special_tokens=False).ids])


def adopt(T, tokenizer, folder):
    """Takes what an earlier edition learnt. The codes mean other sounds now, so what speaks them
    begins anew; a new token begins as the mean of the tokens it was written with before."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    old = load_file(os.path.join(folder, "model.safetensors"))
    new = T.m.state_dict()
    fresh = ("audio_embedding.", "depth_embeddings.", "depth_linear.", "lfm.embed_tokens.")
    for k, v in old.items():
        if not k.startswith(fresh):
            new[k].copy_(v)
    was = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    rows = old["lfm.embed_tokens.weight"].float()
    table = T.m.lfm.embed_tokens.weight.data
    for i in range(tokenizer.get_vocab_size()):
        text = tokenizer.decode([i], skip_special_tokens=False)
        ids = was.encode(text, add_special_tokens=False).ids
        if i < N_SPECIAL:
            ids = [i]
        if ids:
            table[i] = rows[ids].mean(0)


def threads_now(most):
    """As many as are free: with another program on the core, threads wait for the slowest."""
    return most if os.getloadavg()[0] < most + 1.5 else 1


def save(path, **what):
    torch.save(what, path + ".tmp")
    os.replace(path + ".tmp", path)


def rate(a, step, begin):
    """The learning rate: it rises for 100 steps of a stage, stays, and falls at the end."""
    done = step / a.steps
    fall = max(0, (done - a.flat) / (1 - a.flat))
    return (
        a.lr
        * min(1, (step - begin + 1) / 100)
        * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * fall)))
    )


def cmd_train(a):
    conf = json.load(open(os.path.join(a.out, "config.json")))
    path = os.path.join(a.out, "minnow.pt")
    T = Trainer(conf)
    kept = torch.load(path)
    T.load_state_dict(kept["model"])
    quicken(T.m)
    T.hearing = not a.deaf
    if a.deaf:
        T.m.conformer.eval()
    opt = torch.optim.AdamW(
        T.parameters(), lr=a.lr, betas=(0.9, 0.98), weight_decay=a.decay, fused=True
    )
    if "opt" in kept:
        opt.load_state_dict(kept["opt"])
    mean = kept.get("mean") or {k: v.clone() for k, v in T.m.state_dict().items()}
    step = kept["step"]
    del kept

    def stage_at(step):
        f = step / a.steps
        now = next((k for k in range(3) if f < sum((a.ctc, a.speak, a.answer)[: k + 1])), 3)
        return now, now + (10 if f > a.multi else 0)

    order = multiprocessing.Value("i", stage_at(step)[1])
    q = loader(Data(a.corpus, a.out), a.positions, order, int(time.time()))
    last, begin, shown, t0, saved = None, step, {}, time.time(), time.time()
    end = min(a.steps, a.until or a.steps)
    while step < end:
        now, order.value = stage_at(step)
        stage, b = q.get(timeout=1800)  # the loader may have died
        if stage != STAGES[now]:
            continue
        if stage != last:
            begin, last = step, stage
        for g in opt.param_groups:
            g["lr"] = rate(a, step, begin)
        # A new head would only spoil an encoder that hears already.
        T.ctc_alone = a.ctc == 0 and step < 500
        if stage == "ctc":
            enc, n = T.encode(b["mels"])
            out = {"ctc": T.ctc_loss(enc, n, b["words"])}
            loss = out["ctc"]
        else:
            out = T(b, a.share)
            loss = a.weight * out["text"] + out.get("audio", 0)
            if T.hearing:
                loss = loss + 0.3 * out.get("ctc", 0)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(T.parameters(), 1.0)
        opt.step()
        step += 1
        keep = min(0.999, step / (step + 10))
        for k, v in T.m.state_dict().items():
            if v.is_floating_point():
                mean[k].lerp_(v, 1 - keep)
            else:
                mean[k].copy_(v)
        for k, v in ((k, v.detach()) for k, v in out.items()):
            shown[k] = 0.95 * shown.get(k, float(v)) + 0.05 * float(v)
        if step % 25 == 0:
            torch.set_num_threads(threads_now(a.threads))
            print(
                f"{(time.time() - t0) / 60:.1f} min {stage} {step} lr {rate(a, step, begin):.1e} "
                + " ".join(f"{k} {v:.3f}" for k, v in shown.items()),
                flush=True,
            )
        if time.time() - saved > 300 or step == end:
            save(path, model=T.state_dict(), mean=mean, opt=opt.state_dict(), step=step)
            saved = time.time()
    order.value = -1


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
    kept = torch.load(os.path.join(a.out, "minnow.pt"))
    T.load_state_dict(kept["model"])
    if "mean" in kept:
        T.m.load_state_dict(kept["mean"])
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
    add("--base", help="init: the folder of an earlier edition to begin from")
    add("--steps", type=int, default=20000, help="train: steps in all, those done before included")
    add("--until", type=int, help="train: stop at this step for now")
    add("--positions", type=int, default=2400, help="train: positions of a batch")
    add("--lr", type=float, default=7e-4)
    add("--decay", type=float, default=0.02)
    add("--weight", type=float, default=3, help="train: how much text weighs against sound")
    add("--share", type=float, default=0.5, help="share of the audio frames that are learnt from")
    add("--ctc", type=float, default=0.15, help="share of the steps for the encoder by CTC")
    add("--speak", type=float, default=0.15, help="share for speaking from typed text")
    add("--answer", type=float, default=0.1, help="share for answering in text")
    add("--multi", type=float, default=0.4, help="share before conversations of several turns")
    add("--flat", type=float, default=0.6, help="share before the learning rate falls")
    add("--deaf", action="store_true", help="leave the encoder as it is")
    add("--n", type=int, default=60, help="eval: number of sentences")
    add("--show", action="store_true", help="eval: print each one")
    arguments = parser.parse_args()
    commands[arguments.command](arguments)


if __name__ == "__main__":
    main()
