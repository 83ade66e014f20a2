#!/usr/bin/env bash
# The page in headless Chromium against `runnel serve` with minnow: page.sh SOURCE BUILD. Questions
# by voice, in writing, with push to talk; an interruption; what was sent is what is heard.
set -uo pipefail
source=$(realpath "$1") runnel=$(realpath "$2")/runnel
command -v chromium > /dev/null || { echo "skipped: chromium is not installed"; exit 77; }
"$runnel" serve --help > /dev/null 2>&1 || { echo "skipped: built without serve"; exit 77; }
work=$(mktemp -d)
trap '[ -z "${server:-}" ] || kill "$server" 2> /dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/room" > "$work/log" 2>&1 &&
    "$work/room/bin/pip" install -q websockets==15.0.1 >> "$work/log" 2>&1 ||
    { echo "skipped: websockets cannot be fetched"; exit 77; }

port=$((20000 + RANDOM % 20000))
"$runnel" serve --port $port > "$work/server" 2>&1 &
server=$!
for ((i = 0; i < 300; i++)); do
    curl -fs "http://127.0.0.1:$port/health/ready" > /dev/null && break
    kill -0 "$server" 2> /dev/null || { echo "FAILED: the server"; cat "$work/server"; exit 1; }
    sleep 0.1
done

failed=0
fail() { echo "FAILED: $*"; failed=1; }
"$work/room/bin/python" "$source/tests/support/check_page.py" "http://127.0.0.1:$port/" \
    "$source/samples/questions/light.wav" "$source/samples/questions/weather.wav" \
    | tee "$work/page" || failed=1
grep -q "^Runnel: The kitchen light is on.$" "$work/page" || fail "another answer"
kill "$server"
wait "$server" || { fail "the server ended with $?"; cat "$work/server"; }
server=
exit "$failed"
