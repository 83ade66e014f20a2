#!/usr/bin/env bash
# The recipe of samples/text, made small: it learns, what it leaves is measured, the same command
# goes on where it was stopped. sample_text.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

export RUNNEL=$runnel
expect 0 "the recipe" "$source/samples/text/run" made --tiny
for word in "step 40/40" "held-out" "minutes:"; do
    check "says '$word'" grep -q -- "$word" out err
done
holds "perplexity" "^bits per byte"
holds "choices" "  acc$"
holds "quantised" "^| q8_0 |"
check "it learns" python3 - <<'PY'
import json
held = [r["held_out"] for r in map(json.loads, open("made/model/log.jsonl")) if "held_out" in r]
assert 5 < held[0] < 7 and held[-1] < 0.75 * held[0], held
PY
cp made/model/model.gguf before
expect 0 "once more" "$source/samples/text/run" made --tiny
check "stays as it is" cmp before made/model/model.gguf
summary
