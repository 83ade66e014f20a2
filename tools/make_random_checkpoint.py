#!/usr/bin/env python3
"""Writes a checkpoint with random weights and the exact shapes of LFM2.5-Audio-1.5B, or a GGUF file
of those of a mixture of experts.

    make_random_checkpoint.py --hf DIR [--seed N]
    make_random_checkpoint.py --moe 8b --type q4_0 -o FILE.gguf [--seed N]
    make_random_checkpoint.py --vl 450m --hf DIR [--seed N]

Loading, memory and speed depend on shapes, not on values, so this stands in for the official
weights where those may not be copied. DIR gets what the official repository holds, without Mimi:
config.json, model.safetensors (BF16, 2.9 GB), tokenizer.json with its side files, and
audio_detokenizer/ (F32, 0.3 GB). Names, shapes and sizes: spec audio.md 2.1, 2.2, 10.1, 10.2; the
sizes are checked against the published files, to the byte. Python 3.11 alone is enough; about a
minute.

--moe writes one file of LFM2-8B-A1B (8b, 4.7 GB as q4_0) or LFM2-24B-A2B (24b), whose blocks are
quantised as they are made (random_gguf.py); llama.cpp loads it as well.

--vl 450m writes LFM2-VL-450M instead (BF16, 0.9 GB); `runnel convert --format set` makes the GGUF
file and its mmproj of it, which llama.cpp loads, too.

Weights are normal with standard deviation 1/sqrt(fan-in), norms are near 1: a forward pass stays
finite. One seed gives the same files everywhere. The numbers are cut from one long strip of noise
for each deviation, so they repeat; that matters to statistics, not to timing.
"""
import argparse
import array
import json
import math
import os
import random
import statistics
import struct
import time

import random_gguf

import random_vision

MAIN_BYTES, DETOKENIZER_BYTES = 2_940_723_992, 314_137_512
WIDTH, VOCAB, LAYERS = 2048, 65536, 16
ATTENTION = (2, 5, 8, 10, 12, 14)
CODEBOOKS, CODES = 8, 2049  # 2,048 codes and the end of audio
STRIP = 1 << 22             # numbers in a strip of noise

NORM, SMALL = "norm", "small"  # what a vector is: a gain near 1, or a bias near 0


# ---- tensors: name -> (dtype, shape, what) ------------------------------------------------------
# what: None for a matrix (deviation by fan-in), NORM, SMALL, the name of a tensor to repeat, or
# the bytes themselves.

def backbone(prefix, layers, attention, width, key_width, head, ffn, dtype):
    tensors = {}

    def add(name, *shape, what=None):
        tensors[prefix + name] = (dtype, shape, what)

    add("embedding_norm.weight", width, what=NORM)
    for n in range(layers):
        add(f"layers.{n}.operator_norm.weight", width, what=NORM)
        add(f"layers.{n}.ffn_norm.weight", width, what=NORM)
        add(f"layers.{n}.feed_forward.w1.weight", ffn, width)
        add(f"layers.{n}.feed_forward.w2.weight", width, ffn)
        add(f"layers.{n}.feed_forward.w3.weight", ffn, width)
        if n in attention:
            add(f"layers.{n}.self_attn.q_proj.weight", width, width)
            add(f"layers.{n}.self_attn.k_proj.weight", key_width, width)
            add(f"layers.{n}.self_attn.v_proj.weight", key_width, width)
            add(f"layers.{n}.self_attn.out_proj.weight", width, width)
            add(f"layers.{n}.self_attn.q_layernorm.weight", head, what=NORM)
            add(f"layers.{n}.self_attn.k_layernorm.weight", head, what=NORM)
        else:
            add(f"layers.{n}.conv.in_proj.weight", 3 * width, width)
            add(f"layers.{n}.conv.conv.weight", width, 1, 3)
            add(f"layers.{n}.conv.out_proj.weight", width, width)
    return tensors


def encoder():
    width, ffn, channels, layers, heads = 512, 2048, 256, 17, 8
    tensors = {}

    def add(name, *shape, what=None, bias=True):
        tensors[f"{name}.weight"] = ("BF16", shape, what)
        if bias:
            tensors[f"{name}.bias"] = ("BF16", shape[:1], SMALL)

    for n in (0, 2, 5):
        add(f"conformer.pre_encode.conv.{n}", channels, 1, 3, 3)
    for n in (3, 6):
        add(f"conformer.pre_encode.conv.{n}", channels, channels, 1, 1)
    add("conformer.pre_encode.out", width, 4096)
    for n in range(layers):
        at = f"conformer.layers.{n}."
        for norm in ("feed_forward1", "self_att", "conv", "feed_forward2", "out"):
            add(f"{at}norm_{norm}", width, what=NORM)
        for half in (1, 2):
            add(f"{at}feed_forward{half}.linear1", ffn, width)
            add(f"{at}feed_forward{half}.linear2", width, ffn)
        for part in ("q", "k", "v", "out"):
            add(f"{at}self_attn.linear_{part}", width, width)
        add(f"{at}self_attn.linear_pos", width, width, bias=False)
        for part in ("u", "v"):
            tensors[f"{at}self_attn.pos_bias_{part}"] = ("BF16", (heads, width // heads), SMALL)
        add(f"{at}conv.pointwise_conv1", 2 * width, width, 1)
        add(f"{at}conv.depthwise_conv", width, 1, 9)
        add(f"{at}conv.batch_norm", width, what=NORM)
        tensors[f"{at}conv.batch_norm.running_mean"] = ("BF16", (width,), SMALL)
        tensors[f"{at}conv.batch_norm.running_var"] = ("BF16", (width,), NORM)
        tensors[f"{at}conv.batch_norm.num_batches_tracked"] = ("I64", (), bytes(8))
        add(f"{at}conv.pointwise_conv2", width, width, 1)
    add("audio_adapter.model.0", width, what=NORM)
    add("audio_adapter.model.1", WIDTH, width)
    add("audio_adapter.model.3", WIDTH, WIDTH)
    return tensors


def depthformer():
    width, ffn, layers, head = 1024, 2816, 6, 32
    tensors = {}

    def add(name, *shape, what=None):
        tensors[name] = ("BF16", shape, what)

    add("audio_embedding.embedding.weight", CODEBOOKS * CODES, WIDTH)
    add("audio_embedding.to_logits.weight", CODEBOOKS * CODES, WIDTH)
    add("audio_embedding.embedding_norm.weight", WIDTH, what=NORM)
    add("audio_loss_weights", CODEBOOKS, what=NORM)
    offsets = struct.pack(f"<{CODEBOOKS}q", *(CODES * k for k in range(CODEBOOKS)))
    tensors["codebook_offsets"] = ("I64", (CODEBOOKS,), offsets)
    add("depth_linear.weight", CODEBOOKS * width, WIDTH)
    add("depth_linear.bias", CODEBOOKS * width, what=SMALL)
    for k in range(CODEBOOKS):
        table = f"depth_embeddings.{k}.embedding.weight"
        add(table, CODES, width)
        add(f"depth_embeddings.{k}.embedding_norm.weight", width, what=NORM)
        add(f"depth_embeddings.{k}.to_logits.weight", CODES, width, what=table)
    for n in range(layers):
        at = f"depthformer.layers.{n}."
        add(f"{at}operator_norm.weight", width, what=NORM)
        add(f"{at}ffn_norm.weight", width, what=NORM)
        add(f"{at}operator.qkv_proj.weight", 1536, width)
        add(f"{at}operator.out_proj.weight", width, width)
        add(f"{at}operator.bounded_attention.q_layernorm.weight", head, what=NORM)
        add(f"{at}operator.bounded_attention.k_layernorm.weight", head, what=NORM)
        add(f"{at}feed_forward.w1.weight", ffn, width)
        add(f"{at}feed_forward.w2.weight", width, ffn)
        add(f"{at}feed_forward.w3.weight", ffn, width)
    return tensors


def main_tensors():
    return {"lfm.embed_tokens.weight": ("BF16", (VOCAB, WIDTH), None),
            **backbone("lfm.", LAYERS, ATTENTION, WIDTH, 512, 64, 8192, "BF16"),
            **encoder(), **depthformer()}


def detokenizer_tensors():
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / 1280) for n in range(1280)]
    return {"emb.emb.weight": ("F32", (CODEBOOKS * 2048, 512), None),
            "lfm.embed_tokens.weight": ("F32", (VOCAB, 512), None),
            **backbone("lfm.", 8, (2, 4, 6), 512, 256, 32, 2304, "F32"),
            "lin.weight": ("F32", (1282, 512), None), "lin.bias": ("F32", (1282,), SMALL),
            "istft.window": ("F32", (1280,), struct.pack("<1280f", *hann))}


# ---- values -------------------------------------------------------------------------------------

def to_bf16(value):
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


class Noise:
    """Strips of normal numbers, one for each dtype, mean and deviation, made when first asked."""

    def __init__(self, seed):
        self.seed = seed
        self.strips = {}
        bell = statistics.NormalDist()
        self.bell = [bell.inv_cdf((i + 0.5) / 65536) for i in range(65536)]

    def strip(self, dtype, mean, deviation):
        key = (dtype, mean, deviation)
        if key not in self.strips:
            values = (mean + deviation * z for z in self.bell)
            table = [to_bf16(v) for v in values] if dtype == "BF16" else list(values)
            chance = random.Random(f"{self.seed}/{key}")
            numbers = array.array("H" if dtype == "BF16" else "f")
            for _ in range(STRIP >> 16):
                numbers.extend(chance.choices(table, k=65536))
            self.strips[key] = memoryview(numbers).cast("B")
        return self.strips[key]

    def write(self, file, name, dtype, shape, what):
        """Writes one tensor: random cuts of its strip, one after the other."""
        if what == NORM:
            mean, deviation = 1.0, 0.02
        elif what == SMALL:
            mean, deviation = 0.0, 0.02
        else:
            mean, deviation = 0.0, 1 / math.sqrt(math.prod(shape[1:]))
        strip = self.strip(dtype, mean, deviation)
        element = SIZE[dtype]
        chance = random.Random(f"{self.seed}/{name}")
        left = math.prod(shape) * element
        while left > 0:
            begin = chance.randrange(STRIP) * element
            piece = strip[begin:begin + left]
            file.write(piece)
            left -= len(piece)


SIZE = {"I64": 8, "F32": 4, "BF16": 2}


def write_safetensors(path, tensors, metadata, noise):
    """As the safetensors library: larger elements first, then by name, header padded to 8."""
    header = {"__metadata__": metadata} if metadata else {}
    at = 0
    order = sorted(tensors, key=lambda name: (-SIZE[tensors[name][0]], name))
    for name in order:
        dtype, shape, _ = tensors[name]
        end = at + math.prod(shape) * SIZE[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            dtype, shape, what = tensors[name]
            if isinstance(what, bytes):
                file.write(what)
            elif what in tensors:
                noise.write(file, what, dtype, shape, tensors[what][2])
            else:
                noise.write(file, name, dtype, shape, what)
    os.replace(path + ".part", path)
    return os.path.getsize(path)


# ---- configuration ------------------------------------------------------------------------------

def lfm_config(width, ffn, heads, layer_types):
    return {"model_type": "lfm2", "hidden_size": width, "block_dim": width, "conv_dim": width,
            "conv_dim_out": width, "intermediate_size": ffn, "block_ff_dim": ffn,
            "block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier": 1.0,
            "block_multiple_of": 256, "block_use_swiglu": True, "block_norm_eps": 1e-5,
            "norm_eps": 1e-5, "conv_L_cache": 3, "conv_bias": False,
            "max_position_embeddings": 128000, "num_attention_heads": heads, "num_heads": heads,
            "num_hidden_layers": len(layer_types), "num_key_value_heads": 8,
            "rope_theta": 1000000.0, "tie_embedding": True, "use_cache": True,
            "use_pos_enc": True, "vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 7,
            "pad_token_id": 0, "layer_types": layer_types}


def main_config():
    kinds = ["full_attention" if n in ATTENTION else "conv" for n in range(LAYERS)]
    return {
        "architectures": ["Lfm2AudioForConditionalGeneration"], "codebooks": CODEBOOKS,
        "tie_audio_embeddings": False, "semantic_codebook_factor": 100, "codebook_weight": "log",
        "interleaved_n_text": 6, "interleaved_n_audio": 12,
        "preprocessor": {
            "sample_rate": 16000, "normalize": "per_feature", "window_size": 0.025,
            "window_stride": 0.01, "window": "hann", "features": 128, "n_fft": 512, "log": True,
            "frame_splicing": 1, "dither": 1e-05, "pad_to": 0, "pad_value": 0.0},
        "encoder": {
            "feat_in": 128, "feat_out": -1, "n_layers": 17, "d_model": 512,
            "subsampling": "dw_striding", "subsampling_factor": 8,
            "subsampling_conv_channels": 256, "causal_downsampling": False, "reduction": None,
            "reduction_position": None, "reduction_factor": 1, "ff_expansion_factor": 4,
            "self_attention_model": "rel_pos", "n_heads": 8, "att_context_size": [-1, -1],
            "xscaling": False, "untie_biases": True, "pos_emb_max_len": 5000,
            "conv_kernel_size": 9, "conv_norm_type": "batch_norm", "conv_context_size": None,
            "dropout": 0.1, "dropout_pre_encoder": 0.1, "dropout_emb": 0.0, "dropout_att": 0.1},
        # The width before the adjustment: floor(2 * 12288 / 3) = 8192, a multiple of 256.
        "lfm": {"architectures": ["Lfm2ForCausalLM"], **lfm_config(WIDTH, 12288, 32, kinds)},
        "depthformer": {"layers": 6, "dim": 1024, "tie": True}}


def detokenizer_config():
    kinds = ["sliding_attention" if n in (2, 4, 6) else "conv" for n in range(8)]
    return {"architectures": ["Lfm25AudioTokenizer"], **lfm_config(512, 3328, 16, kinds),
            "output_size": 1282, "sliding_window": 30, "dtype": "bfloat16"}


# ---- tokenizer ----------------------------------------------------------------------------------

NAMED = {0: "pad", 1: "startoftext", 2: "endoftext", 3: "fim_pre", 4: "fim_mid", 5: "fim_suf",
         6: "im_start", 7: "im_end", 8: "tool_list_start", 9: "tool_list_end",
         10: "tool_call_start", 11: "tool_call_end", 12: "tool_response_start",
         13: "tool_response_end", 128: "audio_start", 129: "text_start", 130: "text_end",
         131: "mixed_start", 132: "mixed_end"}
SPECIALS, TOKENS = 510, 64400  # rows past 64,400 have no text, as in the official file
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def special(token):
    if token == 396 and 498 in NAMED:
        return "<image>"
    return f"<|{NAMED.get(token, f'reserved_{token - 10}')}|>"


def byte_alphabet():
    """The 256 characters that stand for bytes, sorted (spec backbone.md 4.3)."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(c) for c in own] + [chr(0x100 + n) for n in range(256 - len(own))]


def made_up_words(count):
    """(word, left, right): words of growing length, each a known word and one more letter."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    shorter = ["\u0120", *letters]  # the first is the space
    while True:
        longer = [(word + letter, word, letter) for word in shorter for letter in letters]
        yield from longer[:count]
        count -= len(longer)
        if count <= 0:
            return
        shorter = [word for word, _, _ in longer]


def tokenizer():
    vocab = {special(n): n for n in range(SPECIALS)}
    for character in byte_alphabet():
        vocab[character] = len(vocab)
    merges = []
    for word, left, right in made_up_words(TOKENS - len(vocab)):
        vocab[word] = len(vocab)
        merges.append([left, right])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    bos = {"SpecialToken": {"id": special(1), "type_id": 0}}
    pieces = [{"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated",
               "invert": False},
              {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
               "use_regex": False}]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": n, "content": special(n), **plain, "special": True}
                         for n in NAMED],
        "normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": pieces},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": special(1), "type_id": 1}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                special(1): {"id": special(1), "ids": [1], "tokens": [special(1)]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": vocab, "merges": merges}}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)


def check_size(path, size, published):
    if size != published:
        raise SystemExit(f"{path}: {size:,} bytes, the published file has {published:,}")
    print(f"{path}: {size:,} bytes, as published")


def write_vision(options):
    vision, root = random_vision, options.hf
    kinds = ["full_attention" if n in vision.ATTENTION else "conv" for n in range(LAYERS)]
    text = lfm_config(vision.TEXT, vision.TEXT_FFN, 16, kinds)
    text["block_auto_adjust_ff_dim"] = False
    tensors = {"model.language_model.embed_tokens.weight": ("BF16", (VOCAB, vision.TEXT), None),
               **backbone("model.language_model.", LAYERS, vision.ATTENTION, vision.TEXT, 512, 64,
                          vision.TEXT_FFN, "BF16"),
               **vision.tower(NORM, SMALL)}
    NAMED.update(vision.NAMED)
    NAMED[396] = "image"
    os.makedirs(root, exist_ok=True)
    write_json(os.path.join(root, "config.json"), vision.config(text))
    write_json(os.path.join(root, "preprocessor_config.json"), vision.PREPROCESSOR)
    write_json(os.path.join(root, "tokenizer.json"), tokenizer())
    path = os.path.join(root, "model.safetensors")
    size = write_safetensors(path, tensors, {"format": "pt"}, Noise(options.seed))
    print(f"{path}: {size:,} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hf", metavar="DIR", help="where the checkpoint goes")
    parser.add_argument("--moe", choices=random_gguf.MIXTURES, help="a mixture of experts")
    parser.add_argument("--type", choices=random_gguf.TYPES, default="q4_0", help="of --moe")
    parser.add_argument("-o", "--output", metavar="FILE", help="where --moe goes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vl", choices=["450m"], help="a vision model instead")
    options = parser.parse_args()
    began = time.monotonic()
    if options.moe:
        if not options.output or options.hf:
            parser.error("--moe wants -o FILE.gguf, and no --hf")
        size = random_gguf.write_mixture(options.output, options.moe, options.type, options.seed)
        print(f"{options.output}: {size:,} bytes in {time.monotonic() - began:.0f} s")
        return
    if not options.hf:
        parser.error("--hf DIR or --moe SHAPE is missing")
    if options.vl:
        write_vision(options)
        print(f"done in {time.monotonic() - began:.0f} s")
        return
    root, detokenizer = options.hf, os.path.join(options.hf, "audio_detokenizer")
    os.makedirs(detokenizer, exist_ok=True)

    write_json(os.path.join(root, "config.json"), main_config())
    write_json(os.path.join(detokenizer, "config.json"), detokenizer_config())
    write_json(os.path.join(root, "tokenizer.json"), tokenizer())
    named = {"bos_token": special(1), "eos_token": special(7), "pad_token": special(0)}
    write_json(os.path.join(root, "special_tokens_map.json"), named)
    write_json(os.path.join(root, "tokenizer_config.json"),
               {"tokenizer_class": "PreTrainedTokenizerFast", **named,
                "model_max_length": 128000, "clean_up_tokenization_spaces": False})

    path = os.path.join(root, "model.safetensors")
    size = write_safetensors(path, main_tensors(), {"format": "pt"}, Noise(options.seed))
    check_size(path, size, MAIN_BYTES)
    path = os.path.join(detokenizer, "model.safetensors")
    size = write_safetensors(path, detokenizer_tensors(), None, Noise(options.seed))
    check_size(path, size, DETOKENIZER_BYTES)
    print(f"done in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
