#!/usr/bin/env python3
"""Quantises a file with llama-quantize and with `runnel convert` and compares every tensor.

    check_quantise.py [options] LFM2-350M-F16.gguf TYPE...       types as q4_k_m

Tensors must have the same names, shapes, types and bytes; keys may differ. Files that lie in --work
already are taken as they are. Ends with 1 when something differs.
"""
import argparse
import os
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a value
BLOCKS = {  # number of the type: name, elements and bytes of a block
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 30: ("BF16", 1, 2)}


class Gguf:
    """Names, shapes, types and bytes of the tensors of a file."""

    def __init__(self, path):
        self.f = open(path, "rb")
        magic, _, tensor_count, key_count = struct.unpack("<4sIQQ", self.f.read(24))
        assert magic == b"GGUF", path
        align = 32
        for _ in range(key_count):
            key = self.text()
            value = self.value(self.number("I"))
            if key == "general.alignment":
                align = struct.unpack("<I", value)[0]
        self.tensors = {}
        for _ in range(tensor_count):
            name = self.text()
            dims = [self.number("Q") for _ in range(self.number("I"))]
            self.tensors[name] = (dims, self.number("I"), self.number("Q"))
        self.start = -(-self.f.tell() // align) * align

    def number(self, letter):
        return struct.unpack("<" + letter, self.f.read(struct.calcsize(letter)))[0]

    def text(self):
        return self.f.read(self.number("Q")).decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind != 9:
            return self.f.read(FIXED[kind])
        kind, count = self.number("I"), self.number("Q")
        if kind in FIXED:
            return self.f.read(FIXED[kind] * count)
        return [self.value(kind) for _ in range(count)]

    def type_name(self, name):
        return BLOCKS[self.tensors[name][1]][0]

    def data(self, name):
        dims, kind, offset = self.tensors[name]
        _, block_len, block_size = BLOCKS[kind]
        count = 1
        for n in dims:
            count *= n
        self.f.seek(self.start + offset)
        return self.f.read(count // block_len * block_size)


def timed(command, target):
    """Seconds, or None when the file was there."""
    if os.path.exists(target):
        return None
    begin = time.time()
    subprocess.run(command, check=True, capture_output=True)
    return time.time() - begin


def differences(a, b):
    found = [f"only one file has {name}" for name in a.tensors.keys() ^ b.tensors.keys()]
    for name in a.tensors.keys() & b.tensors.keys():
        if a.tensors[name][0] != b.tensors[name][0]:
            found.append(f"{name}: other shape")
        elif a.tensors[name][1] != b.tensors[name][1]:
            found.append(f"{name}: {a.type_name(name)} and {b.type_name(name)}")
        elif a.data(name) != b.data(name):
            found.append(f"{name}: other bytes")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("types", nargs="+")
    parser.add_argument("--peer", default="/tmp/runnel-peer/native/bin/llama-quantize")
    parser.add_argument("--runnel", default=os.path.join(ROOT, "build/release/runnel"))
    parser.add_argument("--work", default="/tmp/runnel-bench/check")
    parser.add_argument("--threads", default="2")
    o = parser.parse_args()
    os.makedirs(o.work, exist_ok=True)
    failed = False
    print("| type | tensors | MB | differences | llama-quantize, s | runnel convert, s |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in o.types:
        stem = os.path.join(o.work, os.path.basename(o.source)[:-5])
        theirs, ours = f"{stem}-peer-{kind}.gguf", f"{stem}-runnel-{kind}.gguf"
        seconds = [timed([o.peer, o.source, theirs, kind.upper(), o.threads], theirs),
                   timed([o.runnel, "convert", "-q", "-t", o.threads, o.source, "-o", ours,
                          "--format", "set", "--type", kind], ours)]
        a, b = Gguf(theirs), Gguf(ours)
        found = differences(a, b)
        failed = failed or bool(found)
        times = " | ".join("–" if s is None else f"{s:.1f}" for s in seconds)
        print(f"| {kind} | {len(a.tensors)} | {os.path.getsize(theirs) / 1e6:.0f} | {len(found)} | "
              f"{times} |", flush=True)
        for line in found[:5]:
            print("  " + line, file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
