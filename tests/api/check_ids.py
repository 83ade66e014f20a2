#!/usr/bin/env python3
"""What `runnel dump --ids` wrote, against the reference.

check_ids.py FOLDER EXPECT: FOLDER holds STAGE.npy, EXPECT the arrays of a checkpoint with experts
and their manifest. Ends with `N passed, N failed`.
"""
import array
import json
import struct
import sys

folder, expect = sys.argv[1:]
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed += bool(good)
    failed += not good
    if not good:
        print(f"FAILED: {name} {detail}")


def load(path):
    """Shape and values of an .npy file of float32 or int32."""
    raw = open(path, "rb").read()
    size = struct.unpack("<H", raw[8:10])[0]
    head = eval(raw[10:10 + size])  # a literal that this project wrote
    values = array.array({"<f4": "f", "<i4": "i"}[head["descr"]], raw[10 + size:])
    return head["descr"], head["shape"], values


manifest = {e["file"]: e for e in json.load(open(expect + "/manifest.json"))["arrays"]}
for stage, name in [("backbone.1", "layer1"), ("backbone.2", "layer2"), ("logits", "logits"),
                    ("experts.1", "layer1_experts"), ("experts.2", "layer2_experts"),
                    ("greedy", "greedy")]:
    kind, shape, got = load(f"{folder}/{stage}.npy")
    want_kind, want_shape, want = load(f"{expect}/{name}.npy")
    check(f"{stage}: shape", (kind, shape) == (want_kind, want_shape), f"{kind} {shape}")
    tolerance = manifest[name + ".npy"].get("tolerance", 0)
    worst = max(abs(a - b) for a, b in zip(got, want))
    check(stage, worst <= tolerance, f"off by {worst}, allowed {tolerance}")
kind, shape, hidden = load(f"{folder}/hidden.npy")
check("hidden: a row for each id", shape[0] == load(f"{expect}/ids.npy")[1][0])
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
