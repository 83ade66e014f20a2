#!/usr/bin/env bash
# runnel serve: serve.sh PROGRAM SOURCE. What is refused at the start, then clients against servers
# with the demo model (serve_http.py), each on a free port.
. "$(dirname "$0")/common.sh"
. "$source/tests/support/server.sh"

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
refuse 2 "a form of log" "--log-format" "$runnel" serve --log-format xml --port 0
refuse 2 "a kind of sandbox" "--sandbox" "$runnel" serve --sandbox some --port 0
refuse 2 "Wyoming for strangers" "--wyoming-allow" "$runnel" serve --port 0 --wyoming 0.0.0.0:0
refuse 2 "a port of Wyoming" "HOST:" "$runnel" serve --port 0 --wyoming here
refuse 2 "telephones for strangers" "--audiosocket-allow" "$runnel" serve --port 0 \
    --audiosocket 0.0.0.0:0
refuse 2 "a port for telephones" "--audiosocket: 'there:x'" "$runnel" serve --port 0 \
    --audiosocket there:x
refuse 2 "no keys there" "nowhere" "$runnel" serve --api-key-file nowhere --port 0
expect 0 "limits" "$runnel" serve --help-limits
holds "limits" "JSON body"

# ---- Clients
start open --origin https://page.example --oversubscribe 100 --wyoming 0 --resume-seconds 60 \
    --audiosocket 0
check "without keys" python3 "$source/tests/api/serve_http.py" "$port" open
check "REST" python3 "$source/tests/api/serve_rest.py" "$port" "$question"
check "what was read before" python3 "$source/tests/api/serve_prefix.py" "$port" open
check "page and metrics" python3 "$source/tests/api/serve_page.py" "$port" open
wyoming=$(sed -n 's|^Wyoming at .* port ||p' open.out)
expect 0 "the same words" "$runnel" say -q -o said.wav "The light is on. The door is shut."
check "Wyoming" python3 "$source/tests/api/serve_wyoming.py" "$wyoming" "$question" said.wav
phones=$(sed -n 's|^AudioSocket at .* port ||p' open.out)
check "telephone" python3 "$source/tests/api/serve_audiosocket.py" "$port" "$phones" "$question"
check "realtime" python3 "$source/tests/api/serve_realtime.py" "$port" "$source"
check "coming back" python3 "$source/tests/api/serve_resume.py" "$port" "$source" open
first=$server
refuse 7 "the address is taken" "cannot be bound" "$runnel" serve --port "$port"
printf '# two of them\nalice 0123456789abcdef\nfedcba9876543210\n' > keys
start keyed --api-key-file keys --log-format json --oversubscribe 100 --resume-seconds 60
check "with keys" python3 "$source/tests/api/serve_http.py" "$port" keys
check "coming back with keys" python3 "$source/tests/api/serve_resume.py" "$port" "$source" keys
check "page and metrics with keys" python3 "$source/tests/api/serve_page.py" "$port" keys
check "what was read before, by keys" python3 "$source/tests/api/serve_prefix.py" "$port" keys \
    keys "$server"
echo "another-key-of-ours" > keys
kill -HUP "$server"
check "keys read again" python3 "$source/tests/api/serve_http.py" "$port" reloaded
kill -TERM "$server"
ends "SIGTERM" 0
server=$first
kill -INT "$server"
ends "Ctrl-C" 0
data=$source/tests/data/serve
cp "$data/tls-first.pem" cert.pem
cp "$data/tls-first.key" key.pem
refuse 2 "no pair" "is not the key of" "$runnel" serve --port 0 --tls-cert cert.pem \
    --tls-key "$data/tls-second.key"
start tls --tls-cert cert.pem --tls-key key.pem
check "certificates read again" python3 "$source/tests/api/serve_tls.py" "$port" "$server" "$work" \
    "$data"
kill -TERM "$server"
ends "TLS" 0
start told --oversubscribe 100 --log-content --log-format json
check "what is said, in the log" python3 "$source/tests/api/serve_told.py" "$port" told.err
check "that the log has it" grep -q "^runnel: --log-content: " told.err
kill -TERM "$server"
ends "told" 0
start draining --oversubscribe 100
check "draining" python3 "$source/tests/api/serve_drain.py" "$port" "$server"
ends "draining" 0


# ---- What is told of it
check "lines of the log" python3 - "$work/keyed.err" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert len(lines) > 5, lines
for line in lines:
    assert {"time", "what", "id", "path", "code", "ms", "address"} <= set(line), line
    assert line["id"].startswith(("req_", "sess_")) and line["time"].endswith("Z"), line
talks = [line for line in lines if line["what"] == "realtime"]
assert talks and any(line.get("model_seconds", 0) > 0 for line in talks), talks
chats = [line for line in lines if line["path"] == "/v1/chat/completions" and line["code"] == 200]
assert chats and all(line["model_seconds"] > 0 for line in chats), chats
assert not any("content" in line for line in lines)
assert any(line["path"] == "/v1/realtime" and line["code"] == 401 for line in lines)
assert any(line["path"] == "other" and line["code"] == 400 for line in lines)
assert any(line["code"] == 401 for line in lines) and any(line["code"] == 200 for line in lines)
assert "0123456789abcdef" not in open(sys.argv[1]).read()
PYTHON

# ---- A service of systemd's
check "sd_notify" python3 - "$runnel" <<'PYTHON'
import os, signal, socket, subprocess, sys, tempfile
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "notify")
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(path)
    told.settimeout(60)
    environment = {**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}
    server = subprocess.Popen([sys.argv[1], "serve", "-q", "--port", "0", "--sandbox", "off"],
                              env=environment, stdout=subprocess.DEVNULL)
    try:
        heard = []
        while heard[-1:] != [b"READY=1"]:  # while passes are measured it lives already
            heard.append(told.recv(100))
        assert set(heard[:-1]) <= {b"WATCHDOG=1"}, heard
        assert told.recv(100) == b"WATCHDOG=1"
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
PYTHON

summary
