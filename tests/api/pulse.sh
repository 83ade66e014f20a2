#!/usr/bin/env bash
# Real devices in software: pulse.sh PROGRAM PROBE SOURCE. PulseAudio in user mode with two null
# sinks: one is the loudspeaker, the monitor of the other is the microphone; ALSA's plugin makes
# them the PortAudio device "pulse". Ends with `N passed, N failed`, or with 77 and the reason where
# PulseAudio cannot be started.
set -uo pipefail
runnel=$(realpath "$1") probe=$(realpath "$2") source=$(realpath "$3")
work=$(mktemp -d)
model=$source/samples/minnow/minnow.gguf
question=$source/samples/questions/light.wav
passed=0 failed=0 server='' loopback=''
unset RUNNEL_MODEL DBUS_SESSION_BUS_ADDRESS DISPLAY PULSE_SERVER
export XDG_RUNTIME_DIR=$work/run HOME=$work/home PULSE_RUNTIME_PATH=$work/run/pulse
mkdir -m 700 "$work/run" "$work/home"
cd "$work" || exit 1

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAILED: $*"
    sed 's/^/    /' "$work/err" 2>/dev/null | head -5
}
check() { # check NAME COMMAND...
    local name=$1
    shift
    if "$@"; then pass; else fail "$name"; fi
}
skip() { echo "skipped: $*"; exit 77; }

start_server() {
    pulseaudio --daemonize=no --exit-idle-time=-1 --system=false --use-pid-file=no -n \
        -L module-native-protocol-unix \
        -L "module-null-sink sink_name=speaker rate=48000" \
        -L "module-null-sink sink_name=room rate=48000" > "$work/pulse.log" 2>&1 &
    server=$!
    for _ in $(seq 50); do
        if pactl info > /dev/null 2>&1; then
            pactl set-default-sink speaker && pactl set-default-source room.monitor && return
        fi
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}
stop_server() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=''
}
trap 'stop_server; rm -rf "$work"' EXIT

for tool in pulseaudio pactl paplay parec; do
    command -v "$tool" > /dev/null || skip "$tool is not installed"
done
start_server || skip "PulseAudio cannot be started here: $(tail -1 "$work/pulse.log")"
"$runnel" devices > devices 2> err
grep -q ', pulse$' devices || skip "PortAudio does not see 'pulse' (libasound2-plugins is missing)"

# record FILE: everything the loudspeaker plays, until stop_recording
record() {
    parec -d speaker.monitor --rate=24000 --channels=1 --latency-msec=20 --file-format=wav "$1" &
    recorder=$!
    sleep 0.5
}
stop_recording() {
    kill "$recorder"
    wait "$recorder" 2>/dev/null
}

# holds_tone FILE HZ SECONDS: one stretch of a tone, so long, without a hole
holds_tone() {
    python3 - "$@" <<'PY'
import cmath, struct, sys, wave
with wave.open(sys.argv[1]) as w:
    rate, n = w.getframerate(), w.getnframes()
    x = struct.unpack(f"<{n}h", w.readframes(n))
hz, seconds, hop = float(sys.argv[2]), float(sys.argv[3]), rate // 100
turn = cmath.exp(-2j * cmath.pi * hz / rate)
levels = []
for at in range(0, n - hop, hop):
    s, t = 0, 1
    for v in x[at:at + hop]:
        s += v * t
        t *= turn
    levels.append(2 * abs(s) / hop / 32768)
loud = [i for i, v in enumerate(levels) if v > 0.2]
if not loud:
    sys.exit("no tone at all")
holes = sum(v < 0.2 for v in levels[loud[0]:loud[-1] + 1])
length = (loud[-1] - loud[0] + 1) / 100
print(f"{sys.argv[1]}: tone of {length:.2f} s, {holes} holes")
sys.exit(0 if abs(length - seconds) < 0.08 and holes <= 2 else 1)
PY
}

count() { # count KEY: of the probe's JSON line
    sed -n "s/.*\"$1\":\([-0-9.]*\).*/\1/p" out
}

echo "-- devices"
check "devices: a default each way" test "$(grep -c '\*' devices)" -ge 1
"$runnel" devices --json > out 2> err
check "devices --json" python3 -c 'import json,sys
rows = [json.loads(line) for line in open("out")]
row = next(r for r in rows if r["name"] == "pulse")
assert row["inputs"] > 0 and row["outputs"] > 0 and row["rate"] > 0 and row["host"] == "ALSA"'

echo "-- a tone out, a tone in"
record said.wav
"$probe" pulse pulse 3 440 heard.wav reference.wav > out 2> err &
pid=$!
sleep 0.7
python3 - <<'PY'
import math, struct, wave
with wave.open("tone.wav", "wb") as w:
    w.setparams((1, 2, 24000, 0, "NONE", ""))
    w.writeframes(b"".join(struct.pack("<h", int(12000 * math.sin(2 * math.pi * 700 * i / 24000)))
                           for i in range(24000)))
PY
paplay -d room tone.wav
wait "$pid"
check "probe: exit code" test $? -eq 0
stop_recording
check "loudspeaker: the tone" holds_tone said.wav 440 3
check "microphone: the tone" holds_tone heard.wav 700 1
check "reference: the tone" holds_tone reference.wav 440 2.9
check "all of it was played" test "$(count played)" = "$(count pushed)"
check "nothing was late" test "$(count late)" = 0
check "nothing was dropped" test "$(count dropped)" = 0

echo "-- the device goes and comes back"
"$probe" pulse pulse 6 0 heard.wav > out 2> err &
pid=$!
sleep 1.5
stop_server
sleep 1.5
start_server
wait "$pid"
check "back: exit code" test $? -eq 0
check "back: it says that the device stopped" grep -q "pulse: the sound device has stopped" err
check "back: it says that the device is back" grep -q "the device is back" err
check "back: counted" test "$(count reopened)" = 1
"$runnel" talk --help > help 2>&1 || true

if grep -q -- --trace help; then
    # talk SECONDS OPTION...: listens for so long, then Ctrl-C
    talk() {
        local seconds=$1 got=0
        shift
        "$runnel" talk -q -m "$model" --input pulse --output pulse --trace trace "$@" > out 2> err &
        pid=$!
        sleep 1.5
        paplay -d room "$question"
        sleep "$seconds"
        kill -INT "$pid"
        wait "$pid" || got=$?
        return "$got"
    }
    turns() { grep -c '"turn"' trace; }

    echo "-- a question by voice, the answer by voice"
    record answer.wav
    talk 6
    check "talk: Ctrl-C ends it with 0" test $? -eq 0
    stop_recording
    check "talk: the words" grep -q "The kitchen light is on" out
    check "talk: one turn" test "$(turns)" = 1
    "$runnel" transcribe -q -m "$model" answer.wav > heard.txt 2> err
    check "talk: the words are in the sound: $(cat heard.txt)" \
        grep -qi "kitchen light is on" heard.txt
    python3 -c 'import json
t = json.loads(open("trace").readline())
print("V2V %.0f ms, compute %.0f ms" % ((t["T11"] - t["T0"]) / 1e3, (t["T8"] - t["T3"]) / 1e3))'

    echo "-- it hears itself, 80 ms later and 6 dB lower, and does not answer"
    loopback=$(pactl load-module module-loopback source=speaker.monitor sink=room latency_msec=80)
    input=$(pactl list short sink-inputs | tail -1 | cut -f1)
    pactl set-sink-input-volume "$input" -6dB
    talk 9
    check "echo: Ctrl-C ends it with 0" test $? -eq 0
    check "echo: the words" grep -q "The kitchen light is on" out
    check "echo: one turn, not an answer to itself ($(turns))" test "$(turns)" = 1
    check "echo: not interrupted by itself" grep -q '"barged_in":false' trace
    pactl unload-module "$loopback"
fi

echo "-- no device"
stop_server
"$runnel" devices > out 2> err
check "no device: exit code 4" test $? -eq 4
check "no device: one sentence" test "$(grep -c '^runnel: there is no sound device' err)" = 1

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
