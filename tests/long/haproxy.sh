#!/usr/bin/env bash
# Two workers behind share/haproxy.cfg: haproxy.sh SOURCE BUILD. Requests and WebSockets are spread;
# a worker that is told to end finishes what it speaks, ends with 0, and nobody is sent to it any
# more.
set -uo pipefail
source=$(realpath "$1") runnel=$(realpath "$2")/runnel
command -v haproxy > /dev/null || { echo "skipped: haproxy is not installed"; exit 77; }
"$runnel" serve --help > /dev/null 2>&1 || { echo "skipped: built without serve"; exit 77; }
work=$(mktemp -d)
jobs=()
trap 'kill "${jobs[@]}" 2> /dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1

base=$((20000 + RANDOM % 20000))
sed "s/:8080/:$base/; s/:8081/:$((base + 1))/; s/:8082/:$((base + 2))/" \
    "$source/share/haproxy.cfg" > haproxy.cfg
for i in 1 2; do
    "$runnel" serve -q --port $((base + i)) --oversubscribe 100 > "out$i" 2> "err$i" &
    jobs+=($!)
done
for i in 1 2; do
    for ((n = 0; n < 600; n++)); do grep -q ^ready "out$i" && break; sleep 0.1; done
done
haproxy -f haproxy.cfg > haproxy.log 2>&1 &
jobs+=($!)

tell() { cat haproxy.log err1 err2; exit 1; }
python3 - "$base" "${jobs[0]}" "$source/tests/support" <<'PYTHON' || tell
import http.client, json, os, re, signal, sys, threading, time

base, first = int(sys.argv[1]), int(sys.argv[2])
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[3])
import websocket
TEXT = "The light is on. The door is shut. It is warm in here. " * 5


def ask(port, method, path, body=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
    r = c.getresponse()
    return r.status, r.read()


def served(worker, path):
    text = ask(base + worker, "GET", "/metrics")[1].decode()
    return sum(int(n) for n in re.findall(r'requests_total\{path="%s",code="200"\} (\d+)' % path,
                                          text))


def until(condition, seconds=30):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "not in time"
        time.sleep(0.1)


until(lambda: ask(base, "GET", "/v1/models")[0] == 200)
for _ in range(20):
    assert ask(base, "GET", "/v1/models")[0] == 200
counts = [served(w, "/v1/models") for w in (1, 2)]
assert min(counts) >= 5, counts
print("spread", counts)



def talking(worker):
    text = ask(base + worker, "GET", "/metrics")[1].decode()
    return int(re.search(r'connections\{protocol="realtime"\} (\d+)', text).group(1))


sockets = [websocket.Socket(base) for _ in range(6)]
for s in sockets:
    s.wait("session.created")
assert [talking(w) for w in (1, 2)] == [3, 3], [talking(w) for w in (1, 2)]
print("six WebSockets: three each")
speech = {"model": "m", "input": TEXT, "voice": "default", "response_format": "pcm"}
whole = ask(base + 2, "POST", "/v1/audio/speech", speech)
assert whole[0] == 200 and len(whole[1]) > 200000
answers = []
threads = [threading.Thread(target=lambda: answers.append(ask(base, "POST", "/v1/audio/speech",
                                                              speech))) for _ in range(6)]
for t in threads:
    t.start()
time.sleep(0.3)
os.kill(first, signal.SIGTERM)
for t in threads:
    t.join(120)
assert answers == [whole] * 6, [(s, len(b)) for s, b in answers]
print("six answers are whole although their worker was told to end")
gone = 0
for s in sockets:
    s.socket.settimeout(2)
    gone += s.next() is None and s.code == 1001
assert gone == 3 and talking(2) == 3, (gone, talking(2))
late = websocket.Socket(base)
late.wait("session.created")
assert talking(2) == 4
print("those of the first worker were sent away, a new one comes to the other")
until(lambda: not os.path.exists(f"/proc/{first}") or
      open(f"/proc/{first}/stat").read().split()[2] == "Z")
before = served(2, "/v1/models")
time.sleep(2)  # inter 500 ms, fall 2
for _ in range(10):
    assert ask(base, "GET", "/v1/models")[0] == 200
assert served(2, "/v1/models") == before + 10
print("the other one serves all")
PYTHON
wait "${jobs[0]}" || { echo "FAILED: the worker ended with $?"; exit 1; }
