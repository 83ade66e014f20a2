#!/usr/bin/env python3
"""What `runnel perplexity` measured, against the reference.

check_quality.py EXPECT FOLDER: FOLDER holds chunks, strided_16, ... as --json wrote them. Ends with
`N passed, N failed`.
"""
import json
import sys

expect, folder = json.load(open(sys.argv[1])), sys.argv[2]
passed = failed = 0


def check(name, got, want, tolerance=0.0):
    """Within a share of what is wanted."""
    global passed, failed
    good = abs(got - want) <= tolerance * max(abs(want), 1e-2)
    passed += good
    failed += not good
    if not good:
        print(f"FAILED: {name}: {got}, not {want}")


def load(name):
    return json.load(open(f"{folder}/{name}"))


TIGHT = 2e-6  # float32 logits against float64 ones
chunks = load("chunks")
check("chunks: scored", chunks["scored"], expect["llama"]["count"])
check("chunks", chunks["perplexity"], expect["llama"]["ppl"], TIGHT)
check("chunks: error", chunks["error"], expect["llama"]["ppl_err"], TIGHT)
for stride in (16, 32):
    for name, key in (("", "exact"), ("_document", "hf_document")):
        got, want = load(f"strided_{stride}{name}"), expect[f"strided_{stride}"][key]
        check(f"stride {stride}{name}: scored", got["scored"], want["count"])
        check(f"stride {stride}{name}", got["perplexity"], want["ppl"], TIGHT)
rolling = load("rolling")
check("rolling: scored", rolling["scored"], expect["rolling"]["tokens"])
check("rolling", rolling["log_likelihood"], expect["rolling"]["loglikelihood"], TIGHT)
# What is below -16 does not count with us: up to 1e-7 each. A file keeps 16 bits of a range of 16,
# and the perplexity of the base is what it keeps.
names = {"ln_ratio": "ln_ratio", "ln_ratio_error": "ln_ratio_err", "mean": "mean", "error": "err",
         "median": "median", "p99": "p99", "maximum": "max", "minimum": "min",
         "same_top": "same_top", "rms_dp": "rms_dp", "mean_dp": "mean_dp",
         "base_perplexity": "ppl_base"}
for source, tolerance in (("model", 2e-5), ("file", 3e-4)):
    got = load(f"kl_{source}")
    check(f"KL by {source}: perplexity", got["perplexity"], expect["kl"]["ppl_q"], TIGHT)
    for name, key in names.items():
        check(f"KL by {source}: {name}", got["kl"][name], expect["kl"][key], tolerance)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
