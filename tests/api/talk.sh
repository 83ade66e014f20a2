#!/usr/bin/env bash
# `runnel talk` and `runnel trace` from outside, with files as devices: talk.sh PROGRAM SOURCE.
# Real (software) sound cards: pulse.sh. Ends with `N passed, N failed`.
set -uo pipefail
runnel=$(realpath "$1") source=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
passed=0 failed=0
unset RUNNEL_MODEL

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $*"; head -5 err | sed 's/^/    /'; }

# expect CODE NAME COMMAND...: stdout to out, stderr to err.
expect() {
    local code=$1 name=$2 got=0
    shift 2
    timeout 120 "$@" > out 2> err < /dev/null || got=$?
    if [ "$got" -eq "$code" ]; then pass; else fail "$name: exit code $got, not $code"; fi
    if [ -n "$(find . -name '*.tmp-*')" ]; then fail "$name: left a temporary file"; fi
}
says() { # says NAME PATTERN FILE
    if grep -q -- "$2" "$3"; then pass; else fail "$1: $3 lacks '$2'"; fi
}
is() { # is NAME WANTED GOT
    if [ "$2" = "$3" ]; then pass; else fail "$1: '$3', not '$2'"; fi
}

# compose FILE PART...: a number is seconds of faint noise, a word a question.
compose() {
    python3 - "$source/samples/questions" "$@" <<'PYTHON'
import array, random, sys, wave
folder, target, *parts = sys.argv[1:]
random.seed(1)
sound = array.array("h")
for part in parts:
    if part[0].isdigit():
        sound.extend([0] * int(float(part) * 16000))
    else:
        with wave.open(f"{folder}/{part}.wav") as f:
            sound.frombytes(f.readframes(f.getnframes()))
sound = array.array("h", (max(-32768, min(32767, x + random.randint(-16, 16))) for x in sound))
with wave.open(target, "wb") as f:
    f.setnchannels(1), f.setsampwidth(2), f.setframerate(16000)
    f.writeframes(sound.tobytes())
PYTHON
}
field() { # field LINE KEY: of trace.jsonl
    python3 -c 'import json, sys
print(json.loads(open(sys.argv[1]).read().splitlines()[int(sys.argv[2])])[sys.argv[3]])' "$@"
}

# ---- A question, its answer, everything written down
compose one.wav 1 light 4
expect 0 "one question" "$runnel" talk -v --input file:one.wav --output file:said.wav \
    --trace trace.jsonl --record both.wav --transcribe
says "the answer" '^The kitchen light is on\.$' out
says "the question" '^you: Turn on the kitchen light\.$' out
says "what ended it" 'turn 1: you [0-9.]* s, end [a-z]* (p [01][.][0-9]*)' err
says "the latency" 'answer after [0-9]* ms' err
is "one line a turn" 1 "$(wc -l < trace.jsonl)"
is "said" "The kitchen light is on." "$(field trace.jsonl 0 said)"
is "heard" "The kitchen light is on." "$(field trace.jsonl 0 said_heard)"
is "user text" "Turn on the kitchen light." "$(field trace.jsonl 0 user_text)"
is "not interrupted" "False" "$(field trace.jsonl 0 barged_in)"
is "its end" 1 "$(field trace.jsonl 0 end_rule | grep -cE '^(sure|middle|long)$')"
is "its keys" "turn T0 T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 said said_heard user_text barged_in \
holds end_rule end_probability" \
    "$(python3 -c 'import json; print(*json.loads(open("trace.jsonl").read()))')"
if python3 - <<'PYTHON'
import json, os
turn = json.loads(open("trace.jsonl").read())
t = [turn[f"T{i}"] for i in range(12)]
assert t[0] < t[1] < t[2] < t[3] <= t[9] <= t[10] <= t[11], t
assert t[4] <= t[5] <= t[6] <= t[7] <= t[8] <= t[9] and 400e3 < t[11] - t[0], t
if "RUNNEL_TEST_SHORT" in os.environ: # sanitizers compute some ten times as long
    print("not looked at: whether the answer was there before the end was sure")
else:
    assert t[8] < t[3] and t[11] - t[0] < 1500e3, t
PYTHON
then pass; else fail "marks in their order"; fi
# What the loudspeaker got: silence, then about as much sound as the answer has words.
if python3 - <<'PYTHON'
import array, json, wave
with wave.open("said.wav") as f:
    assert f.getparams()[:3] == (1, 2, 24000), f.getparams()
    sound = array.array("h", f.readframes(f.getnframes()))
turn = json.loads(open("trace.jsonl").read())
loud = [i for i, x in enumerate(sound) if abs(x) > 104] # -50 dBFS
# A sample is at the converter 10 ms after the callback that took it.
assert abs(loud[0] / 24000 + 0.01 - turn["T11"] / 1e6) < 0.001, (loud[0] / 24000, turn["T11"])
assert len(loud) > 12000
PYTHON
then pass; else fail "the loudspeaker"; fi
is "left and right" "2 16000" "$(python3 -c 'import wave
f = wave.open("both.wav"); print(f.getnchannels(), f.getframerate())')"
expect 0 "trace" "$runnel" trace trace.jsonl
says "trace" "V2V" out
says "trace" "^p95" out
says "timeline" "<svg" trace.jsonl.svg
if python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse("trace.jsonl.svg")'; then pass
else fail "the timeline is no XML"; fi

# ---- The same world twice; speculation changes no sample
compose talk.wav 1 heating 1.6 who 4 sum 5
for run in 1 2; do
    expect 0 "run $run" "$runnel" talk -q --input file:talk.wav --output "file:said$run.wav" \
        --trace "trace$run.jsonl" --sim-cost 7
    mv out "out$run"
done
for pair in "said1.wav said2.wav" "trace1.jsonl trace2.jsonl" "out1 out2"; do
    # shellcheck disable=SC2086
    if cmp -s $pair; then pass; else fail "$pair differ"; fi
done
says "an interruption" ' -$' out1
is "interrupted" "True" "$(field trace1.jsonl 0 barged_in)"
expect 0 "no barge-in" "$runnel" talk -q --input file:talk.wav --no-barge-in
if grep -q ' -$' out; then fail "--no-barge-in was interrupted"; else pass; fi
expect 0 "no speculation" "$runnel" talk -q --input file:one.wav --output file:plain.wav \
    --trace plain.jsonl --sim-cost 7 --no-speculation
if [ "$(field plain.jsonl 0 T8)" -gt "$(field plain.jsonl 0 T3)" ]; then pass
else fail "--no-speculation was there before the end"; fi

# ---- A word into the answer is heard first; minnow knows none that lets the answer go on
python3 - "$source/samples/questions" word.wav <<'PYTHON'
import sys, wave
def sound(name):
    with wave.open(f"{sys.argv[1]}/{name}.wav") as f: return f.readframes(f.getnframes())
quiet = bytes(32)
with wave.open(sys.argv[2], "wb") as f:
    f.setnchannels(1), f.setsampwidth(2), f.setframerate(16000)
    f.writeframes(quiet * 1000 + sound("heating") + quiet * 1600 + sound("who")[6400:17600] +
                  quiet * 4000)
PYTHON
for run in 1 2; do
    expect 0 "a word, run $run" "$runnel" talk -q --input file:word.wav --sim-cost 7 \
        --output "file:word-said$run.wav" --trace "word$run.jsonl" --backchannel-ms 600
done
if cmp -s word1.jsonl word2.jsonl && cmp -s word-said1.wav word-said2.wav; then pass
else fail "the word is not heard the same"; fi
is "the word cuts" "True 0" "$(field word1.jsonl 0 barged_in) $(field word1.jsonl 0 holds)"
is "and is a turn" 2 "$(wc -l < word1.jsonl)"
expect 2 "too long a word" "$runnel" talk --input file:word.wav --backchannel-ms 1001

# ---- A person who stops in mid-sentence is let finish, on slow machines, too
python3 - "$source/tests/data/audio/question.wav" pause.wav <<'PYTHON'
import sys, wave
with wave.open(sys.argv[1]) as f: sound = f.readframes(f.getnframes())
quiet = bytes(2)
with wave.open(sys.argv[2], "wb") as f:
    f.setnchannels(1), f.setsampwidth(2), f.setframerate(16000)
    f.writeframes(quiet * 16000 + sound[9600:51200] + quiet * 9600 + sound[51200:147200] +
                  quiet * 48000)
PYTHON
for run in 1:5 2:5 3:60; do
    expect 0 "a pause, run $run" "$runnel" talk -q --input file:pause.wav --max-tokens 30 \
        --trace "pause${run%:*}.jsonl" --sim-cost "${run#*:}"
    is "one turn, run $run" 1 "$(wc -l < "pause${run%:*}.jsonl")"
    is "its end, run $run" "sure" "$(field "pause${run%:*}.jsonl" 0 end_rule)"
done
if cmp -s pause1.jsonl pause2.jsonl; then pass; else fail "the pause is not heard the same"; fi
is "as sure" "$(field pause1.jsonl 0 end_probability)" "$(field pause3.jsonl 0 end_probability)"
expect 0 "the fixed rule" "$runnel" talk -q --input file:pause.wav --max-tokens 30 \
    --trace fixed.jsonl --sim-cost 5 --no-turn-network
if [ "$(wc -l < fixed.jsonl)" -ge 1 ] && [ "$(field fixed.jsonl 0 end_rule)" = middle ]; then pass
else fail "--no-turn-network"; fi
expect 0 "other waits" "$runnel" talk -q --input file:pause.wav --max-tokens 30 \
    --trace waits.jsonl --sim-cost 5 --end-ms 480:640:2000
if python3 - <<'PYTHON'
import json
t3 = [json.loads(open(f).readline()) for f in ("pause1.jsonl", "waits.jsonl")]
more = (t3[1]["T3"] - t3[0]["T3"]) / 1e3 # 15 blocks for 11
assert 110 < more < 150, more
PYTHON
then pass; else fail "--end-ms"; fi

# ---- Nobody speaks; Ctrl-C
compose silence.wav 4
expect 0 "silence" "$runnel" talk --input file:silence.wav --trace none.jsonl
is "nothing said" "" "$(cat out)"
is "no turn" 0 "$(wc -l < none.jsonl)"
"$runnel" talk --input null --output null --record rec.wav > out 2> err < /dev/null &
pid=$!
for _ in $(seq 50); do sleep 0.1; [ -n "$(find . -name 'rec.wav.tmp-*')" ] && break; done
sleep 0.3
kill -INT $pid
wait $pid
is "Ctrl-C ends well" 0 $?
if [ -s rec.wav ]; then pass; else fail "Ctrl-C: the record is not complete"; fi

# ---- Tools: a model that calls whenever it can, since the token that begins a call is loud
python3 - "$source/tests/data/tiny" caller <<'PYTHON'
import json, shutil, struct, sys
source, target = sys.argv[1:]
shutil.copytree(source, target, ignore=shutil.ignore_patterns("expect", "streams", "variant*"))
path = target + "/model.safetensors"
data = bytearray(open(path, "rb").read())
size = struct.unpack("<Q", data[:8])[0]
t = json.loads(data[8:8 + size])["lfm.embed_tokens.weight"]
assert t["dtype"] == "F32"
width = 4 * t["shape"][1]
row = 8 + size + t["data_offsets"][0] + 10 * width  # <|tool_call_start|>
for i in range(row, row + width, 4):
    struct.pack_into("<f", data, i, 30 * struct.unpack_from("<f", data, i)[0])
open(path, "wb").write(data)
PYTHON
echo '[{"name": "lamp", "parameters": {"type": "object", "properties":
    {"on": {"type": "boolean"}}, "required": ["on"]}}]' > tools.json
calls=(talk -m caller --tools tools.json --max-tokens 60
    --input "file:$source/samples/questions/light.wav" --output null --sim-cost 1)
got=0
printf '{"result": "ok"}\n\nno result\n{"result": {"on": true}}\n{"result": "so"}' |
    timeout 120 "$runnel" "${calls[@]}" > out 2> err || got=$?
is "a result is missing" 5 $got
is "calls" 4 "$(grep -c '^{"tool":"lamp","arguments":{"on":\(true\|false\)}}$' out)"
says "what is no result is told" "the result of lamp is to come as a line" err
says "and which one is missing" "ended before the result of lamp" err
expect 2 "results and keys" "$runnel" "${calls[@]}" --push-to-talk
says "results and keys" "leave one of them out" err
expect 3 "no tokens for calls" "$runnel" talk --tools tools.json --input file:one.wav
expect 5 "no such tools" "$runnel" talk --tools nothing.json --input file:one.wav

# ---- Refusals
expect 5 "no such file" "$runnel" talk --input file:nothing.wav
says "no such file" "nothing.wav" err
expect 2 "a file beside a card" "$runnel" talk --input file:one.wav --output default
expect 2 "no key" "$runnel" talk --input file:one.wav --push-to-talk
says "no key" "no terminal" err
expect 2 "too many words" "$runnel" talk hello
expect 2 "a turn too short" "$runnel" talk --input file:one.wav --max-turn 1
expect 3 "no audio" "$runnel" talk --model "$source/tests/data/dense/tied" --input file:one.wav
says "no audio" "takes and gives audio" err
expect 1 "no place for the trace" "$runnel" talk --input file:one.wav --trace nowhere/t.jsonl
expect 1 "no place for the record" "$runnel" talk --input file:one.wav --record nowhere/r.wav
expect 6 "no memory" "$runnel" talk --input file:one.wav --memory 1M
expect 5 "no trace" "$runnel" trace nothing.jsonl
echo '{"turn": 1}' > bad.jsonl
expect 5 "a bad trace" "$runnel" trace bad.jsonl
says "a bad trace" "line 1" err
expect 2 "no trace named" "$runnel" trace

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
