#!/usr/bin/env python3
"""What `runnel dump` wrote, against the reference and against `reply --json`.

check_dump.py FOLDER DATA: FOLDER holds X.npy of every stage of the tiny model hearing clip A
greedily, reply.json and reply.wav of the same run. Ends with `N passed, N failed`.
"""
import array
import json
import struct
import sys
import wave

folder, data = sys.argv[1:]
expect = data + "/tiny/expect/"
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {name} {detail}")


def load(path):
    """Shape and float32 values of an .npy file."""
    raw = open(path, "rb").read()
    size = struct.unpack("<H", raw[8:10])[0]
    head = eval(raw[10:10 + size])  # a literal that this project wrote
    assert head["descr"] == "<f4" and not head["fortran_order"], path
    values = array.array("f", raw[10 + size:])
    count = 1
    for n in head["shape"]:
        count *= n
    assert count == len(values), path
    return head["shape"], values


def rows(values, cols, begin, end):
    return values[begin * cols:end * cols]


def transposed(shape, values):
    a, b = shape
    return array.array("f", (values[i * b + j] for j in range(b) for i in range(a)))


manifest = {e["file"]: e for e in json.load(open(expect + "manifest.json"))["arrays"]}


def near(name, got, golden, want):
    entry = manifest[golden]
    worst = max(abs(a - b) for a, b in zip(got, want))
    check(name, len(got) == len(want) and worst <= entry["tolerance"],
          f"off by {worst}, allowed {entry['tolerance']}")


# ---- Sound to embeddings: clip A of the reference
shape, got = load(f"{folder}/mel.npy")
want_shape, want = load(expect + "clipA/mel.npy")
near("mel", got, "clipA/mel.npy", transposed(want_shape, want))
for stage, golden in [("subsampling", "subsampling"), ("adapter", "adapter")] + [
        (f"encoder.{i}", f"layer{i}") for i in range(3)]:
    shape, got = load(f"{folder}/{stage}.npy")
    want_shape, want = load(expect + f"clipA/{golden}.npy")
    check(f"{stage}: shape", shape == want_shape, f"{shape}, not {want_shape}")
    near(stage, got, f"clipA/{golden}.npy", want)

# ---- The prompt: rows of the backbone before anything was generated
for stage, golden in [("embeddings", "embeddings")] + [(f"backbone.{i}", f"layer{i}")
                                                       for i in range(6)]:
    shape, got = load(f"{folder}/{stage}.npy")
    want_shape, want = load(expect + f"promptA/{golden}.npy")
    check(f"{stage}: width", shape[1] == want_shape[1] and shape[0] >= want_shape[0])
    near(stage, rows(got, shape[1], 0, want_shape[0]), f"promptA/{golden}.npy", want)

# ---- The first decision
(_, width), hidden = load(f"{folder}/hidden.npy")
want_shape, want = load(expect + "promptA/hidden.npy")
near("hidden", rows(hidden, width, 0, 1), "promptA/hidden.npy",
     rows(want, width, want_shape[0] - 1, want_shape[0]))
(logit_rows, vocab), logits = load(f"{folder}/logits.npy")
near("logits", rows(logits, vocab, 0, 1), "promptA/text_logits.npy",
     load(expect + "promptA/text_logits.npy")[1])

# ---- Every decision: the arrays give the tokens and frames that reply tells
reply = json.load(open(f"{folder}/reply.json"))
tokens, frames = reply["text_tokens"], reply["frames"]


def best(values, cols, row):
    part = rows(values, cols, row, row + 1)
    return part.index(max(part))


check("one row of hidden a position", len(hidden) == width * len(reply["modality"]))
check("one row of logits a token", logit_rows == len(tokens))
check("logits give the tokens", [best(logits, vocab, i) for i in range(len(tokens))] == tokens)
for book in range(8):
    (depth_rows, codes), depth = load(f"{folder}/depth.{book}.npy")
    check(f"one row of depth.{book} a frame", depth_rows == len(frames) and codes == 2049)
    check(f"depth.{book} gives the codes",
          [best(depth, codes, i) for i in range(len(frames))] == [f[book] for f in frames])

# ---- Codes to sound
(spectrum_rows, bins), _ = load(f"{folder}/spectrum.npy")
check("six rows of the spectrum a frame", spectrum_rows == 6 * len(frames) and bins == 1282)
(count, _), samples = load(f"{folder}/samples.npy")
check("1920 samples a frame", count == 1920 * len(frames))
with wave.open(f"{folder}/reply.wav") as sound:
    pcm = array.array("h", sound.readframes(sound.getnframes()))
check("the sound file is as long", len(pcm) == count)
worst = max(abs(max(-1.0, min(1.0, s)) - p / 32768) for s, p in zip(samples, pcm))
check("the sound file holds the samples", worst < 1.5 / 32768, f"off by {worst}")

print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
