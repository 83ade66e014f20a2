#!/usr/bin/env bash
# Many recordings: order, failures, shards, resuming, what is left on the disk, and minnow's word
# error rate on clips it has never heard. transcribe.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"
clips=$source/tests/data/minnow/clips
mkdir in && cp "$clips"/held-0[0-5].wav in/
transcribe() { "$runnel" transcribe -q "$@"; }
names() { (cd "$1" && ls | sort); }

# ---- Results in order, whatever works on them
expect 0 "one by one" transcribe -t 1 --output-dir one in
expect 0 "two jobs" transcribe -t 2 --jobs 2 --output-dir two in
check "jobs change no text" diff -r -x '*anifest*' -x '.*' one two
check "six texts" [ "$(ls one/*.txt | wc -l)" -eq 6 ]
check "what was said" grep -q "What comes before eight?" one/held-01.txt
python3 - in <<'PY'
import sys, wave
frames = b""
for i in (0, 1, 2, 3):
    with wave.open(f"{sys.argv[1]}/held-0{i}.wav") as w:
        params = w.getparams()
        frames += w.readframes(w.getnframes()) + bytes(2 * w.getframerate())
with wave.open("joined.wav", "wb") as w:
    w.setparams(params)
    w.writeframes(frames)
PY
expect 0 "--json" transcribe --json joined.wav
check "--json: a line for each piece, in order" python3 - <<'PY'
import json
pieces = [json.loads(line) for line in open("out")]
assert len(pieces) == 4 and [p["piece"] for p in pieces] == [0, 1, 2, 3], pieces
assert all(a["end"] <= b["start"] for a, b in zip(pieces, pieces[1:]))
assert all(len(p["text_tokens"]) == len(p["modality"]) and p["finish"] == "end" for p in pieces)
assert all(p["text_tokens"][:len(p["tokens"])] == p["tokens"] for p in pieces)
PY

# ---- One that fails does not stop the rest
mkdir bad && cp in/held-0[01].wav bad/ && printf 'no sound' > bad/aaa.wav && : > bad/zzz.wav
expect 5 "two of four fail" transcribe --jobs 2 --output-dir rest bad
check "both are named" [ "$(grep -c '^runnel: .*\(aaa\|zzz\).wav' err)" -eq 2 ]
check "the others are done" [ "$(ls rest/*.txt | wc -l)" -eq 2 ]
mkdir again && cp in/held-01.wav again/held-00.wav
expect 1 "one name twice" transcribe --output-dir same in/held-00.wav again/held-00.wav
check "one name twice: told" grep -q "would have the name" err
check "one name twice: the first" diff same/held-00.txt one/held-00.txt
refuse 1 "no such folder above" "cannot be created" transcribe --output-dir no/where in/held-00.wav
refuse 1 "no folder of -o" "cannot be written" transcribe -o no/a.txt in/held-00.wav
ln -s /dev/null null.txt
refuse 1 "a device as output" "no regular file" transcribe -o null.txt in/held-00.wav
got=0
if [ -c /dev/full ]; then
    transcribe in/held-00.wav > /dev/full 2> err || got=$?
    check "full standard output: exit code $got" [ "$got" -eq 1 ]
    check "full standard output: a sentence" [ "$(grep -c '^runnel: ' err)" -eq 1 ]
fi

# ---- Shards: each recording in one of them, the same one in any list
for i in 0 1 2; do expect 0 "shard $i" transcribe --output-dir shards --shard $i/3 in; done
check "three shards make the whole" diff -r -x '*anifest*' -x '.*' one shards
expect 0 "a shard alone" transcribe --shard 1/3 --output-dir share in
expect 0 "the same list the other way" transcribe --shard 1/3 --output-dir eras \
    $(ls -r in/*.wav)
check "a share does not depend on the order" [ "$(names share)" = "$(names eras)" ]
refuse 2 "--shard 3/3" "--shard" transcribe --shard 3/3 --output-dir share in

# ---- Resuming: what is done is not done again, what changed is
cp -r one resumed
touch -d 2001-01-01 resumed/*.txt
expect 0 "all is done" transcribe -t 1 --output-dir resumed --resume in
check "nothing is written again" [ -z "$(find resumed -name '*.txt' -newermt 2002-01-01)" ]
touch in/held-03.wav
expect 0 "one has changed" transcribe -t 1 --output-dir resumed --resume in
check "that one alone" [ "$(find resumed -name '*.txt' -newermt 2002-01-01)" = \
    resumed/held-03.txt ]
check "the same again" diff -r -x '*anifest*' -x '.*' one resumed

# stopped SIGNAL CODE: a run of many recordings, stopped once one is done, then resumed
mkdir many
for i in $(seq 12); do cp joined.wav "many/$(printf %02d "$i").wav"; done
stopped() {
    local folder=stop.$1 got=0 done_count
    "$runnel" transcribe -q -t 1 --output-dir "$folder" many > out 2> err &
    local pid=$!
    for _ in $(seq 1000); do
        ls "$folder"/*.txt > ls.out 2>&1 && break
        sleep 0.01
    done
    kill "-$1" $pid
    wait $pid || got=$?
    check "$1: exit code $got" [ "$got" -eq "$2" ]
    done_count=$(($(ls "$folder"/*.txt | wc -l) - $(grep -c "^stopped at" err))) # whole ones
    check "$1: $done_count were done" [ "$done_count" -lt 12 ]
    expect 0 "$1: resumed" transcribe -t 1 --output-dir "$folder" --resume many
    check "$1: all are there" [ "$(ls "$folder"/*.txt | wc -l)" -eq 12 ]
    check "$1: all the same" [ "$(sort -u "$folder"/*.txt | wc -l)" -eq 4 ]
}
set -m # a background job that does not ignore SIGINT
stopped INT 130
check "SIGINT: nothing half-written" [ -z "$(find stop.INT -name '*.tmp-*')" ]
stopped KILL 137
set +m

# ---- Quality on the clips that minnow has not learnt
python3 - "$source" <<'PY'
import json, sys
clips = json.load(open(f"{sys.argv[1]}/tests/data/minnow/expected.json"))["clips"]
with open("refs.jsonl", "w") as out:
    for clip in clips:
        if clip["clip"].startswith("held"):
            path = f"{sys.argv[1]}/tests/data/minnow/clips/{clip['clip']}"
            print(json.dumps({"audio_filepath": path, "text": clip["spoken"]}), file=out)
PY
[ -z "${RUNNEL_TEST_SHORT:-}" ] || sed -i 7q refs.jsonl # none is wrong in the whole
expect 0 "eval" "$runnel" eval -q --json --refs refs.jsonl
tail -1 out
check "eval: at most 5 % of words are wrong" python3 - <<'PY'
import json
lines = [json.loads(line) for line in open("out")]
total = lines[-1]["total"]
words = total["words"]
assert total["files"] == len(lines) - 1 and total["failed"] == 0
wrong = words["substitutions"] + words["deletions"] + words["insertions"]
assert wrong <= 0.05 * words["reference"], total
PY

summary
