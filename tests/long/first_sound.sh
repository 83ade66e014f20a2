#!/usr/bin/env bash
# When the first sound of an answer is heard from a model of full size: first_sound.sh SOURCE BUILD.
# Random weights with every shape of LFM2.5-Audio-1.5B, Q4_0, the file device, the fixed rule of
# 500 ms; with a guess and without. RUNNEL_BEFORE=FOLDER, the build of another state of the tree,
# takes turns with it, RUNNEL_ROUNDS (2) times each; RUNNEL_FULL_SIZE=FILE is taken as the model,
# else 5 GB are needed under RUNNEL_LONG_FOLDER (/tmp). Wants a quiet machine.
set -uo pipefail
source=$1 build=$2 before=${RUNNEL_BEFORE:-} rounds=${RUNNEL_ROUNDS:-2} file=${RUNNEL_FULL_SIZE:-}
. "$source/tests/support/campaign.sh"
campaign first_sound

if [ -z "$file" ]; then
    file=$work/q4.gguf
    python3 "$source/tools/make_random_checkpoint.py" --hf "$work/model" > "$work/log" 2>&1 ||
        { cat "$work/log"; exit 1; }
    check "convert" "$build/runnel" convert -q "$work/model" -o "$file" --type q4_0
    rm -rf "$work/model"
fi

# run WHO BUILD TALK-OPTION...
run() {
    local who=$1 folder=$2
    shift 2
    mkdir -p "$work/$who"
    RUNNEL_TRACES=$work/$who bash "$source/tools/measure_latency.sh" "$folder" 1 -m "$file" \
        --max-tokens 40 "$@" > "$work/log" && return
    cat "$work/log"
    return 1
}
for ((round = 1; round <= rounds; round++)); do
    if [ -n "$before" ]; then check "before, round $round" run before "$before"; fi
    # The random model begins without silence.
    check "now, round $round" run now "$build" --no-turn-network --no-lead-in-trim
done

# V2V, and T8 to T9 where the answer was not there before the end was sure.
table() {
    python3 - "$work" <<'PYTHON'
import glob, json, os, statistics, sys
print("| first sound | turns | V2V, median | quarters | T8 to T9, median |")
print("|---|---|---|---|---|")
for path in sorted(glob.glob(f"{sys.argv[1]}/*/*.jsonl"), key=os.path.basename):
    turns = [t for t in map(json.loads, open(path)) if t["T11"] is not None]
    v2v = [(t["T11"] - t["T0"]) / 1e3 for t in turns]
    wait = [(t["T9"] - t["T8"]) / 1e3 for t in turns if t["T8"] >= t["T3"]]
    low, median, high = statistics.quantiles(v2v, n=4)
    name = f"{path.split('/')[-2]}, {os.path.basename(path)[:-6]} a guess"
    waited = f"{statistics.median(wait):.1f} ms (n {len(wait)})" if wait else "-"
    print(f"| {name} | {len(turns)} | {median:.0f} ms | {low:.0f}, {high:.0f} ms | {waited} |")
PYTHON
}
check "the table" table
campaign_summary
