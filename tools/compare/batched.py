#!/usr/bin/env python3
"""Many conversations at once: tokens a second of all together, runnel's batch beside
llama-batched-bench on the same files, in turn.

    tools/compare/batched.py /tmp/runnel-bench/LFM2-1.2B-Q4_0.gguf ...

Both decode a token for each of --rows conversations in every pass; the peer's go from --depth
positions to --steps more, ours stand behind as many as its have on the average. The peer's figure
is its S_TG, of each --setting, and the best counts. Rounds, states of the machine and the log are
compare.py's.
"""
import argparse
import json
import os

import compare


def run_peer(o, rows, file, setting):
    most = max(int(n) for n in o.rows.split(","))
    text, state = compare.around(o, [
        o.peer, "-m", file, "-t", str(o.threads), "-tb", str(o.threads), "-npp", str(o.depth),
        "-ntg", str(o.steps), "-npl", o.rows, "-c", str(most * (o.depth + o.steps + 1)),
        "--output-format", "jsonl", *setting.split()])
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        r = json.loads(line)
        values = dict(median=r["speed_tg"], min=r["speed_tg"], max=r["speed_tg"], **state)
        rows.add("peer " + setting, os.path.basename(file), "batch", r["pl"], o.depth, values)


def run_runnel(o, rows, file):
    depth = o.depth + o.steps // 2
    command = [o.runnel, "bench", "--json", "-q", "-m", file, "-t", str(o.threads), "--repeat",
               str(o.repeat), "--work", "batch", "--rows", o.rows, "--depth", str(depth)]
    if o.cpu:
        command += ["--cpu", o.cpu]
    text, state = compare.around(o, command)
    for line in text.splitlines():
        r = json.loads(line)
        if r.get("kind") != "text":
            continue
        values = {k: 1e3 * r["rows"] / r[of] for k, of in
                  (("median", "median"), ("min", "max"), ("max", "min"))}
        if r["limit"]:
            values["limit"] = 1e3 * r["rows"] / r["limit"]
            for k in ("share", "share_min", "share_max"):
                values[k] = r[k]
        rows.add("runnel", os.path.basename(file), "batch", r["rows"], o.depth,
                 dict(values, **compare.state_of_row(r, state)))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--peer", default="/tmp/runnel-peer/native/bin/llama-batched-bench")
    parser.add_argument("--runnel", default=os.path.join(compare.ROOT, "build/release/runnel"))
    parser.add_argument("--cpu", help="level of runnel's kernels")
    parser.add_argument("--setting", action="append", help="arguments of the peer: '-fa on'")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3, help="measurements of one process of ours")
    parser.add_argument("--rows", default="8,16", help="conversations")
    parser.add_argument("--depth", type=int, default=512, help="positions before the first token")
    parser.add_argument("--steps", type=int, default=32, help="tokens of each conversation")
    parser.add_argument("--log", default="/tmp/runnel-bench/batched.jsonl")
    o = parser.parse_args()
    os.makedirs(os.path.dirname(os.path.abspath(o.log)), exist_ok=True)
    compare.print_machine(o)
    rows = compare.Rows(o.log)
    engines = [lambda f, s=s: run_peer(o, rows, f, s) for s in o.setting or [""]]
    engines.append(lambda f: run_runnel(o, rows, f))
    compare.alternate(o, rows, engines)
    compare.print_ratios(rows)


if __name__ == "__main__":
    main()
