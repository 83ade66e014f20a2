#!/usr/bin/env python3
"""What `run` learns from: prepare.py TREE FOLDER [--tiny]

    config.json, tokenizer.json    the shape, and a vocabulary of bytes and three marks
    learnt.jsonl                   {"text": ...} of up to 255 bytes: with its first token a row
    held.jsonl, held.txt           some of what is held out, as such lines and as a text
    ends.jsonl                     choice: a piece of what is held out, and how it goes on, of four

The same tree gives the same files.
"""
import argparse
import json
import pathlib
import random

BLOCK, PIECE = 4096, 255
CONTEXT, END = 160, 40  # of a choice
SHAPES = {
    False: dict(hidden_size=256, num_attention_heads=4, num_key_value_heads=2,
                intermediate_size=768,
                layer_types=["conv", "conv", "full_attention", "conv"] * 2),
    True: dict(hidden_size=64, num_attention_heads=2, num_key_value_heads=1,
               intermediate_size=128, layer_types=["conv", "full_attention"]),
}
MARKS = ("<|startoftext|>", "<|im_start|>", "<|im_end|>")
VOCAB = 512


def byte_characters():
    """The characters that stand for bytes in a vocabulary of this kind."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def write_model(folder, tiny):
    shape = SHAPES[tiny]
    config = dict(architectures=["Lfm2ForCausalLM"], model_type="lfm2", vocab_size=VOCAB,
                  num_hidden_layers=len(shape["layer_types"]), block_auto_adjust_ff_dim=False,
                  conv_L_cache=3, conv_bias=False, norm_eps=1e-5, rope_theta=1e6,
                  max_position_embeddings=4096, tie_word_embeddings=True, **shape)
    tokens = {
        "model": {"type": "BPE", "vocab": {c: b for b, c in byte_characters().items()},
                  "merges": []},
        "added_tokens": [{"id": 256 + i, "content": mark, "special": True}
                         for i, mark in enumerate(MARKS)],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tokenizer.json").write_text(json.dumps(tokens))


def corpus(tree, tiny):
    """All files by their paths; what would be read as a mark is taken apart."""
    files = sorted(p for ending in ("docs/*.md", "*.[ch]", "*/*.[ch]", "tests/*/*.[ch]",
                                    "include/*/*.h") for p in tree.glob(ending))
    if tiny:
        files = [tree / "docs/ARCHITECTURE.md", tree / "docs/LATENCY.md"]
    text = "\n".join(p.read_text(encoding="utf-8") for p in files)
    return text.replace("<|", "< |").encode()


def pieces(block):
    """Of at most PIECE bytes, no character cut in two."""
    at = 0
    while at < len(block):
        end = min(at + PIECE, len(block))
        while end < len(block) and block[end] & 0xC0 == 0x80:
            end -= 1
        yield block[at:end]
        at = end


def text_of(part):
    return part.decode("utf-8", errors="ignore")


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def choices(held, count, draw):
    """How a piece goes on behind a space, which the task itself sets, among three other ends."""
    ends = []
    for block in held:
        for at in range(0, len(block) - 2 * CONTEXT, CONTEXT + END):
            space = block.find(b" ", at + CONTEXT, len(block) - END)
            if space > 0:
                ends.append((text_of(block[at:space]), text_of(block[space + 1:space + 1 + END])))
    for context, end in draw.sample(ends, min(count, len(ends))):
        others = draw.sample([e for _, e in ends if e != end], 3)
        gold = draw.randrange(4)
        yield {"context": context, "choices": [*others[:gold], end, *others[gold:]], "gold": gold}


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tree", type=pathlib.Path)
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--tiny", action="store_true")
    o = p.parse_args()
    write_model(o.folder, o.tiny)
    text = corpus(o.tree, o.tiny)
    blocks = [text[at:at + BLOCK] for at in range(0, len(text), BLOCK)]
    held = blocks[9::10]
    learnt = [b for i, b in enumerate(blocks) if i % 10 != 9]
    draw = random.Random(1)
    some = draw.sample(held, min(len(held), 4 if o.tiny else 16))
    write_lines(o.folder / "learnt.jsonl",
                ({"text": t} for b in learnt for t in map(text_of, pieces(b)) if t))
    rows = [t for b in some for t in map(text_of, pieces(b)) if t]
    write_lines(o.folder / "held.jsonl", ({"text": t} for t in rows[:16 if o.tiny else 256]))
    (o.folder / "held.txt").write_text("".join(map(text_of, some)), encoding="utf-8")
    write_lines(o.folder / "ends.jsonl", choices(held, 20 if o.tiny else 400, draw))
    print(f"{len(text)} bytes, every tenth block of {BLOCK} held out")


if __name__ == "__main__":
    main()
