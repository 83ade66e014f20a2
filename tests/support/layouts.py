"""Model files in the layouts that other programs write, made of the test data:

    layouts.py key IN.gguf OUT.gguf NAME [TEXT]      a key of text set, or taken out
    layouts.py splitkeys IN.gguf OUT.gguf COUNT      what llama-gguf-split leaves in a whole file
    layouts.py split IN.gguf PREFIX COUNT [bare]     PREFIX-0000i-of-0000N.gguf; bare: keys alone in
                                                     the first, as with --no-tensor-first-split
    layouts.py merged VOCODER.gguf DETOK.safetensors OUT.gguf [f16]
                                                     the older vocoder: the detokenizer's tensors in
                                                     it, under the names of PyTorch
    layouts.py without IN.gguf OUT.gguf TENSOR       a tensor taken out
    layouts.py tensors IN.gguf                       prints how many there are
    layouts.py near A.wav B.wav LIMIT                whether two sounds differ by less, in rms
    layouts.py fuse IN.gguf OUT.gguf                 q, k and v as one attn_qkv
    layouts.py halved IN.gguf OUT.gguf TENSOR        only half of its rows
    layouts.py foreign IN.safetensors OUT.safetensors DTYPE NAME [TENSOR]
                                                     one more tensor of that dtype, or TENSOR in it
    layouts.py renamed IN.safetensors OUT.safetensors FROM TO
                                                     the tensors whose names begin with FROM
    layouts.py shards IN.safetensors FOLDER COUNT    model-0000i-of-0000N.safetensors
"""
import json
import struct
import sys
import wave

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 14: (256, 210), 30: (1, 2)}
FLOATS = {"F32": 0, "F16": 1, "BF16": 30}
BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "U32": 4, "F16": 2, "BF16": 2, "U16": 2}


def text(s):
    return struct.pack("<Q", len(s)) + s


class Gguf:
    """Keys: (name, kind, bytes of the value). Tensors: (name, dims innermost first, type, data)."""

    def __init__(self, path):
        self.bytes = open(path, "rb").read()
        self.at = 24
        _, tensors, keys = struct.unpack_from("<IQQ", self.bytes, 4)
        self.keys = [self.key() for _ in range(keys)]
        heads = [self.tensor() for _ in range(tensors)]
        data = (self.at + 31) // 32 * 32
        self.tensors = []
        for name, dims, kind, offset in heads:
            size = self.size(dims, kind)
            self.tensors.append((name, dims, kind, self.bytes[data + offset:data + offset + size]))

    @staticmethod
    def size(dims, kind):
        count = 1
        for n in dims:
            count *= n
        return count // BLOCKS[kind][0] * BLOCKS[kind][1]

    def take(self, size):
        self.at += size
        return self.bytes[self.at - size:self.at]

    def string(self):
        return self.take(struct.unpack("<Q", self.take(8))[0])

    def skip(self, kind):
        if kind == 8:
            self.string()
        elif kind == 9:
            inner, count = struct.unpack("<IQ", self.take(12))
            for _ in range(count):
                self.skip(inner)
        else:
            self.take(SIZES[kind])

    def key(self):
        name = self.string()
        kind, = struct.unpack("<I", self.take(4))
        begin = self.at
        self.skip(kind)
        return name, kind, self.bytes[begin:self.at]

    def tensor(self):
        name = self.string()
        rank, = struct.unpack("<I", self.take(4))
        dims = struct.unpack("<%dQ" % rank, self.take(8 * rank))
        return (name, dims) + struct.unpack("<IQ", self.take(12))


def write_gguf(path, keys, tensors):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for name, kind, value in keys:
        head += text(name) + struct.pack("<I", kind) + value
    at = 0
    for name, dims, kind, data in tensors:
        head += text(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, kind, at)
        at += (len(data) + 31) // 32 * 32
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32))
        for _, _, _, data in tensors:
            f.write(data + b"\0" * (-len(data) % 32))


def split_keys(number, count, tensors):
    return [(b"split.no", 2, struct.pack("<H", number)),
            (b"split.tensors.count", 5, struct.pack("<i", tensors)),
            (b"split.count", 2, struct.pack("<H", count))]


def key(source, out, name, value=None):
    g = Gguf(source)
    name = name.encode()
    keys = [k for k in g.keys if k[0] != name]
    if value is not None:
        keys.append((name, 8, text(value.encode())))
    write_gguf(out, keys, g.tensors)


def splitkeys(source, out, count):
    g = Gguf(source)
    write_gguf(out, g.keys + split_keys(0, int(count), len(g.tensors)), g.tensors)


def split(source, prefix, count, bare=None):
    g = Gguf(source)
    count = int(count)
    cuts = count - 1 if bare else count
    share = -(-len(g.tensors) // cuts)
    parts = [g.tensors[i * share:(i + 1) * share] for i in range(cuts)]
    if bare:
        parts.insert(0, [])
    for i, part in enumerate(parts):
        keys = (g.keys if i == 0 else []) + split_keys(i, count, len(g.tensors))
        write_gguf("%s-%05d-of-%05d.gguf" % (prefix, i + 1, count), keys, part)


def read_safetensors(path):
    data = open(path, "rb").read()
    size, = struct.unpack_from("<Q", data)
    head = json.loads(data[8:8 + size])
    head.pop("__metadata__", None)
    out = {}
    for name, t in head.items():
        begin, end = t["data_offsets"]
        out[name] = (t["dtype"], t["shape"], data[8 + size + begin:8 + size + end])
    return out


def write_safetensors(path, tensors):
    head, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for _, _, data in tensors.values():
            f.write(data)


def half(data):
    count = len(data) // 4
    return struct.pack("<%de" % count, *struct.unpack("<%df" % count, data))


def merged(vocoder, detokenizer, out, rows=None):
    g = Gguf(vocoder)
    have = {t[0] for t in g.tensors}
    for name, (dtype, shape, data) in read_safetensors(detokenizer).items():
        if name.encode() in have:
            continue
        kind = FLOATS[dtype]
        if name.endswith(".conv.conv.weight"):
            shape = [n for n in shape if n != 1]
        elif rows == "f16" and dtype == "F32" and len(shape) == 2:
            kind, data = 1, half(data)
        g.tensors.append((name.encode(), tuple(reversed(shape)), kind, data))
    write_gguf(out, g.keys, g.tensors)


def without(source, out, tensor):
    g = Gguf(source)
    left = [t for t in g.tensors if t[0] != tensor.encode()]
    assert len(left) < len(g.tensors)
    write_gguf(out, g.keys, left)


def tensors(source):
    print(len(Gguf(source).tensors))


def near(a, b, limit):
    def samples(path):
        with wave.open(path) as w:
            return struct.unpack("<%dh" % w.getnframes(), w.readframes(w.getnframes()))

    a, b = samples(a), samples(b)
    apart = sum((x - y) ** 2 for x, y in zip(a, b)) / sum(x * x for x in a)
    if len(a) != len(b) or apart ** 0.5 > float(limit):
        sys.exit("%d and %d samples, %g apart" % (len(a), len(b), apart ** 0.5))


def fuse(source, out):
    g = Gguf(source)
    by_name = {t[0]: t for t in g.tensors}
    tensors = []
    for name, dims, kind, data in g.tensors:
        stem = name[:-len("q.weight")]
        if not name.startswith(b"blk."):
            pass
        elif name.endswith(b"attn_k.weight") or name.endswith(b"attn_v.weight"):
            continue
        elif name.endswith(b"attn_q.weight"):
            k, v = by_name[stem + b"k.weight"], by_name[stem + b"v.weight"]
            assert kind == k[2] == v[2]
            dims = (dims[0], dims[1] + k[1][1] + v[1][1])
            name, data = stem + b"qkv.weight", data + k[3] + v[3]
        tensors.append((name, dims, kind, data))
    write_gguf(out, g.keys, tensors)


def halved(source, out, tensor):
    g = Gguf(source)
    for i, (name, dims, kind, data) in enumerate(g.tensors):
        if name == tensor.encode():
            g.tensors[i] = (name, (dims[0], dims[1] // 2), kind, data[:len(data) // 2])
    write_gguf(out, g.keys, g.tensors)


def foreign(source, out, dtype, name, tensor=None):
    tensors = read_safetensors(source)
    shape = tensors.pop(tensor)[1] if tensor else [2, 3]
    if dtype == "empty":
        tensors[name] = ("F32", [0, 3], b"")
    else:
        count = 1
        for n in shape:
            count *= n
        tensors[name] = (dtype, shape, b"\1" * (count * BYTES.get(dtype, 1)))
    write_safetensors(out, tensors)


def renamed(source, out, old, new):
    tensors = read_safetensors(source)
    write_safetensors(out, {new + name[len(old):] if name.startswith(old) else name: t
                            for name, t in tensors.items()})


def shards(source, folder, count):
    tensors = list(read_safetensors(source).items())
    count = int(count)
    share = -(-len(tensors) // count)
    for i in range(count):
        write_safetensors("%s/model-%05d-of-%05d.safetensors" % (folder, i + 1, count),
                          dict(tensors[i * share:(i + 1) * share]))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
