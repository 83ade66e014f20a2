#!/usr/bin/env python3
"""Makes a C file of ranges from the classes of code points in a JSON file:

    data=tests/data/text make=tools/make_unicode_tables.py
    $make $data/classes.json tokenizer/unicode.h > tokenizer/unicode_tables.c
    $make $data/sentence_ends.json text/sentence_ends.h > text/sentence_ends.c

classes.json (golden text/) has \\p{L}, \\p{N} and \\s as the reference's regex engine has them
(Unicode 16), sentence_ends.json \\p{Sentence_Terminal} (Unicode 17). The second argument is the
header that declares the tables.
"""
import json
import pathlib
import sys

NAMES = {"\\p{L}": "letters", "\\p{N}": "numbers", "\\s": "spaces",
         "\\p{Sentence_Terminal}": "sentence_ends"}


def table(name, ranges):
    lines = [f"const unicode_range unicode_{name}[] = {{"]
    row = "   "
    for first, last in ranges:
        item = f" {{0x{first:X}, 0x{last:X}}},"
        if len(row) + len(item) > 100:
            lines.append(row)
            row = "   "
        row += item
    lines += [row, "};", f"const size_t unicode_{name}_count = {len(ranges)};"]
    return "\n".join(lines)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        classes = {c["class"]: c["ranges"] for c in json.load(f)["classes"]}
    name = pathlib.PurePath(sys.argv[1]).name
    print(f"/* Made by tools/make_unicode_tables.py from {name}: do not edit. */")
    print("/* clang-format off */")
    print(f'#include "{sys.argv[2]}"\n')
    print("\n\n".join(table(name, classes[key]) for key, name in NAMES.items() if key in classes))
    print("/* clang-format on */")


main()
