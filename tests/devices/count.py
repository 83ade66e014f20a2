#!/usr/bin/env python3
"""Counts the tests that ran on a device: count.py FOLDER begin|check [KIND=TEST,TEST]...

Each of these tests leaves a file KIND.TEST in the folder, with "ran N" or "skipped: why"
(tests/support/device_count.h). `begin` empties the folder; `check` prints a line for each test
that was expected, and fails when one of a kind that RUNNEL_DEVICES_REQUIRED names (`./test` sets
it) did not run on a device."""
import os
import pathlib
import sys


def main(arguments):
    if len(arguments) < 2 or arguments[1] not in ("begin", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    folder = pathlib.Path(arguments[0])
    if arguments[1] == "begin":
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        return 0
    required = os.environ.get("RUNNEL_DEVICES_REQUIRED", "").split()
    ran, failed = 0, 0
    for kind, tests in (argument.split("=") for argument in arguments[2:]):
        for test in tests.split(","):
            file = folder / f"{kind}.{test}"
            what = file.read_text().strip() if file.is_file() else "not run"
            good = what.startswith("ran ") and int(what[4:]) > 0
            ran += good
            failed += not good and kind in required
            print(f"{kind} {test}: {what}{' (required)' if kind in required else ''}")
    print(f"{ran} tests ran on devices, {failed} that had to did not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
