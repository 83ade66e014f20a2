#!/usr/bin/env python3
"""Runs the peer (llama-bench) and runnel alternately on the same files and prints ratio tables.

    compare.py [options] FILE.gguf...             backbone: prefill and decode
    compare.py [options] --audio BUNDLE.gguf      runnel alone: mel, encoder, frame, detokenizer

A round is one process of each on one file, the order changing from round to round; a figure is the
median over the rounds of the medians of the processes, in brackets the slowest and the fastest
single measurement. Before and after each process the round trip between the cores and the
bandwidth are measured: a machine may have two states, and only processes that were in one of them
all the time are compared with each other, near ones with near ones. Rounds go on, up to three times
as many, until there are enough pairs. The peer is run with each of its --setting arguments and gets
the best for each row. Everything measured is appended to --log, one JSON object a line.

    tools/compare/build_peer.sh
    tools/compare/compare.py /tmp/runnel-bench/LFM2-350M-*.gguf
    tools/compare/compare.py --peer /tmp/runnel-peer/avx2/bin/llama-bench --cpu avx2 FILE.gguf
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


STATES = ("near", "far")  # apps/bench_state.h


class Rows:
    """What was measured: (file, work, tokens, depth) -> engine -> processes."""

    def __init__(self, log):
        self.found, self.log = {}, log

    def add(self, engine, file, work, tokens, depth, values):
        """values: a dict with median, min, max, state and what else is known"""
        key = (file, work, tokens, depth)
        self.found.setdefault(key, {}).setdefault(engine, []).append(values)
        with open(self.log, "a") as f:
            f.write(json.dumps(dict(when=time.strftime("%F %T"), engine=engine, file=file,
                                    work=work, tokens=tokens, depth=depth, **values)) + "\n")

    def pairs(self, key, state):
        """How often every engine met this row in this state."""
        return min(sum(r["state"] == state for r in runs) for runs in self.found[key].values())

    def best_state(self, key):
        return max(STATES, key=lambda state: self.pairs(key, state))

    def summary(self, key, engine):
        """Of the state with the most pairs; with none of any, of all runs."""
        runs, state = self.found[key].get(engine), self.best_state(key)
        if not runs:
            return None
        if self.pairs(key, state) > 0:
            runs = [r for r in runs if r["state"] == state]
        limits = [r["limit"] for r in runs if r.get("limit")]
        shares = [r["share"] for r in runs if r.get("share")]
        return dict(median=statistics.median(r["median"] for r in runs),
                    min=min(r["min"] for r in runs), max=max(r["max"] for r in runs),
                    limit=statistics.median(limits) if limits else None,
                    share=statistics.median(shares) if shares else None,
                    share_min=min((r["share_min"] for r in runs if r.get("share")), default=None),
                    share_max=max((r["share_max"] for r in runs if r.get("share")), default=None),
                    memory=max(r.get("memory", 0) for r in runs))


def run(command, errors=False):
    """What it prints; with errors what it complains of as well."""
    p = subprocess.run(command, capture_output=True, text=True)
    if p.returncode == 0:
        return p.stdout + (p.stderr if errors else "")
    print("failed:", " ".join(command), p.stderr[-400:], file=sys.stderr)
    return ""


def machine(o):
    """Round trip between the cores in ns, read bandwidth in GB/s."""
    text = run([o.runnel, "bench", "--json", "-q", "-t", str(o.threads), "--work", "bandwidth",
                "--repeat", "1"])
    found = [json.loads(line) for line in text.splitlines()]
    if not found:
        return 0, 0
    return found[-1]["round_trip_after"], max(r["median"] for r in found)


def around(o, command, errors=False):
    """What the command prints, and the state of the machine meanwhile."""
    before, after = machine(o), None
    text = run(command, errors)
    after = machine(o)
    names = {STATES[m[0] >= 250] for m in (before, after)}
    state = names.pop() if len(names) == 1 else "changed"
    return text, dict(state=state, round_trips=[before[0], after[0]],
                      bandwidths=[before[1], after[1]])


def state_of_row(row, state):
    """Of a row that runnel bench printed, within a process that began and ended in a state."""
    same = row["state"] not in STATES or row["state"] == state["state"]
    return state if same else dict(state, state="changed")


def run_peer(o, rows, file, jobs, setting):
    """jobs: (prompts, steps, depths) as llama-bench takes them; all its prompts are at all depths,
    so prefill and deep decoding are two processes."""
    for prompts, steps, depths in jobs:
        text, state = around(o, [o.peer, "-m", file, "-t", str(o.threads), "-p", prompts, "-n",
                                 steps, "-d", depths, "-r", str(o.repeat), "-o", "json",
                                 *setting.split()])
        for r in json.loads(text or "[]"):
            samples = r["samples_ts"]
            rows.add("peer " + setting, os.path.basename(file),
                     "prefill" if r["n_prompt"] else "decode", r["n_prompt"] or r["n_gen"],
                     r["n_depth"], dict(median=statistics.median(samples), min=min(samples),
                                        max=max(samples), **state))


def run_runnel(o, rows, file, jobs):
    """jobs: arguments of `runnel bench`"""
    for arguments in jobs:
        command = [o.runnel, "bench", "--json", "-q", "-m", file, "-t", str(o.threads), "--repeat",
                   str(o.repeat), *arguments]
        if o.cpu:
            command += ["--cpu", o.cpu]
        text, state = around(o, command)
        for line in text.splitlines():
            r = json.loads(line)
            kept = {k: r[k] for k in ("median", "min", "max", "limit", "share", "share_min",
                                      "share_max", "level", "type", "unit", "memory")}
            rows.add("runnel", os.path.basename(file), r["work"], r["tokens"], r["depth"],
                     dict(kept, **state_of_row(r, state)))


def alternate(o, rows, engines):
    """Rounds of every engine on every file, until there are enough pairs: of one engine, runs."""
    for round_number in range(3 * o.rounds):
        for file in o.files:
            of_file = [k for k in rows.found if k[0] == os.path.basename(file)]
            if of_file and all(rows.pairs(k, rows.best_state(k)) >= o.rounds for k in of_file):
                continue
            for engine in engines if round_number % 2 == 0 else reversed(engines):
                engine(file)
            print(f"round {round_number + 1}: {os.path.basename(file)}",
                  file=sys.stderr)


def backbone(o, rows):
    deep = [d for d in o.depth.split(",") if d not in ("", "0")]
    peer_jobs, runnel_jobs = [], []
    if o.prefill or "0" in o.depth.split(","):
        steps = o.steps if "0" in o.depth.split(",") else "0"
        peer_jobs.append((o.prefill or "0", steps, "0"))
        if o.prefill:
            runnel_jobs.append(["--work", "prefill", "--tokens", o.prefill])
        if steps != "0":
            runnel_jobs.append(["--work", "decode", "--tokens", steps, "--depth", "0"])
    if deep:
        peer_jobs.append(("0", o.steps, ",".join(deep)))
        runnel_jobs.append(["--work", "decode", "--tokens", o.steps, "--depth", ",".join(deep)])
    engines = [lambda f, s=s: run_peer(o, rows, f, peer_jobs, s) for s in o.setting or [""]]
    engines.append(lambda f: run_runnel(o, rows, f, runnel_jobs))
    alternate(o, rows, engines)


def figure(s, digits=1):
    return f"{s['median']:.{digits}f} [{s['min']:.{digits}f}, {s['max']:.{digits}f}]" if s else "–"


def share(s):
    """Median of the repetitions' own shares, and their spread."""
    if not s["share"]:
        return "–"
    return f"{100 * s['share']:.0f} % [{100 * s['share_min']:.0f}, {100 * s['share_max']:.0f}]"


def order(key):
    file, work, tokens, depth = key
    return file, work != "prefill", depth, tokens


def print_ratios(rows):
    print("| file | work | peer, tok/s | runnel, tok/s | ratio | limit | of it | pairs |")
    print("|---|---|---:|---:|---:|---:|---:|---|")
    for key in sorted(rows.found, key=order):
        file, work, tokens, depth = key
        ours = rows.summary(key, "runnel")
        theirs = [(rows.summary(key, e), e) for e in rows.found[key] if e.startswith("peer")]
        best, setting = max(theirs, key=lambda t: t[0]["median"], default=(None, ""))
        name = f"{work} {tokens}" + (f" at {depth}" if depth else "")
        note = f" ({setting[5:]})" if len(setting) > 5 else ""
        ratio = f"{ours['median'] / best['median']:.2f}" if ours and best else "–"
        limit, state = ours and ours["limit"], rows.best_state(key)
        print(f"| {file} | {name} | {figure(best)}{note} | {figure(ours)} | {ratio} |",
              f"{limit:.1f} | {share(ours)} |" if limit else "– | – |",
              f"{rows.pairs(key, state)} {state} |")


def print_times(rows):
    print("| file | work | ms | limit | of it | runs |\n|---|---|---:|---:|---:|---|")
    for key in rows.found:
        s, state = rows.summary(key, "runnel"), rows.best_state(key)
        of_it = f"{s['limit']:.1f} | {share(s)}" if s["limit"] else "– | –"
        print(f"| {key[0]} | {key[1]} | {figure(s, 2)} | {of_it} |",
              f"{rows.pairs(key, state)} {state} |")


def print_machine(o):
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line]
    print(f"{time.strftime('%F %T')}, {model[0] if model else 'unknown processor'}, "
          f"{len(model)} processors, load {os.getloadavg()[0]:.1f}; {o.threads} threads, "
          f"{o.rounds} rounds of {o.repeat}; peer {o.peer}, runnel {o.runnel}"
          + (f" --cpu {o.cpu}" if o.cpu else "") + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--peer", default="/tmp/runnel-peer/native/bin/llama-bench")
    parser.add_argument("--runnel", default=os.path.join(ROOT, "build/release/runnel"))
    parser.add_argument("--cpu", help="level of runnel's kernels")
    parser.add_argument("--setting", action="append",
                        help="arguments of llama-bench, such as '-fa 1'; may be repeated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3, help="measurements of one process")
    parser.add_argument("--prefill", default="32,128,512", help="'' for none")
    parser.add_argument("--steps", default="32", help="positions of a decoding")
    parser.add_argument("--depth", default="0,2048", help="of decoding; '' for none")
    parser.add_argument("--audio", action="append", default=[])
    parser.add_argument("--log", default="/tmp/runnel-bench/compare.jsonl")
    o = parser.parse_args()
    if not o.files and not o.audio:
        parser.error("name files to measure")
    os.makedirs(os.path.dirname(os.path.abspath(o.log)), exist_ok=True)
    print_machine(o)
    if o.files:
        rows = Rows(o.log)
        backbone(o, rows)
        print_ratios(rows)
    if o.audio:
        rows, o.files = Rows(o.log), o.audio
        jobs = [["--work", "mel,encoder,frame,detokenizer"]]
        alternate(o, rows, [lambda f: run_runnel(o, rows, f, jobs)])
        print_times(rows)


if __name__ == "__main__":
    main()
