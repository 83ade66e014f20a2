#!/usr/bin/env bash
# How much later than `runnel talk` a realtime server answers: serve_latency.sh SOURCE BUILD. The
# spoken questions of minnow, by a WebSocket on loopback in messages of 10 ms at the pace of speech:
# from the last sample of a question at the server's socket to the first delta of sound, beside T0
# to T9 of talk over the file device, in turn, with the same waits; RUNNEL_ROUNDS (2) times each.
# Asked: the medians within 40 ms of each other. Wants a quiet machine.
set -uo pipefail
source=$(realpath "$1") build=$(realpath "$2") rounds=${RUNNEL_ROUNDS:-2}
"$build/runnel" serve --help > /dev/null 2>&1 || { echo "skipped: built without serve"; exit 77; }
. "$source/tests/support/campaign.sh"
campaign serve_latency
. "$source/tests/support/long_server.sh"
start open --oversubscribe 100

# The questions as measure_latency.sh plays them to talk, answered by the server: a line for each.
ask_server() { # ask_server DETECTION FILE
    python3 - "$source" "$port" "$1" "$2" <<'PYTHON'
import array, base64, glob, json, random, sys, threading, time, wave

source, port, detection, out = sys.argv[1:]
sys.path.insert(0, f"{source}/tests/support")
sys.dont_write_bytecode = True
import websocket

BLOCK = 160  # samples of a message
KEPT_MS = 100  # of silence, that a clip ends behind its last speech
random.seed(1)
sound = array.array("h", [0] * 16000)
for path in sorted(glob.glob(f"{source}/samples/questions/*.wav")):
    with wave.open(path) as f:
        sound.frombytes(f.readframes(f.getnframes()))
    sound.extend([0] * (5 * 16000 + random.randrange(512)))  # anywhere in a block
sound = array.array("h", (max(-32768, min(32767, x + random.randint(-16, 16))) for x in sound))

s = websocket.Socket(int(port))
s.send("session.update", session={"type": "realtime", "audio": {"input": {
    "format": {"type": "audio/pcm", "rate": 16000}, "turn_detection": json.loads(detection)}}})
s.wait("session.updated")
sent, turns = [], []  # when each message was sent; end of speech in ms, first delta


def listen():
    waits = False
    while True:
        e = s.next()
        now = time.monotonic()
        if e is None or e["type"] == "error":
            print(e)
            return
        if e["type"] == "input_audio_buffer.speech_stopped":
            turns.append([e["audio_end_ms"] - KEPT_MS, None])
            waits = True
        if e["type"] == "response.output_audio.delta" and waits:
            turns[-1][1] = now
            waits = False


threading.Thread(target=listen, daemon=True).start()
begin = time.monotonic()
for at in range(0, len(sound), BLOCK):
    time.sleep(max(0, begin + (at + BLOCK) / 16000 - time.monotonic()))
    s.send("input_audio_buffer.append",
           audio=base64.b64encode(sound[at:at + BLOCK].tobytes()).decode())
    sent.append(time.monotonic())
with open(out, "a") as f:
    for end_ms, first in turns:
        if first is not None:
            f.write(f"{(first - sent[(end_ms * 16 - 1) // BLOCK]) * 1e3}\n")
PYTHON
}

ask_talk() { # ask_talk FILE TALK-OPTION...
    local folder=$1
    shift
    mkdir -p "$folder"
    RUNNEL_TRACES=$folder bash "$source/tools/measure_latency.sh" "$build" 1 "$@" > "$work/log"
}

for ((round = 1; round <= rounds; round++)); do
    check "talk, fixed, round $round" ask_talk "$work/fixed" --no-turn-network
    check "serve, fixed, round $round" ask_server \
        '{"type": "server_vad", "silence_duration_ms": 500}' "$work/fixed.serve"
    check "talk, asked, round $round" ask_talk "$work/asked" --end-ms 320:600:1500
    check "serve, asked, round $round" ask_server \
        '{"type": "semantic_vad", "eagerness": "medium"}' "$work/asked.serve"
done

table() {
    python3 - "$work" "$rounds" <<'PYTHON'
import json, statistics, sys
work, rounds = sys.argv[1], int(sys.argv[2])
good = True
print("| last sample to first delta, median | talk (T0 to T9) | serve | later by |")
print("|---|---|---|---|")
for rule in ("fixed", "asked"):
    marks = [json.loads(line) for line in open(f"{work}/{rule}/with.jsonl")]
    talk = [(t["T9"] - t["T0"]) / 1e3 for t in marks if t["T9"] is not None]
    serve = [float(line) for line in open(f"{work}/{rule}.serve")]
    a, b = statistics.median(talk), statistics.median(serve)
    print(f"| {rule} | {a:.0f} ms (n {len(talk)}) | {b:.0f} ms (n {len(serve)}) | {b - a:.0f} ms |")
    good = good and abs(b - a) <= 40 and min(len(talk), len(serve)) >= 10 * rounds
sys.exit(not good)
PYTHON
}
check "medians within 40 ms" table
campaign_summary
