#!/usr/bin/env python3
"""The table of a machine for docs/SPEED.md: speed_table.py [--runnel PROGRAM] [BENCH-OPTION...]
NAME=MODEL...

Runs `runnel bench --json` for each model, one after the other, and prints processor, load and
command, then a table with a row for each kind of work and a column for each model: the median, in
brackets the least and the most, and the share of what the machine allowed in that moment, median
and spread of the repetitions' own; then how many rows were measured in which state of the machine,
with the round trip between its cores and the bandwidth around them. A MODEL
that ends in .jsonl is what such a run has printed already. Further options go to `runnel bench`,
such as --repeat 5 or --work decode,frame.
"""
import json
import os
import subprocess
import sys


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith(("model name", "CPU part")):
                return line.split(":", 1)[1].strip()
    return "a processor that has no name"


def name_of(row):
    """What was worked on, as the first column says it."""
    work = row["work"] + (f" {row['kind']}" if row.get("kind") else "")
    if work in ("load", "mel", "detokenizer", "frame"):
        return {"frame": "audio frame", "mel": "mel, 10 s of sound"}.get(work, work)
    if work == "bandwidth":
        return f"bandwidth, {row['type']}"
    if work == "peak":
        return f"peak, {row['level']} {row['type']}"
    if work == "encoder":
        return "encoder, 10 s of sound"
    if work == "decode":
        return f"decode {row['tokens']}, depth {row['depth']}"
    if work.startswith("batch"):
        return f"{work}, {row['rows']} rows, depth {row['depth']}"
    return f"{work} {row['tokens']}"


def number(x):
    return f"{x:.0f}" if x >= 1000 else f"{x:.3g}"


def cell(row):
    unit = {"tok/s": "tokens/s"}.get(row["unit"], row["unit"])
    text = f"{number(row['median'])} {unit} ({number(row['min'])} to {number(row['max'])})"
    if row.get("share"):
        text += ", {:.0f} % ({:.0f} to {:.0f})".format(
            *(100 * row[k] for k in ("share", "share_min", "share_max")))
    return text


def state_of(rows):
    """In which states of the machine the rows of a model were measured, and what it was like."""
    known = [row for row in rows if row.get("round_trip") is not None]
    if not known:
        return ""
    states = {}
    for row in known:
        states[row["state"]] = states.get(row["state"], 0) + 1
    trips = [row[k] for row in known for k in ("round_trip", "round_trip_after")]
    widths = [row[k] for row in known for k in ("bandwidth", "bandwidth_after")]
    return (", ".join(f"{count} {state}" for state, count in sorted(states.items())) +
            f"; {min(trips):.0f} to {max(trips):.0f} ns; {number(min(widths))} to "
            f"{number(max(widths))} GB/s")


def rows_of(runnel, model, options):
    if model.endswith(".jsonl"):
        with open(model, encoding="utf-8") as f:
            text = f.read()
    else:
        run = subprocess.run([runnel, "bench", "--json", "-m", model, *options], check=False,
                             stdout=subprocess.PIPE, text=True)
        if run.returncode != 0:
            sys.exit(run.returncode)
        text = run.stdout
    return [json.loads(line) for line in text.splitlines() if line]


def main():
    words = sys.argv[1:]
    runnel = "build/release/runnel"
    if words[:1] == ["--runnel"] and len(words) > 1:
        runnel, words = words[1], words[2:]
    models = [word.split("=", 1) for word in words if "=" in word and not word.startswith("-")]
    options = [word for word in words if "=" not in word or word.startswith("-")]
    if not models:
        sys.exit(__doc__)
    load = os.getloadavg()[0]  # before the run adds its own
    columns = {name: {name_of(r): r for r in rows_of(runnel, model, options)}
               for name, model in models}
    names, kinds, threads, levels = list(columns), [], set(), set()
    for rows in columns.values():
        kinds += [kind for kind in rows if kind not in kinds]
        threads |= {row["threads"] for row in rows.values()}
        levels |= {row["level"] for row in rows.values() if row["work"] != "peak"}
    told = " ".join(["runnel bench", *options])
    print(f"{processor()}, kernels {', '.join(sorted(levels))}, "
          f"{', '.join(map(str, sorted(threads)))} threads, {load:.1f} of {os.cpu_count()} "
          f"processors busy before; `{told}`, median (least to most), share of the limit "
          "(likewise):\n")
    print("| what | " + " | ".join(names) + " |")
    print("|---" * (1 + len(names)) + "|")
    for kind in kinds:
        cells = [cell(columns[n][kind]) if kind in columns[n] else "" for n in names]
        print(f"| {kind} | " + " | ".join(cells) + " |")
    print("| state | " + " | ".join(state_of(columns[n].values()) for n in names) + " |")


if __name__ == "__main__":
    main()
