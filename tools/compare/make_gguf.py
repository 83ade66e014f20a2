#!/usr/bin/env python3
"""Writes GGUF files of random weights in the official shapes of LFM2, for timing only.

    make_gguf.py SHAPE OUT.gguf [--type f16|bf16|f32] [--seed N]

SHAPE is 230m, 350m, 700m, 1.2b, 2.6b or mini. Both engines read the file: llama.cpp, and runnel as
a text model. The weights are bell-shaped noise, scaled so that activations stay tame; the
vocabulary has the official special tokens at their ids, one token a byte, and fillers. Quantised
files come from the F16 file by llama-quantize or `runnel convert`. Needs numpy.
"""
import argparse
import pathlib
import struct
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gguf_keys import VOCAB, f32, ints, padding, string, text, u32, vocabulary

ATTENTION_16 = [2, 5, 8, 10, 12, 14]
SHAPES = {  # width, layers, attention layers, heads, key-value heads, feed-forward
    "230m": (1024, 14, [2, 4, 6, 8, 10, 12], 16, 8, 2560),
    "350m": (1024, 16, ATTENTION_16, 16, 8, 4608),
    "700m": (1536, 16, ATTENTION_16, 24, 8, 6912),
    "1.2b": (2048, 16, ATTENTION_16, 32, 8, 8192),
    "mini": (256, 16, ATTENTION_16, 4, 2, 768),  # no official shape: to compare quantisers
    "2.6b": (2048, 30, [2, 5, 9, 13, 17, 21, 24, 27], 32, 8, 10752),
}
F32, F16, BF16 = 0, 1, 30
TYPES = {"f32": (F32, 0), "f16": (F16, 1), "bf16": (BF16, 32)}  # tensor type, general.file_type
CHUNK = 1 << 24  # elements made at a time


def keys(shape, name, file_type):
    width, layers, attention, heads, kv_heads, ff = shape
    model = {
        "block_count": u32(layers),
        "context_length": u32(128000),
        "embedding_length": u32(width),
        "feed_forward_length": u32(ff),
        "attention.head_count": u32(heads),
        "attention.head_count_kv": ints([kv_heads if i in attention else 0 for i in range(layers)]),
        "attention.layer_norm_rms_epsilon": f32(1e-5),
        "rope.freq_base": f32(1e6),
        "shortconv.l_cache": u32(3),
        "vocab_size": u32(VOCAB),
    }
    return {
        "general.architecture": string("lfm2"),
        "general.type": string("model"),
        "general.name": string(f"random LFM2-{name}"),
        "general.file_type": u32(file_type),
        **{"lfm2." + key: value for key, value in model.items()},
        **vocabulary(),
    }


def tensors(shape):
    """(name, dimensions with the contiguous one first, is a matrix)"""
    width, layers, attention, heads, kv_heads, ff = shape
    head = 64
    yield "token_embd.weight", (width, VOCAB), True
    yield "token_embd_norm.weight", (width,), False
    for i in range(layers):
        at = f"blk.{i}."
        yield at + "attn_norm.weight", (width,), False
        yield at + "ffn_norm.weight", (width,), False
        yield at + "ffn_gate.weight", (width, ff), True
        yield at + "ffn_up.weight", (width, ff), True
        yield at + "ffn_down.weight", (ff, width), True
        if i in attention:
            yield at + "attn_q_norm.weight", (head,), False
            yield at + "attn_k_norm.weight", (head,), False
            yield at + "attn_q.weight", (width, heads * head), True
            yield at + "attn_k.weight", (width, kv_heads * head), True
            yield at + "attn_v.weight", (width, kv_heads * head), True
            yield at + "attn_output.weight", (heads * head, width), True
        else:
            yield at + "shortconv.conv.weight", (3, width), False
            yield at + "shortconv.in_proj.weight", (width, 3 * width), True
            yield at + "shortconv.out_proj.weight", (width, width), True


def encoded(values, kind):
    if kind == F32:
        return values.tobytes()
    if kind == F16:
        return values.astype(np.float16).tobytes()
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def write_values(f, rng, name, dims, kind):
    left = int(np.prod(dims))
    size = left * (4 if kind == F32 else 2)
    # Norms near one; the embedding as models have it; the rest keeps the size of activations.
    spread = 0.02 if name == "token_embd.weight" else 1 / np.sqrt(dims[0])
    while left > 0:
        count = min(left, CHUNK)
        values = rng.standard_normal(count, dtype=np.float32)
        values = values * np.float32(0.1) + np.float32(1) if name.endswith("norm.weight") \
            else values * np.float32(spread)
        f.write(encoded(values, kind))
        left -= count
    f.write(padding(size))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out")
    parser.add_argument("--type", default="f16", choices=TYPES)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    matrix_type, file_type = TYPES[o.type]
    shape = SHAPES[o.shape]
    meta = keys(shape, o.shape, file_type)
    records, offset = [], 0
    for name, dims, is_matrix in tensors(shape):
        kind = matrix_type if is_matrix else F32
        records.append(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind,
                                                offset))
        size = int(np.prod(dims)) * (4 if kind == F32 else 2)
        offset += size + len(padding(size))
    header = b"GGUF" + struct.pack("<IQQ", 3, len(records), len(meta))
    header += b"".join(text(key) + value for key, value in meta.items()) + b"".join(records)
    rng = np.random.default_rng(o.seed)
    with open(o.out, "wb") as f:
        f.write(header + padding(len(header)))
        for name, dims, is_matrix in tensors(shape):
            write_values(f, rng, name, dims, matrix_type if is_matrix else F32)
    print(f"{o.out}: {offset / 1e6:.0f} MB of weights")


if __name__ == "__main__":
    main()
