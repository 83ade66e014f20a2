#!/usr/bin/env python3
"""Makes vad/vad_weights.c from the Silero network (silero_vad_16k.safetensors, float32): the fields
of vad_weights (vad/vad_weights.h) as bit patterns, in their order.

    tools/make_vad_weights.py silero_vad_16k.safetensors > vad/vad_weights.c

Convolutions are stored [out, tap, in], so that a window of a [time, channels] buffer is one row
of input. Taps that only ever meet padding are left out: conv3 sees two positions (taps 1, 2),
conv4 one (tap 1). The two matrices of the LSTM stand side by side, for the input [x | h].
"""
import json
import struct
import sys


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    size, = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: {name} is {entry['dtype']}, wanted F32")
        begin, end = entry["data_offsets"]
        bits = struct.unpack_from(f"<{(end - begin) // 4}I", data, 8 + size + begin)
        tensors[name] = (entry["shape"], bits)
    return tensors


def taps(tensor, wanted):
    (count, width, kernel), bits = tensor
    return [bits[(o * width + i) * kernel + t]
            for o in range(count) for t in wanted for i in range(width)]


def side_by_side(left, right):
    (count, width), a = left
    _, b = right
    return [x for r in range(count)
            for x in a[r * width:(r + 1) * width] + b[r * width:(r + 1) * width]]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    t = read(sys.argv[1])
    fields = [t["stft_conv.weight"][1],
              taps(t["conv1.weight"], (0, 1, 2)), t["conv1.bias"][1],
              taps(t["conv2.weight"], (0, 1, 2)), t["conv2.bias"][1],
              taps(t["conv3.weight"], (1, 2)), t["conv3.bias"][1],
              taps(t["conv4.weight"], (1,)), t["conv4.bias"][1],
              side_by_side(t["lstm_cell.weight_ih"], t["lstm_cell.weight_hh"]),
              t["lstm_cell.bias_ih"][1], t["lstm_cell.bias_hh"][1],
              t["final_conv.weight"][1], t["final_conv.bias"][1]]
    items = [f"{x:#x}," for field in fields for x in field]
    print("/* Made by tools/make_vad_weights.py: do not edit.")
    print(" * Silero VAD, 16 kHz network of the PyPI package silero-vad 6.2.3. MIT licence,")
    print(" * Copyright (c) 2020-present Silero Team; the text of the licence is in NOTICE. */")
    print("/* clang-format off */")
    print('#include "vad/vad_weights.h"\n')
    print(f"_Static_assert(VAD_WEIGHT_COUNT == {len(items)}, "
          '"the table fills every field of vad_weights");\n')
    print("const vad_table vad_weight_table = {.bits = {")
    line = ""
    for item in items:
        if len(line) + len(item) > 100:
            print(line)
            line = ""
        line += item
    print(line)
    print("}};\n/* clang-format on */")


main()
