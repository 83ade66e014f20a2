#!/usr/bin/env bash
# The systemd unit: test_service.sh SOURCE. It is valid, and as closed as docs/SERVING.md says.
set -uo pipefail
command -v systemd-analyze > /dev/null || { echo "skipped: no systemd-analyze here"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# The program need not be installed: another one stands for it.
sed "s|/usr/bin/runnel|$(command -v true)|" "$1/share/runnel.service" > "$work/runnel.service"
if ! systemd-analyze verify "$work/runnel.service" > "$work/log" 2>&1 || [ -s "$work/log" ]; then
    echo "FAILED: systemd-analyze verify"
    cat "$work/log"
    failed=1
fi
# 15 of 100: 1.5 on the scale that it prints.
if ! systemd-analyze security --offline=yes --threshold=15 --no-pager "$work/runnel.service" \
    > "$work/log" 2>&1; then
    echo "FAILED: systemd-analyze security"
    tail -n 3 "$work/log"
    failed=1
fi
exit "$failed"
