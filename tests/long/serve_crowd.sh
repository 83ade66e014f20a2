#!/usr/bin/env bash
# As many conversations as a server admits, all speaking: serve_crowd.sh SOURCE BUILD. For
# RUNNEL_CROWD_SECONDS (600) each asks and hears answers to their end, again and again: nobody runs
# out of sound, every answer is the one it is alone, one conversation more is refused with a time,
# and /health answers within 10 ms (99 of 100). RUNNEL_CROWD_MODEL: another model than minnow. Wants
# a quiet machine.
set -uo pipefail
source=$(realpath "$1") runnel=$(realpath "$2")/runnel
seconds=${RUNNEL_CROWD_SECONDS:-600}
"$runnel" serve --help > /dev/null 2>&1 || { echo "skipped: built without serve"; exit 77; }
. "$source/tests/support/campaign.sh"
campaign serve_crowd

# One for each that can speak at once; an address may have 64 connections.
"$runnel" serve -q --port 0 --oversubscribe 1 --sessions 60 \
    ${RUNNEL_CROWD_MODEL:+-m "$RUNNEL_CROWD_MODEL"} > "$work/out" 2> "$work/err" &
server=$!
trap 'kill "$server" 2> /dev/null; rm -rf "$work"' EXIT
port=
for ((n = 0; n < 1200; n++)); do
    port=$(sed -n 's|^ready at [^,]*:\([0-9]*\)/,.*|\1|p' "$work/out" 2> /dev/null)
    [ -z "$port" ] || break
    sleep 0.1
done

talk() {
    PYTHONDONTWRITEBYTECODE=1 python3 - "$source" "$port" "$seconds" <<'PYTHON'
import sys, time

source, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
sys.path.insert(0, f"{source}/tests/support")
import crowd

most = int(crowd.metric(port, "runnel_sessions_max"))
scripts = crowd.scripts(source)
alone = [crowd.solo(port, script) for script in scripts]
everybody = crowd.Crowd(port, scripts, alone, most)
time.sleep(3)
refused, health, end = [], [], time.monotonic() + seconds
while time.monotonic() < end:
    health.append(crowd.ask(port, "/health")[3])
    if len(health) % 100 == 1:
        try:
            crowd.connect(port).close()
            refused.append(None)
        except crowd.Refused as e:
            refused.append(str(e))
    time.sleep(0.1)
everybody.stop()
late = sorted(everybody.late)
over = sum(x > 0.001 for x in late)
p99 = sorted(health)[len(health) * 99 // 100] * 1e3
# A conversation that has just left leaves room for a moment.
told = [r for r in refused if r is not None]
good = sum(" 503 " in r.split("\r\n")[0] and "etry-after:" in r.lower() for r in told)
rows = [
    ("conversations at once, seconds", f"{most}, {seconds:.0f}", "", True),
    ("answers, conversations", f"{everybody.turns}, {everybody.talks}", "", everybody.turns > most),
    ("not as alone", everybody.wrong, "0", everybody.wrong == 0),
    ("broken off", len(everybody.broken), "0", not everybody.broken),
    ("ran out of sound", f"{over} of {len(late)}, by {1e3 * late[-1]:.0f} ms at most", "0",
     over == 0),
    ("one more: refused with a time", f"{good} of {len(refused)}", "half of them or more",
     good == len(told) and 2 * good >= len(refused)),
    ("/health, 99 of 100", f"{p99:.1f} ms (n {len(health)})", "<= 10 ms", p99 <= 10),
]
print("| what | measured | asked |\n|---|---|---|")
for what, value, asked, met in rows:
    print(f"| {what} | {value} | {asked}{'' if met else ' MISSED'} |")
for line in everybody.broken[:5]:
    print(f"broken off: {line}")
sys.exit(not all(row[3] for row in rows))
PYTHON
}
check "all that are admitted speak" talk
kill -TERM "$server"
check "the server ends with 0" wait "$server"
campaign_summary
