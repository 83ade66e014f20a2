#!/usr/bin/env bash
# Many conversations on one model: batch.sh SOURCE BUILD. 200 random schedules at each level of
# kernels, then a model with every shape of LFM2.5-Audio-1.5B, Q4_0: what one more conversation
# takes, and as many that speak for RUNNEL_LONG_SPEAKING (600) seconds as 80 % of the formula's
# number, measured before and after; nobody may run out of sound. Takes 5 GB under
# RUNNEL_LONG_FOLDER (/tmp) and wants a quiet machine; RUNNEL_SPEAKING_CLOCK=cpu asks a busy one
# (long_speaking.c).
set -uo pipefail
source=$1 build=$2 runnel=$2/runnel
. "$source/tests/support/campaign.sh"
campaign batch

check "200 schedules at each level" env RUNNEL_BATCH_SCHEDULES=200 "$build/tests/test_batch"

if ! python3 "$source/tools/make_random_checkpoint.py" --hf "$work/model" > "$work/log" 2>&1; then
    cat "$work/log"
    exit 1
fi
check "convert" "$runnel" convert -q "$work/model" -o "$work/q4.gguf" --type q4_0
rm -rf "$work/model"

# speaking: how many can, as `runnel bench` measures passes, and as bandwidth and the rate of a
# prefill would allow
speaking() {
    "$runnel" bench -q -m "$work/q4.gguf" -t 2 --work batch --depth 500 --repeat 3 --json > "$1"
    python3 - "$1" <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
row = next(r for r in rows if r["work"] == "speaking")
print(int(row["median"]), int(row["limit_by_prefill"]))
PY
}
read -r measured limit < <(speaking "$work/before")
count=$((limit * 8 / 10))
[ "$count" -ge 1 ] || count=1
echo "S is $limit by bandwidth and a prefill's rate, $measured by the passes measured; $count speak"
# what a calibration would have kept for a server
times=$(python3 - "$work/before" <<'PY'
import json, sys
rows = [r for r in map(json.loads, open(sys.argv[1])) if r["work"] == "batch"]
of = {(r["kind"], r["rows"]): r["median"] for r in rows}
print(*(f"{n}:{of['text', n]}:{of['frame', n]}" for n in sorted({r["rows"] for r in rows})))
PY
)
check "nobody runs out of sound" env RUNNEL_SPEAKING_MODEL="$work/q4.gguf" \
    RUNNEL_SPEAKING_COUNT="$count" RUNNEL_SPEAKING_SECONDS="${RUNNEL_LONG_SPEAKING:-600}" \
    RUNNEL_SPEAKING_TIMES="$times" "$build/tests/long_speaking"
echo "S afterwards (measured, by bandwidth and rate): $(speaking "$work/after")"
campaign_summary
