#!/usr/bin/env bash
# runnel serve: serve.sh PROGRAM SOURCE. What is refused at the start, then clients against servers
# with the demo model (serve_http.py), each on a free port.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/serving.sh"

# ---- What cannot be
refuse 2 "an argument" "takes no arguments" "$runnel" serve here
refuse 2 "a port" "--port" "$runnel" serve --port 70000
refuse 2 "a range" "--trusted-proxy" "$runnel" serve --trusted-proxy 10.0.0.0/40
refuse 2 "strangers without keys" "--api-key-file" "$runnel" serve --host 0.0.0.0 --port 0
echo "0123456789abcdef" > keys
chmod 644 keys
refuse 2 "keys for everybody" "chmod 600" "$runnel" serve --api-key-file keys --port 0
chmod 600 keys
refuse 2 "strangers in the clear" "--plain" "$runnel" serve --host 0.0.0.0 --port 0 \
    --api-key-file keys
refuse 2 "strangers by no name" "--name" "$runnel" serve --host 0.0.0.0 --port 0 \
    --api-key-file keys --plain
echo "short" > bad
chmod 600 bad
refuse 2 "a short key" "line 1" "$runnel" serve --api-key-file bad --port 0
refuse 2 "no keys there" "nowhere" "$runnel" serve --api-key-file nowhere --port 0
expect 0 "limits" "$runnel" serve --help-limits
holds "limits" "JSON body"

# ---- Clients
start open --origin https://page.example --oversubscribe 100
check "without keys" python3 "$source/tests/api/serve_http.py" "$port" open
check "REST" python3 "$source/tests/api/serve_rest.py" "$port" "$question"
first=$server
refuse 7 "the address is taken" "cannot be bound" "$runnel" serve --port "$port"
printf '# two of them\nalice 0123456789abcdef\nfedcba9876543210\n' > keys
start keyed --api-key-file keys
check "with keys" python3 "$source/tests/api/serve_http.py" "$port" keys
echo "another-key-of-ours" > keys
kill -HUP "$server"
check "keys read again" python3 "$source/tests/api/serve_http.py" "$port" reloaded
kill -TERM "$server"
ends "SIGTERM" 0
server=$first
kill -INT "$server"
ends "Ctrl-C" 0

summary
