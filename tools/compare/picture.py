#!/usr/bin/env python3
"""One picture of 512 x 512 pixels through the tower and the projector, beside llama-mtmd-cli on the
same pair of files, in turn.

    tools/compare/picture.py                        LFM2-VL-450M of random weights, tower in Q8_0
    tools/compare/picture.py MODEL.gguf MMPROJ.gguf

The peer's figure is what it says of encoding the picture, ours `runnel bench --work image`; neither
has the reading of the file in it. Times in ms, so that the ratio is the peer's over ours. The model
is made where it is not there (python3 with numpy). Rounds, states of the machine and the log are
compare.py's.
"""
import argparse
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

import compare

SIDE = 512


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF))


def write_png(path):
    """Slopes and edges; what is in it changes no time."""
    lines = b"".join(
        b"\0" + bytes(v for x in range(SIDE)
                      for v in (x // 2, y // 2, 255 * ((x // 32 + y // 32) % 2)))
        for y in range(SIDE))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" +
                chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(lines, 6)) + chunk(b"IEND", b""))


def make_model(o):
    """LFM2-VL-450M in Q8_0 and its mmproj, once."""
    main, mmproj = (os.path.join(o.folder, n + "vl-450m-q8_0.gguf") for n in ("", "mmproj-"))
    if not os.path.exists(main) or not os.path.exists(mmproj):
        with tempfile.TemporaryDirectory(dir=o.folder) as work:
            tool = os.path.join(compare.ROOT, "tools/make_random_checkpoint.py")
            hf = work + "/hf"
            subprocess.run([sys.executable, tool, "--vl", "450m", "--hf", hf], check=True)
            subprocess.run([o.runnel, "convert", "-q", hf, "-o", main, "--format", "set", "--type",
                            "q8_0"], check=True)
    return main, mmproj


def run_peer(o, rows, model, mmproj, png, setting):
    text, state = compare.around(o, [
        o.peer, "-m", model, "--mmproj", mmproj, "--image", png, "-p", "What is it?", "-n", "1",
        "-t", str(o.threads), "-c", "1024", "--temp", "0", "--chat-template", "chatml",
        *setting.split()], errors=True)
    times = [float(v) for v in re.findall(r"(?:encoding done|slice encoded) in (\d+) ms", text)]
    if not times:
        print("the peer named no time:", text[-400:], file=sys.stderr)
        return
    rows.add("peer " + setting, os.path.basename(model), "image", SIDE, 0,
             dict(median=sum(times), min=sum(times), max=sum(times), **state))


def run_runnel(o, rows, model, mmproj):
    command = [o.runnel, "bench", "--json", "-q", "-m", model, "--mmproj", mmproj, "-t",
               str(o.threads), "--repeat", str(o.repeat), "--work", "image"]
    if o.cpu:
        command += ["--cpu", o.cpu]
    text, state = compare.around(o, command)
    for line in text.splitlines():
        r = json.loads(line)
        if r["work"] == "image":
            kept = {k: r[k] for k in ("median", "min", "max", "limit", "share", "share_min",
                                      "share_max")}
            rows.add("runnel", os.path.basename(model), "image", SIDE, 0,
                     dict(kept, **compare.state_of_row(r, state)))


def print_times(rows):
    for key in rows.found:
        ours = rows.summary(key, "runnel")
        theirs = [(rows.summary(key, e), e) for e in rows.found[key] if e.startswith("peer")]
        best, setting = min(theirs, key=lambda t: t[0]["median"], default=(None, ""))
        ratio = f"{best['median'] / ours['median']:.2f}" if ours and best else "–"
        print("| file | peer, ms | runnel, ms | ratio | of the peak | pairs |")
        print("|---|---:|---:|---:|---:|---|")
        print(f"| {key[0]} | {compare.figure(best)} {setting[5:]} | {compare.figure(ours)} |",
              f"{ratio} |",
              f"{compare.share(ours) if ours else '–'} |",
              f"{rows.pairs(key, rows.best_state(key))} {rows.best_state(key)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="model and mmproj")
    parser.add_argument("--peer", default="/tmp/runnel-peer/native/bin/llama-mtmd-cli")
    parser.add_argument("--runnel", default=os.path.join(compare.ROOT, "build/release/runnel"))
    parser.add_argument("--cpu", help="level of runnel's kernels")
    parser.add_argument("--setting", action="append", help="arguments of the peer: '-fa on'")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3, help="measurements of one process of ours")
    parser.add_argument("--folder", default="/tmp/runnel-bench")
    parser.add_argument("--log", default="/tmp/runnel-bench/picture.jsonl")
    o = parser.parse_args()
    if len(o.files) not in (0, 2):
        parser.error("name the model and its mmproj, or neither")
    os.makedirs(o.folder, exist_ok=True)
    model, mmproj = o.files or make_model(o)
    o.files = [model]
    compare.print_machine(o)
    rows = compare.Rows(o.log)
    with tempfile.TemporaryDirectory() as work:
        png = os.path.join(work, "picture.png")
        write_png(png)
        engines = [lambda f, s=s: run_peer(o, rows, f, mmproj, png, s) for s in o.setting or [""]]
        engines.append(lambda f: run_runnel(o, rows, f, mmproj))
        compare.alternate(o, rows, engines)
    print_times(rows)


if __name__ == "__main__":
    main()
