#!/usr/bin/env bash
# runnel-measure, on whatever processor: its memory is the same everywhere, and it needs nothing.
# measure_alone.sh SOURCE COMMAND...: the program, behind what runs it.
source=$1
shift
. "$(dirname "$0")/common.sh" /bin/true "$source"
alone=("$@") data=$source/tests/data/measure

expect 0 "memory" "${alone[@]}" --json --no-times -t 2 "$data"/*.json
check "one line" [ "$(wc -l < out)" -eq 1 ]
equal() { python3 - "$data/expect/sizes.txt" <<'PY'
import json, sys
models = json.load(open("out"))["models"]
got = [f"{m['file'].rsplit('/')[-1]} {m['parameters']} {m['weight_bytes']} {m['cache_bytes']} "
       f"{m['activation_bytes']}" for m in models]
wanted = open(sys.argv[1]).read().splitlines()
for g, w in zip(got, wanted, strict=True):
    if g != w:
        print(f"FAILED: {g}, not {w}")
sys.exit(got != wanted)
PY
}
check "sizes are those of all machines" equal
measured() { python3 - <<'PY'
import json
o = json.load(open("out"))
model = o["models"][0]
for m in ("prefill_1k", "prefill_4k", "decode_1k", "decode_4k"):
    assert model[m]["ms"] > 0 and o["reference"][m] > 0
PY
}
if [ -n "${RUNNEL_TEST_EMULATED:-}" ]; then
    echo "times are left out: under qemu they would take minutes and say nothing"
else
    expect 0 "times" "${alone[@]}" --json --rounds 1 --again 0 -t 2 --reference "$data/plain.json" \
        "$data/plain.json"
    check "times: all four" measured
fi
expect 3 "no config" "${alone[@]}" --no-times "$data/expect/sizes.txt"
expect 2 "no file" "${alone[@]}"
expect 0 "help" "${alone[@]}" --help
holds "help" "--reference CONFIG"
summary
