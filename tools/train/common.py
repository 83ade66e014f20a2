"""What all steps share: sizes, token ids, tokenizer, the store of clips."""

import json
import os

import numpy as np

import corpus

CODEBOOKS, CODES, USED, EOA = 8, 2048, 512, 2048
FRAME = 1920  # samples of 24 kHz sound per frame of codes
AUDIO_START = 128  # spec audio.md 7.1; the other ids are looked up by name
SYS = {
    "chat": "Respond with interleaved text and audio.",
    "asr": "Perform ASR.",
    "tts": "Perform TTS. Use the US female voice.",
    "text": "Respond with text.",
}
NAMED = {
    0: "<|pad|>",
    1: "<|startoftext|>",
    2: "<|endoftext|>",
    3: "<|fim_pre|>",
    4: "<|fim_mid|>",
    5: "<|fim_suf|>",
    6: "<|im_start|>",
    7: "<|im_end|>",
    8: "<|tool_list_start|>",
    9: "<|tool_list_end|>",
    128: "<|audio_start|>",
    129: "<|text_start|>",
    130: "<|text_end|>",
    131: "<|mixed_start|>",
    132: "<|mixed_end|>",
}
N_SPECIAL = 256
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def spoken(text):
    """A user sentence as a person would write it: capital, full stop or question mark."""
    first = text.split()[0]
    q = first in (
        "what",
        "where",
        "when",
        "how",
        "who",
        "are",
        "do",
        "will",
        "can",
        "does",
        "is",
        "why",
    )
    return corpus.cap(text) + ("?" if q else ".")


def specials():
    return [NAMED.get(i, f"<|reserved_{i - 10}|>") for i in range(N_SPECIAL)]


def make_tokenizer(texts, path, vocab=2048):
    from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers, Regex

    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab,
            special_tokens=specials(),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    t.save(os.path.join(path, "tokenizer.json"))
    json.dump(
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": NAMED[1],
            "eos_token": NAMED[7],
            "pad_token": NAMED[0],
            "model_max_length": 32768,
            "clean_up_tokenization_spaces": False,
        },
        open(os.path.join(path, "tokenizer_config.json"), "w"),
        indent=1,
    )
    json.dump(
        {"bos_token": NAMED[1], "eos_token": NAMED[7], "pad_token": NAMED[0]},
        open(os.path.join(path, "special_tokens_map.json"), "w"),
        indent=1,
    )
    return t


def tokenizer(path):
    from tokenizers import Tokenizer

    t = Tokenizer.from_file(os.path.join(path, "tokenizer.json"))
    return lambda s: t.encode(s, add_special_tokens=False).ids, t


class Clips:
    """Random access to the int16 stores NAME.i16 that synth.py writes, one behind the other. A
    store may still grow: what is there now is what is seen."""

    def __init__(self, root, *names):
        self.x, self.meta = [], []
        for name in names:
            base = os.path.join(root, name)
            if not os.path.exists(base + ".jsonl"):
                continue
            whole = open(base + ".jsonl", "rb").read()
            lines = whole[: whole.rfind(b"\n") + 1].splitlines()
            self.meta += [dict(json.loads(l), store=len(self.x)) for l in lines]
            self.x.append(np.memmap(base + ".i16", dtype="<i2", mode="r"))

    def __len__(self):
        return len(self.meta)

    def wave(self, i):
        m = self.meta[i]
        x = self.x[m["store"]][m["at"] : m["at"] + m["n"]]
        return np.asarray(x, np.float32) / 32768
