"""GGUF files of random weights in official shapes, written straight: quantised blocks are made as
noise, and nothing is quantised. Used by make_random_checkpoint.py; the standard library alone.

Blocks are cut from one long strip of noise for each type and row length, from another place for
each tensor, so that experts differ; scales are chosen so that weights have the deviation
1/sqrt(row length), and a forward pass stays finite.
"""
import array
import math
import os
import random
import struct

from gguf_keys import VOCAB, f32, ints, padding, string, text, u32, vocabulary

# width, layers, attention layers, heads, key-value heads, dense layers, their width, experts, used,
# their width
MIXTURES = {
    "8b": (2048, 24, (2, 6, 10, 14, 18, 21), 32, 8, 2, 7168, 32, 4, 1792),
    "24b": (2048, 40, tuple(range(2, 40, 4)), 32, 8, 2, 11776, 64, 4, 1536),
    "mini": (256, 4, (2,), 4, 2, 1, 512, 8, 2, 256),  # no official shape: for tests
}

F32, F16, Q4_0, Q8_0, Q6_K = 0, 1, 2, 8, 14
# block length, its bytes, where its half-float scale stands, deviation of the codes it multiplies
BLOCKS = {F32: (1, 4, None, 1), F16: (1, 2, None, 1), Q4_0: (32, 18, 0, 4.61),
          Q8_0: (32, 34, 0, 73.9), Q6_K: (256, 210, 208, 18.5 * 73.9)}
# of --type: matrices, the text embedding that is the head, too, general.file_type
TYPES = {"q4_0": (Q4_0, Q6_K, 2), "q8_0": (Q8_0, Q8_0, 7), "f16": (F16, F16, 1)}
STRIP = 1 << 22  # bytes of a strip, about


# ---- keys ---------------------------------------------------------------------------------------

def mixture_keys(name, file_type):
    width, layers, attention, heads, kv, dense, ff, experts, used, expert_ff = MIXTURES[name]
    own = {
        "block_count": u32(layers), "context_length": u32(128000), "embedding_length": u32(width),
        "feed_forward_length": u32(ff), "attention.head_count": u32(heads),
        "attention.head_count_kv": ints([kv if n in attention else 0 for n in range(layers)]),
        "attention.layer_norm_rms_epsilon": f32(1e-5), "rope.freq_base": f32(1e6),
        "shortconv.l_cache": u32(3), "vocab_size": u32(VOCAB),
        "leading_dense_block_count": u32(dense), "expert_count": u32(experts),
        "expert_used_count": u32(used), "expert_feed_forward_length": u32(expert_ff),
        "expert_gating_func": u32(2)}
    return {"general.architecture": string("lfm2moe"), "general.type": string("model"),
            "general.name": string(f"random LFM2-{name} mixture of experts"),
            "general.file_type": u32(file_type), "general.quantization_version": u32(2),
            **{"lfm2moe." + key: value for key, value in own.items()},
            **vocabulary()}


# ---- tensors ------------------------------------------------------------------------------------

def mixture_tensors(name, matrix, head):
    """(name, dimensions with the contiguous one first, type)"""
    width, layers, attention, heads, kv, dense, ff, experts, _, expert_ff = MIXTURES[name]
    key_width = kv * (width // heads)
    yield "token_embd.weight", (width, VOCAB), head
    yield "token_embd_norm.weight", (width,), F32
    for n in range(layers):
        at = f"blk.{n}."
        yield at + "attn_norm.weight", (width,), F32
        yield at + "ffn_norm.weight", (width,), F32
        if n in attention:
            yield at + "attn_q_norm.weight", (width // heads,), F32
            yield at + "attn_k_norm.weight", (width // heads,), F32
            yield at + "attn_q.weight", (width, width), matrix
            yield at + "attn_k.weight", (width, key_width), matrix
            yield at + "attn_v.weight", (width, key_width), matrix
            yield at + "attn_output.weight", (width, width), matrix
        else:
            yield at + "shortconv.conv.weight", (3, width), F32
            yield at + "shortconv.in_proj.weight", (width, 3 * width), matrix
            yield at + "shortconv.out_proj.weight", (width, width), matrix
        if n < dense:
            yield at + "ffn_gate.weight", (width, ff), matrix
            yield at + "ffn_up.weight", (width, ff), matrix
            yield at + "ffn_down.weight", (ff, width), matrix
        else:
            yield at + "ffn_gate_inp.weight", (width, experts), F32
            yield at + "exp_probs_b.bias", (experts,), F32
            yield at + "ffn_gate_exps.weight", (width, expert_ff, experts), matrix
            yield at + "ffn_up_exps.weight", (width, expert_ff, experts), matrix
            yield at + "ffn_down_exps.weight", (expert_ff, width, experts), matrix


class Noise:
    """Strips of blocks, one for each type, mean and deviation, made when first asked."""

    def __init__(self, seed):
        self.seed = seed
        self.strips = {}

    def strip(self, kind, mean, deviation):
        key = (kind, mean, deviation)
        if key in self.strips:
            return self.strips[key]
        chance = random.Random(f"{self.seed}/{key}")
        _, size, scale_at, codes = BLOCKS[kind]
        count = STRIP // size
        if scale_at is None:
            values = array.array("f", (chance.gauss(mean, deviation) for _ in range(1 << 18)))
            data = values.tobytes()
            if kind == F16:
                data = struct.pack(f"<{len(values)}e", *values)
            strip = bytearray(data)
        else:
            strip = bytearray(chance.randbytes(count * size))
            scale = struct.pack("<e", deviation / codes)
            for i in (0, 1):
                strip[scale_at + i::size] = scale[i:i + 1] * count
        self.strips[key] = bytes(strip)
        return self.strips[key]

    def write(self, file, name, dims, kind):
        length, size, _, _ = BLOCKS[kind]
        if name.endswith("norm.weight"):
            mean, deviation = 1.0, 0.1
        elif name.endswith(".bias"):
            mean, deviation = 0.0, 0.01
        else:
            mean, deviation = 0.0, 0.02 if name == "token_embd.weight" else 1 / math.sqrt(dims[0])
        strip = self.strip(kind, mean, deviation)
        chance = random.Random(f"{self.seed}/{name}")
        left = total = math.prod(dims) // length * size
        while left > 0:
            begin = chance.randrange(len(strip) // size) * size
            piece = strip[begin:begin + left]
            file.write(piece)
            left -= len(piece)
        file.write(padding(total))


def write_gguf(path, keys, tensors, seed):
    """Returns the size of the file."""
    records, offset = [], 0
    for name, dims, kind in tensors:
        length, size, _, _ = BLOCKS[kind]
        records.append(text(name) +
                       struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset))
        total = math.prod(dims) // length * size
        offset += total + len(padding(total))
    header = b"GGUF" + struct.pack("<IQQ", 3, len(records), len(keys))
    header += b"".join(text(key) + value for key, value in keys.items()) + b"".join(records)
    noise = Noise(seed)
    with open(path + ".part", "wb") as file:
        file.write(header + padding(len(header)))
        for name, dims, kind in tensors:
            noise.write(file, name, dims, kind)
    os.replace(path + ".part", path)
    return os.path.getsize(path)


def write_mixture(path, name, type_name, seed):
    matrix, head, file_type = TYPES[type_name]
    return write_gguf(path, mixture_keys(name, file_type),
                      list(mixture_tensors(name, matrix, head)), seed)
