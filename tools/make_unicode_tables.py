#!/usr/bin/env python3
"""Makes tokenizer/unicode_tables.c from a classes.json (golden text/): the code points of \\p{L},
\\p{N} and \\s as the reference's regex engine has them (Unicode 16).

    tools/make_unicode_tables.py tests/data/text/classes.json > tokenizer/unicode_tables.c
"""
import json
import sys

NAMES = {"\\p{L}": "letters", "\\p{N}": "numbers", "\\s": "spaces"}


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
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        classes = {c["class"]: c["ranges"] for c in json.load(f)["classes"]}
    print("/* Made by tools/make_unicode_tables.py from golden text/classes.json: do not edit. */")
    print("/* clang-format off */")
    print('#include "tokenizer/unicode.h"\n')
    print("\n\n".join(table(name, classes[key]) for key, name in NAMES.items()))
    print("/* clang-format on */")


main()
