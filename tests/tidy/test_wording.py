#!/usr/bin/env python3
"""How tools/train/judge.py compares words, and that what minnow is to refuse is not its domain.

test_wording.py ROOT. Silent when all is well.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(sys.argv[1]) / "tools/train"))
import corpus  # noqa: E402
import strangers  # noqa: E402
import wording  # noqa: E402

# What was said, how a judge wrote it, words that count as misheard.
HEARD = [
    ("Forty eight minus eight is forty.", "48-8 is 40", 0),
    ("Seven plus five is twelve.", "7 + 5 = 12.", 0),
    ("Six times seven is forty two.", "6 x 7 is 42", 0),
    ("Volume is now thirty five percent.", "Volume is now 35%", 0),
    ("Volume is now one hundred percent.", "volume is now 100 %.", 0),
    ("Okay, twenty degrees.", "OK 20 degrees", 0),
    ("It saw the river bed.", "It saw the riverbed.", 0),
    ("Forty eight minus eight is forty.", "48 minus 8 is 4t.", 1),
    ("The kitchen light is on.", "the kitchen later on", 2),
    ("The kitchen light is on.", "", 5),
    ("Calling Anna.", "Calling Anna. Thank you.", 2),
]

wrong = []
for said, heard, misheard in HEARD:
    got = wording.misheard(said, heard)[0]
    if got != misheard:
        wrong.append(f"{said!r} heard as {heard!r}: {got} words misheard, not {misheard}")

domain = {u for _, u, _ in corpus.pairs()}
strange = strangers.sentences(domain)
if len(set(strange) - domain) != 4000:
    wrong.append("strangers.sentences() does not make 4,000 sentences outside the domain")
train, held = corpus.split()
if {u for _, u, _ in train} & {u for _, u, _ in held}:
    wrong.append("corpus.split() trains on sentences that are kept out")
if corpus.cap("it fell. did i see it? yes") != "It fell. Did I see it? Yes":
    wrong.append("corpus.cap() writes other capitals than a person")
print("\n".join(wrong), end="\n" if wrong else "")
sys.exit(bool(wrong))
