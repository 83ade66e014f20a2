#!/usr/bin/env bash
# Minnow is taught a house by samples/teach/run, against the figures asked for: teach.sh SOURCE
# BUILD. Wants a quiet machine, for it counts minutes. RUNNEL_TEACH_WORK: a folder that keeps what
# was made.
set -uo pipefail
source=$1
for tool in espeak-ng flite; do
    command -v $tool > /dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
. "$source/tests/support/campaign.sh"
campaign teach
folder=${RUNNEL_TEACH_WORK:-$work}
RUNNEL=$2/runnel "$source/samples/teach/run" --work "$folder" || exit 1
python3 - "$folder/result.json" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
calls = r["calls"]["after"] / r["calls"]["count"]
rows = [  # what, measured, asked, met
    ("commands that it knew before", r["calls"]["before"], "0", r["calls"]["before"] == 0),
    ("calls right, by voices not taught", f"{100 * calls:.1f} %", ">= 90 %", calls >= 0.9),
    ("minutes", f"{r['minutes']['all']:.1f}", "<= 25", r["minutes"]["all"] <= 25),
    (f"lost of {r['old']['count']} sentences of the old domain", r["old"]["lost"], "<= 2",
     r["old"]["lost"] <= 2),
    (f"lost of {r['known']['count']} known clips", r["known"]["lost"], "0",
     r["known"]["lost"] == 0),
]
print("| what | measured | asked |\n|---|---|---|")
for what, value, asked, good in rows:
    print(f"| {what} | {value} | {asked}{'' if good else ' MISSED'} |")
    if not good:
        print(f"FAILED: {what}", file=sys.stderr)
failed = sum(not row[3] for row in rows)
print(f"{len(rows) - failed} passed, {failed} failed")
sys.exit(failed > 0)
PY
