#!/usr/bin/env python3
"""Makes the weights that are compiled into the library (vad/weights.S) from safetensors files:

    tools/make_vad_weights.py silero_vad_16k.safetensors smart_turn_v3.2.safetensors vad

writes vad/silero.bin (the fields of vad_weights in vad/weights.h, float32) and vad/turn_network.bin
(the fields of turn_network_weights there, float32 and signed bytes), both in the order of the
structs, little-endian. No value is changed; the same input gives the same bytes.

silero_vad_16k: the 16 kHz network of the PyPI package silero-vad 6.2.3. smart_turn_v3.2: from the
data of the PyPI package pipecat-ai 1.14.0 (smart-turn-v3.2-cpu.onnx), matrices as signed bytes
with one scale a row. Licences: NOTICE.

Convolutions become [out, tap, in], so that a window of a [time, channels] buffer is one row of
input. Taps of Silero that only ever meet padding are left out: conv3 sees two positions (taps 1,
2), conv4 one (tap 1). The two matrices of its LSTM stand side by side, for the input [x | h]. Rows
of the first convolution for turns, 3 taps of 80 bands, get 16 zeros behind, so that they are whole
blocks of 32.
"""
import json
import os
import struct
import sys

LAYERS, BLOCK = 4, 32
ELEMENT = {"F32": 4, "I8": 1}


class Tensor:
    def __init__(self, dtype, shape, data):
        self.dtype, self.shape, self.data = dtype, shape, data


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    size, = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in ELEMENT:
            sys.exit(f"{path}: {name} is {entry['dtype']}, wanted F32 or I8")
        begin, end = entry["data_offsets"]
        values = data[8 + size + begin:8 + size + end]
        tensors[name] = Tensor(entry["dtype"], entry["shape"], values)
    return tensors


def take(tensors, name, dtype, *shape):
    """The bytes of a tensor that must have this type and shape."""
    t = tensors.get(name)
    if t is None or t.dtype != dtype or t.shape != list(shape):
        found = "missing" if t is None else f"{t.dtype} {t.shape}"
        sys.exit(f"{name} is {found}, wanted {dtype} {list(shape)}")
    return t.data


def taps(data, dtype, shape, wanted, pad=0):
    """[out, in, kernel] -> [out, tap, in], the wanted taps, and `pad` zeros behind each out."""
    count, width, kernel = shape
    size = ELEMENT[dtype]
    out = bytearray()
    for o in range(count):
        for t in wanted:
            for i in range(width):
                at = ((o * width + i) * kernel + t) * size
                out += data[at:at + size]
        out += bytes(pad * size)
    return bytes(out)


def silero(t):
    def conv(name, shape, wanted):
        return taps(take(t, name + ".weight", "F32", *shape), "F32", shape, wanted)

    def bias(name, count):
        return take(t, name + ".bias", "F32", count)

    left = take(t, "lstm_cell.weight_ih", "F32", 512, 128)
    right = take(t, "lstm_cell.weight_hh", "F32", 512, 128)
    row = 128 * 4
    side_by_side = b"".join(m[r * row:(r + 1) * row] for r in range(512) for m in (left, right))
    return b"".join([
        take(t, "stft_conv.weight", "F32", 258, 1, 256),
        conv("conv1", (128, 129, 3), (0, 1, 2)), bias("conv1", 128),
        conv("conv2", (64, 128, 3), (0, 1, 2)), bias("conv2", 64),
        conv("conv3", (64, 64, 3), (1, 2)), bias("conv3", 64),
        conv("conv4", (128, 64, 3), (1,)), bias("conv4", 128),
        side_by_side,
        take(t, "lstm_cell.bias_ih", "F32", 512), take(t, "lstm_cell.bias_hh", "F32", 512),
        take(t, "final_conv.weight", "F32", 1, 128, 1), take(t, "final_conv.bias", "F32", 1)])


def turn_network(t):
    parts = []

    def vectors(*names_and_counts):
        for name, count in names_and_counts:
            parts.append(take(t, name, "F32", count))

    def matrix(name, rows, cols, bias=True):
        parts.append(take(t, name + ".weight", "I8", rows, cols))
        scales(name, rows, bias)

    def scales(name, rows, bias):
        vectors((name + ".scale", rows))
        if bias:
            vectors((name + ".bias", rows))

    def conv(name, shape):
        wide = 3 * shape[1]
        data = take(t, name + ".weight", "I8", *shape)
        parts.append(taps(data, "I8", shape, (0, 1, 2), pad=-wide % BLOCK))
        scales(name, shape[0], True)

    conv("conv1", (384, 80, 3))
    conv("conv2", (384, 384, 3))
    parts.append(take(t, "positions", "F32", 400, 384))
    for i in range(LAYERS):
        at = f"layers.{i}."
        vectors((at + "norm1.gain", 384), (at + "norm1.bias", 384))
        matrix(at + "q", 384, 384)
        matrix(at + "k", 384, 384, bias=False)
        matrix(at + "v", 384, 384)
        matrix(at + "out", 384, 384)
        vectors((at + "norm2.gain", 384), (at + "norm2.bias", 384))
        matrix(at + "fc1", 1536, 384)
        matrix(at + "fc2", 384, 1536)
    vectors(("norm.gain", 384), ("norm.bias", 384))
    matrix("pool.0", 256, 384)
    matrix("pool.2", 1, 256)
    matrix("cls.0", 256, 384)
    vectors(("cls.1.gain", 256), ("cls.1.bias", 256))
    matrix("cls.4", 64, 256)
    matrix("cls.6", 1, 64)
    return b"".join(parts)


def write(path, data):
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.replace(path + ".new", path)
    print(f"{path}: {len(data)} bytes")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    first, second = silero(read(sys.argv[1])), turn_network(read(sys.argv[2]))
    write(os.path.join(sys.argv[3], "silero.bin"), first)
    write(os.path.join(sys.argv[3], "turn_network.bin"), second)


main()
