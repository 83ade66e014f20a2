#!/usr/bin/env bash
# What transcripts of hours are worth: transcript.sh SOURCE BUILD. Makes a spoken corpus of an hour
# (tools/make_corpus.py), then measures words, times, cost of cutting, speed, scaling and
# memory of ten hours against the figures asked for. Takes 3 GB under RUNNEL_LONG_FOLDER (/tmp) and
# wants a quiet machine. RUNNEL_LONG_HOURS (1) and RUNNEL_LONG_LENGTH (600 minutes) make it smaller.
# Ends with `N passed, N failed`.
set -uo pipefail
source=$1 runnel=$2/runnel
for tool in espeak-ng flite festival; do
    command -v $tool > /dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
work=$(mktemp -d "${RUNNEL_LONG_FOLDER:-/tmp}/runnel-transcript-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export RUNNEL_MODEL=$source/samples/minnow/minnow.gguf
python3 "$source/tools/make_corpus.py" corpus --hours "${RUNNEL_LONG_HOURS:-1}" || exit 1

"$runnel" eval -q --json --jobs 2 -t 2 --refs corpus/sentences.jsonl > alone.json || exit 1
"$runnel" eval -q --json --refs corpus/long.jsonl > joined.json || exit 1
"$runnel" transcribe -q --output-format json --output-dir json corpus/long || exit 1
python3 "$source/tools/check_corpus.py" corpus json > times.json || exit 1
for run in 1 2 3; do # in turn, so that a slow minute meets both
    "$runnel" eval -q --json --jobs 1 -t 1 --refs corpus/long.jsonl > "one.$run" || exit 1
    "$runnel" eval -q --json --jobs 2 -t 2 --refs corpus/long.jsonl > "two.$run" || exit 1
done

# make_long NAME MINUTES: the corpus again and again
make_long() {
    python3 - "$1" "$2" <<'PY'
import pathlib, sys, wave
parts = sorted(pathlib.Path("corpus/long").glob("*.wav"))
count, at = int(float(sys.argv[2]) * 60 * 16000), 0
with wave.open(sys.argv[1], "wb") as out:
    out.setparams((1, 2, 16000, 0, "NONE", ""))
    while count > 0:
        with wave.open(str(parts[at % len(parts)])) as w:
            n = min(count, w.getnframes())
            out.writeframesraw(w.readframes(n))
        count, at = count - n, at + 1
PY
}
length=${RUNNEL_LONG_LENGTH:-600}
make_long short.wav 1
make_long long.wav "$length"
peak() { python3 "$source/tests/support/peak.py" "$runnel" transcribe -q "$1"; }
short=$(peak short.wav) long=$(peak long.wav)

python3 - "$short" "$long" "$length" <<'PY'
import json, statistics, sys
def total(name):
    with open(name) as f:
        return json.loads(f.read().splitlines()[-1])["total"]
def speeds(name):
    return [r["duration"] / r["elapsed"] for r in (total(f"{name}.{i}") for i in (1, 2, 3))]
def spread(v):
    return f"{statistics.median(v):.1f} ({min(v):.1f} to {max(v):.1f})"
alone, joined, times = total("alone.json"), total("joined.json"), json.load(open("times.json"))
wer = [100 * t["words"]["rate"] for t in (alone, joined)]
cer = [100 * t["characters"]["rate"] for t in (alone, joined)]
one, two = speeds("one"), speeds("two")
speed = joined["duration"] / joined["elapsed"]
short, long = int(sys.argv[1]) / 1024, int(sys.argv[2]) / 1024  # MiB
ratio = statistics.median(b / a for a, b in zip(one, two))
threads = speed / statistics.median(one)
cost, word = wer[1] - wer[0], times["word start error, median"]
hours = float(sys.argv[3]) / 60
rows = [  # what, measured, asked, met
    (f"WER, CER of {times['sentences']} sentences alone", f"{wer[0]:.2f} %, {cer[0]:.2f} %", "",
     True),
    (f"the same joined, {joined['duration'] / 3600:.2f} h", f"{wer[1]:.2f} %, {cer[1]:.2f} %", "",
     True),
    ("cutting and joining costs, points of WER", f"{cost:.2f}", "<= 0.5", cost <= 0.5),
    ("sentences whose start and end are within 100 ms", f"{100 * times['in time']:.1f} %",
     ">= 95 %", times["in time"] >= 0.95),
    (f"start of a word, median error of {times['words']}", f"{1000 * word:.0f} ms", "<= 60 ms",
     word <= 0.06),
    ("the same, 90 of 100 words", f"{1000 * times['word start error, 90 %']:.0f} ms", "", True),
    ("speed, times real time", f"{speed:.0f}", ">= 40", speed >= 40),
    ("one job, two threads against one", f"{threads:.2f}", ">= 1.6", threads >= 1.6),
    ("one job, one thread, times real time", spread(one), "", True),
    ("two jobs on two threads", spread(two), "", True),
    ("the same against one job on one thread", f"{ratio:.2f}", ">= 1.6", ratio >= 1.6),
    ("memory for a minute", f"{short:.0f} MiB", "", True),
    (f"memory for {hours:g} hours", f"{long:.0f} MiB", "<= 32 MiB more", long - short <= 32),
]
print("| what | measured | asked |\n|---|---|---|")
for what, value, asked, good in rows:
    print(f"| {what} | {value} | {asked}{'' if good else ' MISSED'} |")
    if not good:
        print(f"FAILED: {what}", file=sys.stderr)
failed = sum(not r[3] for r in rows)
print(f"{sum(bool(r[2]) for r in rows) - failed} passed, {failed} failed")
sys.exit(failed > 0)
PY
