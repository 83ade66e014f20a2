#!/usr/bin/env bash
# Hostile clients while four people talk: hostile.sh SOURCE BUILD. What each is answered, that the
# four hear nothing of it, that nothing is left (support/hostile.py); then 10,000 wrong keys.
set -uo pipefail
source=$(realpath "$1") build=$(realpath "$2")
"$build/runnel" serve --help > /dev/null 2>&1 || { echo "skipped: built without serve"; exit 77; }
. "$source/tests/support/campaign.sh"
campaign hostile
. "$source/tests/support/long_server.sh"

start open --oversubscribe 100 --wyoming 0
wyoming=$(sed -n 's|^Wyoming at .* port ||p' "$work/open.out")
check "hostile clients" python3 "$source/tests/support/hostile.py" "$port" "$wyoming" "$server" \
    "$source"
kill "$server"
check "the server ends" wait "$server"

umask 077
echo "0123456789abcdef-a-key" > "$work/keys"
start keyed --api-key-file "$work/keys"
wrong_keys() {
    python3 - "$port" <<'PYTHON'
import collections, http.client, sys, time
port, key = int(sys.argv[1]), "0123456789abcdef-a-key"


def ask(key, source):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(source, 0))
    c.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
    r = c.getresponse()
    r.read()
    c.close()
    return r.status


begin = time.monotonic()
counts = collections.Counter(ask(key[:-1] + chr(97 + i % 26), "127.0.0.2") for i in range(10000))
print(dict(counts), f"{time.monotonic() - begin:.0f} s")
minutes = 1 + int((time.monotonic() - begin) / 60)
assert set(counts) == {401, 429} and counts[401] <= 10 * (minutes + 1), counts
assert ask(key, "127.0.0.3") == 200
PYTHON
}
check "10,000 wrong keys" wrong_keys
campaign_summary
