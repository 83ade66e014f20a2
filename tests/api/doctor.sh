#!/usr/bin/env bash
# runnel doctor: doctor.sh PROGRAM SOURCE. Files stand for microphone and loudspeaker; machines that
# are made up: tests/unit/test_doctor.c.
. "$(dirname "$0")/common.sh"
export HOME=$work/home XDG_CACHE_HOME=$work/cache
mkdir -p home

# field EXPRESSION: of the object o in out, of its check c("NAME").
is() {
    local got
    got=$(python3 - "$2" "$work/out" 2>> err <<'PY'
import json, sys
o = json.load(open(sys.argv[2]))
def c(name):
    return next((x for x in o["checks"] if x["check"] == name), {"grade": "none", "text": ""})
print(bool(eval(sys.argv[1])))
PY
    )
    if [ "$got" = True ]; then pass; else fail "$1: $2"; fi
}
doctor() { "$runnel" doctor --json -t 1 --input null "$@"; }

# can NAME COMMAND...: machine and model are good, but maybe for their speed (sanitizers are slow):
# exit code and can_talk follow from the burst law.
can() {
    local name=$1 got=0
    shift
    "$@" > out 2> err || got=$?
    is "$name: the law" "(12 * (80 - o['frame_ms']) > 6 * o['text_ms'] > 0) == o['can_talk']"
    is "$name: exit code $got" "o['can_talk'] == ($got == 0) and $got in (0, 1)"
    is "$name: nothing else is bad" \
        "{x['check'] for x in o['checks'] if x['grade'] == 'bad'} <= {'speed'}"
}

# ---- A model that can talk
can "minnow" doctor
is "memory is read at some speed" "o['bandwidth_gb_s'] > 0"
is "the law is told" \
    "c('speed')['grade'] != 'none' and '12 frames' in c('speed')['text']"
is "the file" "[f['bytes'] for f in o['files']] == [$(stat -c %s "$model")]"
is "its sum" "o['files'][0]['sha256'] == '$(sha256sum "$model" | cut -d ' ' -f 1)'"
is "no calibration" "c('calibration')['grade'] == 'advice' and \
    '--calibrate' in c('calibration')['remedy']"
is "what is not good has a remedy" \
    "all('remedy' in x for x in o['checks'] if x['grade'] != 'good')"
is "nobody asked for noise" "c('loopback')['grade'] == 'none'"
mkdir -p cache/runnel
printf '{"cpu":"%s","prefetch":"L2","huge_pages":true,"block_kib":256}\n' \
    "$(python3 -c "import json; print(json.load(open('out'))['cpu'])")" > cache/runnel/tuning.json

# ---- Models that cannot
expect 1 "no model" doctor -m Nobody/Nothing
is "no model" "not o['can_talk'] and 'pull' in c('model')['remedy'] and \
    'none in the cache' in c('model')['text']"
expect 1 "text alone" doctor -m "$tiny" --mmproj "$tiny"
expect 1 "for people, bad" "$runnel" doctor --input null -m /nowhere
holds "for people, bad" "^BAD *model"
holds "for people, bad: the sum of it" "This machine cannot hold a conversation"
refuse 2 "an argument" "takes no argument" "$runnel" doctor "$model"
refuse 2 "a level that is not there" "is unknown" "$runnel" doctor --cpu best

# ---- Files of the hub's cache bear their sums
hub=cache/huggingface/hub/models--Org--Name
commit=c0ffee0000000000000000000000000000000000
sum=$(sha256sum "$model" | cut -d ' ' -f 1)
mkdir -p $hub/{refs,blobs,snapshots/$commit}
cp "$model" "$hub/blobs/$sum"
ln -s "../../blobs/$sum" "$hub/snapshots/$commit/Name-Q8_0.gguf"
printf %s $commit > $hub/refs/main
unset HF_HOME HF_HUB_CACHE
can "of the hub" doctor -m Org/Name
is "the calibration is seen" "c('calibration')['grade'] == 'good'"
is "as published" "o['files'][0]['as_published'] and 'as the hub' in c('file')['text']"
printf x | dd of="$hub/blobs/$sum" bs=1 seek=20000000 conv=notrunc 2> /dev/null
expect 1 "of the hub, damaged" doctor -m Org/Name
is "damage is found" "not o['files'][0]['as_published'] and 'pull' in c('file')['remedy']"

# ---- Noise is played, a microphone hears it 30 ms later and 14 dB weaker
expect 1 "zeros" doctor -m /nowhere --sound --output file:noise.wav
is "zeros" "c('loopback')['grade'] == 'bad' and 'zeros' in c('loopback')['text']"
python3 - <<'PY'
import random, struct, wave
with wave.open("noise.wav") as f:
    rate, count = f.getframerate(), f.getnframes()
    played = struct.unpack(f"<{count}h", f.readframes(count))
random.seed(1)
heard = []
for i in range(3 * 16000):
    at = (i / 16000 - 0.030) * rate
    k = int(at)
    x = 0.0
    if 0 <= k < count - 1:
        x = 0.2 * (played[k] + (at - k) * (played[k + 1] - played[k]))
    heard.append(round(x + random.uniform(-8, 8)))
with wave.open("mic.wav", "w") as f:
    f.setnchannels(1)
    f.setsampwidth(2)
    f.setframerate(16000)
    f.writeframes(struct.pack(f"<{len(heard)}h", *heard))
PY
can "noise" "$runnel" doctor --json -t 1 --sound --input file:mic.wav --output null
is "30 ms later" "27 <= o['loopback_delay_ms'] <= 33"
is "14 dB weaker" "12 <= o['echo_return_loss_db'] <= 17"
is "that is good" "c('loopback')['grade'] == 'good'"
expect 1 "another sound" "$runnel" doctor --json -m /nowhere --sound --input "file:$question"
is "another sound" "'nothing of what was played' in c('loopback')['text']"
cp mic.wav before.wav
refuse 2 "over what is heard" "reads this very file" \
    "$runnel" doctor -m /nowhere --sound --input file:mic.wav --output file:mic.wav
check "over what is heard: it stays" cmp mic.wav before.wav
expect 1 "no such microphone" "$runnel" doctor --json -m /nowhere --sound --input file:none.wav
is "no such microphone" "'none.wav' in c('loopback')['text']"

summary
