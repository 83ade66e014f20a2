#!/usr/bin/env python3
"""Tokens a second of training, `runnel train` beside PyTorch with PEFT, in turn.

    tools/compare_torch.py --python VENV/bin/python [--length 256,512] [--rounds 3] [--bf16]

Both teach an adapter (rank 16 on all matrices of the blocks) of random weights in the shapes of
LFM2-350M: rows of --length positions, one a step, all learnt, nothing computed twice. A round is a
process of each; a figure is the median of the rounds, in brackets the slowest and the fastest.
Beside them stands the bound: what the peak of the instruction in use (`runnel bench --work peak`)
allows for the multiply-adds of a step. The times of runnel are those it prints itself, checkpoints
included; those of PyTorch are of forward, backward and the optimiser, without its first step.
Believe no ratio while other programs use the processors.

VENV has torch, transformers, peft and numpy. The model is made where it is not there (--folder).
Ends with 1 when something is below what is asked: --share of the bound, --ratio (float32),
--ratio-bf16, or the memory is more than 2,500 MiB above the weights.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WIDTH, LAYERS, VOCAB, FF, HEADS, KV_HEADS, HEAD = 1024, 16, 65536, 4608, 16, 8, 64
ATTENTION = (2, 5, 8, 10, 12, 14)
RANK = 16
TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3")


def matrices():
    """(inputs, outputs) of every matrix of the blocks."""
    for i in range(LAYERS):
        if i in ATTENTION:
            yield from ((WIDTH, HEADS * HEAD), (WIDTH, KV_HEADS * HEAD), (WIDTH, KV_HEADS * HEAD),
                        (HEADS * HEAD, WIDTH))
        else:
            yield from ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH))
        yield from ((WIDTH, FF), (WIDTH, FF), (FF, WIDTH))


def operations(length):
    """Of a position, forward and back: a multiply-add is two. Frozen matrices have no gradient."""
    stored = sum(a * b for a, b in matrices()) + WIDTH * VOCAB
    adapter = sum(RANK * (a + b) for a, b in matrices())
    keys = (length + 1) / 2  # that a query sees
    attention = len(ATTENTION) * HEADS * HEAD * keys
    return 2 * (2 * stored + 3 * adapter + (2 + 5) * attention)


# ---- the peer: this file once more, by the Python that has torch --------------------------------

def peer(o):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Lfm2Config, Lfm2ForCausalLM
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    kinds = ["full_attention" if i in ATTENTION else "conv" for i in range(LAYERS)]
    model = Lfm2ForCausalLM(Lfm2Config(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, intermediate_size=FF, block_auto_adjust_ff_dim=False,
        vocab_size=VOCAB, layer_types=kinds, tie_word_embeddings=True))
    model = model.to(torch.bfloat16 if o.bf16 else torch.float32)
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK,
                                             target_modules=list(TARGETS)))
    learnt = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in learnt) == RANK * sum(a + b for a, b in matrices())
    optimiser = torch.optim.AdamW(learnt, lr=2e-4)
    model.train()
    seconds = []
    for _ in range(o.steps + 1):
        ids = torch.randint(10, VOCAB, (1, int(o.length)))
        begin = time.monotonic()
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        seconds.append(time.monotonic() - begin)
    print(int(o.length) * o.steps / sum(seconds[1:]))


# ---- both ----------------------------------------------------------------------------------------

def run(command):
    """What it says, and the most memory it had (MiB)."""
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        said.seek(0)
        text = said.read()
    if status != 0:
        sys.exit(f"failed: {' '.join(command)}\n{text[-2000:]}")
    return text, usage.ru_maxrss / 1024


def of_runnel(o, length, work):
    """(tokens a second, MiB)"""
    data = os.path.join(work, "data.jsonl")
    with open(data, "w") as f:  # a token a byte; what is longer than a row is cut
        for i in range(o.steps):
            f.write(json.dumps({"text": f"{i} " + "All that is learnt here is noise. " * length})
                    + "\n")
    with tempfile.TemporaryDirectory(dir=work) as out:
        command = [o.runnel, "train", "-m", o.model, "--data", data, "--length", str(length),
                   "--batch", "1", "--lora", str(RANK), "--steps", str(o.steps), "-t",
                   str(o.threads), "--keep", "1", "-o", os.path.join(out, "it")]
        text, memory = run(command + (["--bf16"] if o.bf16 else []))
    return float(re.findall(r"([0-9.]+) tok/s", text)[-1]), memory


def of_torch(o, length):
    text, memory = run([o.python, os.path.abspath(__file__), "--peer", "--length", str(length),
                        "--steps", str(o.steps), "--threads", str(o.threads)]
                       + (["--bf16"] if o.bf16 else []))
    return float(text.split()[-1]), memory


def peak(o):
    """Operations a second of all threads, of the best instruction."""
    best, kind = 0, "BF16" if o.bf16 else "F32"
    text = subprocess.run([o.runnel, "bench", "--work", "peak", "--json", "-t", str(o.threads)],
                          capture_output=True, text=True, check=True).stdout
    for row in map(json.loads, text.splitlines()):
        if row["work"] == "peak" and row["type"] == kind:
            best = max(best, row["median"] * 1e9)
    return best


def make_model(o):
    o.model = os.path.join(o.folder, f"LFM2-350M-{o.type.upper()}.gguf")
    if os.path.exists(o.model):
        return
    os.makedirs(o.folder, exist_ok=True)
    script = os.path.join(ROOT, "tools/compare/make_gguf.py")
    run([o.python or sys.executable, script, "350m", o.model + ".part", "--type", o.type])
    os.rename(o.model + ".part", o.model)


def figure(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def compare(o, length, work):
    """A row of the table, and whether it is what is asked."""
    ours, theirs, most = [], [], []
    for i in range(o.rounds):
        turns = [lambda: ours.append(of_runnel(o, length, work)),
                 lambda: theirs.append(of_torch(o, length)) if o.python else None]
        for turn in turns if i % 2 == 0 else turns[::-1]:
            turn()
        most.append(peak(o))
    tokens, memory = [t for t, _ in ours], max(m for _, m in ours)
    bound = statistics.median(most) / operations(length)
    share = statistics.median(tokens) / bound
    over = memory - os.path.getsize(o.model) / (1 << 20)
    row = [str(length), "BF16" if o.bf16 else "float32", figure(tokens), f"{memory:.0f}",
           f"{over:.0f}", f"{operations(length) / 1e9:.2f}", f"{bound:.0f}", f"{share:.0%}"]
    fits = share >= o.share and over <= 2500
    if theirs:
        values = [t for t, _ in theirs]
        ratio = statistics.median(tokens) / statistics.median(values)
        row += [figure(values), f"{max(m for _, m in theirs):.0f}", f"{ratio:.2f}"]
        fits = fits and ratio >= (o.ratio_bf16 if o.bf16 else o.ratio)
    return row, fits


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--runnel", default=os.path.join(ROOT, "build/release/runnel"))
    p.add_argument("--python", help="that has torch; without: runnel alone")
    p.add_argument("--folder", default="/tmp/runnel-bench", help="where the model lies")
    p.add_argument("--type", default="f16", choices=("f16", "bf16", "f32"), help="of its weights")
    p.add_argument("--length", default="256,512")
    p.add_argument("--steps", type=int, default=6, help="of a process")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action="store_true", help="both in BF16")
    p.add_argument("--share", type=float, default=0.55)
    p.add_argument("--ratio", type=float, default=1.3)
    p.add_argument("--ratio-bf16", type=float, default=1.1)
    p.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.peer:
        peer(o)
        return
    make_model(o)
    head = ["T", "products", "runnel tok/s", "MiB", "over the weights", "GF a token",
            "bound tok/s", "share"] + (["PyTorch tok/s", "MiB", "ratio"] if o.python else [])
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    fits = True
    with tempfile.TemporaryDirectory() as work:
        for length in map(int, o.length.split(",")):
            row, fit = compare(o, length, work)
            print("| " + " | ".join(row) + " |", flush=True)
            fits = fits and fit
    sys.exit(0 if fits else 1)


if __name__ == "__main__":
    main()
