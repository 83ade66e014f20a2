#!/usr/bin/env python3
"""Counts the tests of CTest's JUnit reports: test_summary.py REPORT.xml...

Prints each cmocka program's closing lines, then one line `N passed, N failed[, N skipped]`.
A cmocka program counts each of its tests, any other program counts as one. Exit code 0 when
nothing failed and something passed.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

CLOSING = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) +\] (?:\S.*: )?(\d+) test\(s\)", re.MULTILINE)


def count_program(status, output):
    """Counts {PASSED, FAILED, SKIPPED} of one program and its closing lines."""
    counts = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
    lines = []
    for match in CLOSING.finditer(output):
        counts[match[1]] += int(match[2])
        lines.append(match[0].rstrip(".,"))
    if status == "run" and not lines:
        counts["PASSED"] = 1
        lines.append("passed")
    elif status == "notrun" or status == "disabled":
        counts["SKIPPED"] = 1
        lines.append("skipped")
    elif status not in ("run", "notrun", "disabled") and counts["FAILED"] == 0:
        # It crashed, hung, or a sanitizer ended it: whatever passed before, this is a failure.
        counts["FAILED"] = 1
        lines.append("failed without closing lines" if not lines else "failed at its end")
    return counts, lines


def main(paths):
    total = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
    for path in paths:
        try:
            cases = ElementTree.parse(path).getroot().findall("testcase")
        except (OSError, ElementTree.ParseError) as error:
            print(f"{path}: {error}")
            total["FAILED"] += 1
            continue
        for case in cases:
            output = case.findtext("system-out") or ""
            status = case.get("status")
            # A test whose program cannot be started is "notrun" too; only a skip names a reason
            # that is one.
            skipped = case.find("skipped")
            reason = skipped.get("message", "") if skipped is not None else ""
            if status == "notrun" and "SKIP" not in reason:
                status = "fail"
            counts, lines = count_program(status, output)
            for kind, count in counts.items():
                total[kind] += count
            print(f"{case.get('name')}: {'; '.join(lines)}")
    summary = f"{total['PASSED']} passed, {total['FAILED']} failed"
    if total["SKIPPED"]:
        summary += f", {total['SKIPPED']} skipped"
    print(summary)
    return 0 if total["FAILED"] == 0 and total["PASSED"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
