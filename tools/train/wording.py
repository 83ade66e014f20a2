"""Words as they are compared: by the judges, and when an answer is right.

Whisper writes numbers as digits and sums as formulas; words() brings both sides to the same form.
"""

import re

import corpus

SIGNS = {
    "%": " percent ",
    "+": " plus ",
    "=": " is ",
    "×": " times ",
    "*": " times ",
    "€": " euros ",
}
SAME = {"ok": "okay", "hi": "hi", "o": "oh"}


def words(text):
    """Lower-case words without punctuation, numbers spelt: "48-8 is 40." -> forty eight minus."""
    s = text.lower().replace("\u2019", "'")
    s = re.sub(r"(?<=\d)\s*x\s*(?=\d)", " times ", s)
    s = re.sub(r"(?<=\d)\s*[-\u2212\u2013]\s*(?=\d)", " minus ", s)
    for sign, word in SIGNS.items():
        s = s.replace(sign, word)
    s = re.sub(r"(?<=\d):00\b", " ", s)
    s = re.sub(
        r"\b\d+\b", lambda m: f" {corpus.num(int(m[0]))} " if int(m[0]) < 1000 else f" {m[0]} ", s
    )
    return [SAME.get(w, w) for w in re.findall(r"[a-z0-9]+(?:'[a-z]+)?", s)]


def misheard(said, heard):
    """(words heard wrongly, words said): the edit distance. Two words that were written as one
    ("riverbed") count as heard."""
    r, h = words(said), words(heard)
    pairs = {a + b: [a, b] for a, b in zip(r, r[1:])}
    h = [v for w in h for v in (pairs[w] if w in pairs and w not in r else [w])]
    d = list(range(len(h) + 1))
    for i, a in enumerate(r, 1):
        last, d[0] = d[0], i
        for j, b in enumerate(h, 1):
            last, d[j] = d[j], min(d[j] + 1, d[j - 1] + 1, last + (a != b))
    return d[-1], len(r)
