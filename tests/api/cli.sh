#!/usr/bin/env bash
# The program from outside: cli.sh PROGRAM SOURCE. Exit codes, one sentence for each refusal,
# nothing half-written left behind. Ends with `N passed, N failed`.
. "$(dirname "$0")/common.sh"

# ---- Help, versions, usage
expect 0 "help" "$runnel" --help
holds "help" "transcribe"
expect 0 "version" "$runnel" --version
for command in reply transcribe say chat info convert bench dump tokenize; do
    expect 0 "$command --help" "$runnel" "$command" --help
    holds "$command --help" "usage: runnel $command"
    expect 0 "$command --version" "$runnel" "$command" --version
done
expect 2 "no command" "$runnel"
refuse 2 "unknown command" "did you mean 'reply'" "$runnel" repyl
refuse 2 "unknown option" "unknown" "$runnel" reply --nonsense "$question"
refuse 2 "missing value" "missing its value" "$runnel" reply "$question" -o
refuse 2 "option of another command" "'--voice' is unknown" \
    "$runnel" reply --voice us-male "$question"
refuse 2 "value of a flag" "takes none" "$runnel" reply --quiet=yes "$question"
expect 0 "--version after options" "$runnel" reply --quiet --version
for mistake in "--threads +3" "--memory -5" "--memory 5X" "--temp 0x1" "--temp inf" "--seed -1" \
    "--seed 18446744073709551616" "--interleave +6:12"; do
    # shellcheck disable=SC2086 # two words
    refuse 2 "strict numbers: $mistake" "is not" "$runnel" reply $mistake "$question"
done
expect 0 "largest seed" "$runnel" reply -q --seed 18446744073709551615 "$question" -o answer.wav
refuse 2 "threads" "whole number from 1" "$runnel" reply -t 0 "$question"
refuse 2 "threads text" "whole number from 1" "$runnel" reply -t two "$question"
refuse 2 "temperature" "number from 0 to 2" "$runnel" reply --temp 3 "$question"
refuse 2 "temperature nan" "number from 0 to 2" "$runnel" reply --temp nan "$question"
refuse 2 "interleave" "6:12" "$runnel" reply --interleave 6 "$question"
refuse 2 "no question" "no question" "$runnel" reply
refuse 2 "voice" "us-male" "$runnel" say hello --voice robot
refuse 2 "mode" "text or interleaved" "$runnel" chat --mode song hello
refuse 2 "convert type" "q4_0" "$runnel" convert "$model" -o x.gguf --type q9
refuse 2 "dump stage" "subsampling" "$runnel" dump nothing "$question" -o x.npy

# ---- The main jobs
expect 0 "reply" "$runnel" reply -m "$model" "$question" -o answer.wav
holds "reply" "^The kitchen light is on.$"
[ -s answer.wav ] && pass || fail "reply: no answer.wav"
expect 0 "reply in the current folder" "$runnel" reply "$question"
[ -s light.answer.wav ] && pass || fail "reply: no light.answer.wav"
expect 0 "two turns" "$runnel" reply "$question" "$source/samples/questions/who.wav" -o turns
[ -s turns/light.answer.wav ] && [ -s turns/who.answer.wav ] && pass || fail "reply: two answers"
mkdir other && cp "$question" other/light.wav
expect 0 "two questions of one name" "$runnel" reply -q "$question" other/light.wav -o same
[ -s same/light.answer.wav ] && [ -s same/light.2.answer.wav ] && pass ||
    fail "reply: one answer has replaced another"
expect 0 "-o names a folder" "$runnel" reply -q "$question" -o other
[ -s other/light.answer.wav ] && pass || fail "reply: no answer in the folder of -o"
expect 0 "chat, two sounds in a line" "$runnel" chat -q "@$question @$question"
refuse 5 "chat, the second sound is missing" "nowhere.wav" \
    "$runnel" chat -q "@$question @nowhere.wav"
expect 0 "reply --json" "$runnel" reply --json "$question" -o answer.wav
python3 - "$work/out" <<'PY' && pass || fail "reply --json: not the object it should be"
import json, sys
o = json.loads(open(sys.argv[1]).read())
assert o["text"] == "The kitchen light is on." and o["finish"] == "end", o
assert len(o["modality"]) == len(o["text_tokens"]) + len(o["frames"])
assert o["modality"].startswith("tttttt") and o["frames"][-1] == [2048] * 8
assert o["times"]["first_sound_ms"] > 0 and o["audio"] == "answer.wav"
PY
expect 0 "transcribe" "$runnel" transcribe "$question"
holds "transcribe" "^Turn on the kitchen light.$"
expect 0 "say" "$runnel" say "The kitchen light is on." -o said.wav
[ -s said.wav ] && pass || fail "say: no said.wav"
expect 0 "chat" "$runnel" chat "What is seven plus five?"
holds "chat" "^Seven plus five is twelve.$"
expect 0 "chat with a sound" "$runnel" chat --mode text "@$question"
holds "chat with a sound" "light is on"
expect 0 "tokenize" "$runnel" tokenize "<|im_start|>user"
holds "tokenize" "^6 "
expect 0 "info" "$runnel" info "$model"
holds "info" "KV cache"
expect 0 "dump" "$runnel" dump mel "$question" -o mel.npy
[ -s mel.npy ] && pass || fail "dump: no mel.npy"
stages=(depth.7 samples subsampling encoder.0 adapter embeddings backbone.1 hidden logits spectrum)
[ -z "${RUNNEL_TEST_SHORT:-}" ] || stages=("${stages[@]:0:2}") # dump.sh looks into all of them
for stage in "${stages[@]}"; do
    expect 0 "dump $stage" "$runnel" dump "$stage" "$question" -o x.npy
done

# ---- Converting: any source to bundle and set, the same answer
expect 0 "set to bundle" "$runnel" convert "$tiny" -o bundle.gguf
expect 0 "bundle to set" "$runnel" convert bundle.gguf -o set.gguf --format set
[ -s mmproj-set.gguf ] && [ -s vocoder-set.gguf ] && [ -s tokenizer-set.gguf ] && pass ||
    fail "convert: the set has not four files"
for m in "$tiny" bundle.gguf set.gguf; do
    "$runnel" reply --json -q -m "$m" --audio-temp 0 --max-tokens 60 "$question" -o a.wav \
        2> "$work/err" | sed 's/.*"text_tokens"/"text_tokens"/; s/"times".*//' \
        > "$(basename "$m").frames"
done
cmp -s tiny-F16.gguf.frames bundle.gguf.frames && cmp -s bundle.gguf.frames set.gguf.frames &&
    [ -s set.gguf.frames ] && pass || fail "convert: other tokens after converting"
expect 0 "folder to bundle" "$runnel" convert "$source/tests/data/tiny" -o q4.gguf --type q4_0
expect 0 "the Q4_0 bundle runs" "$runnel" reply -q -m q4.gguf --max-tokens 20 "$question" -o a.wav

expect 0 "folder to a mixture" "$runnel" convert "$model" -o mix.gguf --type Q4_K_M
expect 0 "the mixture runs" "$runnel" reply -q -m mix.gguf --max-tokens 20 "$question" -o a.wav
expect 0 "the mixture's types" "$runnel" info mix.gguf
holds "the mixture falls back where rows are short" "encoder.*Q5_0"
expect 0 "one thread" "$runnel" convert -t 1 "$model" -o mix1.gguf --type q4_k_m
cmp -s mix.gguf mix1.gguf && pass || fail "convert: the number of threads shows in the file"

# ---- Bench: chosen works only, one object a line
expect 0 "bench --json" "$runnel" bench -m "$tiny" --json --repeat 2 --tokens 3,9 --depth 0,5 \
    --work bandwidth,peak,mel,encoder,prefill,decode,frame,detokenizer,load
python3 - "$work/out" <<'PY' && pass || fail "bench --json: not the objects they should be"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
keys = ("work type level threads tokens depth unit median min max n limit share share_min "
        "share_max state tried round_trip round_trip_after bandwidth bandwidth_after "
        "memory").split()
units = dict(load="ms", bandwidth="GB/s", peak="Gop/s", mel="ms", encoder="ms", prefill="tok/s",
             decode="tok/s", frame="ms", detokenizer="ms")
for r in rows:
    assert list(r) == keys and r["unit"] == units[r["work"]] and 1 <= r["n"] <= 2, r
    assert 0 < r["min"] <= r["median"] <= r["max"], r
    limited = r["work"] not in ("load", "bandwidth", "peak", "mel")
    assert (r["limit"] is not None) == limited and (not limited or r["limit"] > 0), r
    assert (r["share"] is not None) == limited, r
    assert not limited or 0 < r["share_min"] <= r["share"] <= r["share_max"], r
    assert r["state"] in ("near", "far", "changed") and r["n"] <= r["tried"] <= 6, r
    assert r["bandwidth"] > 0 < r["bandwidth_after"], r
    assert r["threads"] == 1 or r["round_trip"] > 0 < r["round_trip_after"], r
shapes = [(r["work"], r["tokens"], r["depth"]) for r in rows if r["work"] in ("prefill", "decode")]
assert shapes == [("prefill", 3, 0), ("prefill", 9, 0), ("decode", 3, 0), ("decode", 9, 0),
                  ("decode", 3, 5), ("decode", 9, 5)], shapes
assert {r["work"] for r in rows} == set(units), rows
PY
expect 0 "bench of a text model" "$runnel" bench -m "$source/tests/data/dense/tied" \
    --repeat 1 --tokens 2 --depth 0
holds "bench of a text model" "^decode"
expect 0 "bench of a batch" "$runnel" bench -q -m "$tiny" --work batch --rows 3,1 --depth 0,200 \
    --repeat 2 --json
python3 - "$work/out" <<'PY' && pass || fail "bench of a batch: not the objects they should be"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
passes = [r for r in rows if r["work"] == "batch"]
shapes = [(r["rows"], r["kind"]) for r in passes]
assert shapes == 2 * [(3, "text"), (3, "frame"), (1, "text"), (1, "frame")], shapes
assert all(r["tokens"] == r["rows"] and r["unit"] == "ms" and r["n"] <= 2 for r in passes), rows
assert all(0 < r["min"] <= r["median"] <= r["max"] and r["limit"] > 0 for r in passes), rows
assert all(r["limit_by_prefill"] > 0 and r["share_by_prefill"] > 0 for r in passes), rows
depths = [r["depth"] for r in rows]
assert 0 < depths[0] < 200 and depths == 5 * depths[:1] + 5 * [200], depths
for begin in 0, 5:
    text, frame = (r["median"] for r in rows[begin:begin + 2])
    speaking = rows[begin + 4]
    assert speaking["work"] == "speaking" and speaking["n"] == 1, rows
    share = speaking["median"] / speaking["limit_by_prefill"]
    assert abs(share - speaking["share_by_prefill"]) < 1e-6, rows
    assert (speaking["median"] == 3) == (12 * frame + 6 * text <= 768), rows
PY
cp "$source/tests/data/gguf/tiny-F16.gguf" "$work/alone.gguf"
expect 0 "bench of a batch of text" "$runnel" bench -q -m "$work/alone.gguf" --work batch --rows 2 \
    --depth 9 --repeat 1
holds "bench of a batch of text" "^batch text"
! grep -qE "^(batch frame|speaking)" "$work/out" && pass || fail "a text model makes no frames"
refuse 2 "bench rows" "whole numbers from 1 to 256" "$runnel" bench --rows 1,257
refuse 2 "bench work" "'sleep' is not known" "$runnel" bench --work decode,sleep
refuse 2 "bench list" "list of up to" "$runnel" bench --tokens 32,many
refuse 2 "bench empty list" "list of up to" "$runnel" bench --depth 32,,64
refuse 2 "bench trailing comma" "list of up to" "$runnel" bench --tokens 32,
refuse 2 "bench level" '"mmx" is unknown' "$runnel" bench --cpu mmx
refuse 2 "bench without the part" "no part for 'frame'" \
    "$runnel" bench -q -m "$source/tests/data/dense/tied" --work frame

# ---- Models that are refused: code 3, one sentence
refuse 3 "missing model" "no such model" "$runnel" info nowhere.gguf
echo "this is no model" > text.gguf
refuse 3 "text as model" "no GGUF file" "$runnel" info text.gguf
: > empty.gguf
refuse 3 "empty model" "empty" "$runnel" info empty.gguf
mkdir folder
refuse 3 "folder without config" "config.json" "$runnel" info folder
echo '{"hidden_size": ' > folder/config.json
refuse 3 "damaged config" "JSON" "$runnel" info folder
head -c 100000 "$model" > cut.gguf
refuse 3 "cut model" "cut off\|damaged" "$runnel" info cut.gguf
refuse 3 "part of a set" "one part of a model" "$runnel" info \
    "$source/tests/data/gguf/mmproj-tiny-F16.gguf"
cp "$tiny" audiodecoder-x.gguf
cp "$source/tests/data/gguf/mmproj-tiny-F16.gguf" audiodecoder-x.gguf
refuse 3 "v1 set" "v1" "$runnel" info audiodecoder-x.gguf

# ---- Sounds that are refused: code 5
python3 - "$question" <<'PY'
import struct, sys, wave
def wav(name, rate, channels, samples, fmt=1, bits=16, data=None):
    body = data if data is not None else b"".join(struct.pack("<h", s) for s in samples)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(body), b"WAVE", b"fmt ", 16, fmt,
                       channels, rate, rate * channels * bits // 8, channels * bits // 8, bits,
                       b"data", len(body))
    open(name, "wb").write(head + body)
wav("short.wav", 16000, 1, [100] * 100)
wav("none.wav", 16000, 1, [])
wav("nine.wav", 16000, 9, [100] * 9 * 16000)
wav("slow.wav", 3000, 1, [100] * 3000)
wav("fast.wav", 1000000, 1, [100] * 100000)
wav("zero.wav", 0, 1, [100] * 1000)
wav("nan.wav", 16000, 1, [], 3, 32, struct.pack("<f", float("nan")) * 16000)
wav("long.wav", 16000, 1, [1] * 16000 * 61)
wav("silent.wav", 16000, 1, [0] * 16000)
with wave.open(sys.argv[1]) as q:
    spoken = q.readframes(q.getnframes())
wav("minute.wav", 16000, 1, [], data=(spoken * 60)[:2 * 16000 * 60])
open("empty.wav", "wb").close()
honest = open("short.wav", "rb").read()
open("lies.wav", "wb").write(honest.replace(struct.pack("<I", 200), b"\xff\xff\xff\x7f"))
PY
refuse 5 "missing sound" "cannot be opened" "$runnel" reply nowhere.wav
refuse 5 "empty sound" "empty" "$runnel" reply empty.wav
refuse 5 "no samples" "no sound" "$runnel" reply none.wav
refuse 5 "too short" "shorter than 20 ms" "$runnel" reply short.wav
refuse 5 "lying header" "shorter\|no sound" "$runnel" reply lies.wav
refuse 5 "nine channels" "channels\|read" "$runnel" reply nine.wav
refuse 5 "3 kHz" "4000 to 768000" "$runnel" reply slow.wav
refuse 5 "1 MHz" "4000 to 768000\|read" "$runnel" reply fast.wav
refuse 5 "0 Hz" "4000 to 768000\|read" "$runnel" reply zero.wav
refuse 5 "NaN" "not a number" "$runnel" reply nan.wav
refuse 5 "too long" "transcribe" "$runnel" reply long.wav
refuse 5 "text as sound" "no sound file" "$runnel" reply text.gguf
refuse 5 "silence" "no speech" "$runnel" reply -q silent.wav -o s.wav
refuse 5 "text not UTF-8" "UTF-8" "$runnel" chat "$(printf 'caf\351')"
refuse 5 "nothing to say" "no text" "$runnel" say ""

# As text its name would fit into this context; as a sound it does not.
refuse 1 "chat, the second sound is a sound" "context" \
    "$runnel" chat --context 250 "@$question @minute.wav"
refuse 5 "tokenize, text not UTF-8" "UTF-8" "$runnel" tokenize "$(printf 'caf\351')"
printf 'hello\0world' > nul.txt
refuse 5 "say, NUL in the text" "NUL" bash -c '"$1" say - -o s.wav < nul.txt' _ "$runnel"

# ---- Output that cannot be written, and names that must not be replaced
for command in "reply -q $question -o s.wav" "reply -q --json $question -o s.wav" \
    "transcribe -q $question" info "tokenize hello" --help "reply --help"; do
    refuse 1 "full standard output: $command" "standard output" \
        bash -c '"$@" > /dev/full' _ "$runnel" $command
done
mkdir reader
refuse 1 "a reader that goes away" "Broken pipe" bash -c \
    'set -o pipefail; "$@" -q -o reader/a.wav | true' _ "$runnel" reply -m "$tiny" \
    --audio-temp 0 --max-tokens 300 "$question"
[ -z "$(ls reader)" ] && pass || fail "a reader that goes away: a file is left"
mkfifo pipe.wav # stands for a device such as /dev/null, which a rename would replace
for command in "reply $question" "convert $model" "dump mel $question"; do
    refuse 1 "no regular file as target: $command" "no regular file" "$runnel" $command -o pipe.wav
    [ -p pipe.wav ] && pass || fail "$command: has replaced a file that is no regular one"
done

# ---- Limits and full disks
refuse 6 "memory budget" "MiB" "$runnel" reply --memory 1M "$question"
refuse 1 "text beyond the context" "context" "$runnel" chat --context 64 \
    "$(printf 'one two three four five six %.0s' $(seq 40))"
refuse 1 "full disk" "written" "$runnel" reply "$question" -o /dev/full/a.wav
mkdir -p locked && chmod a-w locked
if [ "$(id -u)" -ne 0 ]; then
    refuse 1 "read-only folder" "written" "$runnel" reply "$question" -o locked/a.wav
fi
(ulimit -f 8; trap '' XFSZ; "$runnel" reply "$question" -o big.wav > out 2> err)
[ $? -eq 1 ] && [ ! -e big.wav ] && pass || fail "a disk that fills up leaves no file"
(ulimit -f 64; trap '' XFSZ; "$runnel" convert "$model" -o big.gguf > out 2> err)
[ $? -eq 1 ] && [ ! -e big.gguf ] && pass || fail "convert on a full disk leaves no file"
[ -z "$(find . -name '*.tmp-*')" ] && pass || fail "temporary files are left"

# ---- Ctrl-C: 130, nothing half-written
"$runnel" reply -m "$tiny" --max-tokens 3000 "$question" -o stopped.wav > out 2> err &
pid=$!
sleep 0.3
kill -INT $pid
wait $pid
[ $? -eq 130 ] && [ ! -e stopped.wav ] && pass || fail "Ctrl-C: exit code or a file"
[ -z "$(find . -name '*.tmp-*')" ] && pass || fail "Ctrl-C leaves a temporary file"


# ---- A model file that shrinks while in use: a sentence, no file left
cp bundle.gguf shrinks.gguf # of tiny: its answer takes seconds, so it is surely running
"$runnel" reply -m shrinks.gguf --max-tokens 3000 "$question" -o shrunk.wav > out 2> err &
pid=$!
for _ in $(seq 100); do
    [ -n "$(find . -name 'shrunk.wav.tmp-*' -size +0)" ] && break
    sleep 0.02
done
truncate -s 4096 shrinks.gguf
wait $pid
[ $? -eq 1 ] && [ "$(grep -c '^runnel: .*shorter' err)" -eq 1 ] && pass ||
    fail "a shrinking model: exit code or sentence"
[ -z "$(find . -name 'shrunk*')" ] && pass || fail "a shrinking model: a file is left"

# ---- At a terminal: a slip leaves nothing in the turn, the answer stays on the screen
if python3 - "$runnel" > out 2> err <<'PY'; then pass; else fail "chat at a terminal"; fi
import os, pty, select, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "chat", "--context", "128"])
signal.alarm(60)
def read_until(mark):
    seen = b""
    while not seen.endswith(mark):
        seen += os.read(terminal, 4096)
    return seen.decode()
read_until(b"> ")
# Were the words of the slips kept in the turn, the context would be full.
for _ in range(3):
    os.write(terminal, b"turn the light off now " * 8 + b"@nowhere.wav\n")
    assert "nowhere.wav" in read_until(b"> ")
os.write(terminal, b"who are you\n")
answer = read_until(b"> ")
# What remains when \r and the erasing of a line are obeyed.
lasting = []
for line in answer.split("\n"):
    shown = ""
    for part in line.rstrip("\r").split("\r"):
        shown = part + shown[len(part):] if "\033[K" not in part else part.split("\033[K")[-1]
    lasting.append(shown)
assert any("I am minnow" in line for line in lasting), answer
os.write(terminal, b"\x03")
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
PY

summary
