#!/usr/bin/env python3
"""The mean negative log-likelihood of a text, `runnel perplexity --exact` beside llama-perplexity.

    tools/compare/perplexity.py                    minnow's backbone, F32 and F16
    tools/compare/perplexity.py FILE.gguf ...      other files, each as it is

Both score the second half of every chunk of 512, then of 2048 positions, on the same 8,192 tokens:
questions and answers of minnow's domain, or --text. Caches of the peer in float32, no flash
attention. Ends with 1 when a difference is over --most (1e-4 of float32 files, 1e-3 of others).
"""
import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile

import compare

TOKENS = 8192


def run(command):
    p = subprocess.run(command, capture_output=True, text=True)
    if p.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}\n{p.stderr[-2000:]}")
    return p.stdout + p.stderr


def sentences():
    """What minnow was not trained with, then the rest, as plain text: well over TOKENS tokens."""
    sys.path.insert(0, os.path.join(compare.ROOT, "tools/train"))
    import corpus
    seen, unseen = corpus.split()
    return " ".join(f"{question} {answer}" for _, question, answer in (*unseen, *seen[::7]))


def backbones(o, work):
    """The main files of minnow's set: LFM2 text models with their vocabulary."""
    for kind in ("f32", "f16"):
        file = os.path.join(work, f"minnow-{kind}.gguf")
        run([o.runnel, "convert", "-q", os.path.join(compare.ROOT, "samples/minnow/minnow.gguf"),
             "-o", file, "--format", "set", "--type", kind])
        yield file


def peer_nll(o, file, text, context):
    out = run([o.peer, "-m", file, "-f", text, "-c", str(context), "--chunks",
               str(TOKENS // context), "-t", str(o.threads), "-ctk", "f32", "-ctv", "f32", "-fa",
               "off"])
    found = re.search(r"Final estimate: PPL = ([\d.]+)", out)
    if not found:
        sys.exit(f"the peer named no perplexity: {out[-2000:]}")
    return math.log(float(found.group(1)))


def our_nll(o, file, text, context):
    found = json.loads(run([o.runnel, "perplexity", "-q", "--json", "--exact", "-m", file, "-f",
                            text, "--context", str(context), "--chunks", str(TOKENS // context),
                            "-t", str(o.threads)]))
    return found["nll"], found["scored"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--peer", default="/tmp/runnel-peer/native/bin/llama-perplexity")
    parser.add_argument("--runnel", default=os.path.join(compare.ROOT, "build/release/runnel"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--text", help="a file")
    parser.add_argument("--most", type=float, help="difference allowed")
    o = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as work:
        text = o.text or os.path.join(work, "text")
        if not o.text:
            with open(text, "w") as f:
                f.write(sentences())
        print("| file | context | scored | peer, nll | runnel, nll | difference | allowed |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for file in o.files or backbones(o, work):
            most = o.most or (1e-4 if "f32" in os.path.basename(file).lower() else 1e-3)
            for context in (512, 2048):
                theirs = peer_nll(o, file, text, context)
                ours, scored = our_nll(o, file, text, context)
                good = good and abs(ours - theirs) <= most
                print(f"| {os.path.basename(file)} | {context} | {scored} | {theirs:.6f} |"
                      f" {ours:.6f} | {ours - theirs:+.1e} | {most:.0e} |", flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
