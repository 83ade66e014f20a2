#!/usr/bin/env bash
# A server that runs for long: serve_soak.sh SOURCE BUILD. Four conversations at the pace of speech
# for RUNNEL_SOAK_SECONDS (7200), who leave and come again: every answer is the one it is alone,
# and memory, descriptors and threads are the same after a quarter of the time and at its end. Then
# 10,000 conversations that say nothing: memory is what it was after 100.
set -uo pipefail
source=$(realpath "$1") runnel=$(realpath "$2")/runnel
seconds=${RUNNEL_SOAK_SECONDS:-7200}
"$runnel" serve --help > /dev/null 2>&1 || { echo "skipped: built without serve"; exit 77; }
. "$source/tests/support/campaign.sh"
campaign serve_soak

"$runnel" serve -q --port 0 --oversubscribe 100 > "$work/out" 2> "$work/err" &
server=$!
trap 'kill "$server" 2> /dev/null; rm -rf "$work"' EXIT
port=
for ((n = 0; n < 600; n++)); do
    port=$(sed -n 's|^ready at [^,]*:\([0-9]*\)/,.*|\1|p' "$work/out" 2> /dev/null)
    [ -z "$port" ] || break
    sleep 0.1
done

soak() {
    PYTHONDONTWRITEBYTECODE=1 python3 - "$source" "$port" "$seconds" "$server" <<'PYTHON'
import sys, time

source, port, seconds, pid = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
sys.path.insert(0, f"{source}/tests/support")
import crowd

scripts = crowd.scripts(source)
alone = [crowd.solo(port, script) for script in scripts]


def rest():
    """What the server has taken when nobody talks."""
    time.sleep(2)
    return crowd.taken(pid)


def talk(span):
    some = crowd.Crowd(port, scripts, alone, 4)
    time.sleep(span)
    some.stop()
    return some


first = talk(seconds / 4)
before = rest()
second = talk(seconds * 3 / 4)
after = rest()
turns = first.turns + second.turns
wrong, broken = first.wrong + second.wrong, first.broken + second.broken
slope = (after[0] - before[0]) / 1024 / (seconds * 3 / 4 / 3600)


def come_and_go(count):
    for _ in range(count):
        crowd.connect(port).close()
    return rest()


early = come_and_go(100)
late = come_and_go(9900)
rows = [
    ("answers", f"{turns} in {first.talks + second.talks} conversations", "", turns > 0),
    ("not as alone", wrong, "0", wrong == 0),
    ("broken off", len(broken), "0", not broken),
    ("resident memory", f"{before[0]}, {after[0]} KiB: {slope:.2f} MiB an hour", "< 1",
     slope < 1 or after[0] - before[0] < 1024),
    ("descriptors", f"{before[1]}, {after[1]}", "equal", before[1] == after[1]),
    ("threads", f"{before[2]}, {after[2]}", "equal", before[2] == after[2]),
    ("memory after 100 and 10,000 conversations", f"{early[0]}, {late[0]} KiB", "<= 1.02",
     late[0] <= 1.02 * early[0]),
    ("descriptors likewise", f"{early[1]}, {late[1]}", "equal", early[1] == late[1]),
]
print("| what | measured | asked |\n|---|---|---|")
for what, value, asked, met in rows:
    print(f"| {what} | {value} | {asked}{'' if met else ' MISSED'} |")
for line in broken[:5]:
    print(f"broken off: {line}")
sys.exit(not all(row[3] for row in rows))
PYTHON
}
check "everything stays as it is" soak
kill -TERM "$server"
check "the server ends with 0" wait "$server"
campaign_summary
