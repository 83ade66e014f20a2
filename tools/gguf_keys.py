"""Keys of GGUF files as bytes, and the vocabulary of files with random weights. The standard
library alone."""
import struct

VOCAB = 65536
CONTROL = ("pad startoftext endoftext fim_pre fim_mid fim_suf im_start im_end tool_list_start "
           "tool_list_end tool_call_start tool_call_end tool_response_start "
           "tool_response_end").split()
ALIGN = 32


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


# Values of keys: number of the type, bytes.
def u32(value):
    return struct.pack("<II", 4, value)


def f32(value):
    return struct.pack("<If", 6, value)


def flag(value):
    return struct.pack("<IB", 7, value)


def string(value):
    return struct.pack("<I", 8) + text(value)


def ints(values):
    return struct.pack(f"<IIQ{len(values)}i", 9, 5, len(values), *values)


def strings(values):
    return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))


def vocabulary():
    """Keys tokenizer.ggml.*: control tokens, one token for each byte in the printable alphabet of
    byte-level BPE, fillers up to VOCAB."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]
    tokens = [f"<|{name}|>" for name in CONTROL] + letters
    tokens += [f"filler{i}" for i in range(VOCAB - len(tokens))]
    keys = {"model": string("gpt2"), "pre": string("lfm2"), "tokens": strings(tokens),
            "token_type": ints([3] * len(CONTROL) + [1] * (VOCAB - len(CONTROL))),
            "merges": strings(["f i", "fi l"]), "bos_token_id": u32(1), "eos_token_id": u32(7),
            "padding_token_id": u32(0), "add_bos_token": flag(True)}
    return {"tokenizer.ggml." + key: value for key, value in keys.items()}


def padding(size):
    return b"\0" * (-size % ALIGN)
