#!/usr/bin/env python3
"""Every section that a comment cites ("audio.md 4.3") is a heading of docs/MODEL.md.

test_citations.py ROOT. Silent when all is well.
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
folders = ("kernels", "core", "vad", "tokenizer", "chat", "vision", "picture", "backbone",
           "detokenizer", "engine", "search", "apps", "tests", "tools")
parts = "audio|backbone|family|learn"
number = r"\d+(?:\.\d+)?"
citation = re.compile(rf"\b({parts})\.md ({number}(?:(?:, | and | to ){number})*)")

headings = {part: set() for part in parts.split("|")}
part = None
for line in (root / "docs/MODEL.md").read_text().splitlines():
    if found := re.match(rf"# Part ({parts})\.md", line):
        part = found[1]
    elif part and (found := re.match(rf"##+ ({number})\.? ", line)):
        headings[part].add(found[1])

missing, seen = [], 0
for folder in folders:
    for path in sorted((root / folder).rglob("*")):
        if path.suffix not in (".c", ".h", ".py", ".sh") or path.name == "test_citations.py":
            continue
        # A comment's lines are joined, since a citation may be broken between two.
        text = re.sub(r"\n\s*(\*|//|#)?\s*", " ", path.read_text())
        for found in citation.finditer(text):
            for section in re.findall(number, found[2]):
                seen += 1
                if section not in headings[found[1]]:
                    missing.append(f"{path.relative_to(root)}: {found[1]}.md {section}")

for line in missing:
    print(f"docs/MODEL.md lacks what is cited in {line}")
if seen < 100:
    print(f"only {seen} citations found: is the pattern still right?")
sys.exit(bool(missing) or seen < 100)
