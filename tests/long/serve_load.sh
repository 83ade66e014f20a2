#!/usr/bin/env bash
# As many conversations as a server says it has room for, and a restart among them: serve_load.sh
# SOURCE BUILD. For RUNNEL_SERVE_MINUTES (10), RUNNEL_SERVE_TALKS of them (0: all); 120 minutes of 4
# show that nothing grows.
set -uo pipefail
source=$(realpath "$1") runnel=$(realpath "$2")/runnel
"$runnel" serve --help > /dev/null 2>&1 || { echo "skipped: built without serve"; exit 77; }
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$source/tests/support/serve_load.py" "$runnel" "$source" \
    "${RUNNEL_SERVE_MINUTES:-10}" "${RUNNEL_SERVE_TALKS:-0}"
