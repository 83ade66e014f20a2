#!/usr/bin/env bash
# The sample that teaches minnow a house, small: from voices to an adapter and what it tells.
# teach.sh PROGRAM SOURCE. How much is learnt the campaign asks (tests/long/teach.sh).
. "$(dirname "$0")/common.sh"
for tool in espeak-ng flite; do
    command -v $tool > /dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

export RUNNEL=$runnel
teach=("$source/samples/teach/run" --tiny --threads 1)
expect 0 "a small house" "${teach[@]}" --work small
holds "what there is" "2 commands, 2 ways"
holds "the calls" '^| calls, by voices that were not taught | 0 of 2 |'
holds "the old domain" '^| old domain, 2 sentences |'
holds "the time" '^minutes: speaking'
holds "what to do with it" "--lora $work/small/adapter"
check "an adapter" [ -s small/adapter/adapter.gguf ]
clips=$(grep -o '"audio": "[^"]*"' small/lessons.jsonl | sort -u | wc -l)
check "cached rows of each clip, no two voices the same" [ "$(ls small/rows | wc -l)" -eq "$clips" ]
learnt() { python3 - <<'PY'
import json
steps = [r for r in map(json.loads, open("small/adapter/log.jsonl")) if "loss" in r]
for kind in ("loss", "text_loss", "frame_loss"):
    assert steps[-1][kind] < 0.6 * steps[0][kind], [r[kind] for r in steps]
assert all(min(r["text_loss"], r["frame_loss"]) < r["loss"] < max(r["text_loss"], r["frame_loss"])
           for r in steps)
rows = [json.loads(line) for line in open("small/lessons.jsonl")]
texts = [r["messages"][2]["content"][0]["text"] for r in rows]
assert {t: texts[:40].count(t) for t in texts[:40]} == {
    "blinds(up, bedroom)": 20, "blinds(up, kitchen)": 20}, texts
assert len(texts) == 44 and "(" not in "".join(texts[40:]), texts
result = json.load(open("small/result.json"))
assert result["calls"]["before"] == 0 and result["old"]["count"] == 2
PY
}
check "what is learnt" learnt
cp small/adapter/adapter.gguf once.gguf
touch marker
expect 0 "again" "${teach[@]}" --work small
check "again: nothing is made anew" [ -z "$(find small -newer marker -name '*.wav')" ]
check "again: the same adapter" cmp -s small/adapter/adapter.gguf once.gguf

printf 'lamp(on) = Okay, stopping.\n' > bare.txt
expect 1 "no way to ask" "$source/samples/teach/run" --house bare.txt --work bare
check "no way to ask: told" grep -q "bare.txt: nothing says how to ask for lamp(on)" err
printf 'lamp(on)\n    light the lamp\n' > mute.txt
expect 1 "nothing to say" "$source/samples/teach/run" --house mute.txt --work mute
check "nothing to say: told" grep -q "mute.txt, line 1: no call" err
summary
